/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The parts of the client that do no I/O: frames put together, requests told
 * apart, rests kept, addresses split. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/backoff.h"
#include "client/lib/dial.h"
#include "client/lib/inflight.h"
#include "client/lib/remote_error.h"
#include "client/lib/reply_buffer.h"
#include "client/lib/send_queue.h"
#include "proto/nibble.pb-c.h"
#include "tests/lib/run_suite.h"

/* ---- reply_buffer ----------------------------------------------------- */

#define MAX_BODY 200000u

static void put_frame(uint8_t *to, uint32_t id, uint32_t body_bytes)
{
    const struct frame_header header = {.kind = FRAME_REPLY,
                                        .method = FRAME_METHOD_lookup,
                                        .request_id = id,
                                        .body_bytes = body_bytes};
    frame_header_put(to, &header);
    memset(to + FRAME_HEADER_BYTES, (int)id, body_bytes);
}

/* Feeds `n` bytes in steps of at most `step`; counts and checks the frames. */
static unsigned feed(struct reply_buffer *buffer, const uint8_t *bytes,
                     size_t n, size_t step)
{
    unsigned n_frames = 0;
    while (n > 0) {
        void *at;
        size_t room;
        if (reply_buffer_room(buffer, &at, &room) != 0 || room == 0) {
            ck_abort_msg("no room");
        }
        size_t take = n < step ? n : step;
        take = take < room ? take : room;
        memcpy(at, bytes, take);
        reply_buffer_filled(buffer, take);
        bytes += take;
        n -= take;
        struct frame_header header;
        const uint8_t *body;
        int rv;
        while ((rv = reply_buffer_next(buffer, &header, &body, NULL)) == 1) {
            n_frames++;
            ck_assert_uint_eq(header.request_id, n_frames);
            uint32_t same = 0;
            while (same < header.body_bytes && body[same] == n_frames) {
                same++;
            }
            ck_assert_uint_eq(same, header.body_bytes);
        }
        if (rv != 0) {
            ck_abort_msg("frame refused: %d", rv);
        }
    }
    return n_frames;
}

static const size_t steps[] = {1, 7, 16, 17, 4096, 100000, 1u << 20};

START_TEST(frames_from_any_chunks)
{
    const uint32_t bodies[] = {0, 5, 0, 70000, 3, MAX_BODY, 1};
    uint8_t *bytes = malloc(1u << 20);
    size_t n = 0;
    for (uint32_t i = 0; i < 7; i++) {
        put_frame(bytes + n, i + 1, bodies[i]);
        n += FRAME_HEADER_BYTES + bodies[i];
    }
    struct reply_buffer buffer;
    reply_buffer_init(&buffer, MAX_BODY);
    ck_assert_uint_eq(feed(&buffer, bytes, n, steps[_i]), 7);
    ck_assert_uint_le(buffer.capacity, MAX_BODY + FRAME_HEADER_BYTES);
    reply_buffer_fini(&buffer);
    free(bytes);
}
END_TEST

START_TEST(a_promise_costs_no_memory)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    const struct frame_header header = {.kind = FRAME_REPLY,
                                        .body_bytes = UINT32_MAX};
    frame_header_put(bytes, &header);
    struct reply_buffer buffer;
    reply_buffer_init(&buffer, UINT32_MAX);
    ck_assert_uint_eq(feed(&buffer, bytes, sizeof(bytes), 1), 0);
    ck_assert_uint_le(buffer.capacity, 64u << 10);
    reply_buffer_fini(&buffer);
}
END_TEST

/* A read that took all the room there was is followed by a larger one. */
START_TEST(room_grows_with_what_comes)
{
    struct reply_buffer buffer;
    reply_buffer_init(&buffer, 1u << 30);
    for (int i = 0; i < 5; i++) {
        void *at;
        size_t room;
        ck_assert_int_eq(reply_buffer_room(&buffer, &at, &room), 0);
        ck_assert_uint_eq(room, i == 0   ? 64u << 10
                                : i == 1 ? 128u << 10
                                         : 256u << 10);
        put_frame(at, 1, (uint32_t)(room - FRAME_HEADER_BYTES));
        reply_buffer_filled(&buffer, room);
        struct frame_header header;
        const uint8_t *body;
        ck_assert_int_eq(reply_buffer_next(&buffer, &header, &body, NULL), 1);
    }
    reply_buffer_fini(&buffer);
}
END_TEST

