/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A server that does what its test wants, for tests of the client: a scripted
 * peer on a thread of its own answers one connection. */
#ifndef NB_TESTS_LIB_FAKE_PEER_H
#define NB_TESTS_LIB_FAKE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/frame.h"

/* What the peer does with its connection, which is closed afterwards. */
typedef void peer_script_fn(int fd);

/* One peer at a time. The address is on localhost, or a Unix socket in the
 * scratch directory; valid until the next start. */
const char *peer_start(peer_script_fn *script);
const char *peer_start_unix(peer_script_fn *script);

/* Waits for the script's end; nobody listens any more. */
void peer_stop(void);

/* For scripts. Reads one request, body included; false at the end. */
bool peer_read_request(int fd, struct frame_header *header);

/* The same, and keeps the first `max` bytes of the body. */
bool peer_read_frame(int fd, struct frame_header *header, void *body,
                     size_t max);

/* Writes all of it, or as much as the client takes. */
void peer_write(int fd, const void *from, size_t n);

/* Writes a frame with the method and id of `request`. */
void peer_write_frame(int fd, const struct frame_header *request,
                      enum frame_kind kind, const void *body, size_t bytes);
void peer_write_error(int fd, const struct frame_header *request, uint32_t code,
                      char *message);

/* A reply of one block, rows whose values are all `value`. */
#define PEER_ROWS 3
#define PEER_DIM  2
void peer_write_rows(int fd, const struct frame_header *request, float value);

/* The same of a server that has more to say: with a field that is not known. */
void peer_write_newer_rows(int fd, const struct frame_header *request,
                           float value);

/* Reads until the client has gone. */
void peer_drain(int fd);

#endif
