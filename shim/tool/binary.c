#include "tool/binary.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define OWN_CLASS (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32)
#define MOST_HEADERS 256 /* who has more of them is no ordinary program */

static int read_at(int fd, void *to, size_t size, uint64_t at)
{
    return pread(fd, to, size, (off_t)at) == (ssize_t)size;
}

static int has_interpreter(int fd, const ElfW(Ehdr) * header)
{
    ElfW(Phdr) part;
    for (unsigned i = 0; i < header->e_phnum && i < MOST_HEADERS; i++)
        if (read_at(fd, &part, sizeof part, header->e_phoff + i * sizeof part) &&
            part.p_type == PT_INTERP)
            return 1;
    return 0;
}

static int has_section(int fd, const ElfW(Ehdr) * header, const char *wanted)
{
    ElfW(Shdr) names, section;
    char name[32] = "";
    if (!read_at(fd, &names, sizeof names,
                 header->e_shoff + (uint64_t)header->e_shstrndx * sizeof names))
        return 0;
    for (unsigned i = 0; i < header->e_shnum && i < MOST_HEADERS; i++)
        if (read_at(fd, &section, sizeof section, header->e_shoff + i * sizeof section) &&
            read_at(fd, name, strlen(wanted) + 1, names.sh_offset + section.sh_name) &&
            !memcmp(name, wanted, strlen(wanted) + 1))
            return 1;
    return 0;
}

struct pqb_binary pqb_binary_look(const char *path)
{
    struct pqb_binary binary = {0};
    ElfW(Ehdr) header;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return binary;
    binary.is_known =
        read_at(fd, &header, sizeof header, 0) && !memcmp(header.e_ident, ELFMAG, SELFMAG);
    if (binary.is_known && header.e_ident[EI_CLASS] != OWN_CLASS) {
        binary.is_other_size = 1;
    } else if (binary.is_known) {
        binary.is_static = !has_interpreter(fd, &header);
        binary.is_go = has_section(fd, &header, ".go.buildinfo");
    }
    close(fd);
    return binary;
}
