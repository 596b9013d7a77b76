/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* One event a line, logfmt or JSON, on stderr. Any thread, and none ever waits:
 * lines that the reader of stderr leaves no room for are dropped, and counted
 * as `dropped=N` at the end of the next. */
#ifndef NB_SERVER_LOG_H
#define NB_SERVER_LOG_H

#include <stddef.h>
#include <stdint.h>

#define LOG_LINE_MAX 4096

/* Writes `ts=... level=info event=EVENT FIELDS`. The format makes the fields,
 * `key=value` with blanks between; a value from outside passes log_quote(). */
void log_info(const char *event, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void log_warn(const char *event, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void log_error(const char *event, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* From now on; before there are threads. */
void log_as_json(void);

/* Holds a value as it may stand in a line. */
struct log_text {
    char text[512];
};

/* Quotes and escapes where needed; cut to fit. Returns quoted->text. */
const char *log_quote(const char *value, struct log_text *quoted);

/* Keeps one kind of line from flooding the log: so many a second, of one
 * thread. Zeroed memory is ready. */
struct log_limit {
    uint64_t second;
    uint32_t n;          /* in this second */
    uint32_t suppressed; /* since the last line let through */
};

/* Should a line of this kind be written now? Then *suppressed says how many
 * were not since the last. */
int log_allowed(struct log_limit *limit, uint64_t now_ns, uint32_t *suppressed);

#endif
