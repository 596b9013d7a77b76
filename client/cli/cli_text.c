/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/cli/cli_text.h"

#include <stdbool.h>
#include <string.h>

struct cli_text text_count(uint64_t count)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
    struct cli_text made;
    char *to = made.text;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            *to++ = ',';
        }
        *to++ = digits[i];
    }
    *to = '\0';
    return made;
}

struct cli_text text_counted(uint64_t count, const char *noun)
{
    struct cli_text digits = text_count(count);
    struct cli_text made;
    snprintf(made.text, sizeof(made.text), "%.40s %.40s%s", digits.text, noun,
             count == 1 ? "" : "s");
    return made;
}

struct cli_text text_bytes(uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB",
                                        "TiB", "PiB", "EiB"};
    struct cli_text made;
    struct cli_text count = text_counted(bytes, "byte");
    if (bytes < 1024) {
        return count;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        value /= 1024;
        unit++;
    }
    snprintf(made.text, sizeof(made.text), "%.60s (%.1f %s)", count.text, value,
             units[unit]);
    return made;
}

struct cli_text text_duration(double seconds)
{
    static const struct {
        const char *name;
        uint64_t seconds;
    } units[] = {{"days", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
    struct cli_text made;
    if (!(seconds >= 0) || seconds > 1e15) {
        snprintf(made.text, sizeof(made.text), "unknown");
        return made;
    }
    if (seconds < 60) {
        snprintf(made.text, sizeof(made.text),
                 seconds < 10 ? "%.2f s" : "%.1f s", seconds);
        return made;
    }
    uint64_t left = (uint64_t)seconds;
    size_t i = 0;
    while (left < units[i].seconds) {
        i++;
    }
    snprintf(
        made.text, sizeof(made.text), "%llu %s %llu %s",
        (unsigned long long)(left / units[i].seconds), units[i].name,
        (unsigned long long)(left % units[i].seconds / units[i + 1].seconds),
        units[i + 1].name);
    return made;
}

struct cli_text text_rate(uint64_t rows, double seconds)
{
    double rate = seconds > 0 ? (double)rows / seconds : 0;
    struct cli_text count = text_count(rate < 1e18 ? (uint64_t)rate : 0);
    struct cli_text made;
    snprintf(made.text, sizeof(made.text), "%.40s rows/s", count.text);
    return made;
}

struct cli_text text_percent(double part, double whole)
{
    struct cli_text made;
    snprintf(made.text, sizeof(made.text), "%.1f %%",
             whole > 0 ? 100 * part / whole : 0);
    return made;
}

/* Nothing that a terminal would obey. */
static char harmless(char c)
{
    if ((unsigned char)c < 0x20 || c == 0x7f) {
        return '?';
    }
    return c;
}

void text_foreign_print(const char *text)
{
    for (; *text != '\0'; text++) {
        putchar(harmless(*text));
    }
}

struct cli_text text_foreign(const char *text)
{
    struct cli_text made;
    size_t n = strlen(text);
    bool cut = n >= sizeof(made.text);
    if (cut) {
        n = sizeof(made.text) - 1;
    }
    for (size_t i = 0; i < n; i++) {
        made.text[i] = harmless(text[i]);
    }
    made.text[n] = '\0';
    if (cut) {
        memcpy(made.text + n - 3, "...", 3);
    }
    return made;
}

/* $'..' is understood by fewer shells, but nothing else has escapes. */
static void print_escaped(FILE *to, const char *text)
{
    fputs("$'", to);
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            fprintf(to, "\\%03o", c);
        } else {
            fprintf(to, c == '\'' || c == '\\' ? "\\%c" : "%c", c);
        }
    }
    fputc('\'', to);
}

void text_print_word(FILE *to, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "abcdefghijklmnopqrstuvwxyz0123456789"
                                "%+,-./:=@_";
    bool controls = false;
    for (const char *c = text; *c != '\0'; c++) {
        controls = controls || (unsigned char)*c < 0x20 || *c == 0x7f;
    }
    if (controls) {
        print_escaped(to, text);
        return;
    }
    if (*text != '\0' && text[strspn(text, plain)] == '\0') {
        fputs(text, to);
        return;
    }
    fputc('\'', to);
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            fputs("'\\''", to);
        } else {
            fputc(*text, to);
        }
    }
    fputc('\'', to);
}
