/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/arena.h"

#include <stdlib.h>
#include <string.h>

#include "proto/nibble.pb-c.h"
#include "quant/nibble.h"
#include "tests/lib/run_suite.h"

START_TEST(pieces_are_aligned_and_apart)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 4096), 0);
    uint8_t *before = NULL;
    for (size_t bytes = 0; bytes < 50; bytes++) {
        uint8_t *piece = arena_alloc(&arena, bytes);
        ck_assert_ptr_nonnull(piece);
        ck_assert_uint_eq((uintptr_t)piece % ARENA_ALIGNMENT, 0);
        memset(piece, (int)bytes, bytes);
        ck_assert(before == NULL || piece >= before + bytes - 1);
        before = piece;
    }
    arena_fini(&arena);
}
END_TEST

START_TEST(the_region_does_not_grow)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 4096), 0);
    ck_assert_ptr_null(arena_alloc(&arena, 4097));
    ck_assert(arena.refused);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 4081));
    ck_assert_ptr_null(arena_alloc(&arena, 1));
    arena_reset(&arena);
    ck_assert(!arena.refused);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 4096));
    arena_fini(&arena);
}
END_TEST

START_TEST(sizes_that_overflow)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 4096), 0);
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX));
    ck_assert_ptr_null(arena_alloc(&arena, SIZE_MAX - 15));
    ck_assert_ptr_null(arena_array(&arena, SIZE_MAX / 8 + 2, 8));
    ck_assert(arena.refused);
    ck_assert_uint_eq(arena.used, 0);
    arena_fini(&arena);
}
END_TEST

START_TEST(large_regions_are_given_back)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 64u << 20), 0);
    uint8_t *piece = arena_alloc(&arena, 32u << 20);
    ck_assert_ptr_nonnull(piece);
    memset(piece, 7, 32u << 20);
    arena_reset(&arena);
    ck_assert_ptr_eq(arena_alloc(&arena, 32u << 20), piece);
    ck_assert_uint_eq(piece[0], 7);               /* kept */
    ck_assert_uint_eq(piece[(32u << 20) - 1], 0); /* given back, and anew */
    arena_fini(&arena);
}
END_TEST

/* With any capacity, decoding works or fails, and never reaches outside. */
START_TEST(another_capacity)
{
    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 4096), 0);
    ck_assert_ptr_null(arena_alloc(&arena, 8192));
    arena_reset(&arena);
    ck_assert_int_eq(arena_resize(&arena, SIZE_MAX / 2), NB_ERR_NOMEM);
    ck_assert_ptr_nonnull(arena_alloc(&arena, 4096)); /* is as it was */
    arena_reset(&arena);
    ck_assert_int_eq(arena_resize(&arena, 8192), 0);
    uint8_t *all = arena_alloc(&arena, 8192);
    ck_assert_ptr_nonnull(all);
    memset(all, 1, 8192);
    ck_assert_ptr_null(arena_alloc(&arena, 1));
    arena_fini(&arena);
}
END_TEST

START_TEST(decoding_in_every_capacity)
{
    uint64_t ids[] = {1, 2, 3, 4, 5};
    Nibble__V1__LookupFeature feature = NIBBLE__V1__LOOKUP_FEATURE__INIT;
    feature.table = "words";
    feature.n_ids = 5;
    feature.ids = ids;
    Nibble__V1__LookupFeature *features[40];
    for (size_t i = 0; i < 40; i++) {
        features[i] = &feature;
    }
    Nibble__V1__LookupRequest request = NIBBLE__V1__LOOKUP_REQUEST__INIT;
    request.n_features = 40;
    request.features = features;
    uint8_t body[4096];
    size_t bytes = nibble__v1__lookup_request__pack(&request, body);

    struct arena arena;
    ck_assert_int_eq(arena_init(&arena, 65536), 0);
    bool decoded = false;
    for (size_t capacity = 0; !decoded; capacity += 16) {
        ck_assert_uint_lt(capacity, 65536);
        arena.capacity = capacity;
        Nibble__V1__LookupRequest *back =
            nibble__v1__lookup_request__unpack(&arena.allocator, bytes, body);
        decoded = back != NULL;
        ck_assert(decoded != arena.refused);
        if (decoded) {
            ck_assert_uint_eq(back->n_features, 40);
            ck_assert_mem_eq(back->features[39]->ids, ids, sizeof(ids));
        }
        arena_reset(&arena);
    }
    arena.capacity = 65536;
    arena_fini(&arena);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("arena");
    TCase *tcase = tcase_create("arena");
    tcase_add_test(tcase, pieces_are_aligned_and_apart);
    tcase_add_test(tcase, the_region_does_not_grow);
    tcase_add_test(tcase, sizes_that_overflow);
    tcase_add_test(tcase, large_regions_are_given_back);
    tcase_add_test(tcase, another_capacity);
    tcase_add_test(tcase, decoding_in_every_capacity);
    suite_add_tcase(suite, tcase);
    return suite;
}
