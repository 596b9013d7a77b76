/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/grpc/h2_connection.hh"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tests/bench/grpc/h2_frame.hh"

namespace bench
{

using std::string;

namespace
{

constexpr size_t kGrpcPrefix = 5; /* not compressed, and a length */

string Literal(const string &text) /* of HPACK, below 127 bytes */
{
    return string(1, static_cast<char>(text.size())) + text;
}

/* Adds path, authority, te and content-type to the table, in this order, */
string FirstHeaders(const string &path, const string &authority)
{
    return "\x83\x86\x44" + Literal(path) + "\x41" + Literal(authority) +
           "\x40" + Literal("te") + Literal("trailers") + "\x5f" +
           Literal("application/grpc");
}

/* from which all other requests take them. */
const string kOtherHeaders = "\x83\x86\xc1\xc0\xbf\xbe";

} // namespace

/* ---- life ------------------------------------------------------------- */

Connection::Connection(const Settings &settings, Requests *requests)
    : requests_(requests),
      first_headers_(FirstHeaders(requests->Path(), settings.server)),
      slots_(settings.depth), in_(1 << 20)
{
    Connect(settings.server);
    out_ = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    PutFrame(&out_, 12, SETTINGS, 0, 0);
    Put(&out_, kInitialWindow, 2);
    Put(&out_, kWindowMax, 4);
    Put(&out_, kMaxFrame, 2);
    Put(&out_, kFrameMax, 4);
    PutFrame(&out_, 4, WINDOW_UPDATE, 0, 0);
    Put(&out_, kWindowMax - 65535, 4);
    for (Slot &slot : slots_) {
        waiting_.push_back(&slot);
    }
    Send();
}

void Connection::Connect(const char *server)
{
    string text = server;
    size_t colon = text.rfind(':');
    struct sockaddr_in to = {};
    to.sin_family = AF_INET;
    if (colon == string::npos ||
        inet_pton(AF_INET, text.substr(0, colon).c_str(), &to.sin_addr) != 1) {
        Die("--server: not an IPv4 address and a port");
    }
    to.sin_port =
        htons(static_cast<uint16_t>(atoi(text.substr(colon + 1).c_str())));
    fd_ = socket(AF_INET, SOCK_STREAM, 0);
    int on = 1;
    if (fd_ < 0 ||
        connect(fd_, reinterpret_cast<struct sockaddr *>(&to), sizeof(to)) ||
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))) {
        Die(strerror(errno));
    }
}

void Connection::Proceed()
{
    while (Read()) {
    }
    StartWaiting();
    Send();
}

/* Whether there may be more to read. */
bool Connection::Read()
{
    size_t room = in_.size() - in_bytes_;
    ssize_t n = recv(fd_, in_.data() + in_bytes_, room, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        Die("the server has closed a connection");
    }
    if (n < 0) {
        return false;
    }
    in_bytes_ += static_cast<size_t>(n);
    ParseAll();
    return static_cast<size_t>(n) == room;
}

void Connection::ParseAll()
{
    size_t at = 0;
    while (in_bytes_ - at >= kFrameHeader) {
        const uint8_t *head = in_.data() + at;
        size_t n = Get(head, 3);
        if (kFrameHeader + n > in_.size()) {
            Die("a frame that is larger than asked for");
        }
        if (in_bytes_ - at < kFrameHeader + n) {
            break;
        }
        OnFrame(head[3], head[4], Get(head + 5, 4) & kWindowMax,
                head + kFrameHeader, n);
        at += kFrameHeader + n;
    }
    memmove(in_.data(), in_.data() + at, in_bytes_ - at);
    in_bytes_ -= at;
}

