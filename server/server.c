/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The main thread: binds, starts the loops, waits for a signal or for the
 * loops to end. It serves nobody itself.
 *
 * Happy path: open_sockets, init_loops, start_loops, announce, uv_run; a first
 * SIGTERM or SIGINT drains, a second one stops; the last loop to end wakes this
 * one through `stopped`, which closes the signals, and uv_run returns.
 *
 * Failure modes: whatever fails before announce() ends the loops there are by
 * the same way, and is returned.
 */
#include "server/server.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "server/net/address_file.h"
#include "server/admin/admin.h"
#include "server/net/descriptors.h"
#include "server/net/listen_inherit.h"
#include "server/net/listen_socket.h"
#include "server/log/log.h"
#include "server/net/loop.h"
#include "server/log/notify.h"
#include "server/models/repo_watch.h"
#include "server/startup_log.h"
#include "storage/io/file_io.h"

struct server {
    const struct options *options;
    struct service_common service;
    struct buf_budget budget;
    struct loop_common common;
    struct loop *loops;
    unsigned n_loops;
    unsigned n_started;
    size_t n_addresses;
    struct listen_address *addresses;
    char (*bound)[LISTEN_ADDRESS_TEXT]; /* of each address */
    struct file_id *sockets;            /* the files of those on a Unix one */
    struct file_id address_file;        /* once written */
    int *fds;                           /* n_loops of each address in turn */
    uv_loop_t uv;
    uv_signal_t sigterm;
    uv_signal_t sigint;
    uv_signal_t sighup;
    struct catalog *first;     /* a reference, until the loops run */
    struct follower *follower; /* borrowed; NULL: none */
    struct admin *admin;       /* NULL: none */
    struct repo_watch *watch;  /* likewise */
    uv_async_t stopped;
    _Atomic unsigned n_running;
    bool draining;
};

unsigned server_loops(const struct options *options)
{
    return options->loops != 0 ? (unsigned)options->loops
                               : uv_available_parallelism();
}

/* ---- files ----------------------------------------------------------- */

/* The address file takes the place of what is at its path. */
static int check_address_file(const char *path, const struct catalog *catalog,
                              struct nb_errctx *err)
{
    for (size_t i = 0; i < catalog_n(catalog); i++) {
        const struct table_set *tables = catalog_at(catalog, i)->tables;
        for (size_t j = 0; j < table_set_n(tables); j++) {
            const struct table_entry *entry = table_set_at(tables, j);
            if (file_id_is(&table_info(entry->table)->file, path)) {
                return nb_fail(err, NB_ERR_INVALID,
                               "--address-file: %.160s is the file of table "
                               "'%s'",
                               path, entry->name);
            }
        }
    }
    return 0;
}

/* ---- listening ------------------------------------------------------- */

static void remember_socket(const char *path, struct file_id *id)
{
    struct stat status;
    if (lstat(path, &status) == 0) {
        *id = (struct file_id){.device = status.st_dev, .inode = status.st_ino};
    }
}

static int open_socket(struct server *server, size_t i, unsigned *n_inherited,
                       struct nb_errctx *err)
{
    struct listen_address *address = &server->addresses[i];
    int *fds = &server->fds[i * server->n_loops];
    return address->inherited
               ? listen_inherit((*n_inherited)++, server->n_loops, fds,
                                &address->is_unix, err)
               : listen_socket_open(address, server->n_loops, fds, err);
}

static int open_sockets(struct server *server, struct nb_errctx *err)
{
    const struct option_list *list = &server->options->listen;
    unsigned n_inherited = 0;
    for (size_t i = 0; i < list->n; i++) {
        int *fds = &server->fds[i * server->n_loops];
        int rv =
            listen_address_parse(list->items[i], &server->addresses[i], err);
        if (rv == 0) {
            rv = open_socket(server, i, &n_inherited, err);
        }
        if (rv != 0) {
            return rv;
        }
        server->n_addresses = i + 1;
        if (server->addresses[i].path[0] != '\0') {
            remember_socket(server->addresses[i].path, &server->sockets[i]);
        }
        rv = listen_address_of(fds[0], server->bound[i]);
        if (rv != 0) {
            return nb_fail(err, rv, "%.100s: %s", list->items[i],
                           nb_strerror(rv));
        }
    }
    return 0;
}

/* Those that no loop has taken: of the loops from `first` on. */
static void close_sockets(struct server *server, unsigned first)
{
    for (size_t i = 0; i < server->n_addresses; i++) {
        for (unsigned loop = first; loop < server->n_loops; loop++) {
            close(server->fds[i * server->n_loops + loop]);
        }
    }
}

