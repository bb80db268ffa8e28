# pqbudget. `make help` lists the targets; V=1 shows the commands; WERROR=1 (or CI=true) makes warnings fatal.
#
# Every flavour has a tree of its own, build/<flavour>/, so that objects never mix. Sources are found by
# their folder: a new file joins the build by being there.

PREFIX ?= /usr/local
DESTDIR ?=
CFLAGS ?=
CPPFLAGS ?=
LDFLAGS ?=
# Says what is missing and installs it; DEPS=true trusts what is there.
DEPS ?= scripts/deps

FLAVOURS := release debug asan tsan coverage

PQB_CPPFLAGS := -D_GNU_SOURCE -Ishim -Itests
PQB_CFLAGS := -std=gnu11 -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wvla -fstack-protector-strong
PQB_LDFLAGS := -Wl,-z,relro,-z,now
# Every program loads the preload, and most never connect. Bound lazily and in two segments instead of four
# it costs them what an empty library does (exec of /bin/true: 1.04 times one without it, 1.07 otherwise).
# The price: the table of libc's functions stays writable, and 30 KiB of constants are mapped executable;
# all else is read-only after relocation as before.
PRELOAD_LDFLAGS := -Wl,-z,lazy,-z,noseparate-code
ifneq ($(filter true 1,$(CI) $(WERROR)),)
PQB_CFLAGS += -Werror
endif

CFLAGS_release := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
CFLAGS_debug := -O0 -g3
# The sanitizers check more than _FORTIFY_SOURCE does, and its wrappers would hide calls from them.
CFLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
CFLAGS_tsan := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
# Counters are in files that all processes map: what one has run is counted however it ends. clang's, as gcc's are
# written at exit. Its newer debug information is too new for valgrind; what it warns of more than gcc is left out.
CC_coverage := clang
CFLAGS_coverage := -O1 -gdwarf-4 -Wno-sign-conversion -Wno-string-plus-int -Wno-unused-command-line-argument -fcoverage-mapping \
	-fprofile-instr-generate='$(CURDIR)/build/coverage/counters/%m%c.profraw' -mllvm -runtime-counter-relocation

# The preload lacks nothing that libc doesn't have; of the sanitizers, their run-time.
WHOLE_release := -Wl,-z,defs
WHOLE_debug := $(WHOLE_release)

