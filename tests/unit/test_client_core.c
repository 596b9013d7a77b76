/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The parts of the client that do no I/O: frames put together, requests told
 * apart, rests kept, addresses split. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/dial.h"
#include "client/lib/inflight.h"
#include "client/lib/remote_error.h"
#include "client/lib/reply_buffer.h"
#include "client/lib/request_sender.h"
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
    bool abandoned;
    ck_assert_int_eq(inflight_add(&inflight, 3, &first), 0);
    ck_assert_int_eq(inflight_add(&inflight, 4, &second), 0);
    ck_assert_uint_ne(first, second);
    inflight_abandon(&inflight, first);
    ck_assert_int_eq(inflight_take(&inflight, second, 3, &abandoned),
                     NB_ERR_FRAME); /* another method */
    ck_assert_int_eq(inflight_take(&inflight, second, 4, &abandoned), 0);
    ck_assert(!abandoned);
    ck_assert_int_eq(inflight_take(&inflight, second, 4, &abandoned),
                     NB_ERR_FRAME); /* answered already */
    ck_assert_int_eq(inflight_take(&inflight, first, 3, &abandoned), 0);
    ck_assert(abandoned);
    ck_assert_int_eq(inflight_take(&inflight, 0, 0, &abandoned), NB_ERR_FRAME);
    uint32_t third;
    ck_assert_int_eq(inflight_add(&inflight, 1, &third), 0);
    inflight_cancel(&inflight, third);
    ck_assert_int_eq(inflight_take(&inflight, third, 1, &abandoned),
                     NB_ERR_FRAME);
}
END_TEST

START_TEST(unanswered_requests_are_bounded)
{
    static struct inflight inflight = {.last_id = UINT32_MAX - 10};
    uint32_t first;
    uint32_t id;
    bool abandoned;
    ck_assert_int_eq(inflight_add(&inflight, 1, &first), 0);
    for (unsigned i = 1; i < INFLIGHT_MAX - 1; i++) { /* the id 0 is left out */
        ck_assert_int_eq(inflight_add(&inflight, 1, &id), 0);
        ck_assert_uint_ne(id, 0);
    }
    ck_assert_int_eq(inflight_add(&inflight, 1, &id), NB_ERR_TOO_LARGE);
    ck_assert_int_eq(inflight_take(&inflight, first, 1, &abandoned), 0);
    ck_assert_int_eq(inflight_add(&inflight, 1, &id), 0);
}
END_TEST

/* ---- request_sender --------------------------------------------------- */

/* Sends up to n bytes into *to, at most `step` at once. */
static size_t send_up_to(struct request_sender *sender, uint8_t *to, size_t n,
                         size_t step)
{
    size_t sent = 0;
    struct iovec *iov;
    while (sent < n && request_sender_peek(sender, &iov) > 0) {
        size_t take = iov->iov_len < step ? iov->iov_len : step;
        take = take < n - sent ? take : n - sent;
        memcpy(to + sent, iov->iov_base, take);
        request_sender_advance(sender, take);
        sent += take;
    }
    return sent;
}

/* A request given up after any number of bytes is completed from a copy, before
 * the next one; one of which nothing was sent is forgotten. */
START_TEST(a_request_given_up_is_completed)
{
    for (size_t cut = 0; cut <= 9; cut++) {
        char first[] = "abcdefghi";
        char next[] = "XYZ";
        struct iovec iov[] = {{first, 4}, {first + 4, 1}, {first + 5, 4}};
        struct iovec next_iov[] = {{next, 3}};
        struct request_frame frame = {.iov = iov, .n_iov = 3};
        struct request_frame next_frame = {.iov = next_iov, .n_iov = 1};
        struct request_sender sender = {0};
        uint8_t sent[32] = {0};
        bool begun;
        request_sender_set(&sender, &frame);
        size_t n = send_up_to(&sender, sent, cut, _i == 0 ? 1 : 9);
        ck_assert_uint_eq(n, cut);
        ck_assert_int_eq(request_sender_keep(&sender, &begun), 0);
        ck_assert(begun == (cut > 0));
        memset(first, '-', sizeof(first)); /* the caller's arrays are gone */
        request_sender_set(&sender, &next_frame);
        send_up_to(&sender, sent + n, sizeof(sent) - 1 - n, 2);
        ck_assert_str_eq((char *)sent, cut > 0 ? "abcdefghiXYZ" : "XYZ");
        request_sender_fini(&sender);
    }
}
END_TEST

/* Giving up twice in a row: the second was never begun. */
START_TEST(a_rest_is_kept_over_calls)
{
    char first[] = "abcd";
    char second[] = "efgh";
    struct iovec iov[] = {{first, 4}};
    struct iovec second_iov[] = {{second, 4}};
    struct request_frame frame = {.iov = iov, .n_iov = 1};
    struct request_frame second_frame = {.iov = second_iov, .n_iov = 1};
    struct request_sender sender = {0};
    uint8_t sent[16] = {0};
    bool begun;
    request_sender_set(&sender, &frame);
    send_up_to(&sender, sent, 1, 9);
    ck_assert_int_eq(request_sender_keep(&sender, &begun), 0);
    request_sender_set(&sender, &second_frame);
    send_up_to(&sender, sent + 1, 1, 9);
    ck_assert_int_eq(request_sender_keep(&sender, &begun), 0);
    ck_assert(!begun);
    send_up_to(&sender, sent + 2, 9, 9);
    ck_assert_str_eq((char *)sent, "abcd");
    request_sender_fini(&sender);
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
    tcase_add_test(tcase, frames_that_are_refused);
    tcase_add_test(tcase, replies_are_matched_by_id_and_method);
    tcase_add_test(tcase, unanswered_requests_are_bounded);
    tcase_add_loop_test(tcase, a_request_given_up_is_completed, 0, 2);
    tcase_add_test(tcase, a_rest_is_kept_over_calls);
    tcase_add_test(tcase, remote_errors_are_made_printable);
    tcase_add_loop_test(tcase, addresses_are_split, 0, COUNT(addresses));
    tcase_add_test(tcase, a_host_that_is_too_long);
    suite_add_tcase(suite, tcase);
    return suite;
}
