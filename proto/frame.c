/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "proto/frame.h"

#include <string.h>

#include "quant/bytes.h"

static const uint8_t magic[3] = {'N', 'B', 'L'};
#define FRAME_VERSION '1'

/* Offsets in the header. */
enum {
    AT_VERSION = 3,
    AT_KIND,
    AT_ZERO,
    AT_METHOD,
    AT_ID = 8,
    AT_BODY = 12
};

void frame_header_put(void *to, const struct frame_header *header)
{
    uint8_t *bytes = to;
    memcpy(bytes, magic, sizeof(magic));
    bytes[AT_VERSION] = FRAME_VERSION;
    bytes[AT_KIND] = header->kind;
    bytes[AT_ZERO] = 0;
    put_u16(bytes + AT_METHOD, header->method);
    put_u32(bytes + AT_ID, header->request_id);
    put_u32(bytes + AT_BODY, header->body_bytes);
}

int frame_header_get(const void *from, uint32_t max_body_bytes,
                     struct frame_header *header, struct nb_errctx *err)
{
    const uint8_t *bytes = from;
    if (memcmp(bytes, magic, sizeof(magic)) != 0) {
        return nb_fail(err, NB_ERR_FRAME,
                       "frame: magic is %02x %02x %02x, not \"NBL\"", bytes[0],
                       bytes[1], bytes[2]);
    }
    if (bytes[AT_VERSION] != FRAME_VERSION) {
        return nb_fail(err, NB_ERR_FRAME,
                       "frame: protocol version byte is 0x%02x, not '%c'",
                       bytes[AT_VERSION], FRAME_VERSION);
    }
    if (bytes[AT_KIND] > FRAME_ERROR) {
        return nb_fail(err, NB_ERR_FRAME, "frame: kind is %u, not 0, 1 or 2",
                       bytes[AT_KIND]);
    }
    if (bytes[AT_ZERO] != 0) {
        return nb_fail(err, NB_ERR_FRAME, "frame: reserved byte is %u, not 0",
                       bytes[AT_ZERO]);
    }
    header->kind = bytes[AT_KIND];
    header->method = get_u16(bytes + AT_METHOD);
    header->request_id = get_u32(bytes + AT_ID);
    header->body_bytes = get_u32(bytes + AT_BODY);
    if (header->body_bytes > max_body_bytes) {
        return nb_fail(err, NB_ERR_TOO_LARGE,
                       "frame: body of %u bytes is over the limit of %u bytes",
                       header->body_bytes, max_body_bytes);
    }
    return 0;
}

const char *frame_method_name(uint32_t method)
{
    switch (method) {
#define METHOD(id, name, max_request_bytes)                                    \
    case (id):                                                                 \
        return #name;
#include "proto/methods.def"
#undef METHOD
    default:
        return NULL;
    }
}
