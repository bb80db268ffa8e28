/* A 32-bit program beside 64-bit ones.
 *   peer PATH   the ledger there is not for it: it is refused, in words (0)
 *   peer        uses a ledger of its own (0)
 * Anything else is 1, with a line that says what. */
#include "ledger/steer.h"
#include "ledger/wait.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int fail(const char *what, const char *text)
{
    fprintf(stderr, "peer: %s %s\n", what, text);
    return 1;
}

static int refused(const char *path)
{
    struct pqb_ledger ledger;
    struct pqb_error error = {{0}};
    enum pqb_status status = pqb_ledger_open(&ledger, path, 1, &error);
    if (status != PQB_WORDSIZE)
        return fail("not refused:", pqb_status_text(status));
    if (!strstr(error.text, "64-bit") || !strstr(error.text, "32"))
        return fail("unclear:", error.text);
    return 0;
}

static int own(void)
{
    static const struct pqb_server_config two = {.limit = 2};
    static const struct pqb_claim_request request = {
        .server = "localhost:5432", .app = "peer", .defaults = &two};
    static const struct pqb_claim_peer unseen;
    struct pqb_ledger ledger;
    struct pqb_claim claim[3];
    struct pqb_error error = {{0}};
    char name[64];
    snprintf(name, sizeof name, "test.peer.%d", (int)getpid());
    if (pqb_ledger_open(&ledger, name, 1, &error))
        return fail("cannot open:", error.text);
    int failed = 0;
    for (int i = 0; i < 2 && !failed; i++)
        failed = pqb_wait_acquire(&ledger, &request, 0, &claim[i], NULL, &error) ||
                 pqb_claim_open(&claim[i], &unseen);
    if (!failed && pqb_wait_acquire(&ledger, &request, 0, &claim[2], NULL, &error) != PQB_TIMED_OUT)
        failed = fail("a third claim", "was granted");
    if (!failed) {
        pqb_claim_give(&claim[0], PQB_END_CLOSED);
        failed = pqb_wait_acquire(&ledger, &request, 0, &claim[2], NULL, &error);
    }
    if (pqb_steer_reset(ledger.path, 1, NULL))
        failed = 1;
    return failed ? fail("no claim:", error.text) : 0;
}

int main(int count, char **arguments)
{
    return count > 1 ? refused(arguments[1]) : own();
}
