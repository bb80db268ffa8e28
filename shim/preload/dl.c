#include "preload/dl.h"

#include "preload/library.h"
#include "preload/settings.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
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

#ifndef __GLIBC__
/* musl has no versions. The stubs are left out there, so that any dlsym is the real one. */
#define dlvsym(handle, name, version) dlsym(handle, name)
#define RTLD_DEEPBIND 0
#endif

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

static void name_object(struct pqb_object *object, const char *path)
{
    size_t length = strnlen(path, sizeof object->path - 1);
    memcpy(object->path, path, length);
    object->path[length] = 0;
}

static void measure(const ElfW(Phdr) * part, unsigned parts, uintptr_t bias,
                    struct pqb_object *object)
{
    object->start = UINTPTR_MAX;
    object->end = 0;
    for (unsigned i = 0; i < parts; i++) {
        if (part[i].p_type != PT_LOAD)
            continue;
        uintptr_t at = bias + part[i].p_vaddr;
        object->start = at < object->start ? at : object->start;
        object->end = at + part[i].p_memsz > object->end ? at + part[i].p_memsz : object->end;
    }
}

#ifdef __GLIBC__

/* Where the object is that has this address; NULL if none has. */
#if __GLIBC_PREREQ(2, 35)
static const void *find_object(const void *address, struct link_map **map)
{
    struct dl_find_object found;
    if (_dl_find_object((void *)address, &found))
        return NULL;
    *map = found.dlfo_link_map;
    return found.dlfo_map_start;
}
#else /* looks at every name in it */
static const void *find_object(const void *address, struct link_map **map)
{
    Dl_info info;
    return dladdr1(address, &info, (void **)map, RTLD_DL_LINKMAP) && *map ? info.dli_fbase : NULL;
}
#endif

int pqb_dl_object(const void *address, struct pqb_object *object)
{
    struct link_map *map = NULL;
    const ElfW(Ehdr) *header = address ? find_object(address, &map) : NULL;
    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return 0;
    const char *parts = (const char *)header + header->e_phoff;
    measure((const ElfW(Phdr) *)parts, header->e_phnum, map->l_addr, object);
    name_object(object, map->l_name);
    return 1;
}
#else
/* There a forked child may walk the list, and a caller is looked for once. */
int pqb_dl_object(const void *address, struct pqb_object *object)
{
    for (unsigned number = 0; pqb_dl_object_number(number, object); number++)
        if ((uintptr_t)address >= object->start && (uintptr_t)address < object->end)
            return 1;
    return 0;
}
#endif

struct search {
    unsigned number;
    struct pqb_object *object;
};

static int look_at(struct dl_phdr_info *info, size_t size, void *data)
{
    struct search *search = data;
    (void)size;
    if (search->number-- > 0)
        return 0;
    measure(info->dlpi_phdr, info->dlpi_phnum, info->dlpi_addr, search->object);
    name_object(search->object, info->dlpi_name);
    return 1;
}

int pqb_dl_object_number(unsigned number, struct pqb_object *object)
{
    struct search search = {.number = number, .object = object};
    return dl_iterate_phdr(look_at, &search);
}

void *pqb_dl_handle(const struct pqb_object *object)
{
    void *handle = dlopen(*object->path ? object->path : NULL, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        dlerror();
    return handle;
}
