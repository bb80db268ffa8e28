/* Who may be asked for: the Host header of a request. A web page somewhere can have its name lead
 * to us and then read our answers as its own (DNS rebinding), but it can't have an address for a
 * name. */
#ifndef PQB_TOOL_SERVE_HOST_H
#define PQB_TOOL_SERVE_HOST_H

/* Is it an address, "localhost", or one of the names, with or without a port? NULL is none. */
int pqb_host_is_ours(const char *host, const char *const *names, unsigned count);

#endif
