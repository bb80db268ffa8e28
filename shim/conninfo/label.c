#include "conninfo/label.h"

#include <stddef.h>
#include <string.h>

/* How an interpreter reads its command line. Lists of words, with blanks between them. */
struct language {
    const char *names;  /* of the program; a version may follow */
    const char *code;   /* options after which there is no script */
    const char *script; /* options whose value is the script */
    const char *value;  /* options that have a value, which may be the next argument */
    const char *rest;   /* letters that take what follows them in the same argument */
    const char *verbs;  /* what may stand before the script */
    const char *ending; /* to be left out of the name */
    int has_words;      /* one dash begins a word, not a row of letters */
};

static const struct language languages[] = {
    /* python3 --help */
    {"python pypy", "-c", "-m", "-W -X --check-hash-based-pycs", "", "", "", 0},
    /* node --help: those with `=...` take the next argument too, but for V8's own and --inspect */
    {"node nodejs", "-e --eval -p --print --test", "--run",
     "-r --require --import --loader --experimental-loader -C --conditions --env-file "
     "--env-file-if-exists --input-type --title --icu-data-dir --openssl-config "
     "--redirect-warnings "
     "--trace-event-categories --trace-event-file-pattern --diagnostic-dir --disable-warning "
     "--watch-path --unhandled-rejections --dns-result-order --heapsnapshot-signal --cpu-prof-dir "
     "--cpu-prof-name --cpu-prof-interval --heap-prof-dir --heap-prof-name --secure-heap "
     "--secure-heap-min --tls-cipher-list --tls-keylog --tls-min-v1.0 --experimental-default-type "
     "--es-module-specifier-resolution --disable-proto --max-http-header-size "
     "--localstorage-file --allow-fs-read --allow-fs-write --report-dir --report-directory "
     "--report-filename --report-signal --test-name-pattern --test-reporter "
     "--test-reporter-destination --test-shard --test-timeout --test-concurrency "
     "--heapsnapshot-near-heap-limit --network-family-autoselection-attempt-timeout",
     "", "inspect", "", 0},
    {"bun", "-e --eval -p --print", "",
     "-r --preload --require --import --env-file --cwd --config -c "
     "--conditions --define -d --loader -l --port --tsconfig-override --shell --user-agent",
     "", "run x", "", 0},
    {"deno", "eval", "",
     "-c --config --import-map --cert --seed --location -L --log-level --reload-from "
     "--port --host",
     "", "run serve test bench task", "", 0},
    /* ruby(1) */
    {"ruby jruby truffleruby", "-e", "",
     "-C -X -E -I -r --encoding --external-encoding "
     "--internal-encoding --enable --disable",
     "FKTWxi", "", "", 0},
    /* perlrun(1) */
    {"perl", "-e -E", "", "-I", "CDFMmVdix", "", "", 0},
    /* php --help; the server of -S has a router behind it, if any */
    {"php", "-r --run -B -R --process-begin --process-code -a --interactive -i --info -m --modules",
     "-f --file -F --process-file",
     "-c --php-ini -d --define -S --server -t --docroot -z "
     "--zend-extension -E --process-end",
     "", "", "", 0},
    {"java", "--version -version --list-modules", "-jar -m --module",
     "-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --add-reads "
     "--add-exports --add-opens --limit-modules --patch-module --enable-native-access --source",
     "", "", ".jar", 1},
    {"dotnet", "build test publish restore run watch new add clean", "",
     "--depsfile --runtimeconfig --additionalprobingpath --fx-version --roll-forward "
     "--additional-deps",
     "", "exec", ".dll", 1},
    {"mono", "", "", "--config", "", "", ".exe", 1},
    /* What Rscript becomes. */
    {"R", "-e", "--file -f", "-g --gui -d --debugger --encoding", "", "CMD", "", 1},
    {"Rscript", "-e", "", "", "", "", "", 1},
    {"lua luajit", "", "", "-e -l -b -j -O", "", "", "", 0},
    {"tclsh wish expect", "-c", "-f", "-encoding", "", "", "", 1},
    {"sh bash dash ksh mksh zsh", "-c", "", "-o -O --rcfile --init-file", "", "", "", 0},
};

