/* The name of a server: what a budget is kept for.
 *
 * A key is `host:port`, or such entries with commas between them for a list of hosts, which is one
 * server.
 *
 *   localhost:5432           localhost, 127.0.0.1, ::1 (however spelled, v4-mapped too), no host,
 * the default socket directories, and 0.0.0.0 and ::, which Linux connects to the loopback
 *   db.internal:5432         a name: lower case, without the dot at its end
 *   10.1.2.3:5432            an IPv4 address, v4-mapped ones as well
 *   [2001:db8::1]:5432       an IPv6 address, in brackets, as inet_ntop writes it;
 * [fe80::1%eth0]:5432 /srv/db:5432             a socket directory, its case kept; other 127/8
 * addresses stand alone as well
 *   @name:5432               an abstract socket, byte for byte
 *
 * Control characters, blanks and commas inside an entry, and a percent sign in a directory, are
 * written %2C. A key has at most 511 bytes: of a longer one the beginning, then `~` and a hash of
 * all of it. */
#ifndef PQB_CONNINFO_SERVER_H
#define PQB_CONNINFO_SERVER_H

#include <stddef.h>
#include <sys/socket.h>

#define PQB_SERVER_KEY_SIZE 512

/* Names the server of libpq's three parameters, each of which may be NULL, empty, or a list;
 * hostaddr beats host, entry by entry, and a host mentioned twice counts once. 0; -1 where libpq
 * itself refuses (lists of different lengths), or if `size` is below 32. A port that is no number
 * stays as it is: libpq connects to the hosts before it. */
int pqb_server_key(char *key, size_t size, const char *host, const char *hostaddr,
                   const char *port);

/* The same for what a socket connects to. -1 if that is no address a PostgreSQL server can have:
 * another family, port 0, a socket that is not named .s.PGSQL.<port>, or one named by a relative
 * path. */
int pqb_server_key_of_address(char *key, size_t size, const struct sockaddr *address,
                              socklen_t length);

/* True if every entry has a port that poolers use, 6432 or 6543. */
int pqb_server_is_pooler(const char *key);

/* True if any entry is an address of the loopback, which every network namespace has for itself. */
int pqb_server_is_loopback(const char *key);

#endif
