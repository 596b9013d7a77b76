/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Points at which bpftrace, perf and others may look at a running server,
 * listed in OPERATIONS.md: each is a `nop` until somebody does. Without
 * <sys/sdt.h> there are none. */
#ifndef NB_SERVER_PROBES_H
#define NB_SERVER_PROBES_H

#if defined(__has_include)
#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>
#define PROBE2(name, a, b)    DTRACE_PROBE2(nibble, name, a, b)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(nibble, name, a, b, c)
#endif
#endif

#ifndef PROBE2
#define PROBE2(name, a, b)                                                     \
    do {                                                                       \
    } while (0)
#define PROBE3(name, a, b, c)                                                  \
    do {                                                                       \
    } while (0)
#endif

#endif
