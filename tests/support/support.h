/* What tests and their helper programs share: a ledger of one's own, waiting for conditions. */
#ifndef PQB_TESTS_SUPPORT_H
#define PQB_TESTS_SUPPORT_H

#include "ledger/wait.h"

#include <sys/types.h>

/* Polls until `condition` holds; false after 20 s, so that a broken test ends. */
#define wait_until(condition)                                                                      \
    ({                                                                                             \
        uint64_t until_ = pqb_now() + 20 * PQB_SECOND;                                             \
        int holds_;                                                                                \
        while (!(holds_ = (condition)) && pqb_now() < until_)                                      \
            support_nap();                                                                         \
        holds_;                                                                                    \
    })
void support_nap(void); /* a millisecond */

/* The name of a ledger that no other test uses: "test.<pid>.<n>". */
void support_ledger_name(char name[64]);

/* Opens a fresh ledger under such a name; ends the program if that fails. */
void support_ledger_open(struct pqb_ledger *ledger);

/* Closes and removes it, whatever state it is in. */
void support_ledger_end(struct pqb_ledger *ledger);

/* Forks; in the child 0, and the child is killed when its parent dies. Children only _exit. */
pid_t support_fork(void);

/* Waits to be killed, but not for ever: a test that fails leaves nobody to do it. */
void support_linger(void) __attribute__((noreturn));

/* For children of a test, which must not use Criterion: says what does not hold and ends. */
#define expect(condition)                                                                          \
    ((condition) ? (void)0 : support_unexpected(__FILE__, __LINE__, #condition))
void support_unexpected(const char *file, int line, const char *condition)
    __attribute__((noreturn));

/* Runs `body` in a forked child; 0 if it came to its end. */
int support_apart(void (*body)(void));

/* Closes every descriptor but the standard ones, ours and the host's. Not in a test itself:
 * Criterion has some too. */
void support_close_all(void);

/* Kills with SIGKILL if need be and reaps; returns the wait status. */
int support_reap(pid_t pid);
int support_kill(pid_t pid);

/* The file in the build under test, e.g. support_built("helpers/client"). */
const char *support_built(const char *file);

/* Zeroed memory that this process shares with the children it forks. */
void *support_shared(size_t bytes);

/* The claims of all servers by their state, as a snapshot shows them. */
struct support_counts {
    unsigned waiting, granted, connecting, open, draining;
    unsigned used; /* all that a limit counts */
};
struct support_counts support_count(struct pqb_ledger *ledger);

/* Takes a claim and opens it, with no backend known. */
enum pqb_status support_hold(struct pqb_ledger *ledger, const struct pqb_claim_request *request,
                             long long wait_ms, struct pqb_claim *claim)
    __attribute__((warn_unused_result));

/* The process inside the guard; 0 = nobody is. Not to be asked inside it. */
int32_t support_guard_owner(const struct pqb_region *region);

/* A child made past libc: its fork handlers do not run. Killed when its parent dies, if `bound`. */
pid_t support_raw_clone(int bound);

/* Counts the open descriptors of this process. */
unsigned support_descriptors(void);

#endif
