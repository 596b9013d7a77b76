/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/service_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "quant/bytes.h"
#include "storage/table/table_writer.h"

struct service fixture_service;
uint64_t fixture_now_ns;

static struct options options;
static struct service_common common;
static struct counters counters;
static struct buf_budget budget;

static void check(int rv, const char *what)
{
    if (rv != 0) {
        fprintf(stderr, "fixture: %s: %s\n", what, nb_strerror(rv));
        abort();
    }
}

static uint64_t clock_ns(void)
{
    return fixture_now_ns;
}

static const char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void parse(char *flags)
{
    char *argv[32] = {"nibbled", "--table", "a=x", "--table", "b=x"};
    int argc = 5;
    char *rest;
    for (char *word = strtok_r(flags, " ", &rest); word != NULL && argc < 32;
         word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    enum options_action action;
    struct nb_errctx err = {"no text"};
    int rv = options_parse(&options, argc, argv, no_environment, &action, &err);
    check(rv, err.text);
}

/* Adds a table of codes 0, 1, ... with scale 1/16 and a bias that rises with
 * the row, from a file that is removed again: the mapping keeps it. */
static void add_table(struct table_set *tables, const char *name, uint32_t dim)
{
    enum {
        STRIDE_MAX = 64
    };
    const struct nb_format format = {
        .codec = 1, .dim = dim, .scales = NB_SCALES_FP16};
    const char *directory = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe):
                                                 no threads */
    char path[4096];
    static uint8_t rows[FIXTURE_ROWS * STRIDE_MAX];
    struct nb_errctx err = {"no text"};
    struct table_writer *writer;
    snprintf(path, sizeof(path), "%s/fixture-%ld-%s.nbt",
             directory != NULL ? directory : "/tmp", (long)getpid(), name);
    check(table_writer_create(path, &format, &writer, &err), err.text);
    size_t stride = table_writer_stride(writer);
    size_t codes = (dim + 1) / 2;
    check(stride > STRIDE_MAX, "stride");
    for (size_t i = 0; i < FIXTURE_ROWS; i++) {
        uint8_t *row = rows + i * stride;
        memset(row, 0, stride);
        memset(row, (int)(i * 0x11 & 0xff), dim / 2);
        put_u16(row + codes, 0x2c00);
        put_u16(row + codes + 2, (uint16_t)(0x3c00 + i));
    }
    check(table_writer_append(writer, rows, FIXTURE_ROWS, &err), err.text);
    check(table_writer_commit(writer, NULL, "{}", &err), err.text);
    table_writer_destroy(writer);
    int rv = table_set_add(tables, name, path, TABLE_VERIFY_FULL, &err);
    unlink(path);
    check(rv, err.text);
}

void fixture_open(const char *flags)
{
    struct table_set *tables;
    struct catalog *catalog;
    char words[512];
    snprintf(words, sizeof(words), "%s", flags);
    parse(words);
    check(table_set_create("default", 1, 1, &tables), "create");
    add_table(tables, "b", FIXTURE_DIM_B);
    add_table(tables, "a", FIXTURE_DIM_A);
    counters = (struct counters){0};
    fixture_now_ns = 1000000000;
    budget = (struct buf_budget){.max = options.max_memory_bytes};
    common = (struct service_common){.options = &options,
                                     .counters = &counters,
                                     .budget = &budget,
                                     .n_loops = 1};
    check(catalog_create(&catalog), "catalog");
    check(catalog_add(catalog, tables, CATALOG_FILES), "catalog");
    table_set_unref(tables);
    check(service_init(&fixture_service, &common, 0, catalog, clock_ns),
          "service");
    catalog_unref(catalog);
}

void fixture_close(void)
{
    service_fini(&fixture_service);
    options_fini(&options);
}

bool fixture_next_frame(const uint8_t **at, const uint8_t *end,
                        struct fixture_frame *frame)
{
    if (*at == end) {
        return false;
    }
    size_t rest = (size_t)(end - *at);
    struct nb_errctx err;
    if (rest < FRAME_HEADER_BYTES ||
        frame_header_get(*at, UINT32_MAX, &frame->header, &err) != 0 ||
        frame->header.body_bytes > rest - FRAME_HEADER_BYTES) {
        fprintf(stderr, "fixture: not a whole frame\n");
        abort();
    }
    frame->body = *at + FRAME_HEADER_BYTES;
    *at = frame->body + frame->header.body_bytes;
    return true;
}

size_t fixture_put_request(uint8_t *to, size_t at, uint16_t method,
                           uint32_t request_id, const void *body, size_t bytes)
{
    const struct frame_header header = {
        .kind = FRAME_REQUEST,
        .method = method,
        .request_id = request_id,
        .body_bytes = (uint32_t)bytes,
    };
    frame_header_put(to + at, &header);
    if (bytes != 0) {
        memcpy(to + at + FRAME_HEADER_BYTES, body, bytes);
    }
    return at + FRAME_HEADER_BYTES + bytes;
}
