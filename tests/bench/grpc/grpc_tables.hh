/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

/* The tables of a repository, and requests answered from them with libnibble's
 * kernels: all of a server that is not gRPC. */
#ifndef NB_BENCH_GRPC_TABLES_H
#define NB_BENCH_GRPC_TABLES_H

#include <cstdint>
#include <string>
#include <unordered_map>

#include <grpcpp/support/status.h>

#include "proto/nibble.pb.h"

extern "C" {
#include "storage/repo/model_repo.h"
}

namespace bench
{

struct Model {
    uint64_t version;
    std::unordered_map<std::string, const struct table *> tables;
};

class Tables
{
  public:
    /* Every model of the repository, in the version to be served; ends the
     * program if one does not open. */
    Tables(const char *repo, enum table_residency residency);

    /* Both write into a reply that was cleared, whose memory they use again. */
    grpc::Status Answer(const nibble::v1::LookupRequest &request,
                        nibble::v1::BlocksReply *reply) const;
    grpc::Status Answer(const nibble::v1::PoolRequest &request,
                        nibble::v1::BlocksReply *reply) const;

  private:
    void Open(const char *repo, const char *name,
              enum table_residency residency);
    template <class Request>
    grpc::Status AnswerAll(const Request &request,
                           nibble::v1::BlocksReply *reply) const;

    std::unordered_map<std::string, Model> models_;
};

} // namespace bench

#endif
