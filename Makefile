# Copyright the nibble authors.
# SPDX-License-Identifier: Apache-2.0

# nibble. `make help` lists the targets.

# ---- the user's settings ------------------------------------------------
MODE       ?= release
CC         ?= gcc
ifeq ($(origin CC),default)
CC         := gcc
endif
AR         ?= ar
LD         ?= ld
OBJCOPY    ?= objcopy
PKG_CONFIG ?= pkg-config
PYTHON     ?= /usr/bin/python3
CFLAGS     ?=
CPPFLAGS   ?=
LDFLAGS    ?=
PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR     ?= $(PREFIX)/share/man
JOBS       ?= 2
# Warnings are errors where CI is set.
WERROR     ?= $(if $(CI),1)

VERSION := $(shell cat VERSION)
SOMAJOR := 0
BUILD   := build/$(MODE)
ARCH    := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine)))

.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

# ---- modes --------------------------------------------------------------
ifeq ($(MODE),release)
MODE_FLAGS := -O3 -g
MALLOC      = -ljemalloc
else ifeq ($(MODE),debug)
MODE_FLAGS := -O0 -g3
MALLOC      = -ljemalloc
else ifeq ($(MODE),asan)
MODE_FLAGS := -O2 -g -fno-omit-frame-pointer \
              -fsanitize=address,undefined -fno-sanitize-recover=all
else ifeq ($(MODE),tsan)
MODE_FLAGS := -O2 -g -fno-omit-frame-pointer -fsanitize=thread
else ifeq ($(MODE),fuzz)
CC         := clang
MODE_FLAGS := -O1 -g -fno-omit-frame-pointer \
              -fsanitize=address,undefined,fuzzer-no-link \
              -fno-sanitize-recover=all
else
$(error MODE is release, debug, asan, tsan or fuzz, not '$(MODE)')
endif

# ---- flags --------------------------------------------------------------
WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Wformat=2 -Wundef \
            -Wimplicit-fallthrough $(if $(WERROR),-Werror)
# Asked for only when something is compiled or linked with it, and once.
once = $(eval $1 := $(shell $(PKG_CONFIG) $2))$($1)
UV_FLAGS      = $(call once,UV_FLAGS,--cflags libuv)
UV_LIBS       = $(call once,UV_LIBS,--libs libuv)
PROTO_FLAGS   = $(call once,PROTO_FLAGS,--cflags libprotobuf-c)
PROTO_LIBS    = $(call once,PROTO_LIBS,--libs libprotobuf-c)
STORAGE_LIBS  = $(call once,STORAGE_LIBS,--libs libxxhash jansson zlib)
CHECK_LIBS    = $(call once,CHECK_LIBS,--libs check)
HTTP_LIBS     = $(call once,HTTP_LIBS,--libs libmicrohttpd)

# -ffp-contract=off stands after the user's CFLAGS: kernels spell fma out, and
# are the same bits on every instruction set only if nothing else contracts.
ALL_CPPFLAGS = -I. -I$(BUILD)/gen -Iquant -Iclient/lib -D_GNU_SOURCE \
               -DNB_VERSION_STRING=\"$(VERSION)\" $(CPPFLAGS)
ALL_CFLAGS   = -std=gnu11 $(MODE_FLAGS) -fPIC -fvisibility=hidden -pthread \
               $(WARNINGS) $(CFLAGS) -ffp-contract=off
ALL_LDFLAGS  = $(MODE_FLAGS) -pthread $(LDFLAGS)

$(BUILD)/%_avx2.o:   private ISA := -mavx2 -mfma -mf16c
$(BUILD)/%_avx512.o: private ISA := -mavx512f -mavx512bw -mavx512dq \
                                    -mavx512vl -mavx512vnni -mfma -mf16c -mprefer-vector-width=512
