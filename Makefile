# iotrap: builds the two libraries and the command, and runs tests, demo and benchmarks.
#
#   make            build/bin/iotrap, build/lib/libiotrap-preload.so, build/lib/libiotrap.so
#   make demo       install what is missing, build, run real programs plain and under iotrap
#   make test       install what is missing, build, run every test   (SUITE=name: one suite)
#   make bench      print the performance figures as ratios; bench-pools: of mount pools;
#                   bench-library: of the libraries
#   make examples docs lint asan tsan ubsan install clean

SHELL := /bin/bash
PREFIX ?= /usr/local
BUILD := build
OBJ := $(BUILD)/obj
CC := clang
SWIFTC := swiftc
VERSION := $(shell cat VERSION)

INCLUDES := -ISources/CIOTrap/include -ISources/CIOTrapEngine/include
CFLAGS := -std=gnu11 -O2 -gdwarf-4 -fPIC -fvisibility=hidden -ftls-model=initial-exec -fexceptions \
	-fno-math-errno -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wno-unused-parameter -D_GNU_SOURCE -DIOTRAP_VERSION='"$(VERSION)"' $(INCLUDES)
# -Ounchecked is not used: a trap in the engine is a bug that tests must show.
SWIFTFLAGS := -wmo -parse-as-library -O -swift-version 6 -warnings-as-errors \
	-enable-experimental-feature Embedded -Xcc -fPIC -Xcc -Wno-nullability-completeness \
	-module-name IOTrapEngine $(INCLUDES)
LDFLAGS := -shared -fuse-ld=bfd -Wl,-z,relro,-z,now -Wl,--gc-sections -Wl,--no-undefined -Wl,--as-needed
# A hook that calls another means that hook, not what a program has of the same name: that may lead
# here again.
OWN_HOOKS := -Wl,-Bsymbolic-functions
LIBURING := -l:liburing.a

ENGINE_SWIFT := $(shell find Sources/IOTrapEngine -name '*.swift' | sort)
ENGINE_C := $(wildcard Sources/CIOTrapEngine/*.c)
SHIM_C := $(wildcard shim/*.c)
HEADERS := $(wildcard Sources/CIOTrap/include/*.h Sources/CIOTrapEngine/include/*.h shim/*.h shim/*.def)
ENGINE_OBJ := $(OBJ)/engine.o $(ENGINE_C:Sources/CIOTrapEngine/%.c=$(OBJ)/engine-%.o)
SHIM_OBJ := $(SHIM_C:shim/%.c=$(OBJ)/shim-%.o) $(OBJ)/shim-vfork.o

.PHONY: bench-library bench-programs examples docs
.PHONY: all libraries command deps demo test tests-c bench bench-pools lint asan tsan \
	ubsan install install-library clean
all: libraries command
libraries: $(BUILD)/lib/libiotrap-preload.so $(BUILD)/lib/libiotrap.so $(BUILD)/lib/libiotrap.so.0
command: $(BUILD)/bin/iotrap

$(OBJ) $(BUILD)/lib $(BUILD)/bin:
	mkdir -p $@

$(OBJ)/engine.o: $(ENGINE_SWIFT) $(HEADERS) | $(OBJ)
	@echo "swiftc engine (Embedded)"
	@$(SWIFTC) -c $(SWIFTFLAGS) $(ENGINE_SWIFT) -o $@

$(OBJ)/engine-%.o: Sources/CIOTrapEngine/%.c $(HEADERS) VERSION | $(OBJ)
	@$(CC) -c $(CFLAGS) $< -o $@

$(OBJ)/shim-%.o: shim/%.c $(HEADERS) | $(OBJ)
	@$(CC) -c $(CFLAGS) $< -o $@

# Its clean-up on cancellation the C library runs: as an exception it would need libgcc_s.
$(OBJ)/shim-posix_aio.o: CFLAGS += -fno-exceptions -fasynchronous-unwind-tables

$(OBJ)/library-%.o: shim/library/%.c $(HEADERS) | $(OBJ)
	@$(CC) -c $(CFLAGS) $< -o $@

$(OBJ)/shim-%.o: shim/%.S | $(OBJ)
	$(CC) -c $(INCLUDES) $< -o $@

# The export list comes from the hook table and that of the library, without its versions: hooks
# must have none.
LIBRARY_MAP := shim/library/libiotrap.map
$(OBJ)/preload.map: shim/hooks.def $(LIBRARY_MAP) Makefile | $(OBJ)
	{ echo '{ global:'; \
	  sed -nE 's/^HOOK\(([^)]*)\)/\t\1;/p; s/^ALIAS\(([^,]*),.*/\t\1;/p' shim/hooks.def; \
	  sed -nE 's/^\t(iotrap_[a-z0-9_]+;)$$/\t\1/p' $(LIBRARY_MAP); \
	  echo 'local: *; };'; } > $@

