/* What a client may ask before it says who it is, TLS, GSS or a cancel, and what it hears; and what
 * becomes of the name it says then. */
#include "sockets.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

GROUND(sockets_asking);

#define SSL "0000000804d2162f"
#define GSS "0000000804d21630"
#define HELLO "1603010005010000010a"

static const char *const kinds[] = {"tcp", "mapped", "unix"};
#define KINDS (sizeof kinds / sizeof *kinds)
#define NO_WAIT WORDS("PQBUDGET_WAIT=0")

/* In hexadecimal, a startup packet with one parameter more. */
static const char *startup_with(const char *name, const char *value)
{
    const char *parameter[] = {"user", getenv("PGUSER"), "database", "postgres", name, value};
    char packet[256] = {0}, hex[513];
    size_t length = 8;
    packet[5] = 3;
    for (unsigned i = 0; i < 6; i++)
        length += (size_t)sprintf(packet + length, "%s", parameter[i]) + 1;
    packet[3] = (char)++length;
    for (size_t i = 0; i < length; i++)
        sprintf(hex + 2 * i, "%02x", (unsigned char)packet[i]);
    return ground_text("%s", hex);
}

static void answer(int fd, char to_ssl)
{
    unsigned char said[4096];
    ssize_t got;
    while ((got = read(fd, said, sizeof said)) > 0) {
        int is_request = got == 8 && said[4] == 4 && said[5] == 0xd2 && said[6] == 0x16;
        if (is_request) {
            *said = said[7] == 0x30 ? 'G' : (unsigned char)to_ssl;
            got = 1;
        }
        if (write(fd, said, (size_t)got) != got)
            break;
    }
    _exit(0);
}

/* A server that agrees to GSS, and says this to those who want TLS; behind that, an echo. Its port.
 */
static int server_of(char to_ssl)
{
    int port, listener = ground_listener(0, &port);
    if (!support_fork())
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            if (!support_fork())
                answer(fd, to_ssl);
            close(fd);
        }
    close(listener);
    return port;
}

/* ---- asked, and declined ---- */

/* Held meanwhile, or not. GSS the server declines on a Unix socket, TLS everywhere. */
Test(sockets_asking, declined_and_then_in_plain)
{
    static const char *const ways[][2] = {
        {"unix", "bytes " GSS " by write 100 pause byte ssl by write 3 byte"},
        {"unix", "ssl by write 100 pause byte bytes " GSS " by write 100 byte"},
        {"tcp", "ssl by write 100 pause byte say N"},
    };
    for (unsigned i = 0; i < 6; i++) {
        const char *const *way = ways[i / 2];
        if (i % 2)
            sockets_fill(way[0]);
        struct guest *guest = sockets_start(
            PATIENT,
            "socket %s connect %s startup query cut 6 cut 20 by write 1000 hear hear pause", way[0],
            way[1]);
        hear(guest, "ready");
        if (i % 2) {
            sockets_held(1);
            ground_let_go();
        }
        guest_go(guest);
        hear(guest, "N");
        hear(guest, "N");
        hear(guest, "ok");
        hear(guest, "ok still here");
        hear(guest, "ready");
        sockets_open();
        content(guest);
        all_given_back();
    }
}

/* Whoever asks is refused when he has said who he is, however he says it. */
Test(sockets_asking, and_refused)
{
    static const char *const ways[] = {
        "bytes " GSS " by write 100 byte ssl by write 100 byte startup by write 1000",
        "bytes " GSS " ssl startup by write 1000 byte byte",
        "ssl by write 100 byte bytes " GSS " by write 3 byte startup cut 20 by write 1000",
    };
    for (unsigned i = 0; i < sizeof ways / sizeof *ways * KINDS; i++) {
        sockets_fill(kinds[i % KINDS]);
        struct guest *guest =
            sockets_start(NO_WAIT, "socket %s connect %s hear", kinds[i % KINDS], ways[i / KINDS]);
        hear(guest, "N");
        hear(guest, "N");
        hear(guest, "53300 end");
        content(guest);
        ground_let_go();
        all_given_back();
    }
}

/* He is to write first, and reads the end if he does not. */
Test(sockets_asking, and_refused_and_silent)
{
    sockets_fill("tcp");
    struct guest *guest =
        sockets_start(NO_WAIT, "socket tcp nonblock connect ssl by write 100 byte byte close");
    hear(guest, "N");
    hear(guest, "end");
    guest_end(guest);
    cr_assert_not_null(strstr(guest_complaints(guest), "could not be told"));
}

/* A client that begins with TLS is told by an alert. */
Test(sockets_asking, and_refused_in_the_words_of_tls)
{
    sockets_fill("tcp");
    struct guest *guest =
        sockets_start(NO_WAIT, "socket tcp connect bytes " HELLO " by write 100 byte echoed close");
    hear(guest, "\x15");
    hear(guest, "6 bytes");
    guest_end(guest);
    cr_assert_not_null(strstr(guest_complaints(guest), "could not be told"));
}

