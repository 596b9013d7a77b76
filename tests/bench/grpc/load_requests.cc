/* Copyright the nibble authors.
 * SPDX-License-Identifier: Apache-2.0 */

#include "tests/bench/grpc/load_requests.hh"

#include <sys/resource.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

extern "C" {
#include "storage/repo/model_repo.h"
}

namespace bench
{

[[noreturn]] void Die(const char *why)
{
    fprintf(stderr, "load: %s\n", why);
    exit(1);
}

static void Must(int rv, const struct nb_errctx &err)
{
    if (rv != 0) {
        Die(err.text);
    }
}

/* ---- requests --------------------------------------------------------- */

void Requests::CountRows(const Settings &settings)
{
    struct nb_errctx err;
    struct serving_search search = {};
    search.verify = TABLE_VERIFY_HEADER;
    struct serving serving;
    Must(model_repo_open_serving(settings.repo, settings.model, &search,
                                 &serving, &err),
         err);
    const struct manifest &manifest = serving.opened->manifest;
    for (size_t i = 0; i < workload_.n_tables; i++) {
        for (size_t j = 0; j < manifest.n; j++) {
            if (strcmp(workload_.tables[i].name, manifest.tables[j].name) ==
                0) {
                workload_.tables[i].rows = manifest.tables[j].rows;
            }
        }
        if (workload_.tables[i].rows == 0) {
            Die("the model has not the tables of the profile");
        }
    }
    model_version_close(serving.opened);
    serving.opened = nullptr;
    serving_fini(&serving);
}

Requests::Requests(const Settings &settings) : n_to_check_(settings.check)
{
    struct nb_errctx err;
    const struct profile *profile = profile_by_name(settings.profile);
    if (profile == nullptr) {
        Die("no such profile");
    }
    struct workload_options shape = {};
    shape.model = settings.model;
    shape.dtype = settings.dtype;
    Must(workload_of_profile(profile, &shape, &workload_, &err), err);
    CountRows(settings);
    const char *trace;
    Must(id_choice_parse(settings.ids, &choice_, &trace, &err), err);
    if (trace != nullptr) {
        Die("--ids: not from a file here");
    }
    struct request_set_options options = {};
    options.workload = &workload_;
    options.choice = &choice_;
    options.seed = 1;
    options.n_threads = 1;
    options.bytes = size_t{settings.request_mib} << 20;
    options.keep_ids = true;
    Must(request_set_init(&set_, &options, &err), err);
    Must(reply_check_of_repo(settings.repo, &workload_, &check_, &err), err);
    reply_reader_init(&reader_, &workload_, &set_, check_);
}

std::string Requests::Path() const
{
    return workload_is_pool(&workload_) ? "/nibble.v1.Embeddings/Pool"
                                        : "/nibble.v1.Embeddings/Lookup";
}

void Requests::Check(size_t request, const uint8_t *reply, size_t bytes)
{
    struct nb_errctx why = {};
    struct frame_header header = {};
    header.kind = FRAME_REPLY;
    header.method = workload_.method;
    header.body_bytes = static_cast<uint32_t>(bytes);
    if (reply_reader_read(&reader_, request, &header, reply, &result_, &why) !=
        REPLY_IS_RIGHT) {
        Die(why.text);
    }
    n_to_check_--;
    reply_bytes_ = bytes;
}

/* ---- time ------------------------------------------------------------- */

static double Now()
{
    return std::chrono::duration<double>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

static double ProcessorSeconds()
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           static_cast<double>(usage.ru_utime.tv_usec +
                               usage.ru_stime.tv_usec) *
               1e-6;
}

Stopwatch::Stopwatch() : start_(Now()), processor_start_(ProcessorSeconds())
{
}

double Stopwatch::Seconds() const
{
    return Now() - start_;
}

void Stopwatch::Print(uint64_t n_replies, uint64_t n_before) const
{
    double seconds = Seconds();
    printf("{\"achieved_per_s\": %.1f, \"client_core_share\": %.3f, "
           "\"replies\": %llu}\n",
           static_cast<double>(n_replies) / seconds,
           (ProcessorSeconds() - processor_start_) / seconds,
           static_cast<unsigned long long>(n_before + n_replies));
    fflush(stdout);
}

/* ---- the command line ------------------------------------------------- */

static uint32_t Number(const char *text, uint32_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != '\0' || value < 1 || value > most) {
        Die("a number is out of range");
    }
    return static_cast<uint32_t>(value);
}

struct TextOption {
    const char *name;
    const char *Settings::*to;
};

struct NumberOption {
    const char *name;
    uint32_t Settings::*to;
    uint32_t most;
};

/* "--name value" pairs; false if there is no such name. */
static bool Set(const char *name, const char *value, Settings *settings)
{
    static const TextOption texts[] = {
        {"--server", &Settings::server}, {"--repo", &Settings::repo},
        {"--model", &Settings::model},   {"--profile", &Settings::profile},
        {"--ids", &Settings::ids},
    };
    static const NumberOption numbers[] = {
        {"--request-mib", &Settings::request_mib, 4096},
        {"--connections", &Settings::connections, 10000},
        {"--depth", &Settings::depth, 1024},
        {"--warm-up-ms", &Settings::warm_up_ms, 3600000},
        {"--ms", &Settings::ms, 3600000},
        {"--check", &Settings::check, 1000000},
    };
    for (const TextOption &option : texts) {
        if (strcmp(name, option.name) == 0) {
            settings->*option.to = value;
            return true;
        }
    }
    for (const NumberOption &option : numbers) {
        if (strcmp(name, option.name) == 0) {
            settings->*option.to = Number(value, option.most);
            return true;
        }
    }
    if (strcmp(name, "--dtype") == 0) {
        settings->dtype = strcmp(value, "packed") == 0 ? NB_PACKED : NB_FP32;
        return true;
    }
    return false;
}

Settings ParseSettings(int argc, char **argv)
{
    Settings settings;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc || !Set(argv[i], argv[i + 1], &settings)) {
            Die("see the head of grpc_load.cc for the options");
        }
    }
    if (settings.server == nullptr || settings.repo == nullptr ||
        settings.model == nullptr || settings.profile == nullptr) {
        Die("--server, --repo, --model and --profile are needed");
    }
    return settings;
}

} // namespace bench
