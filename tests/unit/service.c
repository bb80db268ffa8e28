/* service.c: a section of a service file. */
#include "conninfo/service.h"

#include "conninfo/buffer.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

TestSuite(service, .timeout = 20);

static const struct pqb_keyword list[] = {
    {"service", NULL}, {"host", NULL}, {"port", NULL}, {"options", NULL}, {"password", NULL}};
static const struct pqb_keywords known = {list, sizeof list / sizeof *list};

/* What the section `web` of a file says; statuses in words. */
static char *web(const char *text)
{
    struct pqb_params params = {NULL, 0, 0};
    enum pqb_status status = pqb_service_read(text, strlen(text), "web", &known, &params);
    char *said = status == PQB_ABSENT    ? strdup("absent")
                 : status == PQB_INVALID ? strdup("invalid")
                 : status == PQB_REFUSED ? strdup("hidden")
                                         : pqb_params_print(&params);
    pqb_params_clear(&params);
    return said;
}

Test(service, is_read_as_libpq_reads_it)
{
    static const char *const rows[][2] = {
        {"[web]\nhost=a\nport=1\n", "host='a' port='1'"},
        {"[web]\nhost=a", "host='a'"},
        {"# web\n\n  [web]  \r\n  host=a b \r\n\t# port=2\n", "host='a b'"},
        {"[other]\nhost=x\n[web]\nhost=a\n[more]\nhost=y\n", "host='a'"},
        {"[web]\nhost=a\n[web]\nport=2\n", "host='a'"},
        {"[web]\nhost=a\nhost=b\n", "host='a'"},
        {"[web]\nhost=\nhost=b\n", "host=''"},
        {"[web]\noptions=-c x=1 -c y=2\n", "options='-c x=1 -c y=2'"},
        {"[web]\npassword=it's \\ \n", "password='it\\'s \\\\'"},
        {"[web]\nhost=a=b\n", "host='a=b'"},
        {"[web]x\nhost=a\n", "host='a'"},
        {"[web]\n", ""},
        {"[other]\nhost\nnonsense=1\n[web]\nhost=a\n", "host='a'"},
        {"[web]\nhost=a\n[other]\nhost\n", "host='a'"},
        {"", "absent"},
        {"host=a\n", "absent"},
        {"[webs]\nhost=a\n", "absent"},
        {"[we]\nhost=a\n", "absent"},
        {"[ web ]\nhost=a\n", "absent"},
        {"[web]\nhost\n", "invalid"},
        {"[web]\nhost =a\n", "invalid"},
        {"[web]\nnonsense=1\n", "invalid"},
        {"[web]\nservice=x\n", "invalid"},
        {"[web]\n=a\n", "invalid"},
        {"[web]\nldap://x/y?z\nhost=a\n", "hidden"},
        {"[web]\nhost=a\nldap=1\n", "hidden"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *said = web(rows[i][0]);
        cr_assert_str_eq(said, rows[i][1], "row %u: %s", i, said);
        pqb_buffer_free(said);
    }
}

Test(service, file_with_a_long_line_is_refused)
{
    char text[2200] = "[web]\nhost=";
    memset(text + 11, 'h', 1017);
    strcpy(text + 11 + 1016, "\n");
    char *said = web(text);
    cr_assert_eq(strlen(said), 1016 + 7, "1021 bytes and a newline are read");
    pqb_buffer_free(said);
    strcpy(text + 11 + 1016, "h\n");
    said = web(text);
    cr_assert_str_eq(said, "invalid");
    pqb_buffer_free(said);
    strcpy(text + 11 + 1016, "h");
    said = web(text);
    cr_assert_eq(strlen(said), 1017 + 7, "so are 1022 bytes without one");
    pqb_buffer_free(said);
}

Test(service, text_needs_no_zero_at_its_end)
{
    static const char text[] = {'[', 'w', 'e', 'b', ']', '\n', 'h', 'o', 's', 't', '=', 'a'};
    char *copy = malloc(sizeof text);
    memcpy(copy, text, sizeof text);
    struct pqb_params params = {NULL, 0, 0};
    cr_assert_eq(pqb_service_read(copy, sizeof text, "web", &known, &params), PQB_OK);
    cr_assert_str_eq(pqb_params_get(&params, "host"), "a");
    pqb_params_clear(&params);
    free(copy);
}
