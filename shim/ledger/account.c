#include "ledger/account.h"

#include <string.h>

static unsigned bucket_of(uint64_t process, unsigned server)
{
    return (unsigned)((process ^ (uint64_t)server * 0x9e3779b97f4a7c15ull) % PQB_ACCOUNT_BUCKETS);
}

/* *end is what the chain came to. */
static unsigned find(const struct pqb_layout *map, uint64_t process, unsigned server, unsigned *end)
{
    unsigned index = pqb_once(&map->header.account_bucket[bucket_of(process, server)]);
    for (unsigned steps = 0; index < PQB_CLAIMS && steps < PQB_CLAIMS; steps++) {
        if (map->account[index].process == process && map->account[index].server == server)
            return index;
        index = pqb_once(&map->account[index].next);
    }
    *end = index;
    return PQB_NIL;
}

unsigned pqb_account_look(const struct pqb_layout *map, uint64_t process, unsigned server)
{
    unsigned end;
    return find(map, process, server, &end);
}

static unsigned make(struct pqb_books *books, uint64_t process, unsigned server)
{
    struct pqb_layout *map = books->map;
    unsigned index = pqb_once(&map->header.account_free);
    if (index >=
        PQB_CLAIMS) { /* there are as many accounts as claims: can't happen in good books */
        books->corrupt = 1;
        return PQB_NIL;
    }
    uint16_t *bucket = &map->header.account_bucket[bucket_of(process, server)];
    map->header.account_free = map->account[index].next;
    map->account[index] =
        (struct pqb_account_row){.process = process, .server = (uint16_t)server, .next = *bucket};
    *bucket = (uint16_t)index;
    return index;
}

unsigned pqb_account_get(struct pqb_books *books, uint64_t process, unsigned server)
{
    unsigned end = PQB_NIL, account = find(books->map, process, server, &end);
    if (end != PQB_NIL)
        books->corrupt = 1;
    return account != PQB_NIL ? account : make(books, process, server);
}

void pqb_account_free(struct pqb_books *books, unsigned index)
{
    struct pqb_layout *map = books->map;
    struct pqb_account_row *account = &map->account[index];
    uint16_t *link = &map->header.account_bucket[bucket_of(account->process, account->server)];
    unsigned linked = pqb_once(link);
    for (unsigned steps = 0; linked != index; steps++) {
        if (linked >= PQB_CLAIMS || steps >= PQB_CLAIMS) {
            books->corrupt = 1;
            return;
        }
        link = &map->account[linked].next;
        linked = pqb_once(link);
    }
    *link = account->next;
    *account = (struct pqb_account_row){.next = map->header.account_free};
    map->header.account_free = (uint16_t)index;
}

void pqb_account_forget(struct pqb_layout *map)
{
    for (unsigned i = 0; i < PQB_CLAIMS; i++)
        map->account[i] =
            (struct pqb_account_row){.next = (uint16_t)(i + 1 < PQB_CLAIMS ? i + 1 : PQB_NIL)};
    map->header.account_free = 0;
    memset(map->header.account_bucket, 0xff, sizeof map->header.account_bucket);
}
