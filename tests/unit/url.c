/* url.c: a DATABASE_URL with a pool's size and without a password. */
#include "tool/url.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static void is(const struct pqb_url *url, const char *name, const char *wanted)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    cr_assert_not_null(out);
    pqb_url_print(out, url, 17, name);
    fclose(out);
    cr_expect_str_eq(text, wanted);
    free(text);
}

#define OURS "connection_limit=17&application_name=web"

Test(url, of_a_uri_all_stays_but_what_is_ours)
{
    static const char *const cases[][2] = {
        {"postgresql://u:p@h:5432/db", "postgresql://u:PASSWORD@h:5432/db?" OURS},
        {"postgres://h", "postgres://h?" OURS},
        {"postgresql://u@h/db?", "postgresql://u@h/db?" OURS},
        {"postgresql://u:p%40:x@a:1,b:2/db?sslmode=require&schema=web",
         "postgresql://u:PASSWORD@a:1,b:2/db?sslmode=require&schema=web&" OURS},
        {"postgresql://u:p@q@h/db", "postgresql://u:PASSWORD@h/db?" OURS},
        {"postgresql://h/db?connection_limit=5&a=b&application_name=x",
         "postgresql://h/db?a=b&" OURS},
        {"postgresql:///db?host=/tmp&password=p&pass%77ord=p&sslpassword=p&user=u",
         "postgresql:///db?host=/tmp&user=u&" OURS},
        {"postgresql://u:@h?x=y#z", "postgresql://u:PASSWORD@h?x=y&z&" OURS},
        {"postgresql://u:p@[::1]:5/d'\"\\ \n\xff",
         "postgresql://u:PASSWORD@[::1]:5/d%27%22%5C%20%0A%FF?" OURS},
        {"jdbc:postgresql://h/db", "jdbc:postgresql://h/db?" OURS},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        is(&(struct pqb_url){.uri = cases[i][0]}, "web", cases[i][1]);
}

Test(url, of_parts_it_is_made)
{
    is(&(struct pqb_url){.user = "a b", .host = "h.x", .port = "1", .database = "d/1"}, "web",
       "postgresql://a%20b:PASSWORD@h.x:1/d%2F1?" OURS);
    is(&(struct pqb_url){.user = "u", .host = "::1", .port = "1", .database = "d"}, "web",
       "postgresql://u:PASSWORD@[::1]:1/d?" OURS);
    is(&(struct pqb_url){.user = "u", .host = "/run/pg", .database = "d"}, "web",
       "postgresql://u:PASSWORD@/d?host=%2Frun%2Fpg&port=5432&" OURS);
    is(&(struct pqb_url){0}, "web", "postgresql://USER:PASSWORD@HOST:5432/DATABASE?" OURS);
}

Test(url, a_name_is_encoded)
{
    is(&(struct pqb_url){.uri = "postgresql://h"}, "ü $&'",
       "postgresql://h?connection_limit=17&application_name=%C3%BC%20%24%26%27");
}
