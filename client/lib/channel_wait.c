/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Calls that are waited for: the same calls, whose `done` wakes the caller. */
#include "client/lib/channel.h"

struct wait {
    uv_sem_t over;
    struct nb_block *blocks; /* the caller's */
    bool placed;             /* values are in a target of the caller's */
    struct nb_outcome outcome;
    struct nb_errctx text;
};

static void on_done(void *arg, const struct nb_outcome *outcome)
{
    struct wait *wait = arg;
    wait->outcome = *outcome;
    nb_fail(&wait->text, 0, "%s", outcome->message);
    wait->outcome.message = "";
    wait->outcome.blocks = wait->blocks;
    wait->outcome.n_blocks = wait->blocks != NULL ? outcome->n_blocks : 0;
    for (size_t i = 0; i < wait->outcome.n_blocks && !wait->placed; i++) {
        wait->blocks[i].values = NULL; /* they end with this function */
    }
    uv_sem_post(&wait->over);
}

static int check_thread(struct nb_channel *channel, struct nb_errctx *err)
{
    uv_thread_t self = uv_thread_self();
    if (!channel->has_thread || uv_thread_equal(&self, &channel->thread)) {
        return nb_fail(err, NB_ERR_INVALID,
                       "a channel's own thread would wait for itself");
    }
    return 0;
}

typedef int start_fn(struct nb_channel *channel,
                     const struct nb_request *request,
                     const struct nb_call_options *options, nb_done_fn *done,
                     void *arg, uint64_t *ticket, struct nb_errctx *err);

static int wait_for(start_fn *start, struct nb_channel *channel,
                    const struct nb_request *request,
                    const struct nb_call_options *options,
                    struct nb_outcome *outcome, struct nb_errctx *err)
{
    struct wait wait = {0};
    if (options != NULL) {
        wait.blocks = options->blocks;
        wait.placed = options->targets != NULL || options->matrix != NULL;
    }
    int rv = check_thread(channel, err);
    if (rv == 0) {
        rv = uv_sem_init(&wait.over, 0);
    }
    if (rv != 0) {
        return rv;
    }
    rv = start(channel, request, options, on_done, &wait, NULL, err);
    if (rv == 0) {
        uv_sem_wait(&wait.over);
        rv = wait.outcome.code;
        if (rv != 0) {
            nb_fail(err, rv, "%s", wait.text.text);
        }
    }
    uv_sem_destroy(&wait.over);
    wait.outcome.code = rv;
    if (outcome != NULL) {
        *outcome = wait.outcome;
    }
    return rv;
}

int nb_channel_lookup_wait(struct nb_channel *channel,
                           const struct nb_request *request,
                           const struct nb_call_options *options,
                           struct nb_outcome *outcome, struct nb_errctx *err)
{
    return wait_for(nb_channel_lookup, channel, request, options, outcome, err);
}

int nb_channel_pool_wait(struct nb_channel *channel,
                         const struct nb_request *request,
                         const struct nb_call_options *options,
                         struct nb_outcome *outcome, struct nb_errctx *err)
{
    return wait_for(nb_channel_pool, channel, request, options, outcome, err);
}