# Loops that the compiler has to vectorize, which it does not while it guards
# every access, nor below -O3: tens of times slower. Their scalar twins, of the
# same source, stay guarded.
ifneq ($(filter asan tsan fuzz,$(MODE)),)
$(BUILD)/%_encode_avx2.o $(BUILD)/%_encode_avx512.o: \
    private EXTRA := -O3 -fno-sanitize=all
endif

# ---- sources ------------------------------------------------------------
ifeq ($(ARCH),x86_64)
FOREIGN := %_neon.c
else ifeq ($(ARCH),aarch64)
FOREIGN := %_avx2.c %_avx512.c
else
FOREIGN := %_neon.c %_avx2.c %_avx512.c
endif
MAINS := server/nibbled.c client/cli/nibble.c

QUANT_SRC   := $(filter-out $(FOREIGN),$(wildcard quant/*.c quant/*/*.c))
STORAGE_SRC := $(wildcard storage/*.c storage/*/*.c)
PROTO_SRC   := $(wildcard proto/*.c)
SERVER_SRC  := $(filter-out $(MAINS),$(wildcard server/*.c server/*/*.c))
CLIENT_SRC  := $(wildcard client/lib/*.c)
CLI_SRC     := $(filter-out $(MAINS),$(wildcard client/cli/*.c client/bench/*.c))
TESTLIB_SRC := $(wildcard tests/lib/*.c)
BENCH_SRC   := $(wildcard tests/bench/bench_*.c)
BENCH_BIN   := $(patsubst %.c,$(BUILD)/%,$(BENCH_SRC))

obj = $(patsubst %.c,$(BUILD)/%.o,$1)
QUANT_OBJ   := $(call obj,$(QUANT_SRC))
STORAGE_OBJ := $(call obj,$(STORAGE_SRC))
PROTO_GEN   := $(BUILD)/gen/proto/nibble.pb-c
PROTO_OBJ   := $(call obj,$(PROTO_SRC)) $(PROTO_GEN).o
SERVER_OBJ  := $(call obj,$(SERVER_SRC))
CLIENT_OBJ  := $(call obj,$(CLIENT_SRC))
CLI_OBJ     := $(call obj,$(CLI_SRC))
TESTLIB_OBJ := $(call obj,$(TESTLIB_SRC))

LIB        := $(BUILD)/libnibble
CLIENT_LIB := $(BUILD)/libnibble-client
LIBS       := $(LIB).a $(LIB).so $(CLIENT_LIB).a $(CLIENT_LIB).so
PROGRAMS   := $(BUILD)/nibbled $(BUILD)/nibble
MAN_PAGES  := $(BUILD)/nibbled.8 $(BUILD)/nibble.1

# Commands are shown in short; V=1 shows them whole.
Q   := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-5s %s\n' '$1' '$(@:$(BUILD)/%=%)')

# ---- what everybody calls -----------------------------------------------
## all: the libraries and the programs, in build/MODE
all: $(LIBS) $(PROGRAMS) $(MAN_PAGES)

## deps: install the Debian packages that are missing (root, or sudo)
deps:
	@scripts/deps.sh build test

## demo: quantize real vectors, serve them, ask for them
demo:
	@scripts/deps.sh build demo
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@PATH="$(abspath $(BUILD)):$$PATH" PYTHON=$(PYTHON) demo/demo.sh

## check: build and run every test (MODE=asan: under the sanitizers)
check:
	@scripts/deps.sh build test
	@$(MAKE) --no-print-directory -j$(JOBS) all tests
	@$(MAKE) --no-print-directory run-tests $(if $(ONLY),, \
	    check-isa-sweep $(if $(filter release,$(MODE)),check-neon))

## bench: time kernels, quantizer and searches beside their references
bench: $(BENCH_BIN)
	@for bench in $(BENCH_BIN); do echo "$${bench##*/}"; \
	    $$bench $(BENCH_ARGS) --json $$bench.json || exit 1; echo; done
	@scripts/bench_report.py $(BUILD)/tests/bench/bench_kernels.json \
	    $(BUILD)/tests/bench/bench_quantizer.json \
	    --svg $(BUILD)/tests/bench/kernels.svg
	@echo "a chart: $(BUILD)/tests/bench/kernels.svg"

