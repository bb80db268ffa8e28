#include "preload/dl.h"

#include "preload/library.h"
#include "preload/settings.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* Ends of our own object, made by the linker. */
extern const char __ehdr_start[] // NOLINT(bugprone-reserved-identifier)
    __attribute__((visibility("hidden")));
extern const char _end[] // NOLINT(bugprone-reserved-identifier)
    __attribute__((visibility("hidden")));

/* What the stubs jump on to. NULL until the first call. */
void *_Atomic pqb_dl_real_dlopen __attribute__((visibility("hidden")));
void *_Atomic pqb_dl_real_dlsym __attribute__((visibility("hidden")));

/* Called by the stubs alone. */
void *pqb_dl_find_dlopen(void);
void *pqb_dl_find_dlsym(void);
int pqb_dl_mode(int mode);
void *pqb_dl_answer(void *handle, const char *name);

/* By its version, since dlsym is what is being looked for: 2.34 moved it into libc, before that it
 * had the version of the port. Not found, it would allocate for dlerror(), inside a preloaded
 * malloc's own start perhaps; so the one that is there comes first. */
static void *find_real(const char *name)
{
    static const char versions[][12] = {"GLIBC_2.34", "GLIBC_2.2.5", "GLIBC_2.17", "GLIBC_2.27"};
    void *real = NULL;
    for (unsigned i = 0; !real && i < sizeof versions / sizeof *versions; i++)
        real = dlvsym(RTLD_NEXT, name, versions[i]);
    return real;
}

void *pqb_dl_find_dlopen(void)
{
    void *real = find_real("dlopen");
    atomic_store(&pqb_dl_real_dlopen, real);
    return real;
}

void *pqb_dl_find_dlsym(void)
{
    void *real = find_real("dlsym");
    atomic_store(&pqb_dl_real_dlsym, real);
    return real;
}

/* An object bound to itself first would pass by every preloaded function, also libc's connect. */
int pqb_dl_mode(int mode)
{
    return pqb_settings_is_off() ? mode : mode & ~RTLD_DEEPBIND;
}

/* The wrapper for a function of libpq that a program looks up by hand; NULL = ask the real dlsym.
 */
void *pqb_dl_answer(void *handle, const char *name)
{
    int number = pqb_libpq_hook_number(name), saved = errno;
    if (number < 0 || pqb_settings_is_off())
        return NULL;
    const void *real = pqb_dl_symbol(handle, name);
    void *answer = NULL;
    if (real && !pqb_dl_is_ours(real))
        answer = pqb_libpq_bound(pqb_libpq_at(real), (unsigned)number);
    errno = saved;
    return answer;
}

void *pqb_dl_symbol(void *handle, const char *name)
{
    void *real = atomic_load(&pqb_dl_real_dlsym);
    if (!real && !(real = pqb_dl_find_dlsym()))
        return NULL;
    void *(*real_dlsym)(void *, const char *);
    memcpy(&real_dlsym, &real, sizeof real);
    void *found = real_dlsym(handle, name);
    if (!found)
        dlerror();
    return found;
}

void *pqb_dl_next(const char *name)
{
    return pqb_dl_symbol(RTLD_NEXT, name);
}

int pqb_dl_is_ours(const void *address)
{
    return (uintptr_t)address >= (uintptr_t)__ehdr_start && (uintptr_t)address < (uintptr_t)_end;
}

/* ---- what is loaded ---- */

struct search {
    uintptr_t address; /* 0 = by number */
    unsigned number;
    struct pqb_object *object;
};

static int look_at(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    uintptr_t start = UINTPTR_MAX, end = 0;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[i];
        if (part->p_type != PT_LOAD)
            continue;
        uintptr_t at = info->dlpi_addr + part->p_vaddr;
        start = at < start ? at : start;
        end = at + part->p_memsz > end ? at + part->p_memsz : end;
    }
    if (search->address ? search->address < start || search->address >= end : search->number-- > 0)
        return 0;
    *search->object = (struct pqb_object){.start = start, .end = end, .unloaded = info->dlpi_subs};
    snprintf(search->object->path, sizeof search->object->path, "%s", info->dlpi_name);
    return 1;
}

int pqb_dl_object(const void *address, struct pqb_object *object)
{
    struct search search = {.address = (uintptr_t)address, .object = object};
    return address && dl_iterate_phdr(look_at, &search);
}

int pqb_dl_object_number(unsigned number, struct pqb_object *object)
{
    struct search search = {.number = number, .object = object};
    return dl_iterate_phdr(look_at, &search);
}

static int read_unloaded(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size;
    *(uint64_t *)data = info->dlpi_subs;
    return 1;
}

uint64_t pqb_dl_unloaded(void)
{
    uint64_t unloaded = 0;
    dl_iterate_phdr(read_unloaded, &unloaded);
    return unloaded;
}

void *pqb_dl_handle(const struct pqb_object *object)
{
    void *handle = dlopen(*object->path ? object->path : NULL, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        dlerror();
    return handle;
}
