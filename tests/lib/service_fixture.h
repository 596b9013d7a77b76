/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A service without sockets, with two tables, "a" of 40 rows x 6 and "b" of
 * 40 x 9, and a clock that the test sets. Failures abort the test. */
#ifndef NB_TESTS_LIB_SERVICE_FIXTURE_H
#define NB_TESTS_LIB_SERVICE_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"
#include "server/request/service.h"

#define FIXTURE_ROWS  40u
#define FIXTURE_DIM_A 6u
#define FIXTURE_DIM_B 9u

extern struct service fixture_service;
extern uint64_t fixture_now_ns;

/* `flags` are those of nibbled besides --table, blank between them. */
void fixture_open(const char *flags);
void fixture_close(void);

/* A frame in memory. */
struct fixture_frame {
    struct frame_header header;
    const uint8_t *body;
};

/* Reads the frame at *at and steps over it; false at the end. Aborts if what
 * stands there is not a whole, valid frame. */
bool fixture_next_frame(const uint8_t **at, const uint8_t *end,
                        struct fixture_frame *frame);

/* Appends a request frame; returns the new length. */
size_t fixture_put_request(uint8_t *to, size_t at, uint16_t method,
                           uint32_t request_id, const void *body, size_t bytes);

#endif
