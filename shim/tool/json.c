#include "tool/json.h"

#include "ledger/layout.h"
#include "ledger/os.h"
#include "tool/text.h"

static void put_escaped(FILE *out, uint32_t character)
{
    if (character == '"' || character == '\\')
        fprintf(out, "\\%c", (char)character);
    else if (pqb_text_is_control(character) && character >= 0x10000)
        fprintf(out, "\\u%04x\\u%04x", 0xd800u + ((character - 0x10000) >> 10),
                0xdc00u + ((character - 0x10000) & 0x3ff));
    else if (pqb_text_is_control(character))
        fprintf(out, "\\u%04x", character);
    else
        pqb_text_put(out, character);
}

static void put_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (uint32_t character; (character = pqb_text_next(&text));)
        put_escaped(out, character);
    fputc('"', out);
}

static void begin(struct pqb_json *json, const char *key)
{
    if (json->follows)
        fputc(',', json->out);
    json->follows = 1;
    if (key) {
        put_text(json->out, key);
        fputc(':', json->out);
    }
}

void pqb_json_open(struct pqb_json *json, const char *key, char bracket)
{
    begin(json, key);
    fputc(bracket, json->out);
    json->follows = 0;
}

void pqb_json_close(struct pqb_json *json, char bracket)
{
    fputc(bracket, json->out);
    json->follows = 1;
}

void pqb_json_text(struct pqb_json *json, const char *key, const char *value)
{
    begin(json, key);
    put_text(json->out, value);
}

void pqb_json_number(struct pqb_json *json, const char *key, uint64_t value)
{
    begin(json, key);
    fprintf(json->out, "%llu", (unsigned long long)value);
}

void pqb_json_integer(struct pqb_json *json, const char *key, int64_t value)
{
    begin(json, key);
    fprintf(json->out, "%lld", (long long)value);
}

void pqb_json_truth(struct pqb_json *json, const char *key, int value)
{
    begin(json, key);
    fputs(value ? "true" : "false", json->out);
}

void pqb_json_null(struct pqb_json *json, const char *key)
{
    begin(json, key);
    fputs("null", json->out);
}

void pqb_json_pid(struct pqb_json *json, const char *key, int32_t pid)
{
    if (pid > 0)
        pqb_json_number(json, key, (uint64_t)pid);
    else
        pqb_json_null(json, key);
}

void pqb_json_seconds(struct pqb_json *json, const char *key, uint64_t ns)
{
    unsigned thousandths = (unsigned)(ns % PQB_SECOND / PQB_MS);
    begin(json, key);
    fprintf(json->out, "%llu.%u", (unsigned long long)(ns / PQB_SECOND), thousandths / 100);
    if (thousandths % 10)
        fprintf(json->out, "%02u", thousandths % 100);
    else if (thousandths % 100)
        fprintf(json->out, "%u", thousandths / 10 % 10);
}

void pqb_json_limit(struct pqb_json *json, const char *key, uint32_t value)
{
    if (value == PQB_UNLIMITED)
        pqb_json_null(json, key);
    else
        pqb_json_number(json, key, value);
}
