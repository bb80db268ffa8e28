#include "preload/session.h"

struct pqb_session pqb_session_begun(void)
{
    return (struct pqb_session){.server = {.ready = 'I', .is_started = 1, .answered = 1}};
}

/* The server has answered all that it was asked, and waits for the client. */
static int is_at_rest(const struct pqb_session *session)
{
    /* The first ReadyForQuery, the login's, nobody asks for. */
    return pqb_protocol_scan_is_ready(&session->server) &&
           pqb_protocol_scan_out_is_settled(&session->client) &&
           session->server.answered == session->client.asked + 1;
}

int pqb_session_is_idle(const struct pqb_session *session)
{
    return session->server.ready == 'I' && is_at_rest(session);
}

int pqb_session_is_in_transaction(const struct pqb_session *session)
{
    return session->server.ready != 'I' && is_at_rest(session);
}

enum pqb_pin pqb_session_pin(const struct pqb_session *session)
{
    /* A function may have said LISTEN; the first notification tells. */
    if (!session->client.pin && session->server.is_notified)
        return PQB_PIN_LISTEN;
    return (enum pqb_pin)session->client.pin;
}

int pqb_session_can_give_way(const struct pqb_session *session)
{
    return !pqb_session_pin(session) && pqb_session_is_idle(session);
}
