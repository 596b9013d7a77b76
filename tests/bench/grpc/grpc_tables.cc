/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/grpc/grpc_tables.hh"

#include <cstdio>
#include <cstdlib>

namespace bench
{

using grpc::Status;
using grpc::StatusCode;
using nibble::v1::Block;
using nibble::v1::BlocksReply;
using nibble::v1::LookupFeature;
using nibble::v1::LookupRequest;
using nibble::v1::PoolFeature;
using nibble::v1::PoolRequest;

/* A reply's, as nibbled has it. */
constexpr uint64_t kReplyBytesMax = 64u << 20;

/* ---- opening ---------------------------------------------------------- */

static void Must(int rv, const struct nb_errctx &err)
{
    if (rv != 0) {
        fprintf(stderr, "grpc_server: %s\n", err.text);
        exit(1);
    }
}

/* What is opened stays open: the program serves until it is ended. */
void Tables::Open(const char *repo, const char *name,
                  enum table_residency residency)
{
    struct nb_errctx err;
    struct serving_search search = {};
    search.verify = TABLE_VERIFY_HEADER;
    struct serving serving;
    Must(model_repo_open_serving(repo, name, &search, &serving, &err), err);
    Model &model = models_[name];
    model.version = serving.version;
    const struct manifest &manifest = serving.opened->manifest;
    for (size_t i = 0; i < manifest.n; i++) {
        struct table *table = serving.opened->tables[i];
        Must(table_reside(table, residency, nullptr, &err), err);
        model.tables[manifest.tables[i].name] = table;
    }
    serving.opened = nullptr;
    serving_fini(&serving);
}

Tables::Tables(const char *repo, enum table_residency residency)
{
    struct nb_errctx err;
    struct model_names names;
    Must(model_repo_models(repo, &names, &err), err);
    for (size_t i = 0; i < names.n; i++) {
        Open(repo, names.names[i], residency);
    }
    model_names_fini(&names);
}

/* ---- one feature ------------------------------------------------------ */

/* Where the kernels write: bytes that nobody has set before, where the library
 * can leave them so. */
static char *Reserve(std::string *values, size_t bytes)
{
#ifdef __cpp_lib_string_resize_and_overwrite
    values->resize_and_overwrite(bytes, [](char *, size_t n) { return n; });
#else
    values->resize(bytes);
#endif
    return values->data();
}

template <class Feature> static struct nb_ids IdsOf(const Feature &feature)
{
    struct nb_ids ids = {};
    if (feature.ids32_size() > 0) {
        ids.u32 = feature.ids32().data();
        ids.n = static_cast<size_t>(feature.ids32_size());
    } else if (feature.ids_size() > 0) {
        ids.u64 = feature.ids().data();
        ids.n = static_cast<size_t>(feature.ids_size());
    }
    return ids;
}

static size_t RowsOf(const LookupFeature &, const struct nb_ids &ids)
{
    return ids.n;
}

static size_t RowsOf(const PoolFeature &feature, const struct nb_ids &)
{
    return static_cast<size_t>(feature.lengths_size());
}

static int Compute(const struct table *table, const LookupFeature &,
                   const struct nb_ids &ids, uint32_t dtype, void *out,
                   uint64_t *unseen)
{
    struct nb_lookup lookup = {};
    lookup.ids = ids;
    lookup.dtype = dtype;
    lookup.unseen = table_info(table)->unseen;
    return nb_lookup(table_rows(table), &lookup, out, unseen);
}

static int Compute(const struct table *table, const PoolFeature &feature,
                   const struct nb_ids &ids, uint32_t dtype, void *out,
                   uint64_t *unseen)
{
    struct nb_pool pool = {};
    if (feature.weights_size() > 0) {
        if (static_cast<size_t>(feature.weights_size()) != ids.n) {
            return NB_ERR_INVALID;
        }
        pool.weights = feature.weights().data();
    }
    pool.ids = ids;
    pool.lengths = feature.lengths().data();
    pool.n_bags = static_cast<size_t>(feature.lengths_size());
    pool.pooling = static_cast<uint32_t>(feature.pooling());
    pool.dtype = dtype;
    pool.unseen = table_info(table)->unseen;
    return nb_pool(table_rows(table), &pool, out, unseen);
}

static Status FillHead(const struct table *table, uint32_t dtype, size_t rows,
                       Block *block)
{
    const struct nb_format &format = table_rows(table)->format;
    size_t row_bytes = format.dim * nb_dtype_bytes(dtype);
    if (dtype == NB_PACKED) {
        int rv = nb_row_bytes(&format, &row_bytes);
        if (rv != 0) {
            return Status(StatusCode::INTERNAL, nb_strerror(rv));
        }
        block->set_codec(format.codec);
        block->set_scales(format.scales);
        block->set_params(table_info(table)->params_checksum);
    }
    if (row_bytes == 0) {
        return Status(StatusCode::INVALID_ARGUMENT, "dtype: not known");
    }
    block->set_rows(static_cast<uint32_t>(rows));
    block->set_dim(format.dim);
    block->set_dtype(static_cast<nibble::v1::DType>(dtype));
    block->set_row_bytes(static_cast<uint32_t>(row_bytes));
    return Status::OK;
}

/* ---- requests --------------------------------------------------------- */

template <class Request>
Status Tables::AnswerAll(const Request &request, BlocksReply *reply) const
{
    auto model = models_.find(request.model());
    if (model == models_.end()) {
        return Status(StatusCode::NOT_FOUND, "model: there is none so called");
    }
    uint32_t dtype = static_cast<uint32_t>(request.dtype());
    uint64_t reply_bytes = 0;
    reply->set_version(model->second.version);
    for (const auto &feature : request.features()) {
        auto found = model->second.tables.find(feature.table());
        if (found == model->second.tables.end()) {
            return Status(StatusCode::NOT_FOUND, "features: no such table");
        }
        struct nb_ids ids = IdsOf(feature);
        size_t rows = RowsOf(feature, ids);
        Block *block = reply->add_blocks();
        Status status = FillHead(found->second, dtype, rows, block);
        if (!status.ok()) {
            return status;
        }
        /* Rows fit 31 bits, a row's bytes 19. */
        uint64_t bytes = uint64_t{rows} * block->row_bytes();
        reply_bytes += bytes;
        if (reply_bytes > kReplyBytesMax) {
            return Status(StatusCode::RESOURCE_EXHAUSTED, "reply: too large");
        }
        uint64_t unseen = 0;
        int rv = Compute(found->second, feature, ids, dtype,
                         Reserve(block->mutable_values(), bytes), &unseen);
        if (rv != 0) {
            return Status(StatusCode::INVALID_ARGUMENT, nb_strerror(rv));
        }
        block->set_unseen(unseen);
    }
    return Status::OK;
}

Status Tables::Answer(const LookupRequest &request, BlocksReply *reply) const
{
    return AnswerAll(request, reply);
}

Status Tables::Answer(const PoolRequest &request, BlocksReply *reply) const
{
    return AnswerAll(request, reply);
}

} // namespace bench
