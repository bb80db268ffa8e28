/* server.c: keys of servers, of host, address and port with zero bytes between them, and of an
 * address. */
#include "conninfo/server.h"
#include "fuzz/fuzz.h"

static void check_key(const char *key, size_t room)
{
    size_t length = strlen(key);
    MUST(length && length < room && length <= 511);
    MUST(key[length - 1] != ',' && *key != ',' && !strstr(key, ",,"));
    for (; *key; key++)
        MUST((unsigned char)*key > ' ' && *key != 0x7f);
}

/* Both ways lead to the same name, where one of them leads anywhere. */
static void check_address(const uint8_t *data, size_t size)
{
    char key[512];
    void *address = malloc(size ? size : 1);
    MUST(address);
    memcpy(address, data, size);
    if (!pqb_server_key_of_address(key, sizeof key, address, (socklen_t)size)) {
        check_key(key, sizeof key);
        MUST(!strchr(key, ','));
    }
    free(address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_address(data, size);
    char key[600], again[512];
    char *host = fuzz_part(&data, &size), *hostaddr = fuzz_part(&data, &size);
    char *port = fuzz_part(&data, &size);
    if (!pqb_server_key(key, sizeof key, host, hostaddr, port)) {
        check_key(key, sizeof key);
        pqb_server_is_pooler(key);
        MUST(!pqb_server_key(again, sizeof again, host, hostaddr, port));
        MUST(!strcmp(key, again));
    }
    free(host);
    free(hostaddr);
    free(port);
    return 0;
}
