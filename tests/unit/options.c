/* options.c: the value of libpq's `options`. */
#include "conninfo/options.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(options, .timeout = 20);

Test(options, is_whole_unless_its_end_escapes)
{
    cr_assert(pqb_options_is_whole(""));
    cr_assert(pqb_options_is_whole("-c a=b"));
    cr_assert(pqb_options_is_whole("-c a=b\\\\"));
    cr_assert(!pqb_options_is_whole("-c a=b\\"));
    cr_assert(!pqb_options_is_whole("\\\\\\"));
}

Test(options, are_put_behind_each_other)
{
    static const struct {
        const char *first, *second, *both;
    } rows[] = {
        {"", "-c a=1", "-c a=1"},
        {"-c a=1", "", "-c a=1"},
        {"-c a=1", " \t", "-c a=1"},
        {"-c a=1", "-c b=2", "-c a=1 -c b=2"},
        {"-c a=1\\", "-c b=2", "-c a=1 -c b=2"},
        {"-c a=1", " \\", "-c a=1"},
        {"-c a=1\\\\", "-c b=2", "-c a=1\\\\ -c b=2"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pqb_buffer buffer = {NULL, 0, 0, 0};
        pqb_options_add(&buffer, rows[i].first);
        pqb_options_add(&buffer, rows[i].second);
        char *both = pqb_buffer_take(&buffer);
        cr_assert_str_eq(both, rows[i].both);
        pqb_buffer_free(both);
    }
}

Test(options, escape_a_setting)
{
    struct pqb_buffer buffer = {NULL, 0, 0, 0};
    pqb_options_add_setting(&buffer, "search_path", "\"a b\\c\", public");
    pqb_options_add_setting(&buffer, "lock_timeout", "5s");
    char *options = pqb_buffer_take(&buffer);
    cr_assert_str_eq(options, "-c search_path=\"a\\ b\\\\c\",\\ public -c lock_timeout=5s");
    pqb_buffer_free(options);
}

Test(options, know_what_is_in_them)
{
    static const struct {
        const char *options, *part;
        int contains, ends_with;
    } rows[] = {
        {"-c a=1 -c b=2", "-c a=1", 1, 0},
        {"-c a=1 -c b=2", "-c b=2", 1, 1},
        {"-c a=1 -c b=2", " -c  b=2 ", 1, 1},
        {"-c a=1 -c b=2", "-c b=2 -c a=1", 0, 0},
        {"-c a=1 -c b=2", "-c a=1 -c b=2", 1, 1},
        {"-c a=1", "-c a=1 -c b=2", 0, 0},
        {"-c a=11", "-c a=1", 0, 0},
        {"-c a=1", "-c a=11", 0, 0},
        {"-c a=\\1", "-c a=1", 1, 1},
        {"-c a=x\\ -c b=2", "-c b=2", 0, 0},
        {"-c a=x\\\\ -c b=2", "-c b=2", 1, 1},
        {"-c a=1", "-c a=1 \\", 1, 1},
        {"", "-c a=1", 0, 0},
        {"", "", 1, 1},
        {"-c a=1", "", 1, 1},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_assert_eq(pqb_options_contains(rows[i].options, rows[i].part), rows[i].contains,
                     "row %u", i);
        cr_assert_eq(pqb_options_ends_with(rows[i].options, rows[i].part), rows[i].ends_with,
                     "row %u", i);
    }
}

Test(options, tell_what_a_setting_is)
{
    static const struct {
        const char *options, *value;
    } rows[] = {
        {"-c application_name=web", "web"},
        {"-capplication_name=web", "web"},
        {"--application_name=web", "web"},
        {"--application-name=web", "web"},
        {"-c Application-Name=web", "web"},
        {"-c application_name=my\\ web", "my web"},
        {"-c application_name=a -c application_name=b", "b"},
        {"-c application_name=", ""},
        {"-c a=1 -c application_name=web -c b=2", "web"},
        {"-c application_names=web", NULL},
        {"-c application_name", NULL},
        {"-c", NULL},
        {"application_name=web", NULL},
        {"-d application_name=web", NULL},
        {"-c x=application_name=web", NULL},
        {"", NULL},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pqb_buffer value = {NULL, 0, 0, 0};
        int found = pqb_options_find(rows[i].options, "application_name", &value);
        cr_assert_eq(found, rows[i].value != NULL, "row %u", i);
        if (found) {
            char *text = pqb_buffer_take(&value);
            cr_assert_str_eq(text, rows[i].value);
            pqb_buffer_free(text);
        }
        pqb_buffer_clear(&value);
    }
}
