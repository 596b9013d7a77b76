/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* nibble quantize --codec auto: its options, its choice, its words. */
#ifndef NB_CLI_AUTO_CODEC_H
#define NB_CLI_AUTO_CODEC_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "client/cli/option_table.h"
#include "storage/eval/auto_choice.h"

struct auto_args {
    const char *max_bytes_per_value; /* as given, or NULL */
    uint32_t objective;              /* enum auto_objective; see below */
    const char *weights;             /* NULL: rows count alike */
};

/* Option group over a struct auto_args. */
#define AUTO_CODEC_ROWS 3
extern const struct option_row auto_codec_rows[AUTO_CODEC_ROWS];
#define AUTO_CODEC_GROUP(at)                                                   \
    {                                                                          \
        .rows = auto_codec_rows, .n_rows = AUTO_CODEC_ROWS, .offset = (at)     \
    }

/* Whether any was given: they make no sense with a codec that is. */
bool auto_codec_given(const struct auto_args *args);

/* The budget in bytes a value, 0 if it was not given; false if what was given
 * is not a number above 0. */
bool auto_codec_budget(const struct auto_args *args, double *budget);

/* What a choice was made from, and came to. */
struct auto_codec {
    struct row_sample sample;
    struct auto_choice choice;
};

/* Reads the file `input`, to choose from made->sample. The caller ends *made
 * with auto_codec_fini() on success. Errors of the source and the weights. */
int auto_codec_read(const struct auto_args *args, const char *input,
                    const struct source_options *options,
                    struct auto_codec *made, struct nb_errctx *err);

/* Chooses. Errors of auto_choose(); NB_ERR_INVALID: no auto_codec_budget(). */
int auto_codec_choose(const struct auto_args *args, unsigned threads,
                      struct auto_codec *made, struct nb_errctx *err);

/* Of a zeroed one, too. */
void auto_codec_fini(struct auto_codec *made);

void auto_codec_print(const struct auto_codec *made);
json_t *auto_codec_json(const struct auto_codec *made);

#endif