## help: this list
help:
	@sed -n 's/^## //p' Makefile

# ---- libraries and programs ---------------------------------------------
libnibble: $(LIB).a $(LIB).so

$(LIB).a: $(QUANT_OBJ)
$(BUILD)/libstorage.a: $(STORAGE_OBJ)
$(BUILD)/libproto.a: $(PROTO_OBJ)
$(BUILD)/libserver.a: $(SERVER_OBJ)
$(CLIENT_LIB).a: $(CLIENT_OBJ) $(PROTO_OBJ)
$(BUILD)/libcli.a: $(CLI_OBJ)
$(BUILD)/libtest.a: $(TESTLIB_OBJ)
$(BUILD)/%.a: $(BUILD)/.sources
	$(call say,AR)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

# For those who link them: one object, in which only the public names are left.
INSTALLED := $(BUILD)/install/libnibble.a $(BUILD)/install/libnibble-client.a
$(BUILD)/install/libnibble.a: $(QUANT_OBJ)
$(BUILD)/install/libnibble-client.a: $(CLIENT_OBJ) $(PROTO_OBJ)
$(INSTALLED): $(BUILD)/.sources
	@mkdir -p $(@D)
	$(call say,AR)
	$(Q)$(LD) -r -o $@.o $(filter %.o,$^)
	$(Q)$(OBJCOPY) --localize-hidden $@.o
	@rm -f $@
	$(Q)$(AR) rcs $@ $@.o
	@rm -f $@.o

# clang leaves the sanitizers' runtime undefined in shared libraries.
comma := ,
NO_UNDEFINED := $(if $(filter release debug,$(MODE)),-Wl$(comma)-z$(comma)defs)

%.so: %.so.$(SOMAJOR)
	@ln -sf $(notdir $<) $@
%.so.$(SOMAJOR): %.so.$(VERSION)
	@ln -sf $(notdir $<) $@
$(LIB).so.$(VERSION): $(QUANT_OBJ) $(BUILD)/.sources
	$(call say,LD)
	$(Q)$(CC) -shared -Wl,-soname,libnibble.so.$(SOMAJOR) $(NO_UNDEFINED) \
	    $(ALL_LDFLAGS) -o $@ $(QUANT_OBJ) -lm
$(CLIENT_LIB).so.$(VERSION): $(CLIENT_OBJ) $(PROTO_OBJ) $(LIB).so $(BUILD)/.sources
	$(call say,LD)
	$(Q)$(CC) -shared -Wl,-soname,libnibble-client.so.$(SOMAJOR) \
	    $(NO_UNDEFINED) $(ALL_LDFLAGS) -o $@ $(CLIENT_OBJ) $(PROTO_OBJ) \
	    -L$(BUILD) -lnibble $(PROTO_LIBS) $(UV_LIBS)

# Static archives of the project, in link order; the programs need no library
# path of their own.
SERVER_ARCHIVES := $(BUILD)/libserver.a $(BUILD)/libstorage.a \
                   $(BUILD)/libproto.a $(LIB).a
CLI_ARCHIVES    := $(BUILD)/libcli.a $(BUILD)/libstorage.a $(CLIENT_LIB).a \
                   $(LIB).a
SERVER_LIBS = $(UV_LIBS) $(HTTP_LIBS) $(PROTO_LIBS) $(STORAGE_LIBS) -lm
CLI_LIBS    = $(PROTO_LIBS) $(STORAGE_LIBS) -lm

# A request goes through many small functions of as many files. nibbled has them
# inlined into each other, which saves a sixth of what a small request takes;
# its objects stand before the archives that hold the same functions.
# `make LTO=` does without.
ifeq ($(MODE)$(findstring gcc,$(notdir $(CC))),releasegcc)
LTO     := -flto=2
# What is zeroed is short, and a string instruction takes long to begin.
ZEROING := $(if $(filter x86_64,$(ARCH)),-mmemset-strategy=$(strip \
             unrolled_loop:256:noalign$(comma)libcall:-1:noalign))
