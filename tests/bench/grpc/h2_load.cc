/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * As grpc_load, with the same options, but a client that costs as little as
 * that of `nibble bench`, so that it is gRPC's server that is measured.
 */
#include <sys/epoll.h>

#include <cerrno>
#include <cstring>
#include <deque>

#include "tests/bench/grpc/h2_connection.hh"
#include "tests/bench/grpc/load_requests.hh"

namespace
{

using bench::Connection;
using bench::Die;
using bench::Requests;
using bench::Settings;

class Load
{
  public:
    Load(const Settings &settings, Requests *requests);

    /* Replies until so much time is over. */
    uint64_t AnswerFor(uint32_t ms);

  private:
    int epoll_;
    std::deque<Connection> connections_;
};

Load::Load(const Settings &settings, Requests *requests)
    : epoll_(epoll_create1(0))
{
    for (uint32_t i = 0; i < settings.connections; i++) {
        Connection *made = &connections_.emplace_back(settings, requests);
        /* By edges: what could not be sent is told of without asking. */
        struct epoll_event event = {};
        event.events = EPOLLIN | EPOLLOUT | EPOLLET;
        event.data.ptr = made;
        if (epoll_ctl(epoll_, EPOLL_CTL_ADD, made->fd(), &event) != 0) {
            Die(strerror(errno));
        }
    }
}

uint64_t Load::AnswerFor(uint32_t ms)
{
    uint64_t n = 0;
    bench::Stopwatch watch;
    for (Connection &connection : connections_) {
        connection.n_replies = 0;
    }
    while (watch.Seconds() * 1000 < ms) {
        struct epoll_event events[64];
        int n_events = epoll_wait(epoll_, events, 64, 100);
        for (int i = 0; i < n_events; i++) {
            static_cast<Connection *>(events[i].data.ptr)->Proceed();
        }
    }
    for (Connection &connection : connections_) {
        n += connection.n_replies;
    }
    return n;
}

} // namespace

int main(int argc, char **argv)
{
    Settings settings = bench::ParseSettings(argc, argv);
    Requests requests(settings);
    Load load(settings, &requests);
    uint64_t n_before = load.AnswerFor(settings.warm_up_ms);
    bench::Stopwatch watch;
    watch.Print(load.AnswerFor(settings.ms), n_before);
    return 0;
}
