/* label.c: the label of an application, from its environment and its arguments. */
#include "conninfo/label.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(label, .timeout = 20);

/* The label of a command line, words separated by blanks; `~` stands for a blank inside a word. */
static const char *label_of(const char *command)
{
    static char label[PQB_LABEL_SIZE];
    static char words[4096];
    char *argv[64];
    int argc = 0;
    snprintf(words, sizeof words, "%s", command);
    for (char *word = strtok(words, " "); word; word = strtok(NULL, " ")) {
        for (char *c = word; *c; c++)
            if (*c == '~')
                *c = ' ';
        argv[argc++] = word;
    }
    memset(label, 'x', sizeof label);
    pqb_label_choose(label, NULL, NULL, "program", argc, argv);
    return label;
}

Test(label, is_the_script)
{
    static const char *const rows[][2] = {
        {"python3 manage.py runserver", "manage.py"},
        {"/usr/bin/python3.11 -u -Wd /srv/app/manage.py", "manage.py"},
        {"python3 -m flask run", "flask"},
        {"python3 -mflask", "flask"},
        {"python -Bum app.server --port 1", "app.server"},
        {"python3 -W ignore -X dev x.py", "x.py"},
        {"python3 -Wignore -Xdev x.py", "x.py"},
        {"python3 --check-hash-based-pycs always x.py", "x.py"},
        {"python3 /usr/bin/gunicorn app:app", "gunicorn"},
        {"python3 -- x.py", "x.py"},
        {"python3 folder/", "folder"},
        {"python3 folder/__main__.py", "folder"},
        {"pypy3 x.py", "x.py"},
        {"python3 -c code arg.py", "python3"},
        {"python3 -Sc code", "python3"},
        {"python3 -", "python3"},
        {"python3 - x", "python3"},
        {"python3", "python3"},
        {"python3 -m", "python3"},
        {"python3 -W", "python3"},
        {"python3 .", "python3"},
        {"python3 --", "python3"},
        {"python3-config --libs", "python3-config"},

        {"node server.js", "server.js"},
        {"node node_modules/.bin/next dev", "next"},
        {"/usr/local/bin/node --require ./a.js --import b --inspect=0 src/web.mjs", "web.mjs"},
        {"node -r dotenv/config --max-old-space-size=4096 server.js", "server.js"},
        {"node --env-file .env server.js", "server.js"},
        {"node --env-file=.env server.js", "server.js"},
        {"node inspect server.js", "server.js"},
        {"node /app/node_modules/prisma/build/index.js migrate dev", "prisma"},
        {"node /app/node_modules/@nestjs/cli/bin/cli.js start", "@nestjs/cli"},
        {"node a/node_modules/b/node_modules/c/index.js", "c"},
        {"node dist/index.js", "index.js"},
        {"node node_modules/x/run.js", "run.js"},
        {"node index.js node_modules/x", "index.js"},
        {"node -e code x.js", "node"},
        {"node -pe code", "node"},
        {"node --eval=code", "node"},
        {"node .", "node"},
        {"node --run dev", "dev"},
        {"nodejs server.js", "server.js"},
        {"bun run dev.ts", "dev.ts"},
        {"bun --env-file .env index.ts", "index.ts"},
        {"deno run -A --config deno.json main.ts", "main.ts"},
        {"deno eval code", "deno"},

        {"ruby bin/rails s", "rails"},
        {"ruby3.1 -Ilib -I test -r ./helper -w script.rb", "script.rb"},
        {"ruby -rubygems x.rb", "x.rb"},
        {"ruby -W:no-deprecated x.rb", "x.rb"},
        {"ruby -ne code x.rb", "ruby"},
        {"ruby --enable yjit x.rb", "x.rb"},
        {"ruby /usr/bin/bundle exec puma -C config", "puma"},
        {"ruby bundle exec ruby bin/rails s", "rails"},
        {"ruby bundle exec --keep-file-descriptors bin/rails s", "rails"},
        {"ruby bundle install", "bundle"},
        {"ruby bundle exec", "bundle"},

        {"perl -w x.pl", "x.pl"},
        {"perl -I lib -MDBI -T x.pl", "x.pl"},
        {"perl -Ilib -Mstrict x.pl", "x.pl"},
        {"perl -i.bak -lne code x.pl", "perl"},
        {"perl -0777 -ne code", "perl"},
        {"perl5.36.0 x.pl", "x.pl"},

        {"php artisan serve", "artisan"},
        {"php8.2 -d memory_limit=1 -c /etc/php.ini bin/console", "console"},
        {"php -dmemory_limit=1 x.php", "x.php"},
        {"php -f x.php", "x.php"},
        {"php -S localhost:8000 -t public router.php", "router.php"},
        {"php -S localhost:8000", "php"},
        {"php -r code x.php", "php"},
        {"php-fpm8.2 --nodaemonize", "php-fpm8.2"},

        {"java -jar app.jar", "app"},
        {"java -Xmx1g -Dx=y -cp lib/*:x.jar -jar target/web-1.0.jar --port 1", "web-1.0"},
        {"/usr/lib/jvm/17/bin/java -classpath a:b com.acme.billing.Main x",
         "com.acme.billing.Main"},
        {"java --add-opens java.base/java.lang=ALL-UNNAMED @args Main", "Main"},
        {"java -m acme/com.acme.Main", "com.acme.Main"},
        {"java Main.java", "Main.java"},
        {"java -version", "java"},
        {"dotnet /srv/Web.dll --urls x", "Web"},
        {"dotnet exec --fx-version 8 Web.dll", "Web"},
        {"dotnet run", "dotnet"},
        {"mono app.exe", "app"},

        {"/usr/lib/R/bin/exec/R --no-echo --no-restore --file=report.R --args x", "report.R"},
        {"R -f report.R", "report.R"},
        {"R --no-save", "R"},
        {"lua5.4 -l x -e y job.lua", "job.lua"},
        {"tclsh job.tcl", "job.tcl"},
        {"bash ./deploy.sh x", "deploy.sh"},
        {"bash -euo pipefail deploy.sh", "deploy.sh"},
        {"sh -c code", "sh"},
        {"sh -ec code x", "sh"},
        {"-bash", "bash"},

        {"psql -c select", "psql"},
        {"/usr/lib/postgresql/15/bin/pg_dump -Fc x.py", "pg_dump"},
        {"./my~program x", "my program"},
        {"./d\xc3\xa4mon", "d??mon"},
        {"rubyfmt x.rb", "rubyfmt"},
        {"/", "program"},
        {"-", "program"},
        {"", "program"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        cr_assert_str_eq(label_of(rows[i][0]), rows[i][1], "%s: %s", rows[i][0],
                         label_of(rows[i][0]));
}

Test(label, is_what_the_environment_says_first)
{
    static const struct {
        const char *app, *npm, *program, *first, *label;
    } rows[] = {
        {"web", "package", "program", "node", "web"},
        {NULL, "package", "program", "node", "package"},
        {"", "@acme/web", "program", "node", "@acme/web"},
        {"  ", "", "program", "node", "node"},
        {NULL, NULL, "/usr/bin/program", NULL, "program"},
        {NULL, NULL, NULL, NULL, "unknown"},
        {NULL, NULL, "", "", "unknown"},
        {" a b\t\n", NULL, NULL, NULL, "a b??"},
        {"a/b", NULL, NULL, NULL, "a/b"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char label[PQB_LABEL_SIZE];
        char first[16] = "";
        char *argv[] = {first};
        if (rows[i].first)
            strcpy(first, rows[i].first);
        pqb_label_choose(label, rows[i].app, rows[i].npm, rows[i].program, rows[i].first != NULL,
                         rows[i].first ? argv : NULL);
        cr_assert_str_eq(label, rows[i].label, "row %u: %s", i, label);
    }
}

Test(label, has_63_bytes_at_most)
{
    char longest[200], label[PQB_LABEL_SIZE];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    longest[62] = ' ';
    longest[61] = '\xc3';
    pqb_label_choose(label, longest, NULL, NULL, 0, NULL);
    cr_assert_eq(strlen(label), 62, "a blank at its end is no part of it");
    longest[62] = 'b';
    pqb_label_choose(label, longest, NULL, NULL, 0, NULL);
    cr_assert_eq(strlen(label), 63);
    cr_assert_str_eq(label + 60, "a?b");
}