/* Only those that were bound here: another server may have taken the path. */
static void remove_socket_files(const struct server *server)
{
    for (size_t i = 0; i < server->n_addresses; i++) {
        const char *path = server->addresses[i].path;
        if (path[0] != '\0' && file_id_is(&server->sockets[i], path)) {
            unlink(path);
        }
    }
}

/* Who finds it may count on a server. */
static void remove_address_file(const struct server *server)
{
    const char *path = server->options->address_file;
    if (server->address_file.inode != 0 &&
        file_id_is(&server->address_file, path)) {
        unlink(path);
    }
}

/* ---- loops ----------------------------------------------------------- */

static int init_loop(struct server *server, unsigned index,
                     struct catalog *catalog)
{
    size_t n = server->n_addresses;
    int *fds = calloc(n, sizeof(*fds));
    bool *is_unix = calloc(n, sizeof(*is_unix));
    int rv = NB_ERR_NOMEM;
    if (fds != NULL && is_unix != NULL) {
        for (size_t i = 0; i < n; i++) {
            fds[i] = server->fds[i * server->n_loops + index];
            is_unix[i] = server->addresses[i].is_unix;
        }
        rv = loop_init(&server->loops[index], &server->common, index, catalog,
                       fds, is_unix, n);
    }
    free(fds);
    free(is_unix);
    return rv;
}

/* Starts as many as it can; server->n_started tells. */
static int start_loops(struct server *server, struct catalog *catalog,
                       struct nb_errctx *err)
{
    server->common.loops = server->loops;
    for (unsigned i = 0; i < server->n_loops; i++) {
        int rv = init_loop(server, i, catalog);
        if (rv == 0) {
            atomic_fetch_add(&server->n_running, 1);
            rv = loop_start(&server->loops[i]);
            if (rv != 0) {
                atomic_fetch_sub(&server->n_running, 1);
                loop_abandon(&server->loops[i]);
            }
        }
        if (rv != 0) {
            close_sockets(server, i + 1);
            return nb_fail(err, rv, "cannot start loop %u of %u: %s", i + 1,
                           server->n_loops, nb_strerror(rv));
        }
        server->n_started++;
        atomic_store(&server->common.n_loops, server->n_started);
    }
    return 0;
}

static void order_loops(struct server *server, void (*order)(struct loop *))
{
    for (unsigned i = 0; i < server->n_started; i++) {
        order(&server->loops[i]);
    }
}

/* Descriptors that are for no connection: files being opened, and one a loop
 * to turn a connection away with. */
#define SPARE_DESCRIPTORS 16
/* Connections over the limit that are told so, rather than just closed. */
#define REFUSALS_MAX 64

/* Lowers the number of connections to those for which there are descriptors:
 * to be told that there are too many is better than to wait unaccepted. */
static int limit_conns(struct server *server, struct nb_errctx *err)
{
    uint64_t left = descriptors_left();
    uint64_t spare =
        SPARE_DESCRIPTORS + (LOOP_DESCRIPTORS + 1) * (uint64_t)server->n_loops;
    uint64_t max = server->options->max_connections;
    spare += server->options->admin[0] != '\0' ? ADMIN_DESCRIPTORS : 0;
    if (left < spare + 2) {
        return nb_fail(err, -EMFILE,
                       "cannot start: %llu file descriptors are left of the "
                       "limit (ulimit -n); %u loops and a connection take %llu",
                       (unsigned long long)left, server->n_loops,
                       (unsigned long long)spare + 2);
    }
    uint64_t room = left - spare;
    uint64_t refusals = room / 4 < REFUSALS_MAX ? room / 4 : REFUSALS_MAX;
    server->common.max_refusals = refusals;
    server->common.max_conns = max < room - refusals ? max : room - refusals;
    if (server->common.max_conns < max) {
        log_info("limit", "max-connections=%llu why=\"file descriptors\"",
                 (unsigned long long)server->common.max_conns);
    }
    return 0;
}

/* ---- reloading ------------------------------------------------------- */

/* The thread of the follower. */
static void apply_catalog(void *arg, struct catalog *catalog)
{
    struct server *server = arg;
    for (unsigned i = 0; i < server->n_loops; i++) {
        loop_switch(&server->loops[i], catalog);
    }
    for (unsigned i = 0; i < server->n_loops; i++) {
        loop_await_switch(&server->loops[i]);
    }
}

