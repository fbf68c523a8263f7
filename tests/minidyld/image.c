/* The Mach-O file: maps it, relocates it by dyld's opcodes, reads its tuples, and runs its initialiser.
 * The layouts are those of XNU's EXTERNAL_HEADERS/mach-o/loader.h and fat.h. Chained fixups, which
 * Apple's linker writes, are not supported: the linker used here writes opcodes. */
#include "minidyld.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifdef __aarch64__
enum { CPU = 0x0100000c };
#else
enum { CPU = 0x01000007 };
#endif
enum { SEGMENT_64 = 0x19, DYLD_INFO_ONLY = 0x80000022 - 0x100000000, DYLD_CHAINED_FIXUPS = 0x80000034 - 0x100000000 };
enum { MOD_INIT_FUNC_POINTERS = 9, SEGMENTS = 8 };

static struct { char *base; size_t size; char path[PATH_MAX]; } image;
static struct segment { char name[17]; uint64_t address, size, offset, file_size; int access; } segments[SEGMENTS];
static int count;
static struct { uint64_t address, size; } initialisers, tuples;

int image_dladdr(const void *address, Dl_info *info) {
    if (!image.base || (char *)address < image.base || (char *)address >= image.base + image.size) return 0;
    *info = (Dl_info){image.path, image.base, NULL, NULL};
    return 1;
}

/* Terminates the process as dyld does. */
static void __attribute__((noreturn)) end(const char *what, const char *name) {
    say_wrong("dyld: %s %s", what, name);
    _exit(134);
}

static void *address_of(const char *name) {
    for (const struct symbol *it = kernel_symbols; it->name; it++) if (!strcmp(it->name, name)) return it->function;
    for (const struct symbol *it = libc_symbols; it->name; it++) if (!strcmp(it->name, name)) return it->function;
    end("symbol not found:", name);
}

static uint64_t uleb(const uint8_t **at) {
    uint64_t value = 0;
    int shift = 0;
    do {
        value |= (uint64_t)(**at & 0x7f) << shift;
        shift += 7;
    } while (*(*at)++ & 0x80);
    return value;
}

static uint64_t *word_at(uint64_t address) { return (uint64_t *)(image.base + address); }

static void rebase(const uint8_t *at, const uint8_t *end) {
    uint64_t address = 0;
    while (at < end) {
        uint8_t opcode = *at & 0xf0, low = *at++ & 0x0f;
        uint64_t times = 0, gap = 0;
        switch (opcode) {
        case 0x00: return;
        case 0x20: address = segments[low].address + uleb(&at); break;
        case 0x30: address += uleb(&at); break;
        case 0x40: address += 8 * low; break;
        case 0x50: times = low; break;
        case 0x60: times = uleb(&at); break;
        case 0x70: times = 1, gap = uleb(&at); break;
        case 0x80: times = uleb(&at), gap = uleb(&at); break;
        }
        for (; times; times--, address += 8 + gap) *word_at(address) += (uint64_t)image.base;
    }
}

static void bind_symbols(const uint8_t *at, const uint8_t *stop, int is_lazy) {
    uint64_t address = 0;
    int64_t addend = 0;
    const char *name = "";
    while (at < stop) {
        uint8_t opcode = *at & 0xf0, low = *at++ & 0x0f;
        uint64_t times = 0, gap = 0;
        switch (opcode) {
        case 0x00:
            if (is_lazy) continue;
            return;
        case 0x10: case 0x30: case 0x50: break; /* library ordinal, kind of binding */
        case 0x20: uleb(&at); break;
        case 0x40: name = (const char *)at, at += strlen(name) + 1; break;
        case 0x60: addend = (int64_t)uleb(&at); break;
        case 0x70: address = segments[low].address + uleb(&at); break;
        case 0x80: address += uleb(&at); break;
        case 0x90: times = 1; break;
        case 0xa0: times = 1, gap = uleb(&at); break;
        case 0xb0: times = 1, gap = 8 * low; break;
        case 0xc0: times = uleb(&at), gap = uleb(&at); break;
        default: end("a bind opcode that is not done here, behind", name);
        }
        for (; times; times--, address += 8 + gap) *word_at(address) = (uint64_t)address_of(name) + (uint64_t)addend;
    }
}

