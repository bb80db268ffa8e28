/* A libpq in the shape of version 17: its functions call each other as that one's do, its
 * connections reach a real server's port and say nothing there. Not linked with any other libpq. */
#ifndef PQB_HELPER_FAKEPQ_H
#define PQB_HELPER_FAKEPQ_H

#include <libpq-fe.h>

#define FAKEPQ_KEYWORDS 11

enum fakepq_keyword { KEY_HOST, KEY_PORT, KEY_DBNAME, KEY_USER, KEY_APPLICATION_NAME };

struct pg_conn {
    char *value[FAKEPQ_KEYWORDS];
    ConnStatusType status;
    int socket;
    int is_past_login;
    char error[512];
};

extern const char *const fakepq_keyword[FAKEPQ_KEYWORDS];
extern const char *const fakepq_variable[FAKEPQ_KEYWORDS];

/* Number of the keyword, -1 if this version has none such. */
int fakepq_find(const char *keyword);

/* Splits "keyword=value keyword='value'" into *value; 0 and a text if that can't be done. */
int fakepq_split(const char *conninfo, char *value[FAKEPQ_KEYWORDS], char error[512]);

/* Opens the socket with what conn->value says. 1 = under way. */
int fakepq_begin(PGconn *conn);
PGconn *fakepq_make(void);

/* What version 17 has and the headers of this build may lack. */
typedef struct pg_cancel_conn PGcancelConn;
typedef long long fakepq_time;
int PQsocketPoll(int socket, int to_read, int to_write, fakepq_time until);
PGcancelConn *PQcancelCreate(PGconn *conn);
int PQcancelStart(PGcancelConn *cancel);
int PQcancelBlocking(PGcancelConn *cancel);
PostgresPollingStatusType PQcancelPoll(PGcancelConn *cancel);
ConnStatusType PQcancelStatus(const PGcancelConn *cancel);
int PQcancelSocket(const PGcancelConn *cancel);
char *PQcancelErrorMessage(const PGcancelConn *cancel);
void PQcancelReset(PGcancelConn *cancel);
void PQcancelFinish(PGcancelConn *cancel);

PGconn *fakepq_connect_behind(const char *conninfo);

#endif
