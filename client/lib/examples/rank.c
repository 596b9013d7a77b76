/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A ranking service's question, on the service's own loop: for each of two
 * candidates the sum of its words' rows and the row of its user, side by side,
 * as a model takes them. rank HOST:PORT [HOST:PORT of a replica ...]
 * It needs the flags of libuv beside those of libnibble-client, and a server of
 * two tables, "word" and "user". */
#include <nibble_client.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#define CANDIDATES 2
#define COLUMNS    256 /* room for both tables' dims */

struct ranking {
    struct nb_channel *channel;
    float matrix[CANDIDATES * COLUMNS];
    int status;
};

/* Runs on the loop. The request's arrays and the matrix are ours again. */
static void on_done(void *arg, const struct nb_outcome *outcome)
{
    struct ranking *ranking = arg;
    if (outcome->code != 0) {
        fprintf(stderr, "rank: %s\n", outcome->message);
        ranking->status = 1;
    }
    size_t columns = 0;
    for (size_t i = 0; i < outcome->n_blocks; i++) {
        columns += outcome->blocks[i].dim;
    }
    for (size_t i = 0; outcome->code == 0 && i < CANDIDATES; i++) {
        printf("candidate %zu:", i);
        for (size_t j = 0; j < columns; j++) {
            printf(" %.9g", (double)ranking->matrix[i * columns + j]);
        }
        printf("\n");
    }
    nb_channel_close(ranking->channel, NULL, NULL);
}

int main(int argc, char **argv)
{
    const uint64_t words[] = {1, 2, 3, 4}; /* bags {1, 2, 3} and {4} */
    const uint32_t word_counts[] = {3, 1};
    const uint32_t users[] = {7, 0}; /* ids may be of 32 bits, too */
    const uint32_t one_each[] = {1, 1};
    const struct nb_feature features[] = {
        {.table = "word",
         .ids = {.u64 = words, .n = 4},
         .lengths = word_counts,
         .n_bags = CANDIDATES,
         .pooling = NB_SUM},
        {.table = "user",
         .ids = {.u32 = users, .n = 2},
         .lengths = one_each,
         .n_bags = CANDIDATES,
         .pooling = NB_SUM},
    };
    const struct nb_request request = {.features = features, .n_features = 2};
    const struct nb_channel_options options = {
        .connections = 2, /* to each replica */
        .hedge_ms = 5,    /* about the p99: 1 call in 100 is sent twice */
    };
    static struct ranking ranking;
    const struct nb_target matrix = {ranking.matrix, sizeof(ranking.matrix)};
    const struct nb_call_options call = {.timeout_ms = 10000,
                                         .matrix = &matrix};
    struct nb_errctx err;
    uv_loop_t loop;

    if (argc < 2 || uv_loop_init(&loop) != 0) {
        fprintf(stderr, "usage: rank HOST:PORT [HOST:PORT ...]\n");
        return 2;
    }
    int rv = nb_channel_open_loop(&loop, (const char *const *)&argv[1],
                                  (size_t)argc - 1, &options, &ranking.channel,
                                  &err);
    if (rv == 0) {
        rv = nb_channel_pool(ranking.channel, &request, &call, on_done,
                             &ranking, NULL, &err);
        if (rv != 0) {
            nb_channel_close(ranking.channel, NULL, NULL);
        }
    }
    if (rv != 0) {
        fprintf(stderr, "rank: %s\n", err.text);
        ranking.status = 1;
    }
    uv_run(&loop, UV_RUN_DEFAULT); /* until the channel is closed */
    uv_loop_close(&loop);
    return ranking.status;
}
