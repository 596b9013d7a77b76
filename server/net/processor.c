/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "server/net/processor.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>

int processor_pin(unsigned n)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) {
        return -errno;
    }
    unsigned skip = n % (unsigned)CPU_COUNT(&allowed);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && skip-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            return sched_setaffinity(0, sizeof(one), &one) == 0 ? (int)cpu
                                                                : -errno;
        }
    }
    return -ESRCH;
}
