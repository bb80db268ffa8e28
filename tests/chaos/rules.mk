# The programs of chaos: each folder is one, but for the fleet, which has a preload. Included by ../../Makefile.

CHAOS := $(filter-out fleet,$(notdir $(patsubst %/,%,$(sort $(dir $(CHAOS_PART_SRC))))))

# 1: flavour, 2: folder.
define chaos_rules
$(1)_TESTS += build/$(1)/chaos/$(2)
$(patsubst %.c,build/$(1)/obj/%.o,$(wildcard tests/chaos/$(2)/*.c)): $(1)_EXTRA = $$(LIBPQ_CFLAGS)
build/$(1)/chaos/$(2): $(patsubst %.c,build/$(1)/obj/%.o,$(wildcard tests/chaos/$(2)/*.c)) $$($(1)_LIBS) \
		build/$(1)/sources
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$(Q)$$($(1)_LINK) -o $$@ $$(filter %.o %.a,$$^) $$(LIBPQ_LIBS) -lpthread
endef
$(foreach flavour,$(FLAVOURS),$(foreach folder,$(CHAOS),$(eval $(call chaos_rules,$(flavour),$(folder)))))

build/release/obj/tests/chaos/fleet/clock.o: release_EXTRA = -fPIC
build/release/chaos/clock.so: build/release/obj/tests/chaos/fleet/clock.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(release_LINK) -shared -o $@ $<

# They connect as the clients do.
$(foreach flavour,$(FLAVOURS),$(eval build/$(flavour)/chaos/threads: build/$(flavour)/obj/tests/chaos/client/link.o))
