/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/request_set.h"

#include <stdlib.h>
#include <string.h>

#include "client/lib/request_frame.h"
#include "proto/frame.h"

#define REQUESTS_MAX (1u << 20)

/* What is needed while requests are made. */
struct maker {
    const struct request_set_options *options;
    struct request_set *set;
    struct id_source *sources; /* one a table */
    struct nb_feature *features;
    uint64_t *ids; /* of the request being made */
    struct request_frame frame;
    struct random_stream random;
    size_t used;
    size_t capacity; /* of set->data */
};

static void maker_fini(struct maker *maker)
{
    free(maker->sources);
    free(maker->features);
    free(maker->ids);
    request_frame_fini(&maker->frame);
}

static int maker_init(struct maker *maker)
{
    const struct request_set_options *options = maker->options;
    const struct workload *workload = options->workload;
    size_t n = workload->n_tables;
    maker->random = random_stream_of(options->seed, options->thread);
    maker->sources = calloc(n, sizeof(*maker->sources));
    maker->features = calloc(n, sizeof(*maker->features));
    maker->ids = calloc(workload->n_ids + 1, sizeof(*maker->ids));
    if (maker->sources == NULL || maker->features == NULL ||
        maker->ids == NULL) {
        return NB_ERR_NOMEM;
    }
    size_t first =
        options->choice->n_trace / options->n_threads * options->thread;
    uint64_t *ids = maker->ids;
    for (size_t i = 0; i < n; i++) {
        /* Tables differ in what is popular, threads do not. */
        id_source_init(&maker->sources[i], options->choice,
                       workload->tables[i].rows, mix64(options->seed, ~i),
                       first);
        maker->features[i] = workload->features[i];
        maker->features[i].ids.u64 = ids;
        ids += maker->features[i].ids.n;
    }
    return 0;
}

static int encode_next(struct maker *maker, struct nb_errctx *err)
{
    const struct workload *workload = maker->options->workload;
    uint64_t *id = maker->ids;
    for (size_t i = 0; i < workload->n_tables; i++) {
        for (size_t j = 0; j < maker->features[i].ids.n; j++) {
            *id++ = id_source_next(&maker->sources[i], &maker->random);
        }
    }
    struct nb_request request = workload->request;
    request.features = maker->features;
    const struct request_call call = {.method = workload->method,
                                      .timeout_ms = maker->options->timeout_ms};
    return request_frame_encode(&maker->frame, &call, &request, err);
}

/* Room for the requests to come, by the size of the first; a body of 64-bit ids
 * is the largest. */
static int reserve(struct maker *maker)
{
    struct request_set *set = maker->set;
    size_t ids_bytes = maker->options->workload->n_ids * sizeof(uint64_t);
    size_t typical = maker->frame.bytes;
    size_t largest = typical + ids_bytes;
    size_t n = maker->options->bytes / typical;
    n = n < 1 ? 1 : n > REQUESTS_MAX ? REQUESTS_MAX : n;
    maker->capacity = (n - 1) * typical + largest;
    set->data = malloc(maker->capacity);
    set->bodies = calloc(n, sizeof(*set->bodies));
    set->n = n;
    set->n_ids = maker->options->workload->n_ids;
    if (maker->options->keep_ids) {
        set->ids = calloc(n * set->n_ids + 1, sizeof(*set->ids));
    }
    return set->data == NULL || set->bodies == NULL ||
                   (maker->options->keep_ids && set->ids == NULL)
               ? NB_ERR_NOMEM
               : 0;
}

/* The frame without its header. */
static void keep_body(struct maker *maker, size_t index)
{
    struct request_set *set = maker->set;
    const struct request_frame *frame = &maker->frame;
    uint8_t *to = set->data + maker->used;
    set->bodies[index] =
        (struct request_body){to, frame->bytes - FRAME_HEADER_BYTES};
    size_t skip = FRAME_HEADER_BYTES; /* the first piece begins with it */
    for (size_t i = 0; i < frame->n_iov; i++) {
        size_t n = frame->iov[i].iov_len - skip;
        if (n > 0) {
            memcpy(to, (const uint8_t *)frame->iov[i].iov_base + skip, n);
            to += n;
        }
        skip = 0;
    }
    maker->used += set->bodies[index].bytes;
    if (set->ids != NULL) {
        memcpy(set->ids + index * set->n_ids, maker->ids,
               set->n_ids * sizeof(*set->ids));
    }
}

static int make_all(struct maker *maker, struct nb_errctx *err)
{
    struct request_set *set = maker->set;
    int rv = maker_init(maker);
    if (rv == 0) {
        rv = encode_next(maker, err);
    }
    if (rv == 0) {
        rv = reserve(maker);
    }
    for (size_t i = 0; rv == 0 && i < set->n; i++) {
        if (maker->capacity - maker->used < maker->frame.bytes) {
            set->n = i; /* a trace whose later ids are wider */
            break;
        }
        keep_body(maker, i);
        rv = encode_next(maker, err);
    }
    return rv;
}

int request_set_init(struct request_set *set,
                     const struct request_set_options *options,
                     struct nb_errctx *err)
{
    struct nb_errctx why = {"out of memory for requests"};
    *set = (struct request_set){0};
    struct maker maker = {.options = options, .set = set};
    int rv = make_all(&maker, &why);
    maker_fini(&maker);
    if (rv != 0) {
        request_set_fini(set);
        return nb_fail(err, rv, "%s", why.text);
    }
    return 0;
}

void request_set_fini(struct request_set *set)
{
    free(set->data);
    free(set->bodies);
    free(set->ids);
    *set = (struct request_set){0};
}