START_TEST(frames_that_are_refused)
{
    struct nb_errctx err = {""};
    struct frame_header header;
    const uint8_t *body;
    uint8_t bytes[FRAME_HEADER_BYTES + 2];
    put_frame(bytes, 1, 2);
    for (int i = 0; i < 2; i++) {
        struct reply_buffer buffer;
        void *at;
        size_t room;
        reply_buffer_init(&buffer, 1);
        bytes[0] = i == 0 ? 'N' : 'X';
        ck_assert_int_eq(reply_buffer_room(&buffer, &at, &room), 0);
        memcpy(at, bytes, sizeof(bytes));
        reply_buffer_filled(&buffer, sizeof(bytes));
        ck_assert_int_eq(reply_buffer_next(&buffer, &header, &body, &err),
                         i == 0 ? NB_ERR_TOO_LARGE : NB_ERR_FRAME);
        ck_assert_str_ne(err.text, "");
        reply_buffer_fini(&buffer);
    }
}
END_TEST

/* ---- inflight --------------------------------------------------------- */

START_TEST(replies_are_matched_by_id_and_method)
{
    static struct inflight inflight;
    uint32_t first;
    uint32_t second;
    void *owner;
    ck_assert_int_eq(inflight_add(&inflight, 3, &first, &first), 0);
    ck_assert_int_eq(inflight_add(&inflight, 4, &second, &second), 0);
    ck_assert_uint_ne(first, second);
    inflight_abandon(&inflight, first);
    ck_assert_int_eq(inflight_take(&inflight, second, 3, &owner),
                     NB_ERR_FRAME); /* another method */
    ck_assert_int_eq(inflight_take(&inflight, second, 4, &owner), 0);
    ck_assert_ptr_eq(owner, &second);
    ck_assert_int_eq(inflight_take(&inflight, second, 4, &owner),
                     NB_ERR_FRAME); /* answered already */
    ck_assert_int_eq(inflight_take(&inflight, first, 3, &owner), 0);
    ck_assert_ptr_null(owner);
    ck_assert_int_eq(inflight_take(&inflight, 0, 0, &owner), NB_ERR_FRAME);
    uint32_t third;
    ck_assert_int_eq(inflight_add(&inflight, 1, &third, &third), 0);
    inflight_cancel(&inflight, third);
    ck_assert_int_eq(inflight_take(&inflight, third, 1, &owner), NB_ERR_FRAME);
}
END_TEST

START_TEST(unanswered_requests_are_bounded)
{
    static struct inflight inflight = {.last_id = UINT32_MAX - 10};
    uint32_t first;
    uint32_t id;
    void *owner;
    ck_assert_int_eq(inflight_add(&inflight, 1, &first, &first), 0);
    for (unsigned i = 1; i < INFLIGHT_MAX - 1; i++) { /* the id 0 is left out */
        ck_assert_int_eq(inflight_add(&inflight, 1, &first, &id), 0);
        ck_assert_uint_ne(id, 0);
    }
    ck_assert_int_eq(inflight_add(&inflight, 1, &first, &id), NB_ERR_TOO_LARGE);
    ck_assert_int_eq(inflight_take(&inflight, first, 1, &owner), 0);
    ck_assert_int_eq(inflight_add(&inflight, 1, &first, &id), 0);
}
END_TEST

/* ---- send_queue ------------------------------------------------------- */

/* Sends up to n bytes into *to, at most `step` at once. */
static size_t send_up_to(struct send_queue *queue, uint8_t *to, size_t n,
                         size_t step)
{
    size_t sent = 0;
    struct iovec iov[3];
    size_t n_iov;
    while (sent < n && (n_iov = send_queue_gather(queue, iov, 3)) > 0) {
        size_t left = n - sent < step ? n - sent : step;
        size_t took = 0;
        for (size_t i = 0; i < n_iov && took < left; i++) {
            size_t part =
                iov[i].iov_len < left - took ? iov[i].iov_len : left - took;
            memcpy(to + sent + took, iov[i].iov_base, part);
            took += part;
        }
        send_queue_advance(queue, took);
        sent += took;
    }
    return sent;
}

/* A frame of pieces, the first of which holds the header. */
struct text_frame {
    char text[FRAME_HEADER_BYTES + 16];
    struct iovec iov[3];
    struct request_frame frame;
};

static void make_frame(struct text_frame *to, const char *body)
{
    size_t n = strlen(body);
    memset(to->text, '#', FRAME_HEADER_BYTES); /* not to be sent */
    memcpy(to->text + FRAME_HEADER_BYTES, body, n);
    size_t first = FRAME_HEADER_BYTES + n / 2;
    to->iov[0] = (struct iovec){to->text, first};
    to->iov[1] = (struct iovec){to->text + first, 1};
    to->iov[2] = (struct iovec){to->text + first + 1, n - n / 2 - 1};
    to->frame = (struct request_frame){
        .iov = to->iov, .n_iov = 3, .bytes = FRAME_HEADER_BYTES + n};
}

