/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One table a command: it drives parsing, --help and the messages about wrong
 * usage. */
#ifndef NB_CLI_OPTION_TABLE_H
#define NB_CLI_OPTION_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_type {
    OPTION_FLAG,   /* bool, takes no value */
    OPTION_TEXT,   /* const char * */
    OPTION_NUMBER, /* uint64_t, min to max */
    OPTION_NAME,   /* const char *, one of the choices */
    OPTION_INDEX   /* uint32_t, which of the choices */
};

/* Name of the i-th choice; NULL past the end. */
typedef const char *option_choice_fn(size_t i);

struct option_row {
    const char *name; /* without dashes */
    enum option_type type;
    size_t offset;        /* of the field in the command's arguments */
    const char *value;    /* what help calls the value */
    const char *help;     /* a sentence without its full stop */
    const char *fallback; /* value where the option is not given, or NULL */
    bool required;
    const char *with;          /* goes only with this option, or NULL */
    const char *without;       /* does not go with this option, or NULL */
    uint64_t min, max;         /* OPTION_NUMBER */
    option_choice_fn *choices; /* OPTION_NAME, OPTION_INDEX */
};

/* Rows shared by several commands, or those of one. */
struct option_group {
    const struct option_row *rows;
    size_t n_rows;
    size_t offset; /* in the arguments, of what the rows' offsets are in */
};

#define OPTION_GROUPS_MAX 4
#define OPTION_GROUP(array, at)                                                \
    {                                                                          \
        .rows = (array), .n_rows = sizeof(array) / sizeof((array)[0]),         \
        .offset = (at)                                                         \
    }

/* Operands as they stand in argv. */
struct operand_list {
    char **items;
    size_t n;
};

struct option_table {
    const char *command;
    const char *operand;   /* what help calls the operand, NULL: takes none */
    size_t operand_offset; /* of its const char * in the arguments */
    bool operand_optional;
    bool operand_many;   /* one or more, of a struct operand_list instead */
    const char *about;   /* some sentences */
    const char *example; /* command lines, indented by two blanks */
    struct option_group groups[OPTION_GROUPS_MAX];
};

/* Alone on the command line it asks for the command's part of the manual page,
 * which 'nibble --man' puts together; --help does not name it. */
#define OPTION_MAN "--man"

/*
 * Fills the command's arguments, fallbacks included; texts are borrowed from
 * argv. True if the command is to go on; otherwise *status is what to exit
 * with: --help was answered, or wrong usage was told.
 */
bool options_parse(const struct option_table *table, int argc, char **argv,
                   void *args, int *status);

#endif
