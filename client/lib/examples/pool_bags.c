/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Sums two bags of rows of the table "glove": pool_bags HOST:PORT */
#include <stdio.h>
#include <string.h>

#include <nibble_client.h>

int main(int argc, char **argv)
{
    const uint64_t ids[] = {0, 1, 2, 3, 4};
    const uint32_t lengths[] = {2, 3};
    const struct nb_feature feature = {.table = "glove",
                                       .ids = {.u64 = ids, .n = 5},
                                       .lengths = lengths,
                                       .n_bags = 2,
                                       .pooling = NB_SUM};
    const struct nb_request request = {.features = &feature, .n_features = 1};
    struct nb_client *client = NULL;
    struct nb_reply reply;
    struct nb_errctx err;
    if (nb_client_connect(argc > 1 ? argv[1] : "127.0.0.1:7700", NULL, &client,
                          &err) != 0 ||
        nb_client_pool(client, &request, &reply, &err) != 0) {
        fprintf(stderr, "pool_bags: %s\n", err.text);
        nb_client_close(client);
        return 1;
    }
    const struct nb_block *bags = &reply.blocks[0];
    for (size_t bag = 0; bag < bags->rows; bag++) {
        float first; /* values may have any alignment */
        memcpy(&first, (const char *)bags->values + bag * bags->row_bytes, 4);
        printf("bag %zu: %g ... (%u values)\n", bag, first, bags->dim);
    }
    nb_client_close(client);
    return 0;
}
