/* The ways to libpq: a plugin that is linked with it, or its functions by their names. */
#include "loader.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct api *apis[16];
static void *handles[16];
static unsigned count, current;

const struct api *loader_api(void)
{
    return apis[current];
}

void *loader_handle(void)
{
    return handles[current];
}

static void *must(void *found)
{
    if (!found) {
        dprintf(STDERR_FILENO, "%s\n", dlerror());
        _exit(2);
    }
    return found;
}

static void keep(void *handle, const struct api *api)
{
    if (count == sizeof apis / sizeof *apis)
        _exit(2);
    current = count++;
    handles[current] = handle;
    apis[current] = api;
}

/* PATH local|global|deepbind plain|tail|pointer */
static void load_plugin(void)
{
    const char *path = stage_argument(), *how = stage_argument();
    char name[32];
    int flags = !strcmp(how, "global")     ? RTLD_NOW | RTLD_GLOBAL
                : !strcmp(how, "deepbind") ? RTLD_NOW | RTLD_DEEPBIND
                                           : RTLD_NOW | RTLD_LOCAL;
    void *handle = must(dlopen(path, flags));
    snprintf(name, sizeof name, "client_%s", stage_argument());
    const struct api *(*give)(void) = (const struct api *(*)(void))must(dlsym(handle, name));
    keep(handle, give());
}

static void fill(struct api *api, void *handle)
{
    static const char *const name[] = {"PQconnectdb", "PQconnectStart", "PQconnectPoll",
                                       "PQstatus",    "PQerrorMessage", "PQbackendPID",
                                       "PQsocket",    "PQreset",        "PQfinish"};
    void **slot = (void **)api;
    for (unsigned i = 0; i < sizeof name / sizeof *name; i++)
        slot[i] = must(dlsym(handle, name[i]));
}

/* PATH: as a foreign function interface does it. */
static void load_functions(void)
{
    static struct api found[16];
    static unsigned used;
    void *handle = must(dlopen(stage_argument(), RTLD_NOW | RTLD_LOCAL));
    fill(&found[used], handle);
    keep(handle, &found[used++]);
}

/* In the global scope, where a plugin that was loaded "global" has put them. */
static void look_globally(void)
{
    static struct api found;
    fill(&found, RTLD_DEFAULT);
    keep(RTLD_DEFAULT, &found);
}

/* Calls through the library that was loaded as the N-th from here on. */
static void use(void)
{
    current = (unsigned)(stage_argument()[0] - '0');
    if (current >= count)
        _exit(2);
}

static void unload(void)
{
    must(handles[current]);
    stage_say("unloaded %d", dlclose(handles[current]));
}

/* PATH: any library, by any means, and whether it loads. */
static void load_any(void)
{
    stage_say("%s", dlopen(stage_argument(), RTLD_NOW) ? "loaded" : dlerror());
}

/* The hook answers names that begin with PQ; every other one has to see its caller. */
static void look_up(void)
{
    void *next = dlsym(RTLD_NEXT, "getpid");
    stage_say("next %s", next == dlsym(RTLD_DEFAULT, "getpid") ? "found" : "astray");
    stage_say("unknown %s", dlsym(RTLD_DEFAULT, "PQnoSuchFunction") ? "found" : "absent");
    stage_say("error %s", strstr(dlerror(), "PQnoSuchFunction") ? "names it" : "is silent");
    stage_say("plain %s", dlsym(RTLD_DEFAULT, "no_such_function") ? "found" : "absent");
    stage_say("error %s", strstr(dlerror(), "no_such_function") ? "names it" : "is silent");
}

const struct stage_step loading_steps[] = {
    {"plugin", load_plugin}, {"ffi", load_functions}, {"default", look_globally}, {"use", use},
    {"unload", unload},      {"load", load_any},      {"lookup", look_up},        {0},
};
