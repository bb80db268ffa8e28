#include "conninfo/value.h"

#include "ledger/layout.h"
#include "ledger/os.h"

#include <stdio.h>
#include <string.h>

#define DIGITS 9 /* more than any value may have, and less than PQB_UNLIMITED */

int pqb_value_number(const char *text, size_t length, long long *value)
{
    long long sum = 0;
    if (!length || length > DIGITS)
        return 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        sum = sum * 10 + (text[i] - '0');
    }
    *value = sum;
    return 1;
}

static int is_unlimited(const char *text, size_t length)
{
    return (length == 4 && !strncmp(text, "none", 4)) || (length == 3 && !strncmp(text, "inf", 3));
}

int pqb_value_limit(const char *text, size_t length, long long *value)
{
    if (!is_unlimited(text, length))
        return pqb_value_number(text, length, value);
    *value = PQB_UNLIMITED;
    return 1;
}

int pqb_value_time(const char *text, long long *ms)
{
    size_t digits = strspn(text, "0123456789");
    if (is_unlimited(text, strlen(text))) {
        *ms = PQB_UNLIMITED;
        return 1;
    }
    if (!pqb_value_number(text, digits, ms))
        return 0;
    if (!strcmp(text + digits, "ms"))
        return 1;
    *ms *= 1000;
    return !text[digits] || !strcmp(text + digits, "s");
}

void pqb_value_print_time(char *to, size_t capacity, uint32_t ms)
{
    if (ms == PQB_UNLIMITED)
        snprintf(to, capacity, "inf");
    else if (ms % 1000)
        snprintf(to, capacity, "%ums", ms);
    else
        snprintf(to, capacity, "%us", ms / 1000);
}

void pqb_value_print_limit(char *to, size_t capacity, uint32_t limit)
{
    if (limit == PQB_UNLIMITED)
        snprintf(to, capacity, "none");
    else
        snprintf(to, capacity, "%u", limit);
}

void pqb_value_print_age(char *to, size_t capacity, uint64_t ns)
{
    unsigned long long seconds = ns / PQB_SECOND;
    if (seconds < 10)
        snprintf(to, capacity, "%llu.%us", seconds, (unsigned)(ns % PQB_SECOND / (100 * PQB_MS)));
    else if (seconds < 100)
        snprintf(to, capacity, "%llus", seconds);
    else if (seconds < 100 * 60)
        snprintf(to, capacity, "%llum", seconds / 60);
    else if (seconds < 100 * 3600)
        snprintf(to, capacity, "%lluh", seconds / 3600);
    else
        snprintf(to, capacity, "%llud", seconds / 86400);
}
