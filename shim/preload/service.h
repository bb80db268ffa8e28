/* Where service files are. */
#ifndef PQB_PRELOAD_SERVICE_H
#define PQB_PRELOAD_SERVICE_H

#include "conninfo/params.h"

/* Reads the section of a service from the file that libpq would find it in. 0 if that can't be
 * told: libpq may know another folder, or the section is in LDAP; `params` are empty then. */
int pqb_service_find(const char *service, const struct pqb_keywords *known,
                     struct pqb_params *params);

#endif