$(BUILD)/lib/libiotrap-preload.so: $(ENGINE_OBJ) $(SHIM_OBJ) $(OBJ)/preload.map | $(BUILD)/lib
	$(CC) $(LDFLAGS) $(OWN_HOOKS) -Wl,--version-script=$(OBJ)/preload.map -Wl,-soname,libiotrap-preload.so \
		$(ENGINE_OBJ) $(SHIM_OBJ) $(LIBURING) -o $@
$(BUILD)/lib/libiotrap.so: $(ENGINE_OBJ) $(OBJ)/library-start.o $(LIBRARY_MAP) | $(BUILD)/lib
	$(CC) $(LDFLAGS) -Wl,--version-script=$(LIBRARY_MAP) -Wl,-soname,libiotrap.so.0 \
		$(ENGINE_OBJ) $(OBJ)/library-start.o $(LIBURING) -o $@

# The name that programs linked with it look for.
$(BUILD)/lib/libiotrap.so.0: $(BUILD)/lib/libiotrap.so
	ln -sf $(<F) $@

COMMAND_SOURCES := $(shell find Sources -name '*.swift' -o -name '*.c' -o -name '*.h') Package.swift
$(BUILD)/bin/iotrap: $(COMMAND_SOURCES) | $(BUILD)/bin
	swift build -c release --product iotrap --static-swift-stdlib --scratch-path .build/command \
		2>&1 | grep -vE '^\[[0-9]+/[0-9]+\]' ; exit $${PIPESTATUS[0]}
	install -m 755 .build/command/release/iotrap $@

