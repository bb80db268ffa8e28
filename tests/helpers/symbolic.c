/*
 * Makes a copy of a library whose calls of its own functions are bound within it, as a build with
 * -Wl,-Bsymbolic-functions has it.
 *
 *   symbolic FROM TO
 *
 * The dynamic linker binds a reference to a protected symbol to the library's own definition, so
 * one field of each of its dynamic symbols does it.
 */
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *read_whole(const char *path, size_t *size)
{
    FILE *from = fopen(path, "rb");
    char *bytes = NULL;
    if (from && !fseek(from, 0, SEEK_END)) {
        *size = (size_t)ftell(from);
        rewind(from);
        bytes = malloc(*size);
        if (bytes && fread(bytes, 1, *size, from) != *size) {
            free(bytes);
            bytes = NULL;
        }
        fclose(from);
    }
    return bytes;
}

static unsigned protect(char *bytes)
{
    ElfW(Ehdr) *file = (ElfW(Ehdr) *)bytes;
    ElfW(Shdr) *section = (ElfW(Shdr) *)(bytes + file->e_shoff);
    unsigned changed = 0;
    for (unsigned i = 0; i < file->e_shnum; i++) {
        if (section[i].sh_type != SHT_DYNSYM)
            continue;
        ElfW(Sym) *symbol = (ElfW(Sym) *)(bytes + section[i].sh_offset);
        for (size_t n = 0; n < section[i].sh_size / sizeof *symbol; n++)
            if (symbol[n].st_shndx != SHN_UNDEF && (symbol[n].st_info & 15) == STT_FUNC) {
                symbol[n].st_other = STV_PROTECTED;
                changed++;
            }
    }
    return changed;
}

int main(int argc, char **argv)
{
    size_t size = 0;
    char *bytes = argc == 3 ? read_whole(argv[1], &size) : NULL;
    if (!bytes || memcmp(bytes, ELFMAG, SELFMAG) || !protect(bytes)) {
        fprintf(stderr, "symbolic: %s has no functions to bind\n", argc == 3 ? argv[1] : "FROM TO");
        return 1;
    }
    FILE *to = fopen(argv[2], "wb");
    int failed = !to || fwrite(bytes, 1, size, to) != size || fclose(to);
    free(bytes);
    return failed;
}
