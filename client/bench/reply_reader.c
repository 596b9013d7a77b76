/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/reply_reader.h"

#include "client/lib/remote_error.h"

void reply_reader_init(struct reply_reader *reader,
                       const struct workload *workload,
                       const struct request_set *set, struct reply_check *check)
{
    *reader =
        (struct reply_reader){.workload = workload, .set = set, .check = check};
}

void reply_reader_fini(struct reply_reader *reader)
{
    reply_blocks_fini(&reader->blocks);
    check_scratch_fini(reader->check, &reader->scratch);
}

static int read_error(const struct frame_header *header, const uint8_t *body,
                      struct nb_errctx *why)
{
    struct remote_error error;
    if (remote_error_read(body, header->body_bytes, &error) != 0) {
        nb_fail(why, 0, "malformed error reply");
        return LOAD_ERROR_MALFORMED;
    }
    nb_fail(why, 0, "%s: %s", remote_error_name(error.code), error.message);
    return error.code < LOAD_REMOTE_CODES ? (int)error.code
                                          : LOAD_ERROR_OTHER_CODE;
}

static int verify(struct reply_reader *reader, size_t request,
                  const struct nb_reply *reply, struct nb_errctx *why)
{
    struct nb_errctx text = {""};
    const uint64_t *ids = reader->set->ids + request * reader->set->n_ids;
    int rv =
        reply_check_reply(reader->check, &reader->scratch, ids, reply, &text);
    if (rv == 1) {
        return REPLY_IS_RIGHT;
    }
    nb_fail(why, 0, "version %llu: %.220s", (unsigned long long)reply->version,
            text.text);
    return rv == 0 ? LOAD_ERROR_MISMATCH : LOAD_ERROR_UNCHECKED;
}

static void count(struct load_result *result, const struct nb_reply *reply)
{
    if (result->versions_least == 0 ||
        reply->version < result->versions_least) {
        result->versions_least = reply->version;
    }
    if (reply->version > result->versions_most) {
        result->versions_most = reply->version;
    }
    for (size_t i = 0; i < reply->n_blocks; i++) {
        result->n_unseen += reply->blocks[i].unseen;
    }
}

int reply_reader_read(struct reply_reader *reader, size_t request,
                      const struct frame_header *header, const uint8_t *body,
                      struct load_result *result, struct nb_errctx *why)
{
    const struct workload *workload = reader->workload;
    if (header->kind == FRAME_ERROR) {
        return read_error(header, body, why);
    }
    if (header->method != workload->method) {
        nb_fail(why, 0, "a reply by method %u, asked was %u", header->method,
                workload->method);
        return LOAD_ERROR_MALFORMED;
    }
    struct nb_reply reply;
    if (reply_blocks_read(&reader->blocks, body, header->body_bytes,
                          &workload->request, workload_is_pool(workload),
                          &reply, why) != 0) {
        return LOAD_ERROR_MALFORMED;
    }
    if (reader->check != NULL) {
        int kind = verify(reader, request, &reply, why);
        if (kind != REPLY_IS_RIGHT) {
            return kind;
        }
        result->n_verified++;
    }
    count(result, &reply);
    return REPLY_IS_RIGHT;
}
