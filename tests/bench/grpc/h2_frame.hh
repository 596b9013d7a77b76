/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* Frames of HTTP/2, RFC 9113: what of them is used here. */
#ifndef NB_BENCH_H2_FRAME_HH
#define NB_BENCH_H2_FRAME_HH

#include <cstddef>
#include <cstdint>
#include <string>

namespace bench
{

enum FrameType {
    DATA = 0,
    HEADERS = 1,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7,
    WINDOW_UPDATE = 8
};
constexpr uint8_t kEndStream = 1; /* ACK, of SETTINGS and PING */
constexpr uint8_t kEndHeaders = 4;
constexpr uint8_t kPadded = 8;
constexpr size_t kFrameHeader = 9;
constexpr uint32_t kInitialWindow = 4; /* settings */
constexpr uint32_t kMaxFrame = 5;
constexpr uint32_t kWindowMax = 0x7fffffff;
constexpr uint32_t kFrameLeast = 1u << 14; /* that a peer may ask for */
constexpr uint32_t kFrameMax = 1u << 19;   /* that we do */

inline void Put(std::string *to, uint32_t value, int bytes)
{
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
        to->push_back(static_cast<char>(value >> shift));
    }
}

inline uint32_t Get(const uint8_t *from, int bytes)
{
    uint32_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value = value << 8 | from[i];
    }
    return value;
}

inline void PutFrame(std::string *to, size_t bytes, FrameType type,
                     uint8_t flags, uint32_t stream)
{
    Put(to, static_cast<uint32_t>(bytes), 3);
    Put(to, type, 1);
    Put(to, flags, 1);
    Put(to, stream, 4);
}

} // namespace bench

#endif
