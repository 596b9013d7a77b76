/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sums two bags of rows of the table "words": pool_bags HOST:PORT */
#include <nibble_client.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const uint64_t ids[] = {0, 1, 2, 3, 4}; /* bags {0, 1} and {2, 3, 4} */
    const uint32_t lengths[] = {2, 3};
    struct nb_feature words = {"words", {ids, NULL, 5}, lengths,
                               2,       NULL,           NB_SUM};
    struct nb_request request = {.features = &words, .n_features = 1};
    struct nb_client *client = NULL;
    struct nb_reply reply;
    struct nb_errctx err;
    const char *server = argc > 1 ? argv[1] : "127.0.0.1:7700";

    int rv = nb_client_connect(server, NULL, &client, &err);
    if (rv == 0) {
        rv = nb_client_pool(client, &request, &reply, &err);
    }
    const struct nb_block *sums = rv == 0 ? reply.blocks : NULL;
    for (size_t bag = 0; sums != NULL && bag < sums->rows; bag++) {
        float first; /* values may have any alignment */
        memcpy(&first, (const char *)sums->values + bag * sums->row_bytes, 4);
        printf("bag %zu: %g ... (%u values)\n", bag, first, sums->dim);
    }
    if (rv != 0) {
        fprintf(stderr, "pool_bags: %s\n", err.text);
    }
    nb_client_close(client);
    return rv == 0 ? 0 : 1;
}
