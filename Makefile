# Perigee. `make run` and `make test` are the two commands; the rest:
#
#   make                 build/perigee and build/perigee-cell
#   make run             install what is missing, build, work through examples/, serve until Ctrl-C
#   make demo            the same, ends when the examples are done (0: all of them succeeded)
#   make test            every suite; last line `N passed, N failed`      SUITES="c http" for some of them
#   make test-long       the same with the long programs that PostgreSQL has a twin of
#   make bench           what BENCHMARKS.md reports
#   make bench-peers     other engines beside us on the same work (fetches them from npm)
#   make chaos           the storm of tests/chaos in its long form: CHAOS_SECONDS (60) for each of CHAOS_SEEDS, each store; a kill at each commit
#   make lint            floors, luacheck, lengths, cppcheck, clang-tidy
#   make asan            C units, HTTP and command line tests under AddressSanitizer and UBSan, in build/asan
#   make fuzz            each tests/fuzz/fuzz_*.c for FUZZ_SECONDS (20), in build/fuzz
#   make install         PREFIX=/usr/local DESTDIR=
#
# CC=gcc or clang; BUILD=folder; JOBS=number; V=1 shows whole commands. Sources are found by wildcard: a new file needs no line here.

.DEFAULT_GOAL := all
MAKEFLAGS += --no-builtin-rules --no-print-directory
# As many jobs as processors; below another make, the jobs are its own.
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
PREFIX ?= /usr/local
SANITIZE ?=
FUZZ_SECONDS ?= 20
CHAOS_SECONDS ?= 60
CHAOS_SEEDS ?= 1 2 3
SUITES ?=
GEN := $(BUILD)/gen

# One short line per step.
ifeq ($(V),)
say = @echo '  $(1)  $(2)' &&
else
say =
endif

# -- flags ------------------------------------------------------------------------------------------------------------

HOST_PACKAGES := libevent libevent_pthreads sqlite3 jansson libsodium libpq hiredis libcurl icu-i18n
CELL_PACKAGES := luajit libseccomp

WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Werror
ifneq ($(SANITIZE),)
HARDENING := -fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined -fno-omit-frame-pointer
LINK_HARDENING := -fsanitize=$(SANITIZE)
else
HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2
LINK_HARDENING :=
endif
VERSION_TEXT := $(shell cat VERSION 2>/dev/null || echo 0.0.0)
COMMON := -std=c17 -O2 -g -D_GNU_SOURCE -Icore -I$(GEN) $(WARNINGS) -fPIE -MMD -MP -pthread
LINK := -pie -pthread -Wl,-z,relro,-z,now -Wl,--as-needed
# Asked only when something is compiled: on a fresh machine pkg-config comes with the dependencies.
HOST_CFLAGS = $(shell pkg-config --cflags $(HOST_PACKAGES))
HOST_LIBS = $(shell pkg-config --libs $(HOST_PACKAGES))
CELL_CFLAGS = $(shell pkg-config --cflags $(CELL_PACKAGES))
CELL_LIBS = $(shell pkg-config --libs $(CELL_PACKAGES))
CMOCKA_CFLAGS = $(shell pkg-config --cflags cmocka)
CMOCKA_LIBS = $(shell pkg-config --libs cmocka)
# The jail and LuaJIT's own memory tricks do not go with sanitizers: the cell is always built as it ships.
CELL_HARDENING := -fstack-protector-strong -D_FORTIFY_SOURCE=2

# -- sources ----------------------------------------------------------------------------------------------------------

