/* session.c: a conversation in both directions, which must be understood the same however it is
 * cut; and whatever stands before it, what pins a session is found. */
#include "preload/session.h"
#include "fuzz/fuzz.h"

/* Pieces of their own, so that a sanitizer sees every byte beyond them. */
static void pass(struct pqb_session *session, int is_clients, const uint8_t *data, size_t size)
{
    uint8_t *piece = malloc(size ? size : 1);
    MUST(piece);
    memcpy(piece, data, size);
    if (is_clients)
        pqb_session_wrote(session, piece, size);
    else
        pqb_session_read(session, piece, size);
    free(piece);
}

static void check_same(const struct pqb_session *whole, const struct pqb_session *cut)
{
    MUST(pqb_session_is_idle(whole) == pqb_session_is_idle(cut));
    MUST(pqb_session_pin(whole) == pqb_session_pin(cut));
    MUST(whole->client.asked == cut->client.asked);
    MUST(whole->server.answered == cut->server.answered);
    MUST(whole->client.is_over == cut->client.is_over);
    MUST(!pqb_session_is_idle(whole) || (!whole->client.is_over && !whole->server.is_over));
    MUST(pqb_session_can_give_way(whole) ==
         (pqb_session_is_idle(whole) && !pqb_session_pin(whole)));
}

/* Each piece begins with a byte that says whose it is and how long. One byte more, of
 * whomever, ends its being idle. */
static void check_conversation(const uint8_t *data, size_t size)
{
    struct pqb_session whole = {0}, cut = {0};
    pqb_session_read(&whole, "Z\0\0\0\5I", 6);
    cut = whole;
    while (size) {
        int is_clients = *data & 1;
        size_t length = *data >> 1;
        data++, size--;
        if (length > size)
            length = size;
        pass(&whole, is_clients, data, length);
        for (size_t i = 0; i < length; i++)
            pass(&cut, is_clients, data + i, 1);
        check_same(&whole, &cut);
        data += length, size -= length;
    }
    for (int is_clients = 0; is_clients < 2 && pqb_session_is_idle(&whole); is_clients++) {
        cut = whole;
        pass(&cut, is_clients, (const uint8_t *)"S", 1);
        MUST(!pqb_session_is_idle(&cut));
    }
}

static enum pqb_pin pin_of(const char *text, size_t length, size_t step)
{
    struct pqb_statement statement = {0};
    enum pqb_pin pin = PQB_PIN_NONE;
    for (size_t at = 0; at < length && !pin; at += step) {
        size_t here = length - at < step ? length - at : step;
        char *piece = fuzz_string((const uint8_t *)text + at, here);
        pin = pqb_statement_read(&statement, piece, here);
        free(piece);
    }
    return pin ? pin : pqb_statement_end(&statement);
}

static void check_text(const uint8_t *data, size_t size, size_t step)
{
    static const char *const pinning[] = {
        ";LISTEN c",
        ";/**/SET x=1",
        "\n;--\nDO 'x'",
        "; LOAD 'x'",
        ";PREPARE p AS x",
        "*/SET LOCAL.x =1",
        " CREATE TEMP TABLE",
        "\tcreate/**/temp table",
        " WITH HOLD",
        ";set\n\nx=1",
        " pg_advisory_lock(1)",
        " \"pg_temp\".t",
        " set_config(1,2,false)",
    };
    char *text = malloc(size + 32);
    MUST(text);
    memcpy(text, data, size);
    MUST(pin_of(text, size, size + 1) == pin_of(text, size, 1 + step));
    for (size_t i = 0; i < sizeof pinning / sizeof *pinning; i++) {
        size_t length = strlen(pinning[i]);
        memcpy(text + size, pinning[i], length);
        MUST(pin_of(text, size + length, 1 + step));
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (*data & 1)
        check_text(data + 1, size - 1, *data >> 1);
    else
        check_conversation(data + 1, size - 1);
    return 0;
}
