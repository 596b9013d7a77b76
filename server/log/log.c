/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/log/log.h"

#include <assert.h>
#include <ctype.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/log/log_json.h"

#define LINES_A_SECOND 10
#define DROPPED_MAX    32 /* bytes of " dropped=N" */

static void write_line(const char *level, const char *event, const char *format,
                       va_list args) __attribute__((format(printf, 3, 0)));

/* What nobody reads must not stop the threads: a line that would have to wait
 * is dropped, and the next one that is written says how many were. The lock is
 * held for no longer than a write that need not wait, and makes the room that
 * was seen hold for the one who saw it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned long dropped; /* since the last line written */
static bool as_json;

void log_as_json(void)
{
    as_json = true;
}

/* A pipe that is writable takes this much without waiting. */
static_assert(LOG_LINE_MAX <= PIPE_BUF, "a line is one write");

static bool can_write(void)
{
    struct pollfd stream = {.fd = STDERR_FILENO, .events = POLLOUT};
    return poll(&stream, 1, 0) == 1 && (stream.revents & POLLOUT) != 0;
}

/* Ends the line of `n` bytes, for which there is room, and writes it; one write
 * a line, so that lines of several processes do not mix. */
static void put_line(char line[LOG_LINE_MAX], size_t n)
{
    char tail[DROPPED_MAX] = "";
    char json[LOG_LINE_MAX];
    pthread_mutex_lock(&lock);
    if (dropped != 0) {
        snprintf(tail, sizeof(tail), " dropped=%lu", dropped);
    }
    const char *out = line;
    n += (size_t)sprintf(line + n, "%s", tail);
    if (as_json) {
        n = log_to_json(line, json, sizeof(json) - 1);
        json[n] = '\n';
        out = json;
    } else {
        line[n] = '\n';
    }
    if (can_write() && write(STDERR_FILENO, out, n + 1) >= 0) {
        dropped = 0;
    } else {
        dropped++;
    }
    pthread_mutex_unlock(&lock);
}

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
    if (n > sizeof(line) - DROPPED_MAX - 2) {
        n = sizeof(line) - DROPPED_MAX - 2;
    }
    while (line[n - 1] == ' ') {
        n--;
    }
    put_line(line, n);
}

void log_info(const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line("info", event, format, args);
    va_end(args);
}

void log_warn(const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line("warn", event, format, args);
    va_end(args);
}

void log_error(const char *event, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line("error", event, format, args);
    va_end(args);
}

/* What is text stays text in JSON: it is quoted if it looks like a number. */
static int is_bare(const char *value)
{
    if (log_json_number(value, strlen(value)) > 0) {
        return 0;
    }
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
