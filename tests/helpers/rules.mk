# The helper programs that take more than one file, and the libraries they load. Included by ../../Makefile.

DOORS_SRC := $(wildcard tests/helpers/doors/*.c)
LOADER_SRC := $(wildcard tests/helpers/loader/*.c)
SOCKETS_SRC := $(wildcard tests/helpers/sockets/*.c)
PLUGIN_SRC := $(wildcard tests/helpers/plugins/*.c)
FAKEPQ_SRC := $(wildcard tests/helpers/fakepq/*.c)
LIBPQ_FILE = $$(pkg-config --variable=libdir libpq)/libpq.so.5

# 1: flavour. Plugins and the fake libpq are always optimised: their calls in tail position are the point.
define helper_rules
$(1)_PLUGINS := $(PLUGIN_SRC:tests/%.c=build/$(1)/%.so)
$(1)_LIBPQS := $(patsubst %,build/$(1)/helpers/%/libpq.so.5,copy symbolicpq fakepq)
$(1)_TESTS += build/$(1)/helpers/doors build/$(1)/helpers/loader build/$(1)/helpers/sockets $$($(1)_PLUGINS) \
	$$($(1)_LIBPQS)

$(DOORS_SRC:%.c=build/$(1)/obj/%.o) $(LOADER_SRC:%.c=build/$(1)/obj/%.o): $(1)_EXTRA = $$(LIBPQ_CFLAGS)
$(PLUGIN_SRC:%.c=build/$(1)/obj/%.o) $(FAKEPQ_SRC:%.c=build/$(1)/obj/%.o): $(1)_EXTRA = \
	$$(LIBPQ_CFLAGS) -O2 -fPIC -fsemantic-interposition

# Of the programs of one file these use libpq, as anybody would.
build/$(1)/obj/tests/helpers/pool.o: $(1)_EXTRA = $$(LIBPQ_CFLAGS)
build/$(1)/helpers/pool: $(1)_WITH = $$(LIBPQ_LIBS) -lpthread

build/$(1)/helpers/doors: $(DOORS_SRC:%.c=build/$(1)/obj/%.o) build/$(1)/libsupport.a build/$(1)/libledger.a
build/$(1)/helpers/doors: $(1)_WITH = $$(LIBPQ_LIBS) -lpthread
build/$(1)/helpers/loader: $(LOADER_SRC:%.c=build/$(1)/obj/%.o) build/$(1)/libsupport.a build/$(1)/libledger.a
build/$(1)/helpers/loader: $(1)_WITH = -Wl,--enable-new-dtags,-rpath,'$$$$ORIGIN/plugins' -ldl -lpthread
build/$(1)/helpers/sockets: $(SOCKETS_SRC:%.c=build/$(1)/obj/%.o) build/$(1)/libsupport.a
$$($(1)_PLUGINS): build/$(1)/helpers/plugins/%.so: build/$(1)/obj/tests/helpers/plugins/%.o
$$($(1)_PLUGINS): $(1)_WITH = -shared $$(LIBPQ_LIBS)
build/$(1)/helpers/fakepq/libpq.so.5: $(FAKEPQ_SRC:%.c=build/$(1)/obj/%.o)
build/$(1)/helpers/fakepq/libpq.so.5: $(1)_WITH = -shared -Wl,-soname,libpq.so.5
build/$(1)/helpers/doors build/$(1)/helpers/loader build/$(1)/helpers/sockets $$($(1)_PLUGINS) \
		build/$(1)/helpers/fakepq/libpq.so.5: \
		build/$(1)/sources
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$(Q)$$($(1)_LINK) -o $$@ $$(filter %.o %.a,$$^) $$($(1)_WITH)

# The installed libpq, once more and under another path; and once bound within itself.
build/$(1)/helpers/copy/libpq.so.5: build/$(1)/sources
	@mkdir -p $$(@D)
	$(Q)cp -L "$$(LIBPQ_FILE)" $$@
build/$(1)/helpers/symbolicpq/libpq.so.5: build/release/helpers/symbolic
	@mkdir -p $$(@D)
	$(Q)build/release/helpers/symbolic "$$(LIBPQ_FILE)" $$@
endef
$(foreach flavour,$(FLAVOURS),$(eval $(call helper_rules,$(flavour))))
