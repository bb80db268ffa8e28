/* preload/connection.c: what is known of a PGconn. */
#include "ledger/wait.h"
#include "preload/connection.h"
#include "support/support.h"

#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(preload_connection, .timeout = 60);

static struct pqb_libpq *const a_libpq = (void *)64;

/* No PGconn is looked into: any address will do. */
static struct pg_conn *conn_at(uintptr_t address)
{
    return (struct pg_conn *)address; // NOLINT(performance-no-int-to-ptr)
}

static struct pqb_connection *made(uintptr_t address)
{
    struct pqb_connection *connection = pqb_connection_new(a_libpq), *earlier;
    if (!connection || !pqb_connection_add(connection, conn_at(address), &earlier) || earlier)
        abort();
    return connection;
}

Test(preload_connection, begins_with_nothing)
{
    struct pqb_connection *connection = pqb_connection_new(a_libpq);
    cr_assert_eq(connection->pq, a_libpq);
    cr_assert_eq(connection->pid, getpid());
    cr_assert_eq(connection->state, PQB_CONNECTION_FREE);
    cr_assert_eq(connection->wait, PQB_WAIT_SERVER);
    cr_assert_eq(connection->cap, 0);
    cr_assert_null(connection->claim.region);
    cr_assert_null(connection->server);
    cr_assert_null(connection->refusal);
    pqb_connection_free(connection);
}

Test(preload_connection, is_found_until_it_is_taken)
{
    cr_assert_null(pqb_connection_find(conn_at(16)));
    cr_assert_null(pqb_connection_take(conn_at(16)));
    struct pqb_connection *one = made(16), *other = made(32);
    cr_assert_eq(pqb_connection_find(conn_at(16)), one);
    cr_assert_eq(pqb_connection_find(conn_at(32)), other);
    cr_assert_eq(one->conn, conn_at(16));
    cr_assert_null(pqb_connection_find(conn_at(48)));
    cr_assert_null(pqb_connection_find(NULL));
    cr_assert_null(pqb_connection_take(NULL));
    cr_assert_eq(pqb_connection_take(conn_at(16)), one);
    cr_assert_null(pqb_connection_find(conn_at(16)));
    cr_assert_null(pqb_connection_take(conn_at(16)));
    cr_assert_eq(pqb_connection_take(conn_at(32)), other);
    pqb_connection_free(one);
    pqb_connection_free(other);
}

/* libpq freed it past us, and malloc gave the address again. */
Test(preload_connection, of_an_address_that_is_used_again)
{
    struct pqb_connection *first = made(16), *second = pqb_connection_new(a_libpq), *earlier;
    cr_assert(pqb_connection_add(second, conn_at(16), &earlier));
    cr_assert_eq(earlier, first);
    cr_assert_eq(pqb_connection_take(conn_at(16)), second);
    cr_assert_null(pqb_connection_take(conn_at(16)));
    pqb_connection_free(first);
    pqb_connection_free(second);
}

Test(preload_connection, thousands)
{
    static struct pqb_connection *all[5000];
    for (unsigned i = 0; i < 5000; i++)
        all[i] = made(4096 + i * 736);
    for (unsigned i = 0; i < 5000; i += 2)
        cr_assert_eq(pqb_connection_take(conn_at(4096 + i * 736)), all[i]);
    for (unsigned i = 0; i < 5000; i++)
        cr_assert_eq(pqb_connection_find(conn_at(4096 + i * 736)), i % 2 ? all[i] : NULL);
    for (unsigned i = 0; i < 5000; i++) {
        pqb_connection_take(conn_at(4096 + i * 736));
        pqb_connection_free(all[i]);
    }
}

static void *come_and_go(void *first)
{
    for (uintptr_t i = 0; i < 3000; i++) {
        uintptr_t address = (uintptr_t)first + i % 100 * 64;
        struct pqb_connection *connection = made(address);
        if (pqb_connection_find(conn_at(address)) != connection ||
            pqb_connection_take(conn_at(address)) != connection)
            return first;
        pqb_connection_free(connection);
    }
    return NULL;
}

Test(preload_connection, of_many_threads)
{
    pthread_t thread[4];
    void *bad;
    for (uintptr_t i = 0; i < 4; i++)
        pthread_create(&thread[i], NULL, come_and_go, conn_at((i + 1) << 20));
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(thread[i], &bad);
        cr_assert_null(bad);
    }
}

Test(preload_connection, counts_the_refused)
{
    struct pqb_connection *one = made(16), *other = made(32);
    cr_assert_eq(pqb_connections_refused, 0);
    pqb_connection_refuse(one, NULL);
    cr_assert_eq(pqb_connections_refused, 0);
    pqb_connection_refuse(one, strdup("no"));
    pqb_connection_refuse(one, strdup("still no"));
    cr_assert_str_eq(one->refusal, "still no");
    cr_assert_eq(pqb_connections_refused, 1);
    pqb_connection_refuse(other, strdup("no"));
    cr_assert_eq(pqb_connections_refused, 2);
    pqb_connection_refuse(one, NULL);
    cr_assert_null(one->refusal);
    cr_assert_eq(pqb_connections_refused, 1);
    pqb_connection_free(pqb_connection_take(conn_at(32)));
    cr_assert_eq(pqb_connections_refused, 0);
    pqb_connection_free(pqb_connection_take(conn_at(16)));
}

#ifndef __SANITIZE_ADDRESS__
/* Every piece of memory that there is, the largest first. */
static void use_up(void)
{
    struct rlimit none = {0, 0};
    void *volatile piece; /* or a compiler does without */
    expect(!setrlimit(RLIMIT_AS, &none));
    for (size_t size = 1 << 20; size >= 16; size /= 2)
        while ((piece = malloc(size)))
            ; // NOLINT(clang-analyzer-unix.Malloc)
}

static void without_memory(void)
{
    struct pqb_connection *connection = pqb_connection_new(a_libpq), *earlier = connection;
    expect(connection != NULL);
    use_up();
    expect(!pqb_connection_new(a_libpq));
    expect(!pqb_connection_add(connection, conn_at(16), &earlier));
    expect(!earlier);
    expect(!pqb_connection_find(conn_at(16)));
    expect(!pqb_connection_take(conn_at(16)));
}

Test(preload_connection, finds_no_memory)
{
    cr_assert_eq(support_apart(without_memory), 0);
}

/* The table that is there takes some more, until it wants to grow; then it is as it was. */
static void without_memory_to_grow(void)
{
    static struct pqb_connection *all[1000];
    struct pqb_connection *earlier;
    unsigned added = 0;
    made(16);
    for (unsigned i = 0; i < 1000; i++)
        expect((all[i] = pqb_connection_new(a_libpq)) != NULL);
    use_up();
    for (unsigned i = 0; i < 1000; i++)
        added += pqb_connection_add(all[i], conn_at(4096 + i * 64), &earlier) != 0;
    expect(added < 1000);
    unsigned found = 0;
    for (unsigned i = 0; i < 1000; i++)
        found += pqb_connection_find(conn_at(4096 + i * 64)) == all[i];
    expect(found == added && pqb_connection_find(conn_at(16)) != NULL);
}

Test(preload_connection, finds_no_memory_to_grow)
{
    cr_assert_eq(support_apart(without_memory_to_grow), 0);
}
#endif