static int is_word(const char *list, const char *word, size_t length)
{
    while (*list) {
        size_t here = strcspn(list, " ");
        if (length && here == length && !memcmp(list, word, length))
            return 1;
        list += here + (list[here] == ' ');
    }
    return 0;
}

static int is_letter(const char *list, char letter)
{
    char word[2] = {'-', letter};
    return is_word(list, word, sizeof word);
}

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static const struct language *language_of(const char *program)
{
    const char *name = last_part(program);
    /* A login shell is -bash. */
    name += *name == '-';
    size_t length = strlen(name);
    while (length && strchr("0123456789.-", name[length - 1]))
        length--;
    for (size_t i = 0; i < sizeof languages / sizeof *languages; i++)
        if (is_word(languages[i].names, name, length))
            return &languages[i];
    return NULL;
}

enum step {
    STEP_ON,     /* an option: go on */
    STEP_OVER,   /* an option whose value is the next argument */
    STEP_SCRIPT, /* the script was found */
    STEP_NEXT,   /* the script is the next argument */
    STEP_NONE    /* there is no script */
};

/* A word of an option, with its value perhaps behind an equals sign. */
static enum step step_word(const struct language *language, const char *argument,
                           const char **script)
{
    size_t length = strcspn(argument, "=");
    const char *value = argument[length] ? argument + length + 1 : NULL;
    if (is_word(language->code, argument, length))
        return STEP_NONE;
    if (is_word(language->script, argument, length)) {
        *script = value;
        return value ? STEP_SCRIPT : STEP_NEXT;
    }
    return !value && is_word(language->value, argument, length) ? STEP_OVER : STEP_ON;
}

static enum step step_letters(const struct language *language, const char *letters,
                              const char **script)
{
    for (; *letters; letters++) {
        if (is_letter(language->code, *letters))
            return STEP_NONE;
        if (is_letter(language->script, *letters)) {
            *script = letters + 1;
            return letters[1] ? STEP_SCRIPT : STEP_NEXT;
        }
        if (is_letter(language->value, *letters))
            return letters[1] ? STEP_ON : STEP_OVER;
        if (strchr(language->rest, *letters))
            return STEP_ON;
    }
    return STEP_ON;
}

/* Where the script is, or 0. `text` is then its name. */
static int find_script(const struct language *language, int argc, char *const argv[],
                       const char **text)
{
    int has_verb = 0;
    for (int i = 1; i < argc; i++) {
        const char *argument = argv[i];
        enum step step = STEP_SCRIPT;
        *text = argument;
        if (!strcmp(argument, "--")) {
            if (i + 1 < argc)
                *text = argv[i + 1];
            return i + 1 < argc ? i + 1 : 0;
        }
        if (!strncmp(argument, "--", 2) || (language->has_words && *argument == '-'))
            step = step_word(language, argument, text);
        else if (*argument == '-' && argument[1])
            step = step_letters(language, argument + 1, text);
        else if (!has_verb && is_word(language->verbs, argument, strlen(argument))) {
            step = STEP_ON;
            has_verb = 1;
        } else if (is_word(language->code, argument, strlen(argument)) || *argument == '-')
            step = STEP_NONE;
        else if (*argument == '@' && language->has_words) /* a file of options, java's */
            step = STEP_ON;

        if (step == STEP_SCRIPT)
            return i;
        if (step == STEP_NONE || (step == STEP_NEXT && i + 1 >= argc))
            return 0;
        if (step == STEP_NEXT) {
            *text = argv[i + 1];
            return i + 1;
        }
        i += step == STEP_OVER;
    }
    return 0;
}

