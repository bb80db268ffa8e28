/* journal.c: the ring of events, and the histogram's bounds. */
#include "ledger/journal.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct pqb_layout *map;

static void open_map(void)
{
    map = mmap(NULL, sizeof *map, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(map, MAP_FAILED);
}

static void close_map(void)
{
    munmap(map, sizeof *map);
}

TestSuite(journal, .init = open_map, .fini = close_map, .timeout = 60);

static void note(uint64_t value)
{
    pqb_journal_write(map, PQB_EVENT_GRANTED, 3, "web", 42, value);
}

Test(journal, what_is_written_is_read)
{
    struct pqb_event event;
    cr_assert_eq(pqb_journal_latest(map), 0);
    cr_assert(!pqb_journal_read(map, 0, &event));
    cr_assert(!pqb_journal_read(map, 1, &event));
    note(77);
    cr_assert_eq(pqb_journal_latest(map), 1);
    cr_assert(pqb_journal_read(map, 1, &event));
    cr_assert_eq(event.number, 1);
    cr_assert_eq(event.kind, PQB_EVENT_GRANTED);
    cr_assert_eq(event.value, 77);
    cr_assert_eq(event.server, 3);
    cr_assert_eq(event.pid, 42);
    cr_assert_gt(event.at_ns, 1600000000ull * 1000000000);
    cr_assert_str_eq(event.app, "web");
    cr_assert(!pqb_journal_read(map, 2, &event));
}

Test(journal, the_ring_keeps_the_latest)
{
    struct pqb_event event;
    for (uint64_t i = 1; i <= 3 * PQB_EVENTS + 5; i++)
        note(i * 10);
    cr_assert_eq(pqb_journal_latest(map), 3 * PQB_EVENTS + 5);
    for (uint64_t i = 1; i <= 3 * PQB_EVENTS + 5; i++) {
        int is_kept = i > 2 * PQB_EVENTS + 5;
        cr_assert_eq(pqb_journal_read(map, i, &event), is_kept, "%llu", (unsigned long long)i);
        if (is_kept)
            cr_assert_eq(event.value, i * 10);
    }
}

Test(journal, long_labels_are_cut_and_terminated)
{
    struct pqb_event event;
    char label[PQB_LABEL_BYTES];
    memset(label, 'x', sizeof label);
    pqb_journal_write(map, PQB_EVENT_DIED, PQB_NIL, label, 1, 0);
    cr_assert(pqb_journal_read(map, 1, &event));
    cr_assert_eq(strlen(event.app), 40);
    pqb_journal_write(map, PQB_EVENT_DIED, PQB_NIL, NULL, 1, 0);
    cr_assert(pqb_journal_read(map, 2, &event));
    cr_assert_str_eq(event.app, "");
}

Test(journal, a_writer_that_died_half_way_leaves_a_gap)
{
    struct pqb_event event;
    note(1);
    note(2);
    note(3);
    atomic_store(&map->event[2].sequence, 0); /* as it is while it is being written */
    cr_assert(pqb_journal_read(map, 1, &event));
    cr_assert(!pqb_journal_read(map, 2, &event));
    cr_assert(pqb_journal_read(map, 3, &event));
    for (unsigned i = 0; i < PQB_EVENTS; i++)
        note(i);
    cr_assert(pqb_journal_read(map, 2 + PQB_EVENTS, &event));
}

/* Writers fill every field with one value: who reads a mixture has read a torn row. */
Test(journal, what_is_read_is_never_torn)
{
    pid_t writer[3];
    struct pqb_event event;
    for (unsigned i = 0; i < 3; i++)
        if (!(writer[i] = fork()))
            for (uint64_t k = 0;; k++) {
                uint64_t value = k % 26;
                char label[2] = {(char)('a' + value), 0};
                pqb_journal_write(map, PQB_EVENT_GRANTED, (uint16_t)value, label, (int32_t)value,
                                  value);
            }
    unsigned read = 0;
    while (pqb_journal_latest(map) < 1000)
        usleep(1000);
    for (unsigned i = 0; i < 300000; i++) {
        uint64_t number = pqb_journal_latest(map);
        number -= number > 100 ? (unsigned)rand() % 100 : 0;
        if (!pqb_journal_read(map, number, &event))
            continue;
        read++;
        if (event.value != event.server || event.value != (uint64_t)event.pid ||
            event.app[0] != (char)('a' + event.value))
            break;
    }
    for (unsigned i = 0; i < 3; i++) {
        kill(writer[i], SIGKILL);
        waitpid(writer[i], NULL, 0);
    }
    cr_assert_gt(read, 0);
    cr_assert(event.value == event.server && event.value == (uint64_t)event.pid &&
                  event.app[0] == (char)('a' + event.value),
              "event %llu: %llu, %u, %d, %c", (unsigned long long)event.number,
              (unsigned long long)event.value, event.server, event.pid, event.app[0]);
}

Test(journal, every_kind_has_a_name)
{
    for (int i = PQB_EVENT_GRANTED; i < PQB_EVENT_KINDS; i++)
        cr_assert_str_neq(pqb_event_name((enum pqb_event_kind)i), "unknown");
    cr_assert_str_eq(pqb_event_name((enum pqb_event_kind)0), "unknown");
    cr_assert_str_eq(pqb_event_name(PQB_EVENT_KINDS), "unknown");
    cr_assert_str_eq(pqb_event_name((enum pqb_event_kind) - 1), "unknown");
}

Test(journal, waits_fall_into_their_buckets)
{
    cr_assert_eq(pqb_wait_bucket_of(0), 0);
    cr_assert_eq(pqb_wait_bucket_of(UINT64_MAX), PQB_WAIT_BUCKETS - 1);
    for (unsigned i = 0; i + 1 < PQB_WAIT_BUCKETS; i++) {
        cr_assert_lt(pqb_wait_bounds[i], pqb_wait_bounds[i + 1]);
        cr_assert_eq(pqb_wait_bucket_of(pqb_wait_bounds[i]), i);
        cr_assert_eq(pqb_wait_bucket_of(pqb_wait_bounds[i] + 1), i + 1);
    }
}
