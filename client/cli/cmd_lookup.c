/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include <string.h>

#include "client/cli/command.h"
#include "client/cli/number_list.h"
#include "client/cli/option_table.h"
#include "client/cli/query_output.h"
#include "client/cli/server_query.h"
#include "client/cli/word_list.h"

struct lookup_args {
    struct server_query query;
    const char *ids;
    const char *ids_file;
    const char *keys;
};

static const struct option_row rows[] = {
    {.name = "ids",
     .type = OPTION_TEXT,
     .offset = offsetof(struct lookup_args, ids),
     .value = "1,2,3",
     .help = "ids of the rows; in a dense table an id is a row number, the "
             "first being 0, in a keyed one a key"},
    {.name = "keys",
     .type = OPTION_TEXT,
     .offset = offsetof(struct lookup_args, keys),
     .value = "the,of",
     .help = "words, of a table made with --keys text; '\\,' is a comma"},
    {.name = "ids-file",
     .type = OPTION_TEXT,
     .offset = offsetof(struct lookup_args, ids_file),
     .value = "FILE",
     .help = "read the ids from a text file, parted by blanks, commas or line "
             "ends; '-' is the standard input"},
    {.name = "dtype",
     .type = OPTION_INDEX,
     .offset = offsetof(struct lookup_args, query.dtype),
     .value = "TYPE",
     .fallback = "fp32",
     .choices = query_dtype_at,
     .help = "how the values travel; 'packed' sends the rows as they are "
             "stored, which are decoded here to the same values: of a 4-bit "
             "table a seventh of the bytes that fp32 is"},
};

static const struct option_table table = {
    .command = "lookup",
    .about = "Asks a server for rows of a table, by id, and prints them in the "
             "order asked. An id that is not in the table gives what the table "
             "was made to give, zeros if nothing else, and is counted.",
    .example =
        "  nibble lookup --server 127.0.0.1:7700 --table glove --ids 0,1,2\n"
        "  nibble lookup --table words --keys the,of",
    .groups = {OPTION_GROUP(rows, 0), OPTION_GROUP(query_table_rows, 0),
               OPTION_GROUP(query_server_rows, 0)},
};

/* A table may be published anew between the two questions of a try. */
#define TRIES 3

/* Asks for the rows and, if packed rows have any, for the parameters to decode
 * them with. *params is the caller's to free. */
static int ask_rows(struct nb_client *client, const struct nb_request *request,
                    struct nb_reply *reply, struct nb_table_params **params,
                    struct nb_errctx *err)
{
    for (int i = 0; i < TRIES; i++) {
        int rv = nb_client_lookup(client, request, reply, err);
        uint64_t had = *params != NULL ? (*params)->id : 0;
        if (rv != 0 || reply->blocks[0].params == had) {
            return rv;
        }
        nb_table_params_free(*params);
        *params = NULL;
        rv = nb_client_params(client, request, params, err);
        if (rv != 0) {
            return rv;
        }
    }
    return nb_fail(err, NB_ERR_REMOTE,
                   "the table's parameters change while they are asked for");
}

static int ask(const struct server_query *query, const struct id_list *ids,
               const char *const *words)
{
    const struct nb_feature feature = {
        .table = query->table,
        .ids = {.u64 = ids->n > 0 ? ids->ids : NULL, .n = ids->n},
    };
    const struct nb_request request = {.model = query->model,
                                       .version = query->version,
                                       .dtype = query->dtype,
                                       .features = &feature,
                                       .n_features = 1};
    struct query_rows what = {
        .command = "lookup", .noun = "row", .ids = ids->ids, .words = words};
    struct nb_errctx err = {""};
    struct nb_client *client = NULL;
    struct nb_table_params *params = NULL;
    struct nb_reply reply;
    int rv = query_connect(query, &client, &err);
    if (rv == 0) {
        rv = ask_rows(client, &request, &reply, &params, &err);
    }
    what.params = params;
    int status = rv == 0 ? query_output(query, &what, &reply)
                         : query_fail("lookup", rv, &err);
    nb_table_params_free(params);
    nb_client_close(client);
    return status;
}

static int ask_words(const struct lookup_args *args)
{
    struct nb_errctx err = {""};
    struct word_list words;
    if (word_list_parse(args->keys, false, &words, &err) != 0) {
        return command_misused("lookup", "--keys: %s", err.text);
    }
    int status = ask(&args->query, &words.bags.ids, words.words);
    word_list_fini(&words);
    return status;
}

static int ask_ids(const struct lookup_args *args)
{
    struct nb_errctx err = {""};
    struct id_list ids;
    if (args->ids != NULL) {
        if (id_list_parse(args->ids, strlen(args->ids), &ids, &err) != 0) {
            return command_misused("lookup", "--ids: %s", err.text);
        }
    } else {
        int rv = id_list_read(args->ids_file, &ids, &err);
        if (rv != 0) {
            return command_fail("lookup", rv, &err);
        }
    }
    int status = ask(&args->query, &ids, NULL);
    id_list_fini(&ids);
    return status;
}

int cmd_lookup(int argc, char **argv)
{
    struct lookup_args args = {0};
    int status;
    if (!options_parse(&table, argc, argv, &args, &status) ||
        !query_check("lookup", &args.query, &status)) {
        return status;
    }
    if ((args.ids != NULL) + (args.ids_file != NULL) + (args.keys != NULL) !=
        1) {
        return command_misused("lookup",
                               "give one of --ids, --ids-file and --keys");
    }
    return args.keys != NULL ? ask_words(&args) : ask_ids(&args);
}
