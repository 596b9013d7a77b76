/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/*
 * What nibbled does for Lookup and Pool, over gRPC C++ with the same kernels:
 * one thread with a completion queue, calls posted ahead, messages whose memory
 * is used again.
 *     grpc_server --repo DIR --address-file FILE [--residency HOW] [--posted N]
 * listens on a free port of 127.0.0.1, writes the address to the file, and
 * serves until it is ended.
 */
#include <getopt.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include <google/protobuf/arena.h>
#include <grpcpp/grpcpp.h>

#include "tests/bench/grpc/embeddings.grpc.pb.h"
#include "tests/bench/grpc/grpc_tables.hh"

namespace
{

using nibble::v1::BlocksReply;
using nibble::v1::Embeddings;
using nibble::v1::LookupRequest;
using nibble::v1::PoolRequest;

[[noreturn]] void Die(const char *why)
{
    fprintf(stderr, "grpc_server: %s\n", why);
    exit(1);
}

/* What completions come back to. */
class Step
{
  public:
    virtual ~Step() = default;
    virtual void Proceed(bool ok) = 0;
};

class Server
{
  public:
    explicit Server(const bench::Tables &tables);
    void Listen(const char *address_file);
    void Serve(unsigned posted);

    Embeddings::AsyncService service;
    std::unique_ptr<grpc::ServerCompletionQueue> queue;
    const bench::Tables &tables;

    /* Serialized before Finish() returns, so that one does for all calls, and
     * stays in the cache. */
    BlocksReply *reply;

  private:
    google::protobuf::Arena arena_;
    std::unique_ptr<grpc::Server> server_;
};

/* A call of one method: posted, answered, and then kept to be posted again. */
template <class Request> class Call : public Step
{
  public:
    static void Post(Server *server)
    {
        Call *call;
        if (idle_.empty()) {
            call = new Call(server);
        } else {
            call = idle_.back();
            idle_.pop_back();
        }
        call->Ask();
    }

    void Proceed(bool ok) override
    {
        if (!answered_) {
            if (ok) {
                Answer();
            }
            return;
        }
        idle_.push_back(this);
    }

  private:
    explicit Call(Server *server)
        : server_(server),
          request_(google::protobuf::Arena::CreateMessage<Request>(&arena_))
    {
    }

    void Ask()
    {
        answered_ = false;
        responder_.reset();
        context_.emplace();
        responder_.emplace(&*context_);
        Request_(request_);
    }

    void Request_(LookupRequest *request)
    {
        server_->service.RequestLookup(&*context_, request, &*responder_,
                                       server_->queue.get(),
                                       server_->queue.get(), this);
    }

    void Request_(PoolRequest *request)
    {
        server_->service.RequestPool(&*context_, request, &*responder_,
                                     server_->queue.get(), server_->queue.get(),
                                     this);
    }

    void Answer()
    {
        Post(server_);
        BlocksReply *reply = server_->reply;
        reply->Clear();
        grpc::Status status = server_->tables.Answer(*request_, reply);
        answered_ = true;
        if (status.ok()) {
            responder_->Finish(*reply, status, this);
        } else {
            responder_->FinishWithError(status, this);
        }
    }

    /* The last one used first: it is in the cache. */
    static std::vector<Call *> idle_;

    Server *server_;
    google::protobuf::Arena arena_;
    Request *request_; /* parsed into again and again: it keeps its memory */
    std::optional<grpc::ServerContext> context_;
    std::optional<grpc::ServerAsyncResponseWriter<BlocksReply>> responder_;
    bool answered_ = false;
};

template <class Request> std::vector<Call<Request> *> Call<Request>::idle_;

Server::Server(const bench::Tables &tables_of) : tables(tables_of)
{
    reply = google::protobuf::Arena::CreateMessage<BlocksReply>(&arena_);
}

/* Through another name: whoever sees the file sees all of it. */
void WriteAddress(const std::string &path, int port)
{
    std::string temporary = path + ".new";
    FILE *file = fopen(temporary.c_str(), "w");
    if (file == nullptr || fprintf(file, "127.0.0.1:%d\n", port) < 0 ||
        fclose(file) != 0 || rename(temporary.c_str(), path.c_str()) != 0) {
        Die("--address-file: cannot be written");
    }
}

void Server::Listen(const char *address_file)
{
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service);
    /* No filters for what nobody asks for here: a quarter less processor for
     * a small request. */
    builder.AddChannelArgument(GRPC_ARG_MINIMAL_STACK, 1);
    queue = builder.AddCompletionQueue();
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || port == 0) {
        Die("cannot listen on 127.0.0.1");
    }
    WriteAddress(address_file, port);
}

void Server::Serve(unsigned posted)
{
    for (unsigned i = 0; i < posted; i++) {
        Call<LookupRequest>::Post(this);
        Call<PoolRequest>::Post(this);
    }
    void *tag;
    bool ok;
    while (queue->Next(&tag, &ok)) {
        static_cast<Step *>(tag)->Proceed(ok);
    }
}

/* ---- the command line ------------------------------------------------- */

struct Settings {
    const char *repo = nullptr;
    const char *address_file = nullptr;
    enum table_residency residency = RESIDENCY_MAP;
    unsigned posted = 32;
};

enum table_residency ResidencyOf(const char *text)
{
    for (size_t i = 0; table_residency_at(i) != nullptr; i++) {
        if (strcmp(table_residency_at(i), text) == 0) {
            return static_cast<enum table_residency>(i);
        }
    }
    Die("--residency: map, populate, lock or huge");
}

Settings Parse(int argc, char **argv)
{
    static const struct option rows[] = {
        {"repo", required_argument, nullptr, 'r'},
        {"address-file", required_argument, nullptr, 'a'},
        {"residency", required_argument, nullptr, 'h'},
        {"posted", required_argument, nullptr, 'p'},
        {nullptr, 0, nullptr, 0},
    };
    Settings settings;
    int row;
    while ((row = getopt_long(argc, argv, "", rows, nullptr)) != -1) {
        switch (row) {
        case 'r':
            settings.repo = optarg;
            break;
        case 'a':
            settings.address_file = optarg;
            break;
        case 'h':
            settings.residency = ResidencyOf(optarg);
            break;
        case 'p':
            settings.posted = static_cast<unsigned>(atoi(optarg));
            break;
        default:
            exit(2);
        }
    }
    if (settings.repo == nullptr || settings.address_file == nullptr ||
        settings.posted < 1 || settings.posted > 65536) {
        Die("--repo and --address-file are needed, --posted is 1 to 65536");
    }
    return settings;
}

} // namespace

int main(int argc, char **argv)
{
    Settings settings = Parse(argc, argv);
    bench::Tables tables(settings.repo, settings.residency);
    Server server(tables);
    server.Listen(settings.address_file);
    server.Serve(settings.posted);
    return 0;
}
