/* command.c: what others may see of a command line. */
#include "ledger/command.h"

#include <criterion/criterion.h>
#include <string.h>

TestSuite(command, .timeout = 20);

/* The arguments stand behind one another, each with its end; the last one's is the literal's. */
#define assert_shown(arguments, expected)                                                          \
    do {                                                                                           \
        char line_[] = arguments;                                                                  \
        size_t length_ = pqb_command_show(line_, sizeof line_ - 1);                                \
        cr_assert_str_eq(line_, expected);                                                         \
        cr_assert_eq(length_, strlen(expected));                                                   \
    } while (0)

Test(command, is_its_arguments)
{
    assert_shown("", "");
    assert_shown("\0\0", "");
    assert_shown("node\0server.js\0", "node server.js");
    assert_shown("psql\0-c\0select 1\0", "psql -c select 1");
    assert_shown("a\0\0b\0", "a  b");
    assert_shown("postgres: walwriter \0\0\0\0", "postgres: walwriter");
    assert_shown("no end", "no end");
}

Test(command, hides_the_password_of_a_url)
{
    assert_shown("psql\0postgresql://ada:secret@db:5432/shop\0-At\0",
                 "psql postgresql://ada:*@db:5432/shop -At");
    assert_shown("psql\0postgres://ada:p@ss:w@rd@db/shop\0", "psql postgres://ada:*@db/shop");
    assert_shown("psql\0postgres://ada:@db/shop\0", "psql postgres://ada:@db/shop");
    assert_shown("sh\0-c\0A=x://a:secret@b c --url=y://d:other@e\0", "sh -c A=x://a:*@e");
    assert_shown("psql\0postgresql://ada@db:5432/shop\0", "psql postgresql://ada@db:5432/shop");
    assert_shown("curl\0http://localhost:8080/\0", "curl http://localhost:8080/");
}

Test(command, hides_what_is_called_a_password)
{
    assert_shown("psql\0host=db password=secret dbname=shop\0-At\0", "psql host=db password=* -At");
    assert_shown("psql\0user=ada password='my secret'\0", "psql user=ada password=*");
    assert_shown("psql\0postgresql://ada@db:5432/shop?password=secret\0",
                 "psql postgresql://ada@db:5432/shop?password=*");
    assert_shown("psql\0postgresql://ada:one@db/shop?sslpassword=two\0", "psql postgresql://ada:*");
    assert_shown("sh\0-c\0PGPASSWORD=secret psql\0", "sh -c PGPASSWORD=*");
    assert_shown("tool\0--password=secret\0", "tool --password=*");
    assert_shown("tool\0--password=\0", "tool --password=");
}

Test(command, hides_a_password_that_is_cut_off)
{
    assert_shown("psql\0postgresql://ada:secr", "psql postgresql://ada:*");
    assert_shown("psql\0password=secr", "psql password=*");
}
