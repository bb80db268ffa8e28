#include "tool/url.h"

#include <ctype.h>
#include <string.h>

static const char *const ours[] = {"connection_limit", "application_name", "password",
                                   "sslpassword", NULL};

/* What has no meaning of its own in a URI. */
static int is_plain(char c)
{
    return isalnum((unsigned char)c) || strchr("-._~", c);
}

static void put_encoded(FILE *out, char c)
{
    fprintf(out, "%%%02X", (unsigned char)c);
}

static void put_value(FILE *out, const char *value)
{
    for (; *value; value++)
        if (is_plain(*value))
            fputc(*value, out);
        else
            put_encoded(out, *value);
}

/* A part of the user's own URI, as it is. */
static void put_part(FILE *out, const char *part, size_t length)
{
    for (; part && length--; part++)
        if (*part > ' ' && *part < 0x7f && *part != '\'' && *part != '"' && *part != '\\')
            fputc(*part, out);
        else
            put_encoded(out, *part);
}

static int digit_of(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10;
}

/* Is this what that part of a URI says, percent signs decoded? */
static int part_is(const char *part, size_t length, const char *word)
{
    size_t at = 0;
    for (; at < length && *word; word++) {
        char c = part[at++];
        if (c == '%' && at + 2 <= length && isxdigit((unsigned char)part[at]) &&
            isxdigit((unsigned char)part[at + 1])) {
            c = (char)(digit_of(part[at]) * 16 + digit_of(part[at + 1]));
            at += 2;
        }
        if (c != *word)
            return 0;
    }
    return at == length && !*word;
}

static int is_ours(const char *parameter, size_t length)
{
    const char *const *word = ours;
    while (*word && !part_is(parameter, length, *word))
        word++;
    return *word != NULL;
}

/* From "//" to the path. */
static void put_authority(FILE *out, const char *authority, size_t length)
{
    const char *at = memrchr(authority, '@', length);
    size_t user = at ? (size_t)(at - authority) : 0;
    const char *colon = memchr(authority, ':', user);
    if (colon) {
        put_part(out, authority, (size_t)(colon - authority));
        fputs(":PASSWORD", out);
        put_part(out, at, length - user);
    } else {
        put_part(out, authority, length);
    }
}

static void put_parameters(FILE *out, const char *parameters)
{
    for (size_t length; *parameters; parameters += length + (parameters[length] != 0)) {
        length = strcspn(parameters, "&#");
        if (!length || is_ours(parameters, strcspn(parameters, "=&#")))
            continue;
        put_part(out, parameters, length);
        fputc('&', out);
    }
}

static void put_own(FILE *out, const char *uri)
{
    const char *authority = strstr(uri, "://") + 3;
    size_t length = strcspn(authority, "/?#"), path = strcspn(authority + length, "?#");
    put_part(out, uri, (size_t)(authority - uri));
    put_authority(out, authority, length);
    put_part(out, authority + length, path);
    fputc('?', out);
    if (authority[length + path])
        put_parameters(out, authority + length + path + 1);
}

static void put_new(FILE *out, const struct pqb_url *url)
{
    int is_folder = url->host && (*url->host == '/' || *url->host == '@');
    fputs("postgresql://", out);
    put_value(out, url->user ? url->user : "USER");
    fputs(":PASSWORD@", out);
    if (!is_folder) {
        /* The brackets of an IPv6 address are not a name's. */
        int is_ip6 = url->host && strchr(url->host, ':');
        const char *host = url->host ? url->host : "HOST";
        fputs(is_ip6 ? "[" : "", out);
        put_part(out, host, strlen(host));
        fputs(is_ip6 ? "]:" : ":", out);
        put_value(out, url->port ? url->port : "5432");
    }
    fputc('/', out);
    put_value(out, url->database ? url->database : "DATABASE");
    fputc('?', out);
    if (is_folder) {
        fputs("host=", out);
        put_value(out, url->host);
        fputs("&port=", out);
        put_value(out, url->port ? url->port : "5432");
        fputc('&', out);
    }
}

void pqb_url_print(FILE *out, const struct pqb_url *url, uint32_t limit, const char *name)
{
    if (url->uri)
        put_own(out, url->uri);
    else
        put_new(out, url);
    fprintf(out, "connection_limit=%u&application_name=", limit);
    put_value(out, name);
}
