/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "client/lib/deadline.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <time.h>

#include "quant/nibble.h"

#define NS_PER_MS 1000000u

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t deadline_after_ms(uint32_t timeout_ms)
{
    return now_ns() + (uint64_t)timeout_ms * NS_PER_MS;
}

uint32_t deadline_left_ms(uint64_t deadline)
{
    uint64_t now = now_ns();
    if (now >= deadline) {
        return 0;
    }
    uint64_t left_ms = (deadline - now + NS_PER_MS - 1) / NS_PER_MS;
    return left_ms < INT_MAX ? (uint32_t)left_ms : INT_MAX;
}

int deadline_poll(int fd, int events, uint64_t deadline)
{
    for (;;) {
        struct pollfd wait = {.fd = fd, .events = (short)events};
        int n = poll(&wait, 1, (int)deadline_left_ms(deadline));
        if (n > 0) {
            bool all = (wait.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
            return all ? events : wait.revents & events;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        if (n == 0 && deadline_left_ms(deadline) == 0) {
            return NB_ERR_TIMEOUT;
        }
    }
}
