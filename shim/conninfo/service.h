/* A section of a service file, pg_service.conf. */
#ifndef PQB_CONNINFO_SERVICE_H
#define PQB_CONNINFO_SERVICE_H

#include "conninfo/params.h"
#include "ledger/status.h"

/* Reads the section `service` out of the text of a file as libpq does: the first section of that
 * name counts, the first of equal keywords too, and an empty value is a value. Adds it to `params`.
 *
 * PQB_ABSENT: no such section, the next file is asked. PQB_INVALID: libpq refuses the file.
 * PQB_REFUSED: the section is looked up in LDAP, which only libpq does; what it says stays unknown.
 * PQB_NO_MEMORY. */
enum pqb_status pqb_service_read(const char *text, size_t length, const char *service,
                                 const struct pqb_keywords *known, struct pqb_params *params)
    __attribute__((warn_unused_result));

#endif