static void on_repo_changed(void *arg)
{
    struct server *server = arg;
    follower_look(server->follower);
}

static void on_sighup(uv_signal_t *handle, int number)
{
    struct server *server = handle->data;
    (void)number;
    log_info("reload-asked", "signal=SIGHUP reloads=%s",
             server->follower != NULL ? "repo" : "nothing");
    if (server->follower != NULL) {
        follower_request(server->follower);
    }
}

/* Once all loops run. */
static int start_reloading(struct server *server, struct nb_errctx *err)
{
    if (server->follower == NULL) {
        return 0;
    }
    int rv = follower_start(server->follower, apply_catalog, server);
    if (rv == 0) {
        rv = repo_watch_open(&server->uv, server->options->repo,
                             on_repo_changed, server, &server->watch);
    }
    if (rv != 0) {
        return nb_fail(err, rv, "cannot watch %.200s: %s",
                       server->options->repo, nb_strerror(rv));
    }
    follower_look(server->follower); /* what came before the watch */
    return 0;
}

/* Loops stay, so that none is waited for that is gone. */
static void stop_reloading(struct server *server)
{
    if (server->follower != NULL) {
        follower_stop(server->follower);
    }
}

static int start_admin(struct server *server, struct nb_errctx *err)
{
    const char *address = server->options->admin;
    const struct admin_source source = {
        .common = &server->service,
        .follower = server->follower,
        .files = server->first,
        .now_ns = uv_hrtime,
    };
    char bound[LISTEN_ADDRESS_TEXT];
    struct log_text quoted;
    if (address[0] == '\0') {
        return 0;
    }
    int rv = admin_start(address, &source, bound, &server->admin, err);
    if (rv == 0) {
        log_info("admin", "address=%s", log_quote(bound, &quoted));
    }
    return rv;
}

/* ---- signals --------------------------------------------------------- */

static void close_handles(struct server *server)
{
    uv_close((uv_handle_t *)&server->sigterm, NULL);
    uv_close((uv_handle_t *)&server->sigint, NULL);
    uv_close((uv_handle_t *)&server->sighup, NULL);
    repo_watch_close(server->watch);
    uv_close((uv_handle_t *)&server->stopped, NULL);
}

/* The thread of a loop, as its last act. */
static void on_loop_stopped(void *arg)
{
    struct server *server = arg;
    atomic_fetch_sub(&server->n_running, 1);
    uv_async_send(&server->stopped);
}

static void on_stopped(uv_async_t *async)
{
    struct server *server = async->data;
    if (!server->draining || atomic_load(&server->n_running) != 0 ||
        uv_is_closing((uv_handle_t *)async)) {
        return;
    }
    stop_reloading(server);
    /* The last thread may still be about to wake us: joined first. */
    for (unsigned i = 0; i < server->n_started; i++) {
        loop_join(&server->loops[i]);
    }
    server->n_started = 0;
    close_handles(server);
}

static void begin_drain(struct server *server)
{
    notify_supervisor("STOPPING=1");
    server->draining = true;
    atomic_store(&server->service.draining, true);
    order_loops(server, loop_drain);
    uv_async_send(&server->stopped); /* there may be no loop to end */
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct server *server = handle->data;
    const char *name = number == SIGTERM ? "SIGTERM" : "SIGINT";
    if (server->draining) {
        log_info("stop", "signal=%s", name);
        order_loops(server, loop_stop);
        return;
    }
    log_info("drain", "signal=%s drain-timeout=%llu.%03llus", name,
             (unsigned long long)server->options->drain_timeout_ms / 1000,
             (unsigned long long)server->options->drain_timeout_ms % 1000);
    begin_drain(server);
}

static int open_handles(struct server *server)
{
    int rv = uv_loop_init(&server->uv);
    if (rv != 0) {
        return rv;
    }
    rv = uv_async_init(&server->uv, &server->stopped, on_stopped);
    if (rv != 0) {
        uv_loop_close(&server->uv);
        return rv;
    }
    uv_signal_init(&server->uv, &server->sigterm);
    uv_signal_init(&server->uv, &server->sigint);
    uv_signal_init(&server->uv, &server->sighup);
    server->stopped.data = server;
    server->sigterm.data = server;
    server->sigint.data = server;
    server->sighup.data = server;
    rv = uv_signal_start(&server->sigterm, on_signal, SIGTERM);
    if (rv == 0) {
        rv = uv_signal_start(&server->sigint, on_signal, SIGINT);
    }
    if (rv == 0) {
        rv = uv_signal_start(&server->sighup, on_sighup, SIGHUP);
    }
    if (rv != 0) {
        close_handles(server);
        uv_run(&server->uv, UV_RUN_DEFAULT);
        uv_loop_close(&server->uv);
    }
    return rv;
}