INLINED := $(patsubst %.c,$(BUILD)/inlined/%.o,$(wildcard \
             quant/*.c proto/*.c server/net/*.c server/request/*.c))
$(BUILD)/inlined/%.o: %.c $(BUILD)/.flags | $(PROTO_GEN).h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(UV_FLAGS) $(PROTO_FLAGS) $(LTO) \
	    $(ZEROING) -MMD -MP -c -o $@ $<
endif
$(BUILD)/nibbled: $(BUILD)/server/nibbled.o $(INLINED) $(SERVER_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) $(LTO) $(ZEROING) -o $@ $^ $(SERVER_LIBS) $(MALLOC)
$(BUILD)/nibble: $(BUILD)/client/cli/nibble.o $(CLI_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CLI_LIBS) $(MALLOC)

# Made of the options, as --help is.
$(BUILD)/nibbled.8: $(BUILD)/nibbled
$(BUILD)/nibble.1: $(BUILD)/nibble
$(MAN_PAGES):
	$(call say,MAN)
	$(Q)$< --man > $@

# Answers with the same bytes always: what the load tester and channels are
# measured against; calls of a channel as fast as they are answered; the least
# that a client can do; the rows of requests that are not sent; and how much of a
# processor there is.
LOAD_BIN := $(addprefix $(BUILD)/tests/bench/,static_server channel_load \
              raw_client bags_alone host_stalls)
$(LOAD_BIN): %: %.o $(BUILD)/tests/bench/libbench.a $(CLI_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CLI_LIBS) $(UV_LIBS)

BENCH_SHARED := $(call obj,$(filter-out $(FOREIGN) $(BENCH_SRC) \
                $(LOAD_BIN:$(BUILD)/%=%.c),$(wildcard tests/bench/*.c)))
$(BUILD)/tests/bench/libbench.a: $(BENCH_SHARED)
# As nibbled is linked.
REQUESTS := $(BUILD)/tests/bench/bench_requests
$(REQUESTS): %: %.o $(INLINED) $(BUILD)/tests/bench/libbench.a \
             $(BUILD)/libserver.a $(CLI_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) $(LTO) $(ZEROING) -o $@ $(filter %.o,$^) $(filter %.a,$^) \
	    $(SERVER_LIBS) $(MALLOC)
$(filter-out $(REQUESTS),$(BENCH_BIN)): %: %.o \
             $(BUILD)/tests/bench/libbench.a $(CLI_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(CLI_LIBS)

# The same over gRPC: the one C++ in the tree, and of use only to compare with.
GRPC_DIR  := tests/bench/grpc
GRPC_GEN  := $(BUILD)/gen/grpc
GRPC_BIN  := $(addprefix $(BUILD)/$(GRPC_DIR)/,grpc_server grpc_load \
             h2_load)
GRPC_PB   := $(addprefix $(GRPC_GEN)/,proto/nibble.pb $(GRPC_DIR)/embeddings.pb \
             $(GRPC_DIR)/embeddings.grpc.pb)
GRPC_FLAGS = $(call once,GRPC_FLAGS,--cflags grpc++ protobuf)
GRPC_LIBS  = $(call once,GRPC_LIBS,--libs grpc++ protobuf)
CXX_FLAGS  = -I. -I$(GRPC_GEN) -I$(BUILD)/gen -Iquant -Iclient/lib \
             -D_GNU_SOURCE -std=c++23 $(MODE_FLAGS) -pthread -Wall -Wextra \
             -Wno-missing-field-initializers \
             $(if $(WERROR),-Werror) $(CXXFLAGS) $(GRPC_FLAGS) $(PROTO_FLAGS)

## bench-grpc: a gRPC server and its load, for scripts/bench_grpc.py
bench-grpc:
	@scripts/deps.sh build grpc
	@$(MAKE) --no-print-directory -j$(JOBS) all $(GRPC_BIN)

$(BUILD)/$(GRPC_DIR)/grpc_server: $(BUILD)/$(GRPC_DIR)/grpc_tables.o
$(BUILD)/$(GRPC_DIR)/grpc_load $(BUILD)/$(GRPC_DIR)/h2_load: \
    $(BUILD)/$(GRPC_DIR)/load_requests.o
$(BUILD)/$(GRPC_DIR)/h2_load: $(BUILD)/$(GRPC_DIR)/h2_connection.o
$(GRPC_BIN): %: %.o $(GRPC_PB:%=%.o) $(CLI_ARCHIVES)
	$(call say,LD)
	$(Q)$(CXX) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) \
	    $(GRPC_LIBS) $(CLI_LIBS) $(MALLOC)
$(BUILD)/$(GRPC_DIR)/%.o: $(GRPC_DIR)/%.cc $(BUILD)/.flags \
    | $(GRPC_PB:%=%.cc) $(PROTO_GEN).h
	@mkdir -p $(@D)
	$(call say,CXX)
	$(Q)$(CXX) $(CXX_FLAGS) -MMD -MP -c -o $@ $<
$(GRPC_GEN)/%.o: $(GRPC_GEN)/%.cc $(BUILD)/.flags | $(GRPC_PB:%=%.cc)
	$(call say,CXX)
	$(Q)$(CXX) $(CXX_FLAGS) -MMD -MP -c -o $@ $<
$(GRPC_PB:%=%.cc) &: proto/nibble.proto $(GRPC_DIR)/embeddings.proto
	@mkdir -p $(GRPC_GEN)
	$(call say,PROTO)
	$(Q)protoc --cpp_out=$(GRPC_GEN) $^
	$(Q)protoc --grpc_out=$(GRPC_GEN) $(GRPC_DIR)/embeddings.proto \
	    --plugin=protoc-gen-grpc=$$(command -v grpc_cpp_plugin)

# ---- objects ------------------------------------------------------------
# A change of flags rebuilds.
FLAGS_LINE = $(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS) $(LTO) $(ZEROING)
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(FLAGS_LINE)' | cmp -s - $@ || \
	    printf '%s\n' '$(FLAGS_LINE)' > $@
# So does a file less in an archive.
SOURCES_LINE = $(QUANT_SRC) $(STORAGE_SRC) $(PROTO_SRC) $(SERVER_SRC) \
               $(CLIENT_SRC) $(CLI_SRC) $(TESTLIB_SRC)
$(BUILD)/.sources: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(SOURCES_LINE)' | cmp -s - $@ || \
	    printf '%s\n' '$(SOURCES_LINE)' > $@
FORCE:

NEEDS_PROTO := $(PROTO_OBJ) $(SERVER_OBJ) $(CLIENT_OBJ) $(CLI_OBJ)
# It holds that file.
$(BUILD)/server/admin/admin_page.o: server/admin/admin_page.html
$(BUILD)/server/%.o $(BUILD)/client/lib/%.o $(BUILD)/tests/%.o: \
    private EXTRA = $(UV_FLAGS) $(PROTO_FLAGS)
$(BUILD)/proto/%.o $(BUILD)/client/%.o: private EXTRA = $(PROTO_FLAGS)
$(PROTO_GEN).o: private EXTRA = $(PROTO_FLAGS) -Wno-conversion

$(BUILD)/%.o: %.c $(BUILD)/.flags
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(EXTRA) $(ISA) -MMD -MP -c -o $@ $<
$(PROTO_GEN).o: $(PROTO_GEN).c $(BUILD)/.flags
	$(call say,CC)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(EXTRA) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<
$(PROTO_GEN).c $(PROTO_GEN).h &: proto/nibble.proto
	@mkdir -p $(@D)
	$(call say,PROTO)
	$(Q)protoc-c --c_out=$(BUILD)/gen proto/nibble.proto
$(NEEDS_PROTO) $(BUILD)/server/nibbled.o $(BUILD)/client/cli/nibble.o: \
    | $(PROTO_GEN).h

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)

# ---- tests --------------------------------------------------------------
# Every tests/{unit,property,integration}/test_*.c is one program, every
# fuzz_*.c a target whose corpus replay_main.c replays, every test_*.py in
# tests/integration a script that starts the real programs.
TEST_SRC  := $(wildcard tests/unit/test_*.c tests/property/test_*.c \
                        tests/integration/test_*.c)
FUZZ_SRC  := $(wildcard tests/fuzz/fuzz_*.c)
TEST_BIN  := $(patsubst %.c,$(BUILD)/%,$(TEST_SRC))
FUZZ_BIN  := $(patsubst %.c,$(BUILD)/%,$(FUZZ_SRC))
TEST_PY   := $(wildcard tests/integration/test_*.py)
PY_PROTO  := $(BUILD)/gen/py/proto/nibble_pb2.py
PY_CLIENT := $(BUILD)/python/nibble_client/nibble_pb2.py

TEST_ARCHIVES := $(BUILD)/libtest.a $(BUILD)/libserver.a $(BUILD)/libcli.a \
                 $(BUILD)/libstorage.a $(CLIENT_LIB).a $(LIB).a
TEST_LIBS = $(UV_LIBS) $(HTTP_LIBS) $(PROTO_LIBS) $(STORAGE_LIBS) $(CHECK_LIBS) -lm

# Linked as a user of the installed libraries links.
EXAMPLES := $(patsubst %.c,$(BUILD)/%,$(wildcard client/lib/examples/*.c))

tests: $(TEST_BIN) $(FUZZ_BIN) $(PY_PROTO) $(PY_CLIENT) $(EXAMPLES) \
    $(LOAD_BIN) $(REQUESTS)

$(EXAMPLES): %: %.o $(LIB).so $(CLIENT_LIB).so
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $< -L$(BUILD) -lnibble-client -lnibble \
	    $(UV_LIBS)

# In tests named so the calls that tests/lib/faults.c wraps can be made to fail.
FAULTS := malloc calloc realloc strdup strndup XXH3_createState open openat \
          mmap read pread pwrite fsync renameat renameat2 linkat mkdirat flock \
          copy_file_range lseek fstat fstatat pthread_create sendmsg
$(BUILD)/tests/unit/test_%_faults: \
    private TEST_WRAP = $(addprefix -Wl$(comma)--wrap=,$(FAULTS))

$(BUILD)/tests/%.o: | $(PROTO_GEN).h
$(TEST_BIN): %: %.o $(TEST_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) $(TEST_WRAP) -o $@ $^ $(TEST_LIBS)

ifeq ($(MODE),fuzz)
$(FUZZ_BIN): %: %.o $(TEST_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -fsanitize=fuzzer -o $@ $^ $(TEST_LIBS)
else
$(FUZZ_BIN): %: %.o $(BUILD)/tests/fuzz/replay_main.o $(TEST_ARCHIVES)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(TEST_LIBS)
endif

$(PY_PROTO): proto/nibble.proto
	@mkdir -p $(BUILD)/gen/py
	$(call say,PROTO)
	$(Q)protoc --python_out=$(BUILD)/gen/py proto/nibble.proto

# The package as it is in the tree, and the messages.
PY_SRC := $(wildcard client/python/*.* client/python/nibble_client/*.py)
## python: the Python client, in build/MODE/python
python: $(PY_CLIENT)
$(PY_CLIENT): $(PY_PROTO) $(PY_SRC)
	$(call say,PY)
	@mkdir -p $(@D)
	$(Q)for file in $(PY_SRC); do \
	    cp $$file $(BUILD)/python/$${file#client/python/} || exit 1; done
	$(Q)cp $(PY_PROTO) $@

# ONLY=word runs the tests whose name holds the word.
run-tests:
	@$(PYTHON) tests/lib/run_tests.py --build $(BUILD) --jobs $(JOBS) \
	    $(if $(ONLY),--only $(ONLY)) $(TEST_BIN) $(FUZZ_BIN) $(TEST_PY)

## check-browser: the server's page in headless Chromium; leaves a picture
check-browser: $(PY_PROTO)
	@scripts/deps.sh build test browser
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@NB_BUILD=$(BUILD) PYTHONPATH=tests/lib:$(BUILD)/gen/py \
	    $(PYTHON) tests/browser_check.py
	@echo "a picture: $(BUILD)/page.png"

# The same results without AVX-512, without AVX2. test_kernels runs each kernel
# itself.
SWEEP_BIN := $(filter-out %/test_kernels, $(filter $(BUILD)/tests/unit/% \
             $(BUILD)/tests/property/%, $(TEST_BIN)))
check-isa-sweep: $(SWEEP_BIN)
	@scripts/check_isa_sweep.sh $(PYTHON) tests/lib/run_tests.py --quiet \
	    --build $(BUILD) --jobs $(JOBS) $(SWEEP_BIN)

# The kernels' property tests as a program that needs nothing but libc.
KERNELS_MAIN := $(BUILD)/tests/property/kernels_main
$(KERNELS_MAIN): %: %.o $(LIB).a $(patsubst %,$(BUILD)/tests/lib/%.o, \
                 kernel_checks encode_checks quantize_checks row_kinds \
                 float_kinds guarded)
	$(call say,LD)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(LIB).a -lm

## check-neon: the same results by NEON, cross-compiled and emulated
check-neon:
	@scripts/check_neon.sh '$(MAKE)' $(JOBS)

# ---- static checks ------------------------------------------------------
C_FILES := $(shell git ls-files -co --exclude-standard '*.c' '*.h' 2>/dev/null)

## losses: measure what every way to quantize loses: quant/LOSSES.md
losses: $(BUILD)/nibble
	scripts/loss_tables.py $< > $(BUILD)/LOSSES.md
	mv $(BUILD)/LOSSES.md quant/LOSSES.md

## lint: format, includes, headers, instruction sets, exports, clang-tidy
lint:
	@scripts/deps.sh build test lint
	@$(MAKE) --no-print-directory -j$(JOBS) all tests
	@$(MAKE) --no-print-directory -j$(JOBS) check-format check-deps \
	    check-headers check-isa check-abi tidy

check-format:
	@[ -n "$(firstword $(C_FILES))" ] || { echo 'git lists no files'; exit 1; }
	@clang-format --dry-run -Werror $(C_FILES)

## format: rewrite every C file in the project's style
format:
	clang-format -i $(C_FILES)

# Includes point down: quant <- storage <- server, quant <- proto <- server,
# quant and proto <- client/lib, everything but server <- client/cli.
check-deps:
	@scripts/check_deps.sh

check-headers: $(PROTO_GEN).h
	@scripts/check_headers.sh $(CC) -std=gnu11 $(ALL_CPPFLAGS) \
	    $(PROTO_FLAGS) $(UV_FLAGS)

check-isa: all
	@scripts/check_isa.sh $(BUILD)

check-abi: all
	@scripts/check_abi.sh $(LIB).so quant/libnibble.abi
	@scripts/check_abi.sh $(CLIENT_LIB).so client/lib/libnibble-client.abi

TIDY_SRC := $(filter-out %_neon.c,$(filter %.c,$(C_FILES)))
TIDY     := $(addprefix tidy/,$(TIDY_SRC))
# In kernels the analyzer takes loops over the same count for different ones,
# and reports values of vectors, also inside the compiler's headers, as unset.
tidy/quant/kernel/%: private TIDY_LESS := \
    --checks=-clang-analyzer-core*,-performance-no-int-to-ptr
# Half of the time of the whole would go into paths through tests, where it
# takes the macros of check for ways to go on after a failure.
tidy/tests/%: private TIDY_LESS := --checks=-clang-analyzer-*
## tidy: clang-tidy; tidy/FILE.c for one file
tidy: $(TIDY)
$(TIDY): tidy/%: % | $(PROTO_GEN).h
	@clang-tidy --quiet $(TIDY_LESS) $< -- -std=gnu11 $(ALL_CPPFLAGS) $(PROTO_FLAGS) \
	    $(UV_FLAGS) $(if $(findstring _avx2,$<),-mavx2 -mfma -mf16c) \
	    $(if $(findstring _avx512,$<),-mavx512f -mavx512bw -mavx512dq \
	    -mavx512vl -mavx512vnni -mfma -mf16c) 2>&1 | \
	    { ! grep -E 'warning:|error:' -A 6; }

# ---- install ------------------------------------------------------------
PC_SED := sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(LIBDIR)|' \
          -e 's|@INCLUDEDIR@|$(INCLUDEDIR)|' -e 's|@VERSION@|$(VERSION)|'

## install: to PREFIX (/usr/local), below DESTDIR
install: all $(INSTALLED)
	install -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(INCLUDEDIR) \
	    $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(MANDIR)/man1 \
	    $(DESTDIR)$(MANDIR)/man3 $(DESTDIR)$(MANDIR)/man8
	install -m 755 $(PROGRAMS) $(DESTDIR)$(BINDIR)
	install -m 644 $(BUILD)/nibble.1 $(DESTDIR)$(MANDIR)/man1
	install -m 644 $(BUILD)/nibbled.8 $(DESTDIR)$(MANDIR)/man8
	install -m 644 quant/nibble.h client/lib/nibble_client.h \
	    $(DESTDIR)$(INCLUDEDIR)
	install -m 644 client/lib/nibble_client.3 $(DESTDIR)$(MANDIR)/man3
	install -m 644 $(INSTALLED) $(DESTDIR)$(LIBDIR)
	install -m 755 $(LIB).so.$(VERSION) $(CLIENT_LIB).so.$(VERSION) \
	    $(DESTDIR)$(LIBDIR)
	for lib in libnibble libnibble-client; do \
	    ln -sf $$lib.so.$(VERSION) $(DESTDIR)$(LIBDIR)/$$lib.so.$(SOMAJOR); \
	    ln -sf $$lib.so.$(SOMAJOR) $(DESTDIR)$(LIBDIR)/$$lib.so; \
	done
	$(PC_SED) quant/libnibble.pc.in \
	    > $(DESTDIR)$(LIBDIR)/pkgconfig/libnibble.pc
	$(PC_SED) client/lib/libnibble-client.pc.in \
	    > $(DESTDIR)$(LIBDIR)/pkgconfig/libnibble-client.pc

## uninstall: what install put there
uninstall:
	rm -f $(addprefix $(DESTDIR)$(BINDIR)/,nibble nibbled) \
	    $(DESTDIR)$(MANDIR)/man1/nibble.1 \
	    $(DESTDIR)$(MANDIR)/man8/nibbled.8 \
	    $(addprefix $(DESTDIR)$(INCLUDEDIR)/,nibble.h nibble_client.h) \
	    $(DESTDIR)$(LIBDIR)/libnibble.* $(DESTDIR)$(LIBDIR)/libnibble-client.* \
	    $(DESTDIR)$(LIBDIR)/pkgconfig/libnibble.pc \
	    $(DESTDIR)$(LIBDIR)/pkgconfig/libnibble-client.pc \
	    $(DESTDIR)$(MANDIR)/man3/nibble_client.3

## installcheck: stage an install and build a consumer against it
installcheck: all
	@scripts/installcheck.sh '$(MAKE)' '$(CC)'

## clean: remove build/
clean:
	rm -rf build

.PHONY: all deps demo check bench bench-grpc losses help libnibble python tests run-tests \
    check-isa-sweep check-browser check-neon lint check-format format check-deps check-headers check-isa \
    check-abi tidy \
    $(TIDY) install uninstall installcheck clean FORCE
.SECONDARY:
