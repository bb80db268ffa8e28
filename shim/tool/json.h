/* A writer of JSON in one line. The caller sees to it that brackets pair. */
#ifndef PQB_TOOL_JSON_H
#define PQB_TOOL_JSON_H

#include <stdint.h>
#include <stdio.h>

struct pqb_json {
    FILE *out;
    int follows; /* something stands before: a comma is due */
};

/* An object or array, as a value or, with a key, as a member. */
void pqb_json_open(struct pqb_json *json, const char *key, char bracket);
void pqb_json_close(struct pqb_json *json, char bracket);

/* Members; without a key, elements. What is not UTF-8 becomes U+FFFD. */
void pqb_json_text(struct pqb_json *json, const char *key, const char *value);
void pqb_json_number(struct pqb_json *json, const char *key, uint64_t value);
void pqb_json_integer(struct pqb_json *json, const char *key, int64_t value);
void pqb_json_truth(struct pqb_json *json, const char *key, int value);
void pqb_json_null(struct pqb_json *json, const char *key);

/* Null for what is none, and for one that is not known. */
void pqb_json_pid(struct pqb_json *json, const char *key, int32_t pid);

/* Nanoseconds, as seconds with one to three decimals. */
void pqb_json_seconds(struct pqb_json *json, const char *key, uint64_t ns);

/* Null for PQB_UNLIMITED. */
void pqb_json_limit(struct pqb_json *json, const char *key, uint32_t value);

#endif