static void read_segment(const uint8_t *command) {
    if (count == SEGMENTS) end("too many segments", "");
    struct segment *it = &segments[count++];
    memcpy(it->name, command + 8, 16);
    memcpy(&it->address, command + 24, 4 * sizeof(uint64_t));
    it->access = *(const int32_t *)(command + 60);
    if (it->address + it->size > image.size) image.size = it->address + it->size;
    for (uint32_t i = 0; i < *(const uint32_t *)(command + 64); i++) {
        const uint8_t *section = command + 72 + 80 * i;
        uint64_t range[2];
        memcpy(range, section + 32, sizeof range);
        if ((*(const uint32_t *)(section + 64) & 0xff) == MOD_INIT_FUNC_POINTERS) initialisers.address = range[0], initialisers.size = range[1];
        if (!strncmp((const char *)section, "__interpose", 16)) tuples.address = range[0], tuples.size = range[1];
    }
}

/* Maps the file and copies its segments to their addresses. */
static void map(const uint8_t *slice, const char *path) {
    const uint32_t *header = (const uint32_t *)slice;
    uint32_t info[10] = {0};
    if (header[0] != 0xfeedfacf || (int)header[1] != CPU) end("not a Mach-O file of this machine:", path);
    const uint8_t *command = slice + 32;
    for (uint32_t i = 0; i < header[4]; i++, command += ((const uint32_t *)command)[1]) {
        switch (*(const int32_t *)command) {
        case SEGMENT_64: read_segment(command); break;
        case DYLD_INFO_ONLY: memcpy(info, command + 8, sizeof info); break;
        case DYLD_CHAINED_FIXUPS: end("chained fixups are not read here:", path);
        }
    }
    snprintf(image.path, sizeof image.path, "%s", path);
    image.size = (image.size + 0xffff) & ~0xfffful;
    image.base = mmap(NULL, image.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < count; i++) memcpy(image.base + segments[i].address, slice + segments[i].offset, segments[i].file_size);
    rebase(slice + info[0], slice + info[0] + info[1]);
    bind_symbols(slice + info[2], slice + info[2] + info[3], 0);
    bind_symbols(slice + info[6], slice + info[6] + info[7], 1);
    for (int i = 0; i < count; i++) {
        int access = strcmp(segments[i].name, "__DATA_CONST") ? segments[i].access : PROT_READ;
        mprotect(image.base + segments[i].address, (segments[i].size + 4095) & -4096ul, access);
    }
    __builtin___clear_cache(image.base, image.base + image.size);
}

/* The slice for this processor in a fat file. */
static const uint8_t *slice_of(const uint8_t *file) {
    const uint32_t *header = (const uint32_t *)file;
    if (ntohl(header[0]) != 0xcafebabe) return file;
    for (uint32_t i = 0; i < ntohl(header[1]); i++) {
        const uint32_t *entry = header + 2 + 5 * i;
        if ((int)ntohl(entry[0]) == CPU) return file + ntohl(entry[2]);
    }
    return file;
}

static void interpose(void) {
    void **words = (void **)word_at(tuples.address);
    for (uint64_t i = 0; i < tuples.size / 16; i++) {
        int known = 0;
        for (int k = 0; k < HOOKS; k++) {
            const struct symbol *original = symbol_of(k);
            if (original && original->function == words[2 * i + 1]) hook[k] = words[2 * i], known = 1;
        }
        if (!known) say_wrong("tuple %d interposes what cannot be called here", (int)i);
    }
}

void load_image(const char *path, int argc, char **argv, char **envp) {
    char executable[PATH_MAX + 32] = "executable_path=";
    struct stat status;
    if (image.base) return;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || fstat(file, &status)) end("terminating because inserted dylib could not be loaded:", path);
    uint8_t *bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    close(file);
    map(slice_of(bytes), path);
    munmap(bytes, (size_t)status.st_size);
    interpose();
    ssize_t length = readlink("/proc/self/exe", executable + 16, PATH_MAX);
    executable[16 + (length > 0 ? length : 0)] = 0;
    char *apple[] = {executable, NULL};
    void **functions = (void **)word_at(initialisers.address);
    for (uint64_t i = 0; i < initialisers.size / 8; i++) {
        ((void (*)(int, char **, char **, char **))functions[i])(argc, argv, envp, apple);
    }
}
