/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINES_A_SECOND 10

static void write_line(const char *level, const char *event, const char *format,
                       va_list args) __attribute__((format(printf, 3, 0)));

/* One write a line, so that lines of several threads do not mix. */
static void write_line(const char *level, const char *event, const char *format,
                       va_list args)
{
    char line[LOG_LINE_MAX];
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    size_t n = strftime(line, sizeof(line), "ts=%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf(line + n, sizeof(line) - n,
                          ".%03ldZ level=%s event=%s ", now.tv_nsec / 1000000,
                          level, event);
    n += (size_t)vsnprintf(line + n, sizeof(line) - n, format, args);
    if (n > sizeof(line) - 2) {
        n = sizeof(line) - 2;
    }
    while (line[n - 1] == ' ') {
        n--;
    }
    line[n++] = '\n';
    /* There is nowhere to report that the log cannot be written. */
    ssize_t written = write(STDERR_FILENO, line, n);
    (void)written;
}

void log_info(const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line("info", event, format, args);
    va_end(args);
}

void log_error(const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line("error", event, format, args);
    va_end(args);
}

static int is_bare(const char *value)
{
    for (const char *at = value; *at != '\0'; at++) {
        if (!isgraph((unsigned char)*at) || strchr("\"\\=", *at) != NULL) {
            return 0;
        }
    }
    return *value != '\0';
}

const char *log_quote(const char *value, struct log_text *quoted)
{
    char *to = quoted->text;
    /* Room for the longest escape, the closing quote and the end. */
    const char *stop = to + sizeof(quoted->text) - 6;
    int bare = is_bare(value);
    if (!bare) {
        *to++ = '"';
    }
    for (; *value != '\0' && to < stop; value++) {
        unsigned char c = (unsigned char)*value;
        if (c < 0x20 || c >= 0x7f) {
            to += sprintf(to, "\\x%02x", c);
            continue;
        }
        if (c == '"' || c == '\\') {
            *to++ = '\\';
        }
        *to++ = (char)c;
    }
    if (!bare) {
        *to++ = '"';
    }
    *to = '\0';
    return quoted->text;
}

int log_allowed(struct log_limit *limit, uint64_t now_ns, uint32_t *suppressed)
{
    uint64_t second = now_ns / 1000000000u;
    if (second != limit->second) {
        limit->second = second;
        limit->n = 0;
    }
    if (limit->n >= LINES_A_SECOND) {
        limit->suppressed++;
        return 0;
    }
    limit->n++;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return 1;
}
