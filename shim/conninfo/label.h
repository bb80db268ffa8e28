/* The label of an application: what its connections are called, in the ledger and on the server. */
#ifndef PQB_CONNINFO_LABEL_H
#define PQB_CONNINFO_LABEL_H

/* Room for 63 bytes of printable ASCII, as PostgreSQL's names have it. */
#define PQB_LABEL_SIZE 64

/* The first of these that says something: `app` (PQBUDGET_APP), `npm` (npm_package_name), the
 * script that an interpreter of `argv` runs, the name in argv[0], `program`; else "unknown". Any of
 * them may be NULL. `argv` is the process's own, without need of a NULL behind its `argc`
 * arguments. */
void pqb_label_choose(char label[PQB_LABEL_SIZE], const char *app, const char *npm,
                      const char *program, int argc, char *const argv[]);

#endif
