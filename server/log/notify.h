/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* systemd's notifications: a datagram to the socket that NOTIFY_SOCKET names.
 * A library for that would be the server's largest dependency. */
#ifndef NB_SERVER_NOTIFY_H
#define NB_SERVER_NOTIFY_H

/* Tells `state`, such as "READY=1"; nothing without NOTIFY_SOCKET, and nobody
 * is told of failing. Main thread. */
void notify_supervisor(const char *state);

#endif