/* Header and body of every request, as they must come out. */
static size_t put_expected(uint8_t *to, uint32_t id, const char *body)
{
    const struct frame_header header = {.kind = FRAME_REQUEST,
                                        .method = 3,
                                        .request_id = id,
                                        .body_bytes = (uint32_t)strlen(body)};
    frame_header_put(to, &header);
    memcpy(to + FRAME_HEADER_BYTES, body, header.body_bytes);
    return FRAME_HEADER_BYTES + header.body_bytes;
}

/* A request given up after any number of bytes is completed from a copy, before
 * the next one; one of which nothing was sent is forgotten. */
START_TEST(a_request_given_up_is_completed)
{
    struct text_frame first;
    struct text_frame next;
    make_frame(&next, "XYZ");
    for (size_t cut = 0; cut <= FRAME_HEADER_BYTES + 9; cut++) {
        uint8_t want[80];
        uint8_t sent[80] = {0};
        struct send_queue queue = {0};
        struct send_item items[2];
        bool begun;
        make_frame(&first, "abcdefghi");
        send_queue_push(&queue, &items[0], &first.frame, 3, 7);
        send_queue_push(&queue, &items[1], &next.frame, 3, 8);
        size_t n = send_up_to(&queue, sent, cut, _i == 0 ? 1 : 99);
        ck_assert_uint_eq(n, cut);
        ck_assert_int_eq(send_queue_withdraw(&queue, &items[0], &begun), 0);
        ck_assert(begun == (cut > 0));
        memset(first.text, '-', sizeof(first.text)); /* the arrays are gone */
        n += send_up_to(&queue, sent + n, sizeof(sent) - n, 2);
        size_t wanted = cut > 0 ? put_expected(want, 7, "abcdefghi") : 0;
        wanted += put_expected(want + wanted, 8, "XYZ");
        ck_assert_uint_eq(n, wanted);
        ck_assert_mem_eq(sent, want, n);
        ck_assert(!items[0].queued && !items[1].queued);
        send_queue_fini(&queue);
    }
}
END_TEST

/* One frame on two connections, each with an id of its own; and a rest that is
 * kept while others are given up. */
START_TEST(a_frame_goes_out_twice)
{
    struct text_frame text;
    make_frame(&text, "abcdefg");
    struct send_queue queues[2] = {{0}, {0}};
    struct send_item items[3];
    uint8_t want[80];
    uint8_t sent[80];
    bool begun;
    send_queue_push(&queues[0], &items[0], &text.frame, 3, 1);
    send_queue_push(&queues[0], &items[2], &text.frame, 3, 3);
    send_queue_push(&queues[1], &items[1], &text.frame, 3, 2);
    size_t n = send_up_to(&queues[0], sent, 20, 99);
    ck_assert_int_eq(send_queue_withdraw(&queues[0], &items[0], &begun), 0);
    ck_assert_int_eq(send_queue_withdraw(&queues[0], &items[2], &begun), 0);
    ck_assert(!begun);
    n += send_up_to(&queues[0], sent + n, 60, 1);
    ck_assert_uint_eq(n, put_expected(want, 1, "abcdefg"));
    ck_assert_mem_eq(sent, want, n);
    n = send_up_to(&queues[1], sent, 80, 99);
    ck_assert_uint_eq(n, put_expected(want, 2, "abcdefg"));
    ck_assert_mem_eq(sent, want, n);
    ck_assert_int_eq(send_queue_withdraw(&queues[1], &items[1], &begun), 0);
    ck_assert(begun); /* sent already */
    send_queue_fini(&queues[0]);
    send_queue_fini(&queues[1]);
}
END_TEST

/* ---- backoff ---------------------------------------------------------- */

START_TEST(pauses_double_up_to_a_limit)
{
    struct backoff backoff = {.first_ms = 50, .max_ms = 10000, .random = 1};
    uint32_t seen_low = 0;
    for (int round = 0; round < 50; round++) {
        uint32_t whole = 50;
        for (int i = 0; i < 40; i++) {
            uint32_t pause = backoff_next_ms(&backoff);
            ck_assert_uint_le(pause, whole);
            ck_assert_uint_ge(pause, whole - whole / 2);
            seen_low += pause < whole - whole / 4;
            whole = whole * 2 < 10000 ? whole * 2 : 10000;
        }
        backoff_reset(&backoff);
    }
    ck_assert_uint_ge(seen_low, 800); /* about half of 2,000 */
    ck_assert_uint_le(seen_low, 1200);
    struct backoff same[2] = {{.first_ms = 9, .max_ms = 9, .random = 5},
                              {.first_ms = 9, .max_ms = 9, .random = 5}};
    for (int i = 0; i < 20; i++) {
        ck_assert_uint_eq(backoff_next_ms(&same[0]), backoff_next_ms(&same[1]));
    }
}
END_TEST