/* A cancel, replication and a pooler's console are nobody's connection, also after the question. */
Test(sockets_asking, for_what_is_not_charged)
{
    struct guest *guest = sockets_start(
        NO_WAIT,
        "socket tcp connect ssl by write 100 byte bytes 0000001004d2162e0000000100000001 by write "
        "100 "
        "echoed socket tcp connect ssl by write 100 byte bytes %s by write 1000 hear pause",
        startup_with("replication", "database"));
    hear(guest, "N");
    hear(guest, "0 bytes");
    hear(guest, "N");
    hear(guest, "ok");
    hear(guest, "ready");
    all_given_back();
    content(guest);
}

/* ---- asked, and agreed ---- */

/* What a process that has a connection asks first may lead to a cancel; what it says then does not.
 */
Test(sockets_asking, gss_of_a_process_that_has_one)
{
    int port = server_of('N');
    for (unsigned limit = 1; limit <= 2; limit++) {
        struct guest *guest = sockets_start(
            WORDS(ground_text("PQBUDGET_PORTS=%d", port), ground_text("PQBUDGET_LIMIT=%u", limit),
                  "PQBUDGET_WAIT=0",
                  ground_text("PQBUDGET_LEDGER=%s.%u", ground_ledger_name(), limit)),
            "socket %d connect bytes " GSS " by write 100 byte bytes 61 by write 100 byte "
            "socket %d connect ssl by write 100 byte bytes " GSS " by write 100 byte "
            "bytes 62 by write 1 echoed close",
            port, port);
        hear(guest, "G");
        hear(guest, "a");
        hear(guest, "N");
        hear(guest, "G");
        hear(guest, limit == 1 ? "0 bytes" : "1 bytes");
        cr_assert_eq(guest_end(guest), 0);
        cr_assert_eq(!strstr(guest_complaints(guest), "could not be told"), limit == 2, "%s",
                     guest_complaints(guest));
    }
}

Test(sockets_asking, a_hello_in_pieces)
{
    int port = server_of('S');
    struct guest *guest = sockets_start(WORDS(ground_text("PQBUDGET_PORTS=%d", port)),
                                        "socket %d connect ssl by write 100 byte bytes " HELLO
                                        " cut 2 cut 3 by write 100 byte pause "
                                        "echoed",
                                        port);
    hear(guest, "S");
    hear(guest, "\x16");
    hear(guest, "ready");
    sockets_open();
    guest_go(guest);
    hear(guest, "9 bytes");
    content(guest);
    all_given_back();
}

/* A process that has one, and goes on in plain: it is no cancel, and is refused in words. */
Test(sockets_asking, in_plain_of_a_process_that_has_one)
{
    struct guest *guest = sockets_start(
        NO_WAIT,
        "enter tcp socket tcp connect ssl by write 100 byte startup cut 9 by write 1000 hear");
    hear(guest, "ok");
    hear(guest, "N");
    hear(guest, "53300 end");
    content(guest);
    all_given_back();
}

/* ---- nobody there ---- */

/* The number may lead somewhere else then. */
Test(sockets_asking, a_port_where_nobody_listens)
{
    struct echo echo = sockets_echo();
    support_kill(echo.pid);
    struct guest *guest = sockets_start(
        WORDS(ground_text("PQBUDGET_PORTS=%s,%d", ground_port(), echo.port)),
        "socket %d connect reconnect tcp startup query by write 1000 hear hear pause", echo.port);
    hear(guest, "connect: ECONNREFUSED");
    hear(guest, "ok");
    hear(guest, "ok still here");
    hear(guest, "ready");
    sockets_open();
    content(guest);
    all_given_back();
}

/* ---- who it says it is ---- */

/* What the server calls the one connection there is. */
static const char *name_of_it(void)
{
    sockets_open();
    return ground_ask("select application_name from pg_stat_activity where pid = %d",
                      (int)ground_claim()->backend_pid);
}

/* A tag, [pid], stands behind what is expected. */
static void is_named(const char *naming, const char *own, const char *expected)
{
    const char *startup =
        own ? ground_text("bytes %s", startup_with("application_name", own)) : "startup";
    struct guest *guest = sockets_start(
        WORDS(ground_text("PQBUDGET_APPLICATION_NAME=%s", naming), "PQBUDGET_APP=api"),
        "socket tcp connect %s by write 1000 hear pause", startup);
    char tag[16];
    snprintf(tag, sizeof tag, " [%d]", (int)guest->pid);
    hear(guest, "ok");
    hear(guest, "ready");
    int length = 63 - (int)strlen(tag);
    cr_assert_str_eq(name_of_it(), !strcmp(naming, "tag")
                                       ? ground_text("%.*s%s", length, expected, tag)
                                       : expected);
    content(guest);
    all_given_back();
}

/* A tag stays whole, however long the name is. */
Test(sockets_asking, named)
{
    char as_long_as_it_may_be[64];
    memset(as_long_as_it_may_be, 'n', 63);
    as_long_as_it_may_be[63] = 0;
    is_named("fill", NULL, "api");
    is_named("fill", "mine", "mine");
    is_named("tag", NULL, "api");
    is_named("tag", "mine", "mine");
    is_named("tag", "", "api");
    is_named("tag", as_long_as_it_may_be, as_long_as_it_may_be);
    is_named("force", "mine", "api");
    is_named("off", NULL, "");
}
