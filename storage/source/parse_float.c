/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "storage/source/parse_float.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define DIGITS_MAX   15 /* any integer of so many digits is exact in a double */
#define POWER_MAX    22 /* 10^22 is the last exact power of ten in a double */
#define EXPONENT_CUT 10000 /* larger ones are left to strtof */

static const double POWERS[POWER_MAX + 1] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* A plain decimal: digits * 10^exponent. */
struct decimal {
    uint64_t digits;
    int n_digits; /* without leading zeros */
    int exponent;
    bool negative;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const char *scan_digits(const char *at, struct decimal *decimal)
{
    for (; is_digit(*at) && decimal->n_digits <= DIGITS_MAX; at++) {
        decimal->digits = decimal->digits * 10 + (uint64_t)(*at - '0');
        decimal->n_digits += decimal->digits != 0;
    }
    return at;
}

/* The number's exponent part, if any; NULL if it is malformed or long. */
static const char *scan_exponent(const char *at, struct decimal *decimal)
{
    if (*at != 'e' && *at != 'E') {
        return at;
    }
    at++;
    bool negative = *at == '-';
    at += *at == '-' || *at == '+';
    if (!is_digit(*at)) {
        return NULL;
    }
    int exponent = 0;
    for (; is_digit(*at); at++) {
        exponent = exponent * 10 + (*at - '0');
        if (exponent > EXPONENT_CUT) {
            return NULL;
        }
    }
    decimal->exponent += negative ? -exponent : exponent;
    return at;
}

/* Whether the whole of [text, end) is a decimal short enough to be exact. */
static bool scan(const char *text, const char *end, struct decimal *decimal)
{
    const char *at = text;
    decimal->negative = *at == '-';
    at += *at == '-' || *at == '+';
    const char *from = at;
    at = scan_digits(at, decimal);
    bool any = at > from;
    if (*at == '.') {
        from = at + 1;
        at = scan_digits(from, decimal);
        any = any || at > from;
        /* Bounded by the line's length, so it fits. */
        decimal->exponent = (int)(from - at);
    }
    if (!any || decimal->n_digits > DIGITS_MAX) {
        return false;
    }
    return scan_exponent(at, decimal) == end;
}

/* A double holding the exact digits, multiplied or divided once by an exact
 * power, is the correctly rounded double of the decimal. */
static bool convert(const struct decimal *decimal, double *value)
{
    if (decimal->exponent < -POWER_MAX || decimal->exponent > POWER_MAX) {
        return false;
    }
    double exact = (double)decimal->digits;
    exact = decimal->exponent < 0 ? exact / POWERS[-decimal->exponent]
                                  : exact * POWERS[decimal->exponent];
    *value = decimal->negative ? -exact : exact;
    return true;
}

/* Rounding the double to fp32 is right, unless it stands in the middle of two
 * fp32: there the decimal may be on either side. From 10^-22 to 10^37, no fp32
 * is subnormal. */
static bool narrow(double exact, float *value)
{
    uint64_t bits;
    memcpy(&bits, &exact, sizeof(bits));
    /* fp32 has 29 bits less. */
    if ((bits & 0x1fffffffu) == 0x10000000u) {
        return false;
    }
    *value = (float)exact;
    return true;
}

/* What strtof() and strtod() would skip, or take for nothing. */
static bool begins_blank(const char *text, const char *end)
{
    return text == end || *text == ' ' || (*text >= '\t' && *text <= '\r');
}

bool parse_float(const char *text, const char *end, locale_t c_locale,
                 float *value)
{
    struct decimal decimal = {0};
    double exact;
    if (scan(text, end, &decimal) && convert(&decimal, &exact) &&
        narrow(exact, value)) {
        return true;
    }
    if (begins_blank(text, end)) {
        return false;
    }
    char *stop;
    *value = strtof_l(text, &stop, c_locale);
    return stop == end;
}

bool parse_double(const char *text, const char *end, locale_t c_locale,
                  double *value)
{
    struct decimal decimal = {0};
    if (scan(text, end, &decimal) && convert(&decimal, value)) {
        return true;
    }
    if (begins_blank(text, end)) {
        return false;
    }
    char *stop;
    *value = strtod_l(text, &stop, c_locale);
    return stop == end;
}