/* ---- remote_error ----------------------------------------------------- */

START_TEST(remote_errors_are_made_printable)
{
    Nibble__V1__Error message = NIBBLE__V1__ERROR__INIT;
    char text[400];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "a\033[2J\nb\177", 8);
    message.code = 5;
    message.message = text;
    uint8_t body[512];
    size_t bytes = nibble__v1__error__pack(&message, body);
    struct remote_error error;
    ck_assert_int_eq(remote_error_read(body, bytes, &error), 0);
    ck_assert_uint_eq(error.code, 5);
    ck_assert_int_eq(strncmp(error.message, "a?[2J?b?", 8), 0);
    ck_assert_uint_eq(strlen(error.message), sizeof(error.message) - 1);
    ck_assert_str_eq(remote_error_name(5), "NOT_FOUND");
    ck_assert_str_eq(remote_error_name(99), "code");
    ck_assert_int_eq(remote_error_read(body, bytes - 1, &error),
                     NB_ERR_MESSAGE);
    ck_assert_int_eq(remote_error_read(body, 0, &error), 0);
}
END_TEST

/* ---- dial ------------------------------------------------------------- */

static const struct {
    const char *address;
    const char *host; /* NULL: refused */
    const char *port;
} addresses[] = {
    {"127.0.0.1:7700", "127.0.0.1", "7700"},
    {"server.example:1", "server.example", "1"},
    {"[::1]:65535", "::1", "65535"},
    {"::1:7700", NULL, NULL},
    {"[::1:7700", NULL, NULL},
    {"[]:7700", NULL, NULL},
    {"localhost", NULL, NULL},
    {"localhost:", NULL, NULL},
    {"localhost:0", NULL, NULL},
    {"localhost:65536", NULL, NULL},
    {"localhost:-1", NULL, NULL},
    {"localhost:77x", NULL, NULL},
    {"localhost:4294974996", NULL, NULL},
    {":7700", NULL, NULL},
    {"", NULL, NULL},
};

START_TEST(addresses_are_split)
{
    char host[DIAL_HOST_BYTES];
    char port[DIAL_PORT_BYTES];
    struct nb_errctx err = {""};
    int rv = dial_split(addresses[_i].address, host, port, &err);
    if (addresses[_i].host == NULL) {
        ck_assert_int_eq(rv, NB_ERR_INVALID);
        ck_assert_str_ne(err.text, "");
        return;
    }
    ck_assert_int_eq(rv, 0);
    ck_assert_str_eq(host, addresses[_i].host);
    ck_assert_str_eq(port, addresses[_i].port);
}
END_TEST

START_TEST(a_host_that_is_too_long)
{
    char address[DIAL_HOST_BYTES + 10];
    memset(address, 'a', sizeof(address));
    memcpy(address + DIAL_HOST_BYTES - 1, ":1", 3);
    char host[DIAL_HOST_BYTES];
    char port[DIAL_PORT_BYTES];
    ck_assert_int_eq(dial_split(address, host, port, NULL), 0);
    memcpy(address + DIAL_HOST_BYTES - 1, "a:1", 4);
    ck_assert_int_eq(dial_split(address, host, port, NULL), NB_ERR_INVALID);
}
END_TEST

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static Suite *make_suite(void)
{
    Suite *suite = suite_create("client_core");
    TCase *tcase = tcase_create("core");
    tcase_add_loop_test(tcase, frames_from_any_chunks, 0, COUNT(steps));
    tcase_add_test(tcase, a_promise_costs_no_memory);
    tcase_add_test(tcase, room_grows_with_what_comes);
    tcase_add_test(tcase, frames_that_are_refused);
    tcase_add_test(tcase, replies_are_matched_by_id_and_method);
    tcase_add_test(tcase, unanswered_requests_are_bounded);
    tcase_add_loop_test(tcase, a_request_given_up_is_completed, 0, 2);
    tcase_add_test(tcase, a_frame_goes_out_twice);
    tcase_add_test(tcase, pauses_double_up_to_a_limit);
    tcase_add_test(tcase, remote_errors_are_made_printable);
    tcase_add_loop_test(tcase, addresses_are_split, 0, COUNT(addresses));
    tcase_add_test(tcase, a_host_that_is_too_long);
    suite_add_tcase(suite, tcase);
    return suite;
}
