/* What kind of program a file is: what a preload can do in it depends on that. */
#ifndef PQB_TOOL_BINARY_H
#define PQB_TOOL_BINARY_H

struct pqb_binary {
    int is_known;      /* an ELF file, and it could be read; else the rest is 0 */
    int is_static;     /* no dynamic loader runs before it */
    int is_other_size; /* of another word size than ours */
    int is_go;         /* made by Go's compiler: it makes its system calls itself */
};

struct pqb_binary pqb_binary_look(const char *path);

#endif
