/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <stdlib.h>
#include <string.h>

#include "client/cli/command.h"
#include "client/cli/number_list.h"
#include "client/cli/option_table.h"
#include "client/cli/query_output.h"
#include "client/cli/server_query.h"
#include "client/cli/word_list.h"

struct pool_args {
    struct server_query query;
    const char *bags;
    const char *keys;
    const char *weights;
    uint32_t pooling; /* enum nb_pooling */
};

static const char *pooling_at(size_t i)
{
    static const char *const names[] = {
        [NB_SUM] = "sum", [NB_MEAN] = "mean", [NB_MAX] = "max"};
    return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

/* Those of a lookup without 'packed': a sum has no stored form. */
static const char *value_dtype_at(size_t i)
{
    return i < NB_PACKED ? query_dtype_at(i) : NULL;
}

static const struct option_row rows[] = {
    {.name = "bags",
     .type = OPTION_TEXT,
     .offset = offsetof(struct pool_args, bags),
     .value = "'1,2,3;4;'",
     .help = "ids of each bag, bags parted by ';'; this is three bags, the "
             "last of them empty, which gives zeros"},
    {.name = "keys",
     .type = OPTION_TEXT,
     .offset = offsetof(struct pool_args, keys),
     .value = "'the,of;king;'",
     .help = "instead of --bags: words, of a table made with --keys text; "
             "'\\,' is a comma, '\\;' a semicolon"},
    {.name = "weights",
     .type = OPTION_TEXT,
     .offset = offsetof(struct pool_args, weights),
     .value = "'0.5,1,2;1;'",
     .help = "a weight for each id, written as the bags are; not with max"},
    {.name = "mode",
     .type = OPTION_INDEX,
     .offset = offsetof(struct pool_args, pooling),
     .value = "MODE",
     .fallback = "sum",
     .choices = pooling_at,
     .help = "what becomes of the rows of a bag"},
    {.name = "dtype",
     .type = OPTION_INDEX,
     .offset = offsetof(struct pool_args, query.dtype),
     .value = "TYPE",
     .fallback = "fp32",
     .choices = value_dtype_at,
     .help = "how the values travel"},
};

static const struct option_table table = {
    .command = "pool",
    .about = "Asks a server to sum, average or take the maximum of the rows of "
             "each bag of ids, value by value, and prints one row a bag, bag 0 "
             "being the first. An id that is not in the table adds zeros, and "
             "is counted.",
    .example = "  nibble pool --table glove --bags '1,2,3;4;' --mode mean\n"
               "  nibble pool --table glove --bags '1,2;3' --weights '0.5,1;2'",
    .groups = {OPTION_GROUP(rows, 0), OPTION_GROUP(query_table_rows, 0),
               OPTION_GROUP(query_server_rows, 0)},
};

static int ask(const struct pool_args *args, const struct bag_list *bags,
               const float *weights)
{
    const struct server_query *query = &args->query;
    const struct nb_feature feature = {
        .table = query->table,
        .ids = {.u64 = bags->ids.n > 0 ? bags->ids.ids : NULL,
                .n = bags->ids.n},
        .lengths = bags->lengths,
        .n_bags = bags->n_bags,
        .weights = weights,
        .pooling = args->pooling,
    };
    const struct nb_request request = {.model = query->model,
                                       .version = query->version,
                                       .dtype = query->dtype,
                                       .features = &feature,
                                       .n_features = 1};
    const struct query_rows what = {
        .command = "pool", .noun = "bag", .pooling = pooling_at(args->pooling)};
    struct nb_errctx err = {""};
    struct nb_client *client = NULL;
    struct nb_reply reply;
    int rv = query_connect(query, &client, &err);
    if (rv == 0) {
        rv = nb_client_pool(client, &request, &reply, &err);
    }
    int status = rv == 0 ? query_output(query, &what, &reply)
                         : query_fail("pool", rv, &err);
    nb_client_close(client);
    return status;
}

static int pool_bags(const struct pool_args *args, const struct bag_list *bags)
{
    struct nb_errctx err = {""};
    float *weights = NULL;
    if (args->weights != NULL &&
        weights_parse(args->weights, bags, &weights, &err) != 0) {
        return command_misused("pool", "--weights: %s", err.text);
    }
    int status = ask(args, bags, weights);
    free(weights);
    return status;
}

int cmd_pool(int argc, char **argv)
{
    struct pool_args args = {0};
    int status;
    if (!options_parse(&table, argc, argv, &args, &status) ||
        !query_check("pool", &args.query, &status)) {
        return status;
    }
    if (args.weights != NULL && args.pooling == NB_MAX) {
        return command_misused("pool", "--weights: max takes none");
    }
    if ((args.bags != NULL) == (args.keys != NULL)) {
        return command_misused("pool", "give one of --bags and --keys");
    }
    struct nb_errctx err = {""};
    if (args.keys != NULL) {
        struct word_list words;
        if (word_list_parse(args.keys, true, &words, &err) != 0) {
            return command_misused("pool", "--keys: %s", err.text);
        }
        status = pool_bags(&args, &words.bags);
        word_list_fini(&words);
        return status;
    }
    struct bag_list bags;
    if (bag_list_parse(args.bags, &bags, &err) != 0) {
        return command_misused("pool", "--bags: %s", err.text);
    }
    status = pool_bags(&args, &bags);
    bag_list_fini(&bags);
    return status;
}
