/* A program that knows libpq only through what it loads while it runs. */
#ifndef PQB_HELPER_LOADER_H
#define PQB_HELPER_LOADER_H

#include "../plugins/api.h"
#include "support/stage.h"

/* Loading: the api of the library that was loaded or chosen last, and its handle. */
const struct api *loader_api(void);
void *loader_handle(void);

extern const struct stage_step loading_steps[], calling_steps[], cancel_steps[];

#endif