# The programs of the differential suite; a first line with "fortify" asks for a second build.
DIFF_SRC := $(wildcard Tests/Differential/*.c)
DIFF_FORTIFIED := $(foreach source,$(DIFF_SRC),$(if $(findstring fortify,$(shell head -n 1 $(source))),$(source)))
DIFF_BIN := $(DIFF_SRC:Tests/Differential/%.c=$(BUILD)/tests/differential/%) \
	$(DIFF_FORTIFIED:Tests/Differential/%.c=$(BUILD)/tests/differential/%-fortify)
DIFF_HEADERS := $(wildcard Tests/Differential/*.h) $(wildcard $(patsubst %_largefile.c,%.c,$(filter %_largefile.c,$(DIFF_SRC))))
DIFF_CFLAGS := -std=gnu11 -g -Wall -Wextra -Werror -D_GNU_SOURCE -pthread
# Those of the pools suite; driver has parts.
POOL_SRC := $(wildcard Tests/Pools/*.c)
POOL_BIN := $(patsubst %,$(BUILD)/tests/pools/%,driver load)
# Those of the library suite, linked like any program.
LIB_SRC := $(wildcard Tests/Library/*.c)
LIB_BIN := $(LIB_SRC:Tests/Library/%.c=$(BUILD)/tests/library/%)
PUBLIC_HEADERS := $(addprefix Sources/CIOTrap/include/,iotrap.h iotrap_queue.h)
tests-c: $(DIFF_BIN) $(POOL_BIN) $(LIB_BIN)
$(BUILD)/tests/library:
	mkdir -p $@
$(BUILD)/tests/library/%: Tests/Library/%.c Tests/Library/check.h $(PUBLIC_HEADERS) \
		$(BUILD)/lib/libiotrap.so.0 | $(BUILD)/tests/library
	@cc $(DIFF_CFLAGS) -O1 -ISources/CIOTrap/include $< -L$(BUILD)/lib -l:libiotrap.so.0 \
		-Wl,-rpath,$(CURDIR)/$(BUILD)/lib -o $@
$(BUILD)/tests/pools:
	mkdir -p $@
$(BUILD)/tests/pools/%: $(POOL_SRC) $(wildcard Tests/Pools/*.h) | $(BUILD)/tests/pools
	@cc $(DIFF_CFLAGS) -O1 $(wildcard Tests/Pools/$**.c) -laio -o $@
$(BUILD)/tests/differential:
	mkdir -p $@
$(BUILD)/tests/differential/%-fortify: Tests/Differential/%.c $(DIFF_HEADERS) | $(BUILD)/tests/differential
	@cc $(DIFF_CFLAGS) -O2 -D_FORTIFY_SOURCE=2 $< $(if $(findstring libaio,$*),-laio) -o $@
$(BUILD)/tests/differential/%: Tests/Differential/%.c $(DIFF_HEADERS) | $(BUILD)/tests/differential
	@cc $(DIFF_CFLAGS) -O1 $(if $(findstring largefile,$*),-D_FILE_OFFSET_BITS=64) $< $(if $(findstring libaio,$*),-laio) -o $@

deps:
	@bash bench/deps.sh build
test:
	@bash bench/deps.sh test
	@$(MAKE) --no-print-directory all tests-c
	@bash Tests/run.sh $(SUITE)
demo:
	@bash bench/deps.sh demo
	@$(MAKE) --no-print-directory all
	@bash bench/demo.sh
bench:
	@bash bench/deps.sh bench
	@$(MAKE) --no-print-directory all
	@bash bench/run.sh
	@bash bench/run.sh --replay
bench-pools:
	@bash bench/deps.sh bench
	@$(MAKE) --no-print-directory all
	@bash bench/run.sh --pools
# Release builds of what is measured: the benchmarks' programs in Swift, and the examples.
bench-programs:
	@swift build -c release --product librarybench --scratch-path .build/command -q
	@swift build -c release --package-path examples --scratch-path .build/examples -q
bench-library:
	@bash bench/deps.sh bench
	@bash bench/run.sh --library
# A package of its own that depends on this one, as any other would.
examples:
	swift build --package-path examples --scratch-path .build/examples
# The pages of the Swift library: build/docs, to be served by any web server.
DOCS := $(BUILD)/docs
docs:
	mkdir -p .build/docs/all .build/docs/symbols
	swift build --target IOTrap --scratch-path .build/docs -Xswiftc -emit-symbol-graph \
		-Xswiftc -emit-symbol-graph-dir -Xswiftc $(CURDIR)/.build/docs/all
	cp .build/docs/all/IOTrap.symbols.json .build/docs/symbols/
	rm -rf $(DOCS)
	docc convert Sources/IOTrap/IOTrap.docc --fallback-display-name IOTrap \
		--fallback-bundle-identifier iotrap --additional-symbol-graph-dir .build/docs/symbols \
		--output-path $(DOCS) >.build/docs/log 2>&1 || { cat .build/docs/log; exit 1; }
	@! grep -E "doesn't exist|Can't resolve|No symbol matched|not found" .build/docs/log
C_FILES = $(shell git ls-files '*.c' '*.h')
lint:
	swift format lint --strict -r Sources Tests Package.swift
	clang-format --dry-run -Werror $(C_FILES)

# The engine as an ordinary module, the readers, and replays inside a test, under the sanitizers.
SANITIZED := '^(IOTrap(Engine|Stats)|IOTrace|ReplayTests\.(InsideTests|PartTests))'
# In a process of its own: in debug builds it makes misuse abort, which tests of the engine commit.
SANITIZED_TOO := --skip-build --filter '^IOTrapTests\.'
asan:
	swift test --disable-xctest --sanitize=address --scratch-path .build/asan --filter $(SANITIZED)
	swift test --disable-xctest --sanitize=address --scratch-path .build/asan $(SANITIZED_TOO)
# The two linker options: an inout access by Swift counts as a change of the whole value, which no
# program with words shared between threads gets around. Real loads and stores stay instrumented.
tsan:
	IOTRAP_SANITIZE=thread swift test --disable-xctest --sanitize=thread --scratch-path .build/tsan --filter $(SANITIZED) \
		-Xlinker --wrap=__tsan_external_write -Xlinker --defsym=__wrap___tsan_external_write=__tsan_init
# Its parts in C; what is undefined ends the process. Swift traps by itself.
ubsan:
	swift test --disable-xctest --scratch-path .build/ubsan -Xcc -fsanitize=undefined \
		-Xcc -fsanitize-trap=undefined --filter $(SANITIZED)
	swift test --disable-xctest --scratch-path .build/ubsan -Xcc -fsanitize=undefined \
		-Xcc -fsanitize-trap=undefined $(SANITIZED_TOO)

install: all install-library
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BUILD)/bin/iotrap $(DESTDIR)$(PREFIX)/bin/
	install -m 755 $(BUILD)/lib/libiotrap-preload.so $(DESTDIR)$(PREFIX)/lib/
# What programs in C are compiled and linked with. A page of the manual has the names of all of
# its functions.
MAN := $(DESTDIR)$(PREFIX)/share/man/man3
install-library: libraries
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include $(MAN)
	install -m 755 $(BUILD)/lib/libiotrap.so $(DESTDIR)$(PREFIX)/lib/libiotrap.so.0
	ln -sf libiotrap.so.0 $(DESTDIR)$(PREFIX)/lib/libiotrap.so
	install -m 644 $(PUBLIC_HEADERS) Sources/CIOTrap/include/iotrap_trace.h \
		$(DESTDIR)$(PREFIX)/include/
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' shim/library/iotrap.pc.in \
		> $(DESTDIR)$(PREFIX)/lib/pkgconfig/iotrap.pc
	install -m 644 docs/man/*.3 $(MAN)/
	@for page in docs/man/*.3; do \
		for name in $$(sed -nE '/^\.SH NAME/{n;s/ \\-.*//;s/,//g;p}' $$page); do \
			[ -e $(MAN)/$$name.3 ] || ln -s $$(basename $$page) $(MAN)/$$name.3; \
		done; \
	done
# In /usr/local/lib the loader finds only what its cache lists.
	$(if $(DESTDIR),,@[ "$$(id -u)" != 0 ] || /sbin/ldconfig)

clean:
	rm -rf $(BUILD) .build
