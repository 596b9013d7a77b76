/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/lib/service_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/scratch.h"
#include "tests/lib/table_files.h"

struct service fixture_service;
uint64_t fixture_now_ns;

static struct options options;
static struct service_common common;
static struct counters counters;

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

void fixture_open(const char *flags)
{
    struct nb_errctx err;
    struct table_set *tables;
    char words[512];
    snprintf(words, sizeof(words), "%s", flags);
    parse(words);
    scratch_create();
    check(table_set_create("default", 1, 1, &tables), "create");
    const char *path = table_file_write("b.nbt", FIXTURE_DIM_B, FIXTURE_ROWS);
    check(table_set_add(tables, "b", path, &err), "add b");
    path = table_file_write("a.nbt", FIXTURE_DIM_A, FIXTURE_ROWS);
    check(table_set_add(tables, "a", path, &err), "add a");
    counters = (struct counters){0};
    fixture_now_ns = 1000000000;
    common = (struct service_common){
        .options = &options, .counters = &counters, .n_loops = 1};
    check(service_init(&fixture_service, &common, 0, tables, clock_ns),
          "service");
    table_set_unref(tables);
}

void fixture_close(void)
{
    service_fini(&fixture_service);
    options_fini(&options);
    scratch_remove();
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
