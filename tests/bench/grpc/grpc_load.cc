/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * The closed loop of `nibble bench` over gRPC C++: the bodies of the requests
 * that it makes of the same options, sent as they are, so that the client
 * parses and serializes nothing. One thread with a completion queue.
 *     grpc_load --server ADDRESS --repo DIR --model NAME --profile NAME
 *               [--ids CHOICE] [--dtype fp32|packed] [--request-mib N]
 *               [--connections N] [--depth N] [--warm-up-ms N] [--ms N]
 *               [--check N]
 * Holds the first N replies, bit for bit, against the repository, and the
 * length of all others against theirs. Prints a line of JSON: requests
 * answered a second, and what this program took of a processor meanwhile.
 */
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "tests/bench/grpc/load_requests.hh"

namespace
{

using bench::Die;
using bench::Requests;
using bench::Settings;

/* A place for one unanswered request of a connection. */
struct Call {
    grpc::GenericStub *stub;
    size_t request;
    std::optional<grpc::ClientContext> context;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
    grpc::ByteBuffer reply;
    grpc::Status status;
};

class Load
{
  public:
    Load(const Settings &settings, Requests *requests);

    /* Replies until so much time is over. */
    uint64_t AnswerFor(uint32_t ms);

  private:
    void Start(Call *call);
    void Check(Call *call);

    Requests *requests_;
    const std::string method_;
    grpc::CompletionQueue queue_;
    std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
    std::vector<Call> calls_;
};

Load::Load(const Settings &settings, Requests *requests)
    : requests_(requests), method_(requests->Path()),
      calls_(size_t{settings.connections} * settings.depth)
{
    grpc::ChannelArguments arguments;
    /* A connection of its own for each channel. */
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetMaxReceiveMessageSize(-1);
    for (uint32_t i = 0; i < settings.connections; i++) {
        stubs_.push_back(std::make_unique<grpc::GenericStub>(
            grpc::CreateCustomChannel(settings.server,
                                      grpc::InsecureChannelCredentials(),
                                      arguments)));
    }
    for (size_t i = 0; i < calls_.size(); i++) {
        calls_[i].stub = stubs_[i % stubs_.size()].get();
        Start(&calls_[i]);
    }
}

void Load::Start(Call *call)
{
    call->request = requests_->Next();
    call->reader.reset();
    call->context.emplace();
    call->reply.Clear();
    struct request_body body = requests_->Body(call->request);
    grpc::Slice slice(body.data, body.bytes, grpc::Slice::STATIC_SLICE);
    call->reader = call->stub->PrepareUnaryCall(
        &*call->context, method_, grpc::ByteBuffer(&slice, 1), &queue_);
    call->reader->StartCall();
    call->reader->Finish(&call->reply, &call->status, call);
}

void Load::Check(Call *call)
{
    if (!requests_->IsToBeChecked()) {
        requests_->CheckLength(call->reply.Length());
        return;
    }
    grpc::Slice body;
    if (!call->reply.DumpToSingleSlice(&body).ok()) {
        Die("a reply without a body");
    }
    requests_->Check(call->request, body.begin(), body.size());
}

uint64_t Load::AnswerFor(uint32_t ms)
{
    bench::Stopwatch watch;
    uint64_t n = 0;
    for (; watch.Seconds() * 1000 < ms; n++) {
        void *tag;
        bool ok;
        if (!queue_.Next(&tag, &ok)) {
            Die("the queue has ended");
        }
        Call *call = static_cast<Call *>(tag);
        if (!ok || !call->status.ok()) {
            Die(call->status.error_message().c_str());
        }
        Check(call);
        Start(call);
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
    /* Calls are under way: nothing is waited for. */
    _Exit(0);
}