void Connection::OnFrame(uint8_t type, uint8_t flags, uint32_t stream,
                         const uint8_t *payload, size_t n)
{
    switch (type) {
    case DATA:
        if (flags & (kPadded | kEndStream)) {
            Die("a reply that is not gRPC's");
        }
        OnData(Find(stream), payload, n);
        break;
    case HEADERS:
        if (flags & kEndStream) {
            OnEnd(Find(stream));
        }
        break;
    case SETTINGS:
        if (!(flags & kEndStream)) {
            OnSettings(payload, n);
            PutFrame(&out_, 0, SETTINGS, kEndStream, 0);
        }
        break;
    case PING:
        if (!(flags & kEndStream)) {
            PutFrame(&out_, n, PING, kEndStream, 0);
            out_.append(reinterpret_cast<const char *>(payload), n);
        }
        break;
    case WINDOW_UPDATE:
        if (stream == 0 && n == 4) {
            window_ += Get(payload, 4) & kWindowMax;
        }
        break;
    case RST_STREAM:
    case GOAWAY:
        Die("the server has ended a stream or a connection");
    default:
        break;
    }
}

void Connection::OnSettings(const uint8_t *payload, size_t n)
{
    for (size_t i = 0; i + 6 <= n; i += 6) {
        uint32_t name = Get(payload + i, 2);
        uint32_t value = Get(payload + i + 2, 4);
        if (name == kInitialWindow) {
            stream_window_ = value;
        } else if (name == kMaxFrame && value >= kFrameLeast) {
            max_frame_ = value;
        }
    }
    ready_ = true;
}

Slot *Connection::Find(uint32_t stream)
{
    for (Slot &slot : slots_) {
        if (slot.stream == stream) {
            return &slot;
        }
    }
    Die("a frame of a stream that there is not");
}

void Connection::OnData(Slot *slot, const uint8_t *payload, size_t n)
{
    slot->bytes += n;
    if (requests_->IsToBeChecked()) {
        slot->reply.append(reinterpret_cast<const char *>(payload), n);
    }
    consumed_ += static_cast<uint32_t>(n);
    if (consumed_ > kWindowMax / 2) {
        PutFrame(&out_, 4, WINDOW_UPDATE, 0, 0);
        Put(&out_, consumed_, 4);
        consumed_ = 0;
    }
}

void Connection::OnEnd(Slot *slot)
{
    if (slot->bytes < kGrpcPrefix) {
        Die("an error instead of a reply");
    }
    if (requests_->IsToBeChecked() && slot->reply.size() == slot->bytes) {
        requests_->Check(slot->request,
                         reinterpret_cast<const uint8_t *>(slot->reply.data()) +
                             kGrpcPrefix,
                         slot->bytes - kGrpcPrefix);
    }
    requests_->CheckLength(slot->bytes - kGrpcPrefix);
    n_replies++;
    slot->stream = 0;
    waiting_.push_back(slot);
}

void Connection::StartWaiting()
{
    while (ready_ && !waiting_.empty()) {
        Slot *slot = waiting_.front();
        struct request_body body = requests_->Body(requests_->Peek());
        size_t bytes = kGrpcPrefix + body.bytes;
        if (static_cast<int64_t>(bytes) > stream_window_) {
            Die("a request of more than the window of a stream");
        }
        if (static_cast<int64_t>(bytes) > window_) {
            return;
        }
        waiting_.pop_front();
        window_ -= static_cast<int64_t>(bytes);
        *slot = Slot{next_stream_, requests_->Next(), 0, ""};
        const string &headers =
            next_stream_ == 1 ? first_headers_ : kOtherHeaders;
        next_stream_ += 2;
        PutFrame(&out_, headers.size(), HEADERS, kEndHeaders, slot->stream);
        out_ += headers;
        size_t prefix = kGrpcPrefix;
        for (size_t at = 0; at < body.bytes || prefix > 0;) {
            size_t part = std::min(body.bytes - at, max_frame_ - prefix);
            bool is_last = at + part == body.bytes;
            PutFrame(&out_, prefix + part, DATA, is_last ? kEndStream : 0,
                     slot->stream);
            if (prefix > 0) {
                Put(&out_, 0, 1);
                Put(&out_, static_cast<uint32_t>(body.bytes), 4);
            }
            out_.append(reinterpret_cast<const char *>(body.data) + at, part);
            prefix = 0;
            at += part;
        }
    }
}

void Connection::Send()
{
    if (out_.empty()) {
        return;
    }
    ssize_t n =
        send(fd_, out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN) {
        Die(strerror(errno));
    }
    if (n > 0) {
        out_.erase(0, static_cast<size_t>(n));
    }
}

} // namespace bench
