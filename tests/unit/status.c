/* status.c: the words for what a call can answer. */
#include "ledger/status.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(status, .timeout = 20);

Test(status, each_has_words_of_its_own)
{
    for (int i = PQB_OK; i <= PQB_SYSTEM; i++) {
        const char *text = pqb_status_text((enum pqb_status)i);
        cr_assert(*text && strcmp(text, "unknown status") && text[strlen(text) - 1] != '.');
        for (int k = PQB_OK; k < i; k++)
            cr_assert_str_neq(text, pqb_status_text((enum pqb_status)k));
    }
    cr_assert_str_eq(pqb_status_text((enum pqb_status)999), "unknown status");
}

Test(status, failures_begin_with_full)
{
    cr_assert(!pqb_status_is_failure(PQB_OK));
    cr_assert(!pqb_status_is_failure(PQB_TIMED_OUT));
    cr_assert(!pqb_status_is_failure(PQB_BUSY));
    cr_assert(!pqb_status_is_failure(PQB_ABSENT));
    cr_assert(pqb_status_is_failure(PQB_FULL));
    cr_assert(pqb_status_is_failure(PQB_FOREIGN));
    cr_assert(pqb_status_is_failure(PQB_SYSTEM));
}

Test(status, a_failure_is_one_line_that_fits)
{
    struct pqb_error error;
    char longest[1000];
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    cr_assert_eq(pqb_fail(&error, PQB_FULL, "%s", longest), PQB_FULL);
    cr_assert_eq(strlen(error.text), sizeof error.text - 1);
    cr_assert_eq(pqb_fail(&error, PQB_INVALID, "a\nb\tc\033d %d", 7), PQB_INVALID);
    cr_assert_str_eq(error.text, "a?b?c?d 7");
    cr_assert_eq(pqb_fail(NULL, PQB_BUSY, "nobody listens"), PQB_BUSY);
}

Test(status, errnos_are_told_apart)
{
    static const struct {
        int code;
        enum pqb_status status;
    } cases[] = {
        {EMFILE, PQB_NO_DESCRIPTOR}, {ENFILE, PQB_NO_DESCRIPTOR}, {ENOSPC, PQB_NO_SPACE},
        {EDQUOT, PQB_NO_SPACE},      {EACCES, PQB_NO_ACCESS},     {EPERM, PQB_NO_ACCESS},
        {EROFS, PQB_NO_ACCESS},      {ENOMEM, PQB_NO_MEMORY},     {ENOENT, PQB_ABSENT},
        {ENOTDIR, PQB_ABSENT},       {ELOOP, PQB_FOREIGN},        {EIO, PQB_SYSTEM},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_assert_eq(pqb_status_from_errno(cases[i].code), cases[i].status, "errno %d",
                     cases[i].code);
}
