/* Follows a conversation that its parent hands it as it passes, and answers what it makes of it.
 *
 * On stdin, each with a byte that says what it is, and 4 of its length, the highest first: what the
 * server sent (<), what the client wrote (>) behind its StartupMessage, or a question (?), without
 * bytes. For each question a line: `gives way`, `idle, but` and why it must stay, or `busy`. */
#include "ledger/snapshot.h"
#include "preload/session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* The same conversation, as it came and byte by byte: they must not differ. */
static struct pqb_session whole, cut;

static void pass(struct pqb_session *session, char from, const char *bytes, size_t length)
{
    if (from == '<')
        pqb_session_read(session, bytes, length);
    else
        pqb_session_wrote(session, bytes, length);
}

static void hear(char from, size_t length)
{
    char *bytes = malloc(length ? length : 1);
    if (!bytes || fread(bytes, 1, length, stdin) != length)
        exit(1);
    pass(&whole, from, bytes, length);
    for (size_t i = 0; i < length; i++)
        pass(&cut, from, bytes + i, 1);
    free(bytes);
}

static void answer(void)
{
    enum pqb_pin pin = pqb_session_pin(&whole);
    int is_idle = pqb_session_is_idle(&whole);
    if (pin != pqb_session_pin(&cut) || is_idle != pqb_session_is_idle(&cut))
        puts("differs when cut");
    else if (pqb_session_can_give_way(&whole))
        puts("gives way");
    else
        printf("%s%s\n", is_idle ? "idle, but " : "busy",
               is_idle ? pqb_session_name(PQB_SESSION_PINNED + pin) : "");
    fflush(stdout);
}

int main(void)
{
    for (int from; (from = getchar()) != EOF;) {
        uint32_t length;
        if (fread(&length, sizeof length, 1, stdin) != 1)
            return 1;
        if (from == '?')
            answer();
        else
            hear((char)from, ntohl(length));
    }
    return 0;
}
