/*
 * The loader: its real functions, and what is loaded.
 *
 * dlopen and dlsym are hooked by stubs (jump.S) that jump on to the real ones, which therefore see
 * the program's own return address. Everybody in here calls the real dlsym by pqb_dl_symbol.
 */
#ifndef PQB_PRELOAD_DL_H
#define PQB_PRELOAD_DL_H

#include <limits.h>
#include <stdint.h>

/* An object that is loaded: the program, a library. */
struct pqb_object {
    uintptr_t start, end;
    char path[PATH_MAX]; /* "" = the program */
};

/* The object that `address` is in. 0 if there is none. Works in the forked child of a program whose
 * other threads were inside the loader, where dlopen and dl_iterate_phdr may hang or abort. */
int pqb_dl_object(const void *address, struct pqb_object *object);

/* The object with this number, in the order of loading. 0 behind the last. */
int pqb_dl_object_number(unsigned number, struct pqb_object *object);

/* A handle of a loaded object, NULL if it is gone. To be closed with dlclose, or kept. */
void *pqb_dl_handle(const struct pqb_object *object);

/* The real dlsym, without a message for dlerror() left behind. */
void *pqb_dl_symbol(void *handle, const char *name);

/* The next function of this name behind ours. */
void *pqb_dl_next(const char *name);

/* Is the address in this library of ours? */
int pqb_dl_is_ours(const void *address);

#endif
