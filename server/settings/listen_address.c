/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/settings/listen_address.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static int bad(struct nb_errctx *err, const char *text, const char *why)
{
    return nb_fail(err, NB_ERR_INVALID, "address '%.120s': %s", text, why);
}

static int parse_unix(const char *text, const char *path,
                      struct listen_address *address, struct nb_errctx *err)
{
    if (path[0] == '\0') {
        return bad(err, text, "no path behind unix:");
    }
    if (strlen(path) >= sizeof(address->path)) {
        return bad(err, text, "path is over 107 bytes");
    }
    address->is_unix = true;
    memcpy(address->path, path, strlen(path) + 1);
    return 0;
}

static int parse_port(const char *text, const char *port,
                      struct listen_address *address, struct nb_errctx *err)
{
    size_t digits = strspn(port, "0123456789");
    unsigned number = 0;
    for (size_t i = 0; i < digits && number <= 65535; i++) {
        number = number * 10 + (unsigned)(port[i] - '0');
    }
    if (digits == 0 || port[digits] != '\0' || number > 65535) {
        return bad(err, text, "the port is not 0 to 65535");
    }
    snprintf(address->port, sizeof(address->port), "%u", number);
    return 0;
}

int listen_address_parse(const char *text, struct listen_address *address,
                         struct nb_errctx *err)
{
    struct listen_address parsed = {0};
    int rv;
    if (strcmp(text, "systemd") == 0) {
        *address = (struct listen_address){.inherited = true};
        return 0;
    }
    if (strncmp(text, "unix:", 5) == 0) {
        rv = parse_unix(text, text + 5, &parsed, err);
        if (rv == 0) {
            *address = parsed;
        }
        return rv;
    }
    const char *colon = strrchr(text, ':');
    if (colon == NULL) {
        return bad(err, text,
                   "not HOST:PORT, [IPV6]:PORT, unix:PATH or systemd");
    }
    const char *host = text;
    size_t bytes = (size_t)(colon - text);
    if (bytes >= 2 && host[0] == '[' && host[bytes - 1] == ']') {
        host++;
        bytes -= 2;
    } else if (memchr(host, ':', bytes) != NULL) {
        return bad(err, text, "an IPv6 address stands in [brackets]");
    }
    if (bytes >= sizeof(parsed.host)) {
        return bad(err, text, "host is over 255 bytes");
    }
    memcpy(parsed.host, host, bytes);
    rv = parse_port(text, colon + 1, &parsed, err);
    if (rv == 0) {
        *address = parsed;
    }
    return rv;
}

int listen_address_of(int fd, char text[LISTEN_ADDRESS_TEXT])
{
    struct sockaddr_storage bound = {0};
    socklen_t bytes = sizeof(bound);
    if (getsockname(fd, (struct sockaddr *)&bound, &bytes) != 0) {
        return -errno;
    }
    if (bound.ss_family == AF_UNIX) {
        const struct sockaddr_un *local = (const struct sockaddr_un *)&bound;
        snprintf(text, LISTEN_ADDRESS_TEXT, "unix:%.*s",
                 (int)sizeof(local->sun_path), local->sun_path);
        return 0;
    }
    char host[64];
    char port[8];
    if (getnameinfo((const struct sockaddr *)&bound, bytes, host, sizeof(host),
                    port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return -EAFNOSUPPORT;
    }
    snprintf(text, LISTEN_ADDRESS_TEXT,
             bound.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}
