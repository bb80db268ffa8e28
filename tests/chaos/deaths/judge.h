/*
 * What must be true after a death. The judge has a ledger, a server that takes no more of the
 * clients' connections than the limit allows, and clients of its own that hold what is to be held.
 *
 *  never over   As many of the next clients as the limit allows are there before he dies, and are
 *               let in as the server forgets him: it never refuses one, nor counts more than the
 *               limit.
 *  never stuck  All of them get in, once everybody else has gone.
 *  never lost   Then the ledger knows their connections and no others, those that the server has,
 *               and the books agree with the claims.
 *
 * No time is judged. Of a client that dies while it logs in nobody knows which process of the
 * server's is his: its claim drains for a minute here, which the judge ends when the server has
 * forgotten him.
 */
#ifndef PQB_DEATHS_JUDGE_H
#define PQB_DEATHS_JUDGE_H

#include "chaos/deaths/people.h"
#include "chaos/deaths/trace.h"

#define JUDGE_LIMIT 2

/* Meets the server, and sets the environment of all that are started from then on. Ends the program
 * if there is none, or not such a one. */
void judge_meet_server(void);

/* A ledger, in which `held` slots are taken by connections to `host`. All functions from here on
 * give 1 if all is well; else judge_finding tells what is not. */
int judge_open(const char *host, unsigned held);
const char *judge_finding(void);

/* One of those who hold a slot closes its connection. */
void judge_give_way(void);

/* The client stands still: somebody comes to wait. */
int judge_follow(pid_t client);

/* The same, before one of its processes dies: all of the next ones come. */
int judge_prepare(pid_t client, pid_t dying);

/* After that, or its end: lets those who are left come to theirs, and judges; then as many slots
 * are held as were in the beginning. */
int judge_settle(struct trace *left, pid_t dead, struct person *client);

/* All go, and nothing is left. Whatever was found, everybody has gone afterwards. */
int judge_close(void);

#endif
