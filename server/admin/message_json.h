/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* A protobuf message as JSON, under the names of nibble.proto: what is added
 * there needs no second place here. */
#ifndef NB_SERVER_MESSAGE_JSON_H
#define NB_SERVER_MESSAGE_JSON_H

#include <protobuf-c/protobuf-c.h>

#include "server/admin/text_buf.h"

/* Every field, zeros and empty lists too, but messages that are not there.
 * Fields may be of the types that nibble.proto has: integers, float, bool,
 * enum (by number), string and message. */
void message_json(const ProtobufCMessage *message, struct text_buf *json);

#endif
