/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Rows of a table, packed on the network and decoded here, by a channel that
 * has a thread of its own: rows_packed HOST:PORT TABLE ID... */
#include <inttypes.h>
#include <nibble_client.h>
#include <stdio.h>
#include <stdlib.h>

#define IDS_MAX 16
#define DIM_MAX 1024

int main(int argc, char **argv)
{
    static float values[IDS_MAX * DIM_MAX];
    uint64_t ids[IDS_MAX];
    size_t n = 0;
    for (int i = 3; i < argc && n < IDS_MAX; i++) {
        ids[n++] = strtoull(argv[i], NULL, 10);
    }
    if (n == 0) {
        fprintf(stderr, "usage: rows_packed HOST:PORT TABLE ID...\n");
        return 2;
    }
    const struct nb_feature feature = {.table = argv[2],
                                       .ids = {.u64 = ids, .n = n}};
    const struct nb_request request = {
        .dtype = NB_PACKED, .features = &feature, .n_features = 1};
    const struct nb_target target = {values, sizeof(values)};
    struct nb_block block;
    const struct nb_call_options options = {
        .timeout_ms = 10000, .targets = &target, .blocks = &block};
    struct nb_channel *channel = NULL;
    struct nb_errctx err;

    const char *address = argv[1];
    int rv = nb_channel_open(&address, 1, NULL, &channel, &err);
    if (rv == 0) {
        rv = nb_channel_lookup_wait(channel, &request, &options, NULL, &err);
    }
    for (size_t i = 0; rv == 0 && i < n; i++) {
        printf("%" PRIu64 ":", ids[i]);
        for (size_t j = 0; j < block.dim; j++) {
            printf(" %.9g", (double)values[i * block.dim + j]);
        }
        printf("\n");
    }
    if (rv != 0) {
        fprintf(stderr, "rows_packed: %s\n", err.text);
    }
    nb_channel_close(channel, NULL, NULL);
    return rv == 0 ? 0 : 1;
}
