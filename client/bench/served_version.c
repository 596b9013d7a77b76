/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/bench/served_version.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "client/bench/server_status.h"

#define PAUSE_NS 10000000L /* between two questions */

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int ask(struct nb_client *client, const char *model, uint64_t *version,
               struct nb_errctx *err)
{
    Nibble__V1__StatusReply *status = NULL;
    int rv = server_status_ask(client, &status, err);
    if (rv != 0) {
        return rv;
    }
    *version = 0;
    for (size_t i = 0; i < status->n_models; i++) {
        if (strcmp(status->models[i]->name, model) == 0) {
            *version = status->models[i]->version;
        }
    }
    nibble__v1__status_reply__free_unpacked(status, NULL);
    return 0;
}

static int wait_on(struct nb_client *client, const struct served_wait *wait,
                   uint64_t version, uint64_t *seen, struct nb_errctx *err)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    double until = now_s() + wait->patience_s;
    int rv = ask(client, wait->model, seen, err);
    while (rv == 0 && *seen != version) {
        if (wait->stop != NULL &&
            __atomic_load_n(wait->stop, __ATOMIC_RELAXED)) {
            return nb_fail(err, -EINTR, "ended early by a signal");
        }
        if (now_s() > until) {
            return nb_fail(err, NB_ERR_TIMEOUT,
                           "the server serves version %" PRIu64 " of '%.60s', "
                           "not %" PRIu64,
                           *seen, wait->model, version);
        }
        clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
        rv = ask(client, wait->model, seen, err);
    }
    return rv;
}

int served_version_wait(const struct served_wait *wait, uint64_t version,
                        uint64_t *seen, struct nb_errctx *err)
{
    const struct nb_client_options options = {
        .timeout_ms = wait->timeout_ms,
        .connect_timeout_ms = wait->timeout_ms,
    };
    struct nb_client *client = NULL;
    *seen = 0;
    int rv = nb_client_connect(wait->server, &options, &client, err);
    if (rv == 0) {
        rv = wait_on(client, wait, version, seen, err);
    }
    nb_client_close(client);
    return rv;
}