LEDGER_SRC := $(wildcard shim/ledger/*.c)
CONNINFO_SRC := $(wildcard shim/conninfo/*.c)
PRELOAD_SRC := $(wildcard shim/preload/*.c)
PROTOCOL_SRC := $(wildcard shim/preload/protocol*.c) shim/preload/session.c shim/preload/statement.c
PRELOAD_ASM := $(wildcard shim/preload/*.S)
# What a test program can be linked with: not what would stand in front of its own libpq and libc.
PRELOAD_PARTS := $(filter-out $(patsubst %,shim/preload/%.c,libpq hooks params),$(PRELOAD_SRC))
# All of the preload: what else is in it is position-independent and hidden as well.
PIC_SRC := $(LEDGER_SRC) $(CONNINFO_SRC) $(PRELOAD_SRC)
TOOL_SRC := $(wildcard shim/tool/*.c)
TOOL_ASM := $(wildcard shim/tool/*.S)
TOOL_PARTS := $(filter-out shim/tool/main.c,$(TOOL_SRC))
SUPPORT_SRC := $(wildcard tests/support/*.c)
UNIT_SRC := $(wildcard tests/unit/*.c)
INTEGRATION_SRC := $(wildcard tests/integration/*.c)
# Here every file is a program.
HELPER_SRC := $(wildcard tests/helpers/*.c)
# Programs and libraries of several files, see tests/helpers/rules.mk.
HELPER_PART_SRC := $(wildcard tests/helpers/*/*.c)
CHAOS_SRC := $(wildcard tests/chaos/*.c)
# Here every folder is one, see tests/chaos/rules.mk.
CHAOS_PART_SRC := $(wildcard tests/chaos/*/*.c)
BENCH_SRC := $(wildcard tests/bench/*.c)
# The 32-bit peer needs a compiler that makes one.
ifeq ($(shell uname -m),x86_64)
HELPER32_SRC := $(wildcard tests/helpers32/*.c)
endif

# What is no program and is installed as it lies there. /usr/local in it stands for PREFIX, @VERSION@ for the version.
SHARE := $(sort $(patsubst scripts/%,%,$(shell find scripts/share -type f)))
VERSION := $(shell awk '$$2 == "VERSION" { gsub("\"", ""); print $$3 }' shim/tool/main.c)

LIB_SRC := $(PIC_SRC) $(TOOL_SRC) $(SUPPORT_SRC)
ALL_ASM := $(PRELOAD_ASM) $(TOOL_ASM)
PROGRAM_SRC := $(HELPER_SRC) $(CHAOS_SRC) $(BENCH_SRC)
ALL_SRC := $(LIB_SRC) $(UNIT_SRC) $(INTEGRATION_SRC) $(PROGRAM_SRC) $(HELPER_PART_SRC) $(CHAOS_PART_SRC) $(HELPER32_SRC)

# What is missing comes before the first object.
DEPS_FIRST := deps-build $(patsubst %,deps-%,$(filter demo bench coverage,$(MAKECMDGOALS)) \
	$(if $(filter check% coverage,$(MAKECMDGOALS)),check))
LIBPQ_CFLAGS = $$(pkg-config --cflags libpq)
LIBPQ_LIBS = $$(pkg-config --libs libpq)

ifeq ($(V),1)
Q :=
say :=
else
Q := @
say = @printf '  %-5s %s\n' $(1) $(2);
endif

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all debug demo check check-unit check-asan check-tsan coverage check-musl check-valgrind check-clients check-page \
	chaos suites model fuzz bench lint format install uninstall clean help deps-build deps-chaos deps-check deps-clients deps-coverage \
	deps-bench deps-demo deps-fuzz deps-lint deps-model deps-musl deps-page deps-suites FORCE

all: ## Build libpqbudget.so and the tool, optimised (build/release)
debug: ## The same, unoptimised, for a debugger (build/debug)

# What depends on it is looked at every time.
FORCE:

# 1: flavour. The stamp changes when the flags or the set of files do: then what it concerns is made anew.
define flavour_rules
$(1)_TOOL := $(if $(TOOL_SRC),build/$(1)/pqbudget)
$(1)_ALL := build/$(1)/libledger.a $$($(1)_TOOL) build/$(1)/libpqbudget.so
$(1)_HELPERS := $(HELPER_SRC:tests/%.c=build/$(1)/%)
$(1)_CHAOS := $(CHAOS_SRC:tests/%.c=build/$(1)/%)
$(1)_BENCH := $(BENCH_SRC:tests/%.c=build/$(1)/%)
$(1)_UNIT := $(if $(UNIT_SRC),build/$(1)/unit)
$(1)_INTEGRATION := $(if $(INTEGRATION_SRC),build/$(1)/integration)
$(1)_HELPERS32 := $(if $(HELPER32_SRC),build/$(1)/helpers32)
$(1)_TESTS := $$($(1)_ALL) $$($(1)_UNIT) $$($(1)_INTEGRATION) $$($(1)_HELPERS) $$($(1)_CHAOS) \
	$$($(1)_HELPERS32) build/$(1)/bench/session

$(1)_COMPILE := $(or $(CC_$(1)),$(CC)) $(PQB_CPPFLAGS) $(CPPFLAGS) $(PQB_CFLAGS) $(CFLAGS_$(1)) $(CFLAGS) -MMD -MP
$(1)_LINK := $(or $(CC_$(1)),$(CC)) $(CFLAGS_$(1)) $(CFLAGS) $(PQB_LDFLAGS) $(LDFLAGS)
$(1)_LIBS := build/$(1)/libsupport.a build/$(1)/libconninfo.a build/$(1)/libledger.a

build/$(1)/flags: FORCE
	@mkdir -p $$(@D)
	@echo '$$($(1)_COMPILE) $$($(1)_LINK) $(PRELOAD_LDFLAGS)' | cmp -s - $$@ || \
		echo '$$($(1)_COMPILE) $$($(1)_LINK) $(PRELOAD_LDFLAGS)' >$$@
build/$(1)/sources: FORCE
	@mkdir -p $$(@D)
	@echo '$(ALL_SRC) $(ALL_ASM)' | cmp -s - $$@ || echo '$(ALL_SRC) $(ALL_ASM)' >$$@

$(PIC_SRC:%.c=build/$(1)/obj/%.o): $(1)_EXTRA = -fPIC -fvisibility=hidden
$(TOOL_SRC:%.c=build/$(1)/obj/%.o) $(UNIT_SRC:%.c=build/$(1)/obj/%.o) $(INTEGRATION_SRC:%.c=build/$(1)/obj/%.o) \
		$(BENCH_SRC:%.c=build/$(1)/obj/%.o): $(1)_EXTRA = $$(LIBPQ_CFLAGS)
build/$(1)/obj/%.o: %.c build/$(1)/flags | $(DEPS_FIRST)
	@mkdir -p $$(@D)
	$$(call say,CC,$$<)
	$(Q)$$($(1)_COMPILE) $$($(1)_EXTRA) -c -o $$@ $$<

build/$(1)/obj/%.o: %.S build/$(1)/flags | $(DEPS_FIRST)
	@mkdir -p $$(@D)
	$$(call say,AS,$$<)
	$(Q)$(CC) -c -o $$@ $$<

# It brings the page in.
build/$(1)/obj/shim/tool/serve_page.o: shim/tool/page.html

build/$(1)/libledger.a: $(LEDGER_SRC:%.c=build/$(1)/obj/%.o)
build/$(1)/libconninfo.a: $(CONNINFO_SRC:%.c=build/$(1)/obj/%.o)
build/$(1)/libpreload.a: $(PRELOAD_PARTS:%.c=build/$(1)/obj/%.o)
build/$(1)/libsupport.a: $(SUPPORT_SRC:%.c=build/$(1)/obj/%.o)
build/$(1)/lib%.a: build/$(1)/sources
	$$(call say,AR,$$@)
	$(Q)rm -f $$@ && $(AR) rcs $$@ $$(filter %.o,$$^)

build/$(1)/libpqbudget.so: $(PRELOAD_SRC:%.c=build/$(1)/obj/%.o) $(PRELOAD_ASM:%.S=build/$(1)/obj/%.o) \
		build/$(1)/libconninfo.a build/$(1)/libledger.a shim/preload/exports.map build/$(1)/sources
	$$(call say,LINK,$$@)
	$(Q)$$($(1)_LINK) $(PRELOAD_LDFLAGS) $$(WHOLE_$(1)) -shared -Wl,-soname,libpqbudget.so \
		-Wl,--version-script=shim/preload/exports.map -o $$@ $$(filter %.o %.a,$$^)

build/$(1)/libtool.a: $(TOOL_PARTS:%.c=build/$(1)/obj/%.o) $(TOOL_ASM:%.S=build/$(1)/obj/%.o)

build/$(1)/pqbudget: build/$(1)/obj/shim/tool/main.o build/$(1)/libtool.a build/$(1)/libconninfo.a \
		build/$(1)/libledger.a
build/$(1)/pqbudget: $(1)_WITH = $$(LIBPQ_LIBS) -lmicrohttpd -lpthread
build/$(1)/unit: $(UNIT_SRC:%.c=build/$(1)/obj/%.o) build/$(1)/libpreload.a build/$(1)/libtool.a $$($(1)_LIBS)
build/$(1)/unit: $(1)_WITH = -lcriterion $$(LIBPQ_LIBS) -lpthread
build/$(1)/integration: $(INTEGRATION_SRC:%.c=build/$(1)/obj/%.o) build/$(1)/libpreload.a $$($(1)_LIBS)
build/$(1)/integration: $(1)_WITH = -lcriterion $$(LIBPQ_LIBS) -lpthread
$$($(1)_BENCH): $(1)_WITH = $$(LIBPQ_LIBS) -lpthread -lm
build/$(1)/bench/session build/$(1)/helpers/follow: \
		$(patsubst %,build/$(1)/obj/shim/preload/%.o,session statement protocol_scan)
$$($(1)_HELPERS) $$($(1)_CHAOS): $(1)_WITH = -lpthread
$(PROGRAM_SRC:tests/%.c=build/$(1)/%): build/$(1)/%: build/$(1)/obj/tests/%.o $$($(1)_LIBS)
build/$(1)/pqbudget build/$(1)/unit build/$(1)/integration $(PROGRAM_SRC:tests/%.c=build/$(1)/%): \
		build/$(1)/sources
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$(Q)$$($(1)_LINK) -o $$@ $$(filter %.o %.a,$$^) $$($(1)_WITH)
endef
$(foreach flavour,$(FLAVOURS),$(eval $(call flavour_rules,$(flavour))))
# ThreadSanitizer looks its own functions up by the hook of dlsym, before it can bear what it adds to a function.
build/tsan/obj/shim/preload/dl.o: tsan_EXTRA = -fPIC -fvisibility=hidden -fno-sanitize=thread
include tests/helpers/rules.mk
include tests/chaos/rules.mk

# The 32-bit peer brings a ledger of its own, and one is enough: the other flavours borrow it.
HELPERS32 := $(HELPER32_SRC:tests/%.c=build/release/%)
M32_LEDGER := $(LEDGER_SRC:%.c=build/release/obj32/%.o)
build/release/obj32/%.o: %.c build/release/flags | $(DEPS_FIRST)
	@mkdir -p $(@D)
	$(call say,CC32,$<)
	$(Q)$(release_COMPILE) -m32 -D_FILE_OFFSET_BITS=64 -Wno-psabi -c -o $@ $<
$(HELPERS32): build/release/%: build/release/obj32/tests/%.o $(M32_LEDGER) build/release/sources
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(release_LINK) -m32 -o $@ $(filter %.o,$^) -lpthread
build/release/helpers32: $(HELPERS32) ;
$(patsubst %,build/%/helpers32,$(filter-out release,$(FLAVOURS))): | $(HELPERS32)
	@mkdir -p $(@D)
	$(Q)ln -sfn ../release/helpers32 $@

# Under another C library: the preload, a program that its loader loads, and programs that are linked with the ledger.
MUSL_SRC := $(PIC_SRC) $(SOCKETS_SRC) $(SUPPORT_SRC) tests/helpers/race.c tests/helpers/client.c
MUSL_STATIC := build/musl/helpers/race build/musl/helpers/client
MUSL_TESTS := $(MUSL_STATIC) build/musl/helpers/sockets build/musl/libpqbudget.so
# It declares less of what is hooked, and its macros mix signs.
MUSL_COMPILE := musl-gcc -idirafter /usr/include -idirafter /usr/include/$(shell uname -m)-linux-gnu $(PQB_CPPFLAGS) \
	$(PQB_CFLAGS) -Wno-missing-prototypes -Wno-sign-conversion $(CFLAGS_release) -MMD -MP
$(PIC_SRC:%.c=build/musl/obj/%.o): MUSL_EXTRA = -fPIC -fvisibility=hidden
$(SOCKETS_SRC:%.c=build/musl/obj/%.o): MUSL_EXTRA = -include tests/musl/lacking.h
build/musl/obj/%.o: %.c build/release/flags | deps-musl
	@mkdir -p $(@D)
	$(call say,MUSL,$<)
	$(Q)$(MUSL_COMPILE) $(MUSL_EXTRA) -c -o $@ $<
build/musl/obj/%.o: %.S | deps-musl
	@mkdir -p $(@D)
	$(call say,MUSL,$<)
	$(Q)musl-gcc -c -o $@ $<
$(MUSL_STATIC): build/musl/%: build/musl/obj/tests/%.o \
		$(patsubst %.c,build/musl/obj/%.o,$(LEDGER_SRC) $(CONNINFO_SRC) tests/support/support.c tests/support/draw.c)
$(MUSL_STATIC): MUSL_LINK = -static
build/musl/helpers/sockets: $(patsubst %.c,build/musl/obj/%.o,$(SOCKETS_SRC) tests/support/stage.c)
build/musl/libpqbudget.so: $(PIC_SRC:%.c=build/musl/obj/%.o) $(PRELOAD_ASM:%.S=build/musl/obj/%.o) \
		shim/preload/exports.map
build/musl/libpqbudget.so: MUSL_LINK = -shared -Wl,-z,defs -Wl,-soname,libpqbudget.so \
	-Wl,--version-script=shim/preload/exports.map
$(MUSL_TESTS): build/release/sources
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)musl-gcc $(PQB_LDFLAGS) $(MUSL_LINK) -o $@ $(filter %.o,$^)

-include $(MUSL_SRC:%.c=build/musl/obj/%.d)
-include $(foreach f,$(FLAVOURS),$(ALL_SRC:%.c=build/$(f)/obj/%.d)) $(ALL_SRC:%.c=build/release/obj32/%.d)

# Every target with every source of what it looks at, at once: the flags have nothing in common with the others'.
# FUZZ_ENGINE=afl takes AFL++ instead of libFuzzer.
FUZZ_ENGINE ?= libfuzzer
FUZZ_CC_libfuzzer := clang
FUZZ_CC_afl := afl-clang-fast
FUZZ := $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/*.c))
FUZZ_SRC := $(CONNINFO_SRC) $(PROTOCOL_SRC)
FUZZ_SRC_ledger := $(LEDGER_SRC) tests/support/paper.c
# What 10,000 claims are compared with says little, and would take half of the time.
FUZZ_CFLAGS_ledger := -fno-sanitize-coverage=trace-cmp
build/fuzz/$(FUZZ_ENGINE)/ledger: $(FUZZ_SRC_ledger)
$(FUZZ:%=build/fuzz/$(FUZZ_ENGINE)/%): build/fuzz/$(FUZZ_ENGINE)/%: $(FUZZ_SRC) \
		$(wildcard shim/*/*.h tests/fuzz/*.[ch]) | deps-fuzz
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)$(FUZZ_CC_$(FUZZ_ENGINE)) $(PQB_CPPFLAGS) $(LIBPQ_CFLAGS) $(PQB_CFLAGS) -O1 -g -fno-omit-frame-pointer \
		-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $(FUZZ_CFLAGS_$*) -o $@ \
		tests/fuzz/$*.c $(or $(FUZZ_SRC_$*),$(FUZZ_SRC)) $(LIBPQ_LIBS)

deps-build deps-chaos deps-check deps-clients deps-coverage deps-bench deps-demo deps-fuzz deps-lint deps-model deps-musl \
		deps-page deps-suites:
	@$(DEPS) $(@:deps-%=%)

all: $(release_ALL)
debug: $(debug_ALL)

demo: deps-demo $(release_ALL) build/release/helpers/pool ## Show it at work
	@PQB_TEST_BUILD='$(CURDIR)/build/release' scripts/demo

check: $(release_TESTS) build/debug/libpqbudget.so | deps-check ## Every quick test: units, scripts, a short chaos run
	@scripts/check release unit integration scripts chaos

check-unit: $(release_TESTS) | deps-check ## The unit tests and the tests of the scripts
	@scripts/check release unit scripts

check-asan: $(asan_TESTS) | deps-check ## The C tests under Address-, Leak- and UndefinedBehaviorSanitizer
	@scripts/check asan unit integration

check-tsan: $(tsan_ALL) $(tsan_HELPERS) build/tsan/chaos/threads | deps-check ## Threads that race, under ThreadSanitizer
	@scripts/check tsan race

coverage: $(filter-out build/coverage/chaos/%,$(coverage_TESTS)) $(release_ALL) build/debug/libpqbudget.so | deps-check deps-coverage ## Lines of shim/ that the tests run, in a table
	@scripts/coverage

check-musl: $(MUSL_TESTS) $(release_ALL) $(release_INTEGRATION) $(addprefix build/release/helpers/,client sockets) ## Ledger and preload under musl, alone and shared with programs under glibc
	@tests/musl/run

check-valgrind: $(release_ALL) build/release/helpers/doors build/release/helpers/sockets | deps-check ## Programs under the preload under memcheck
	@tests/valgrind/run

check-clients: $(release_ALL) | deps-check deps-clients ## Real clients under the preload: the matrix
	@scripts/check-clients

check-page: $(release_ALL) build/release/helpers/client | deps-page ## The live page in a real browser, with pictures in build/page
	@scripts/check-page

chaos: $(release_ALL) build/release/chaos/clock.so | deps-chaos ## Real clients in trouble, judged by the server: DURATION=1h, SEED=1 for the same again
	@scripts/chaos '$(or $(DURATION),300)' $(SEED)

suites: $(release_ALL) | deps-suites ## Run the tests of others without the preload and with it; SUITES='libpq pg-pool' for some
	@scripts/suites $(SUITES)

model: deps-model ## Prove the claim protocol with spin; MODEL='two, BROKEN' for some of it
	@tests/model/run $(MODEL)

fuzz: $(FUZZ:%=build/fuzz/$(FUZZ_ENGINE)/%) ## Fuzz connection strings, the protocol, the ledger, FUZZ_SECONDS=60 for each target
	@tests/fuzz/run $(FUZZ_ENGINE) build/fuzz/$(FUZZ_ENGINE) $(FUZZ)

bench: deps-bench $(release_ALL) $(release_HELPERS) $(release_BENCH) ## Measure what it costs, beside PgBouncer, in 20 minutes; QUICK=1 in 2
	@PQB_TEST_BUILD='$(CURDIR)/build/release' scripts/bench

lint: deps-lint deps-check $(release_ALL) $(addprefix build/release/helpers/,client pool) ## Let every linter look at its kind
	@scripts/lint

format: deps-lint ## Format the C sources
	@find shim tests -name '*.[ch]' -exec clang-format -i {} +

# 1: mode, 2: file, 3: its place below PREFIX
define put
$(call say,INST,'$(DESTDIR)$(PREFIX)/$(3)')
$(Q)install -D -m $(1) $(2) '$(DESTDIR)$(PREFIX)/$(3)'

endef
PLACES := bin/pqbudget bin/pqbudget-run lib/libpqbudget.so $(SHARE)

install: all ## Install under DESTDIR and PREFIX (/usr/local)
	$(call put,755,build/release/pqbudget,bin/pqbudget)
	$(call put,755,scripts/pqbudget-run,bin/pqbudget-run)
	$(call put,644,build/release/libpqbudget.so,lib/libpqbudget.so)
	$(foreach file,$(SHARE),$(call put,644,scripts/$(file),$(file)))
	$(Q)cd '$(DESTDIR)$(PREFIX)' && sed -i 's|/usr/local|$(PREFIX)|g; s|@VERSION@|$(VERSION)|g' $(SHARE)

uninstall: ## Remove what install put there
	$(call say,RM,'$(DESTDIR)$(PREFIX)')
	$(Q)rm -f $(PLACES:%='$(DESTDIR)$(PREFIX)/%')
	$(Q)rmdir --ignore-fail-on-non-empty '$(DESTDIR)$(PREFIX)/share/pqbudget' 2>/dev/null || :

clean: ## Remove everything that was built
	$(call say,RM,build)
	$(Q)rm -rf build

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile
