/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/admin/admin.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "server/admin/admin_page.h"
#include "server/net/listen_socket.h"
#include "server/log/log.h"
#include "server/admin/message_json.h"
#include "server/admin/metrics.h"
#include "server/request/status_fill.h"

/* What a peer may take: connections, memory of each, seconds of silence. */
/* All, and of one address: no peer alone keeps others out. */
#define CONNECTIONS_MAX  64
#define OF_ADDRESS_MAX   16
#define CONNECTION_BYTES ((size_t)32 << 10)
#define TIMEOUT_S        15u

struct admin {
    struct admin_source source;
    struct MHD_Daemon *daemon;
    struct log_limit reload_log; /* of the daemon's one thread */
};

/* What is answered. The body is owned by the answer, or static. */
struct answer {
    unsigned status;
    const char *type;
    const char *allow; /* the method that there is, or NULL */
    struct text_buf body;
    const char *fixed; /* in place of body, if not NULL */
    size_t fixed_bytes;
};

#define TYPE_TEXT    "text/plain; charset=utf-8"
#define TYPE_JSON    "application/json"
#define TYPE_HTML    "text/html; charset=utf-8"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

static void say(struct answer *answer, unsigned status, const char *text)
{
    answer->status = status;
    answer->type = TYPE_TEXT;
    answer->fixed = text;
    answer->fixed_bytes = strlen(text);
}

static struct catalog *get_catalog(const struct admin *admin)
{
    const struct admin_source *source = &admin->source;
    return source->follower != NULL ? follower_catalog(source->follower)
                                    : catalog_ref(source->files);
}

/* ---- what there is ------------------------------------------------------- */

/* Why it is not, or NULL. */
static const char *why_not_ready(const struct admin *admin,
                                 const struct catalog *catalog)
{
    if (atomic_load(&admin->source.common->draining)) {
        return "draining\n";
    }
    for (size_t i = 0; i < catalog_n(catalog); i++) {
        if (catalog_entry_is_served(catalog_at(catalog, i))) {
            return NULL;
        }
    }
    return "no version of a model is loaded\n";
}

static void answer_page(struct admin *admin, struct answer *answer)
{
    (void)admin;
    answer->status = MHD_HTTP_OK;
    answer->type = TYPE_HTML;
    answer->fixed = admin_page(&answer->fixed_bytes);
}

static void answer_health(struct admin *admin, struct answer *answer)
{
    (void)admin;
    say(answer, MHD_HTTP_OK, "ok\n");
}

static void answer_ready(struct admin *admin, struct answer *answer)
{
    struct catalog *catalog = get_catalog(admin);
    const char *why = why_not_ready(admin, catalog);
    catalog_unref(catalog);
    say(answer, why == NULL ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE,
        why == NULL ? "ready\n" : why);
}

static void answer_metrics(struct admin *admin, struct answer *answer)
{
    struct catalog *catalog = get_catalog(admin);
    answer->status = MHD_HTTP_OK;
    answer->type = TYPE_METRICS;
    metrics_write(admin->source.common, catalog,
                  why_not_ready(admin, catalog) == NULL, &answer->body);
    catalog_unref(catalog);
}

static void answer_status(struct admin *admin, struct answer *answer)
{
    struct catalog *catalog = get_catalog(admin);
    const struct status_source source = {
        .common = admin->source.common,
        .catalog = catalog,
        .now_ns = admin->source.now_ns(),
    };
    struct arena arena;
    Nibble__V1__StatusReply reply;
    answer->status = MHD_HTTP_OK;
    answer->type = TYPE_JSON;
    answer->body.failed = true;
    if (arena_init(&arena, status_arena_bytes(source.common, catalog)) == 0) {
        if (status_fill(&source, &arena, &reply) == 0) {
            answer->body.failed = false;
            message_json(&reply.base, &answer->body);
            text_buf_add(&answer->body, "\n", 1);
        }
        arena_fini(&arena);
    }
    catalog_unref(catalog);
}

static void answer_reload(struct admin *admin, struct answer *answer)
{
    struct follower *follower = admin->source.follower;
    uint32_t suppressed;
    if (log_allowed(&admin->reload_log, uv_hrtime(), &suppressed)) {
        log_info("reload-asked", "by=http reloads=%s suppressed=%u",
                 follower != NULL ? "repo" : "nothing", suppressed);
    }
    if (follower == NULL) {
        say(answer, MHD_HTTP_CONFLICT,
            "files of the command line are served, not a repository\n");
        return;
    }
    follower_request(follower);
    say(answer, MHD_HTTP_ACCEPTED,
        "looking for versions; /status tells what comes of it\n");
}

static const struct route {
    const char *path;
    const char *method;
    void (*answer)(struct admin *admin, struct answer *answer);
} routes[] = {
    {"/", MHD_HTTP_METHOD_GET, answer_page},
    {"/healthz", MHD_HTTP_METHOD_GET, answer_health},
    {"/metrics", MHD_HTTP_METHOD_GET, answer_metrics},
    {"/readyz", MHD_HTTP_METHOD_GET, answer_ready},
    {"/reload", MHD_HTTP_METHOD_POST, answer_reload},
    {"/status", MHD_HTTP_METHOD_GET, answer_status},
};

/* ---- HTTP ---------------------------------------------------------------- */

/* A page of another site must not have the reader's browser ask for what
 * changes anything: a browser names where a POST is from. */
static bool is_foreign(struct MHD_Connection *connection)
{
    const char *origin = MHD_lookup_connection_value(
        connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_ORIGIN);
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                   MHD_HTTP_HEADER_HOST);
    static const char scheme[] = "http://";
    return origin != NULL &&
           (host == NULL || strncmp(origin, scheme, strlen(scheme)) != 0 ||
            strcmp(origin + strlen(scheme), host) != 0);
}

static void find_answer(struct admin *admin, struct MHD_Connection *connection,
                        const char *path, const char *method,
                        struct answer *answer)
{
    bool is_get = strcmp(method, MHD_HTTP_METHOD_GET) == 0 ||
                  strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const struct route *route = &routes[i];
        if (strcmp(route->path, path) != 0) {
            continue;
        }
        if (strcmp(route->method, is_get ? MHD_HTTP_METHOD_GET : method) != 0) {
            say(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed\n");
            answer->allow = route->method;
        } else if (!is_get && is_foreign(connection)) {
            say(answer, MHD_HTTP_FORBIDDEN, "from another site\n");
        } else {
            route->answer(admin, answer);
        }
        return;
    }
    say(answer, MHD_HTTP_NOT_FOUND,
        "there are /, /metrics, /status, /healthz, /readyz and POST "
        "/reload\n");
}

static struct MHD_Response *make_response(struct answer *answer)
{
    if (answer->body.failed) {
        text_buf_fini(&answer->body);
        say(answer, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    }
    if (answer->fixed != NULL) {
        return MHD_create_response_from_buffer(
            answer->fixed_bytes, (void *)answer->fixed, MHD_RESPMEM_PERSISTENT);
    }
    struct MHD_Response *response = MHD_create_response_from_buffer(
        answer->body.bytes, answer->body.text, MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        text_buf_fini(&answer->body);
    }
    return response;
}

static const struct {
    const char *name;
    const char *value;
} headers[] = {
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"X-Frame-Options", "DENY"},
    {"Content-Security-Policy",
     "default-src 'none'; style-src 'unsafe-inline'; script-src "
     "'unsafe-inline'; connect-src 'self'; img-src data:"},
};

static enum MHD_Result send_answer(struct MHD_Connection *connection,
                                   struct answer *answer)
{
    struct MHD_Response *response = make_response(answer);
    if (response == NULL) {
        return MHD_NO; /* closes the connection */
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
                            answer->type);
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        MHD_add_response_header(response, headers[i].name, headers[i].value);
    }
    if (answer->allow != NULL) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, answer->allow);
    }
    enum MHD_Result result =
        MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Called once with the header, then with what there is of a body, which is
 * dropped, and last without any. */
/* NOLINTNEXTLINE(readability-function-size): the library's parameters */
static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection,
                                  const char *path, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_bytes, void **state)
{
    static char begun;
    (void)version;
    (void)upload;
    if (*state == NULL) {
        *state = &begun;
        return MHD_YES;
    }
    if (*upload_bytes != 0) {
        *upload_bytes = 0;
        return MHD_YES;
    }
    struct answer answer = {0};
    find_answer(cls, connection, path, method, &answer);
    return send_answer(connection, &answer);
}

/* ---- beginning and end --------------------------------------------------- */

static int open_socket(const char *text, int *fd,
                       char bound[LISTEN_ADDRESS_TEXT], struct nb_errctx *err)
{
    struct listen_address address;
    struct nb_errctx why = {""};
    int rv = listen_address_parse(text, &address, &why);
    if (rv == 0) {
        rv = listen_socket_open(&address, 1, fd, &why);
    }
    if (rv != 0) {
        nb_fail(err, rv, "--admin: %.220s", why.text);
        return rv;
    }
    rv = listen_address_of(*fd, bound);
    if (rv != 0) {
        close(*fd);
        return nb_fail(err, rv, "--admin: %.100s: %s", text, nb_strerror(rv));
    }
    return 0;
}

int admin_start(const char *address, const struct admin_source *source,
                char bound[LISTEN_ADDRESS_TEXT], struct admin **admin,
                struct nb_errctx *err)
{
    int fd;
    int rv = open_socket(address, &fd, bound, err);
    if (rv != 0) {
        return rv;
    }
    struct admin *started = calloc(1, sizeof(*started));
    if (started == NULL) {
        close(fd);
        return nb_fail(err, NB_ERR_NOMEM, "--admin: out of memory");
    }
    started->source = *source;
    started->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, started,
        MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        CONNECTION_BYTES, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)OF_ADDRESS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S,
        MHD_OPTION_END);
    if (started->daemon == NULL) {
        rv = errno != 0 ? -errno : NB_ERR_NOMEM;
        close(fd);
        free(started);
        return nb_fail(err, rv, "--admin: %.100s: cannot start: %s", address,
                       nb_strerror(rv));
    }
    *admin = started;
    return 0;
}

void admin_stop(struct admin *admin)
{
    if (admin != NULL) {
        MHD_stop_daemon(admin->daemon); /* closes the socket, too */
        free(admin);
    }
}
