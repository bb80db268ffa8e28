/* Numbers and times, as people write and read them. */
#ifndef PQB_CONNINFO_VALUE_H
#define PQB_CONNINFO_VALUE_H

#include <stddef.h>
#include <stdint.h>

/* A number of up to nine digits and nothing else. Returns 0 if it is not one. */
int pqb_value_number(const char *text, size_t length, long long *value);

/* The same, or "none" or "inf": PQB_UNLIMITED. */
int pqb_value_limit(const char *text, size_t length, long long *value);

/* `10`, `10s`, `500ms`, `0`, and `inf` or `none`, which is PQB_UNLIMITED: milliseconds. */
int pqb_value_time(const char *text, long long *ms);

/* "8s", "200ms", "inf". */
void pqb_value_print_time(char *to, size_t capacity, uint32_t ms);

/* "20", "none". */
void pqb_value_print_limit(char *to, size_t capacity, uint32_t limit);

/* How long something has lasted, in five columns at most: "0.2s", "48s", "12m", "3h", "9d". */
void pqb_value_print_age(char *to, size_t capacity, uint64_t ns);

#endif
