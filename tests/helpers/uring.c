/* A client that talks to PostgreSQL by io_uring: none of libc's functions is called for it. Says
 * how its login went; ends with 77 where the kernel has no io_uring, or forbids it. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FORBIDDEN 77

static int ring;
static struct io_uring_params params;
static char *submissions, *completions;
static struct io_uring_sqe *entries;

static void give_up(const char *what)
{
    perror(what);
    exit(errno == ENOSYS || errno == EPERM || errno == EACCES ? FORBIDDEN : 1);
}

static void *map(size_t size, long offset)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
    if (at == MAP_FAILED)
        give_up("mmap");
    return at;
}

static void make_ring(void)
{
    ring = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (ring < 0)
        give_up("io_uring_setup");
    submissions =
        map(params.sq_off.array + params.sq_entries * sizeof(uint32_t), IORING_OFF_SQ_RING);
    completions = map(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe),
                      IORING_OFF_CQ_RING);
    entries = map(params.sq_entries * sizeof *entries, IORING_OFF_SQES);
}

static uint32_t *word(char *in, uint32_t offset)
{
    return (uint32_t *)(void *)(in + offset);
}

/* One operation, to its end. */
static int32_t make(const struct io_uring_sqe *entry)
{
    uint32_t *tail = word(submissions, params.sq_off.tail);
    uint32_t *head = word(completions, params.cq_off.head);
    entries[0] = *entry;
    *word(submissions,
          params.sq_off.array + (*tail & (params.sq_entries - 1)) * (uint32_t)sizeof(uint32_t)) = 0;
    __atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
    if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0)
        give_up("io_uring_enter");
    const struct io_uring_cqe *all = (const void *)(completions + params.cq_off.cqes);
    int32_t result = all[*head & (params.cq_entries - 1)].res;
    __atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
    if (result < 0) {
        errno = -result;
        give_up("an operation");
    }
    return result;
}

static int32_t transfer(uint8_t operation, int fd, char *bytes, size_t size)
{
    struct io_uring_sqe entry = {
        .opcode = operation, .fd = fd, .addr = (uintptr_t)bytes, .len = (uint32_t)size};
    return make(&entry);
}

int main(void)
{
    char text[65536] = "", packet[256];
    const char *user = getenv("PGUSER"), *port = getenv("PGPORT");
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((in_port_t)atoi(port ? port : "")),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct io_uring_sqe connecting = {
        .opcode = IORING_OP_CONNECT, .fd = fd, .addr = (uintptr_t)&address, .off = sizeof address};
    make_ring();
    make(&connecting);
    int body =
        snprintf(packet + 8, sizeof packet - 8, "user%c%s%cdatabase%cpostgres%c", 0, user, 0, 0, 0);
    uint32_t head[2] = {htonl((uint32_t)body + 9), htonl(3 << 16)};
    memcpy(packet, head, sizeof head);
    packet[8 + body] = 0;
    transfer(IORING_OP_SEND, fd, packet, (size_t)body + 9);
    int32_t length = 0;
    do /* until the server is ready for us */
        length += transfer(IORING_OP_RECV, fd, text + length, sizeof text - (size_t)length);
    while (length < 6 || memcmp(text + length - 6, "Z\0\0\0\5I", 6) != 0);
    puts(*text == 'R' ? "in" : "refused");
    return 0;
}