HOST_FOLDERS := base net store store/sqlite store/postgres run llm api cli
HOST_SOURCES := $(foreach folder,$(HOST_FOLDERS),$(wildcard core/$(folder)/*.c))
# What both programs share: the part of base/ that needs no library.
CELL_BASE := $(wildcard $(addprefix core/base/,bytes.c error.c json_text.c frame.c clock.c))
CELL_SOURCES := $(wildcard core/cell/*.c) $(CELL_BASE)
TEST_SOURCES := $(wildcard tests/c/test_*.c)
TEST_HELPERS := $(filter-out $(TEST_SOURCES),$(wildcard tests/c/*.c))
BENCH_SOURCES := $(wildcard bench/*.c)
FUZZ_SOURCES := $(wildcard tests/fuzz/fuzz_*.c)

# -- generated sources ------------------------------------------------------------------------------------------------
# $(GEN)/FLOOR/*.c belong to FLOOR. Rules write to a temporary name or whole files at once: an interrupted build leaves nothing half made.

RUNTIME_FILES := $(shell find scripts/perigee -name '*.lua' ! -name '*_spec.lua' 2>/dev/null | LC_ALL=C sort)
STATEMENTS := $(wildcard core/store/sqlite/statements/*.sql core/store/postgres/statements/*.sql)
MIGRATIONS := $(shell find migrations -name '*.sql' 2>/dev/null | LC_ALL=C sort)

GENERATED_HOST := $(GEN)/run/runtime_files.c
GENERATED_HEADERS :=
GENERATED_CELL :=
ifneq ($(wildcard tools/sqlgen.sh),)
GENERATED_HEADERS += $(GEN)/store/statements.h
GENERATED_HOST += $(GEN)/store/statements.c
endif
ifneq ($(wildcard tools/migrationsgen.sh),)
GENERATED_HOST += $(GEN)/store/migrations.c
endif
ifneq ($(wildcard tools/embed.sh),)
ifneq ($(wildcard core/cell/prelude.lua),)
GENERATED_CELL += $(GEN)/cell/prelude.c
endif
endif

HOST_OBJECTS := $(HOST_SOURCES:core/%.c=$(BUILD)/host/%.o) $(GENERATED_HOST:$(GEN)/%.c=$(BUILD)/host/gen/%.o)
LINKABLE_OBJECTS := $(filter-out $(BUILD)/host/cli/main.o,$(HOST_OBJECTS))
CELL_OBJECTS := $(CELL_SOURCES:core/%.c=$(BUILD)/cell/%.o) $(GENERATED_CELL:$(GEN)/%.c=$(BUILD)/cell/gen/%.o)
TEST_PROGRAMS := $(TEST_SOURCES:tests/c/%.c=$(BUILD)/tests/%)
BENCH_PROGRAMS := $(BENCH_SOURCES:bench/%.c=$(BUILD)/bench/%)
FUZZ_PROGRAMS := $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/fuzzers/%)

# -- the usual targets ------------------------------------------------------------------------------------------------

.PHONY: all programs tests benches run demo test test-long chaos bench bench-peers lint floors asan fuzz fuzzers install clean dependencies test-dependencies
.DELETE_ON_ERROR:

all: programs
programs: floors $(BUILD)/perigee $(BUILD)/perigee-cell
tests: programs $(TEST_PROGRAMS)
benches: programs $(BENCH_PROGRAMS)

dependencies:
	@tools/dependencies.sh build

test-dependencies:
	@tools/dependencies.sh build test

run: dependencies
	@+$(MAKE) -s programs
	@$(BUILD)/perigee dev --root . --examples examples

demo: dependencies
	@+$(MAKE) -s programs
	@$(BUILD)/perigee dev --root . --scratch --listen 127.0.0.1:0 --examples examples --exit

test: test-dependencies
	@+$(MAKE) -s tests
	@tests/run --build $(BUILD) $(SUITES)

test-long: export TEST_LONG := 1
test-long: test

bench: dependencies
	@+$(MAKE) -s benches
	@bench/run --build $(BUILD)

bench-peers: dependencies
	@tools/dependencies.sh build test peers
	@cd bench/peers && npm ci --silent --no-audit --no-fund
	@+$(MAKE) -s benches
	@bench/peers/run --build $(BUILD)

chaos: test-dependencies
	@+$(MAKE) -s programs
	@for seed in $(CHAOS_SEEDS); do echo "seed $$seed"; \
		PERIGEE_BUILD=$(abspath $(BUILD)) tests/chaos/test_storm.py --loud --seed $$seed --seconds $(CHAOS_SECONDS) --runs $$(( $(CHAOS_SECONDS) * 15 )) || exit 1; done
	@PERIGEE_BUILD=$(abspath $(BUILD)) tests/chaos/test_commits.py --every 1

lint:
	@tools/dependencies.sh build test lint
	@tools/lint.sh

asan: test-dependencies
	@+$(MAKE) BUILD=build/asan SANITIZE=address,undefined -s tests
	@tests/run --build build/asan c http cli

fuzz:
	@tools/dependencies.sh build fuzz
	@+$(MAKE) CC=clang BUILD=build/fuzz SANITIZE=fuzzer-no-link,address,undefined -s fuzzers
	@tests/fuzz/run build/fuzz/fuzzers $(FUZZ_SECONDS)

fuzzers: $(FUZZ_PROGRAMS)

install: programs
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/perigee $(DESTDIR)$(PREFIX)/share/perigee
	install -m 755 $(BUILD)/perigee $(DESTDIR)$(PREFIX)/bin/perigee
	install -m 755 $(BUILD)/perigee-cell $(DESTDIR)$(PREFIX)/libexec/perigee/perigee-cell
	install -m 644 perigee.lua LICENSE README.md $(DESTDIR)$(PREFIX)/share/perigee/
	rm -rf $(DESTDIR)$(PREFIX)/share/perigee/scripts $(DESTDIR)$(PREFIX)/share/perigee/methodology
	cp -R scripts methodology $(DESTDIR)$(PREFIX)/share/perigee/

clean:
	rm -rf build

# The floors lint reads every source, in a tenth of a second: it runs whenever one has changed, and a climbing include fails the build.
FLOORS_STAMP := $(BUILD)/.floors
floors: $(FLOORS_STAMP)
$(FLOORS_STAMP): $(shell find core -name '*.[ch]') tools/floors.sh
	@mkdir -p $(@D)
	@tools/floors.sh core
	@touch $@

# -- rules ------------------------------------------------------------------------------------------------------------

$(BUILD)/perigee: $(HOST_OBJECTS)
	$(call say,LINK,$@)$(CC) $(LINK) $(LINK_HARDENING) -o $@ $^ $(HOST_LIBS) -lm

$(BUILD)/perigee-cell: $(CELL_OBJECTS)
	$(call say,LINK,$@)$(CC) $(LINK) -o $@ $^ $(CELL_LIBS) -lm

$(BUILD)/host/%.o: core/%.c | $(GENERATED_HEADERS)
	@mkdir -p $(@D)
	$(call say,CC  ,$<)$(CC) $(COMMON) $(HARDENING) $(HOST_CFLAGS) -DPERIGEE_VERSION='"$(VERSION_TEXT)"' -c -o $@ $<

$(BUILD)/host/gen/%.o: $(GEN)/%.c | $(GENERATED_HEADERS)
	@mkdir -p $(@D)
	$(call say,CC  ,$<)$(CC) $(COMMON) $(HARDENING) $(HOST_CFLAGS) -c -o $@ $<

$(BUILD)/cell/%.o: core/%.c | $(GENERATED_CELL)
	@mkdir -p $(@D)
	$(call say,CC  ,$<)$(CC) $(COMMON) $(CELL_HARDENING) $(CELL_CFLAGS) -c -o $@ $<

$(BUILD)/cell/gen/%.o: $(GEN)/%.c
	@mkdir -p $(@D)
	$(call say,CC  ,$<)$(CC) $(COMMON) $(CELL_HARDENING) $(CELL_CFLAGS) -c -o $@ $<

$(BUILD)/tests/%.o: tests/c/%.c | $(GENERATED_HEADERS)
	@mkdir -p $(@D)
	$(call say,CC  ,$<)$(CC) $(COMMON) $(HARDENING) $(HOST_CFLAGS) $(CMOCKA_CFLAGS) -Itests/c -c -o $@ $<

# Archives, so that a program takes what it uses: a test may bring its own version of a module.
$(BUILD)/libperigee.a: $(LINKABLE_OBJECTS)
	@rm -f $@
	$(call say,AR  ,$@)ar rcs $@ $^

$(BUILD)/tests/libhelpers.a: $(TEST_HELPERS:tests/c/%.c=$(BUILD)/tests/%.o)
	@rm -f $@
	$(call say,AR  ,$@)ar rcs $@ $^

$(BUILD)/tests/%: $(BUILD)/tests/%.o $(BUILD)/tests/libhelpers.a $(BUILD)/libperigee.a
	$(call say,LINK,$@)$(CC) $(LINK) $(LINK_HARDENING) -o $@ $^ $(HOST_LIBS) $(CMOCKA_LIBS) -lm

$(BUILD)/bench/%.o: bench/%.c | $(GENERATED_HEADERS)
	@mkdir -p $(@D)
	$(call say,CC  ,$<)$(CC) $(COMMON) $(HARDENING) $(HOST_CFLAGS) -c -o $@ $<

$(BUILD)/bench/%: $(BUILD)/bench/%.o $(BUILD)/libperigee.a
	$(call say,LINK,$@)$(CC) $(LINK) $(LINK_HARDENING) -o $@ $^ $(HOST_LIBS) -lm

$(BUILD)/fuzzers/%.o: tests/fuzz/%.c | $(GENERATED_HEADERS)
	@mkdir -p $(@D)
	$(call say,CC  ,$<)$(CC) $(COMMON) $(HARDENING) $(HOST_CFLAGS) -c -o $@ $<

$(BUILD)/fuzzers/%: $(BUILD)/fuzzers/%.o $(BUILD)/libperigee.a
	$(call say,LINK,$@)$(CC) $(LINK) -fsanitize=fuzzer,address,undefined -o $@ $^ $(HOST_LIBS) -lm

# embedded runtime
$(GEN)/run/runtime_files.c: tools/runtimegen.sh $(RUNTIME_FILES)
	@mkdir -p $(@D)
	$(call say,GEN ,$@)tools/runtimegen.sh $@ $(RUNTIME_FILES)

# statements, migrations, prelude: the generators belong to the store and to the cell
$(GEN)/store/statements.h $(GEN)/store/statements.c &: tools/sqlgen.sh $(STATEMENTS) core/store/sqlite/statements $(wildcard core/store/postgres/statements)
	@mkdir -p $(@D)
	$(call say,GEN ,$@)tools/sqlgen.sh $(GEN)/store core/store/sqlite/statements core/store/postgres/statements

$(GEN)/store/migrations.c: tools/migrationsgen.sh $(MIGRATIONS)
	@mkdir -p $(@D)
	$(call say,GEN ,$@)tools/migrationsgen.sh $@ migrations

$(GEN)/cell/prelude.c: tools/embed.sh core/cell/prelude.lua
	@mkdir -p $(@D)
	$(call say,GEN ,$@)tools/embed.sh core/cell/prelude.lua cell_prelude $@

.SECONDARY:
ALL_OBJECTS := $(HOST_OBJECTS) $(CELL_OBJECTS) $(TEST_SOURCES:tests/c/%.c=$(BUILD)/tests/%.o) $(TEST_HELPERS:tests/c/%.c=$(BUILD)/tests/%.o) \
	$(BENCH_SOURCES:bench/%.c=$(BUILD)/bench/%.o) $(FUZZ_SOURCES:tests/fuzz/%.c=$(BUILD)/fuzzers/%.o)
-include $(wildcard $(ALL_OBJECTS:.o=.d))