/* ---- the whole ------------------------------------------------------- */

static int announce(struct server *server, struct nb_errctx *err)
{
    struct log_text quoted;
    for (size_t i = 0; i < server->n_addresses; i++) {
        log_info("listening", "address=%s loops=%u",
                 log_quote(server->bound[i], &quoted), server->n_loops);
    }
    if (server->options->address_file[0] == '\0') {
        return 0;
    }
    return address_file_write(server->options->address_file,
                              (const char(*)[LISTEN_ADDRESS_TEXT])server->bound,
                              server->n_addresses, &server->address_file, err);
}

/* The loops hold it as long as they answer from it; without a follower, the
 * admin tells of it until the end. */
static void drop_first(struct server *server)
{
    catalog_unref(server->first);
    server->first = NULL;
}

static int serve(struct server *server, struct nb_errctx *err)
{
    struct catalog *catalog = server->first;
    int rv = check_address_file(server->options->address_file, catalog, err);
    if (rv == 0) {
        rv = open_sockets(server, err);
    }
    if (rv != 0) {
        close_sockets(server, 0);
        remove_socket_files(server);
        return rv;
    }
    rv = open_handles(server);
    if (rv != 0) {
        close_sockets(server, 0);
        remove_socket_files(server);
        return nb_fail(err, rv, "cannot start: %s", nb_strerror(rv));
    }
    startup_log(server->options, catalog);
    rv = limit_conns(server, err);
    if (rv != 0) {
        close_sockets(server, 0);
    } else {
        rv = start_loops(server, catalog, err);
    }
    if (rv == 0) {
        rv = start_reloading(server, err);
    }
    if (rv == 0) {
        rv = start_admin(server, err);
    }
    if (rv == 0) {
        rv = announce(server, err);
    }
    if (rv == 0) {
        notify_supervisor("READY=1");
    } else {
        begin_drain(server);
    }
    if (server->follower != NULL) {
        drop_first(server);
    }
    uv_run(&server->uv, UV_RUN_DEFAULT);
    int closed = uv_loop_close(&server->uv);
    assert(closed == 0); /* every handle was closed */
    (void)closed;
    admin_stop(server->admin);
    remove_socket_files(server);
    remove_address_file(server);
    return rv;
}

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int allocate(struct server *server)
{
    size_t n = server->options->listen.n;
    size_t loops = server->n_loops;
    server->loops = calloc(loops, sizeof(*server->loops));
    server->addresses = calloc(n, sizeof(*server->addresses));
    server->bound = calloc(n, sizeof(*server->bound));
    server->sockets = calloc(n, sizeof(*server->sockets));
    server->fds = calloc(n * loops, sizeof(*server->fds));
    server->service.counters = aligned_alloc(_Alignof(struct counters),
                                             loops * sizeof(struct counters));
    if (server->loops == NULL || server->addresses == NULL ||
        server->bound == NULL || server->sockets == NULL ||
        server->fds == NULL || server->service.counters == NULL) {
        return NB_ERR_NOMEM;
    }
    for (size_t i = 0; i < loops; i++) {
        server->service.counters[i] = (struct counters){0};
    }
    return 0;
}

int server_run(const struct options *options, struct catalog *catalog,
               struct follower *follower, struct nb_errctx *err)
{
    struct server server = {
        .options = options,
        .first = catalog,
        .follower = follower,
        .n_loops = server_loops(options),
        .budget = {.max = options->max_memory_bytes},
        .service = {.options = options,
                    .budget = &server.budget,
                    .n_loops = server_loops(options),
                    .started_ns = uv_hrtime(),
                    .started_unix_ms = unix_ms()},
        .common = {.service = &server.service,
                   .stopped = on_loop_stopped,
                   .stopped_arg = &server},
    };
    int rv = allocate(&server);
    if (rv == 0) {
        rv = serve(&server, err);
    } else {
        nb_fail(err, rv, "out of memory");
    }
    drop_first(&server);
    free(server.service.counters);
    free(server.fds);
    free(server.sockets);
    free(server.bound);
    free(server.addresses);
    free(server.loops);
    return rv;
}