/* `bundle exec puma` stays the process it was; the program that counts is the one behind it. 0 if
 * this is not such a thing. */
static int find_wrapped(const char *script, int at, int argc, char *const argv[])
{
    const char *name = last_part(script);
    if (strcmp(name, "bundle") != 0 && strcmp(name, "bundler") != 0)
        return 0;
    if (at + 1 >= argc || strcmp(argv[at + 1], "exec") != 0)
        return 0;
    for (at += 2; at < argc && *argv[at] == '-';)
        at++;
    return at < argc ? at : 0;
}

/* One byte of a label at a time, so that it is right wherever it ends. */
static void append(char label[PQB_LABEL_SIZE], const char *text, size_t length)
{
    size_t used = strlen(label);
    for (size_t i = 0; i < length && used < PQB_LABEL_SIZE - 1; i++) {
        char c = text[i];
        if (!used && c == ' ')
            continue;
        label[used++] = '?';
        if (c >= ' ' && c <= '~')
            label[used - 1] = c;
    }
    while (used && label[used - 1] == ' ')
        used--;
    label[used] = 0;
}

static int is_name(const char *text, size_t length)
{
    return length && !(length == 1 && *text == '.') && !(length == 2 && !memcmp(text, "..", 2)) &&
           !(length == 1 && *text == '-');
}

/* A file that is called as a thousand others are goes by the package it belongs to. */
static int append_package(char label[PQB_LABEL_SIZE], const char *path, const char *file)
{
    static const char folder[] = "node_modules/";
    const char *package = NULL;
    if (!is_word("index main cli bin start", file, strcspn(file, ".")))
        return 0;
    for (const char *at = path; (at = strstr(at, folder)); at += sizeof folder - 1)
        package = at + sizeof folder - 1;
    if (!package || package >= file)
        return 0;
    size_t length = strcspn(package, "/");
    if (*package == '@' && package[length])
        length += 1 + strcspn(package + length + 1, "/");
    append(label, package, length);
    return *label != 0;
}

static int append_path(char label[PQB_LABEL_SIZE], const char *path, const char *ending)
{
    size_t end = strlen(path), begin;
    while (end && path[end - 1] == '/')
        end--;
    for (begin = end; begin && path[begin - 1] != '/';)
        begin--;
    /* python3 folder, once it is seen from inside. */
    if (end - begin == 11 && begin > 1 && !memcmp(path + begin, "__main__.py", 11)) {
        for (end = begin - 1, begin = end; begin && path[begin - 1] != '/';)
            begin--;
    }
    if (!is_name(path + begin, end - begin))
        return 0;
    if (append_package(label, path, path + begin))
        return 1;
    size_t tail = strlen(ending);
    if (tail && end - begin > tail && !memcmp(path + end - tail, ending, tail))
        end -= tail;
    append(label, path + begin, end - begin);
    return *label != 0;
}

static void append_command(char label[PQB_LABEL_SIZE], int argc, char *const argv[])
{
    while (argc > 0) {
        const struct language *language = language_of(*argv);
        const char *script = NULL;
        int at = language ? find_script(language, argc, argv, &script) : 0;
        int wrapped = at ? find_wrapped(script, at, argc, argv) : 0;
        if (wrapped) {
            argc -= wrapped;
            argv += wrapped;
            continue;
        }
        if (!at || !append_path(label, script, language->ending))
            append_path(label, *argv + (**argv == '-'), "");
        return;
    }
}

void pqb_label_choose(char label[PQB_LABEL_SIZE], const char *app, const char *npm,
                      const char *program, int argc, char *const argv[])
{
    *label = 0;
    if (app)
        append(label, app, strlen(app));
    if (!*label && npm)
        append(label, npm, strlen(npm));
    if (!*label && argv)
        append_command(label, argc, argv);
    if (!*label && program)
        append_path(label, program, "");
    if (!*label)
        append(label, "unknown", 7);
}
