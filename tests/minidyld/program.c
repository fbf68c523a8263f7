/* The start of a process, and the functions that the program calls. */
#include "minidyld.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <wordexp.h>

void *hook[HOOKS];

const struct symbol *symbol_of(int number) {
    for (const struct symbol *it = kernel_symbols; it->name; it++) if (it->hook == number) return it;
    for (const struct symbol *it = libc_symbols; it->name; it++) if (it->hook == number) return it;
    return NULL;
}

size_t count_strings(char *const *strings) {
    size_t number = 0;
    while (strings && strings[number]) number++;
    return number;
}

/* ---- the loader's own variables ---- */

/* LD_PRELOAD and the settings, which are hidden from the program. */
static char *own[ADDED - 1];

static int is_own(const char *entry) {
    return strncmp(entry, "MINIDYLD_", 9) == 0 || (strncmp(entry, "LD_PRELOAD=", 11) == 0 && strstr(entry, "minidyld"));
}

static void take_own_out(char **envp) {
    size_t kept = 0, taken = 0;
    for (size_t i = 0; envp[i]; i++) {
        if (!is_own(envp[i])) envp[kept++] = envp[i];
        else if (taken < ADDED - 2) own[taken++] = strdup(envp[i]);
    }
    envp[kept] = NULL;
}

char *const *with_loader(char *const *envp, char **buffer) {
    size_t kept = 0;
    for (size_t i = 0; envp && envp[i]; i++) if (!is_own(envp[i])) buffer[kept++] = envp[i];
#ifndef __aarch64__ /* what an emulated process starts runs on this machine */
    for (size_t i = 0; own[i]; i++) buffer[kept++] = own[i];
#endif
    buffer[kept] = NULL;
    return buffer;
}

/* ---- System Integrity Protection ---- */

/* By the path, as in sip.rs. The programs in a test's sandbox are links to the system's, and stand for
 * Homebrew's. */
int is_restricted(const char *path) {
    static const char *const PLACES[] = {"/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/usr/libexec/", "/System/"};
    for (size_t i = 0; i < sizeof PLACES / sizeof *PLACES; i++) {
        if (strncmp(path, PLACES[i], strlen(PLACES[i])) == 0) return 1;
    }
    return 0;
}

/* The path by which this process's program was started; for a script, that of its interpreter. */
static void executed_path(char *path, size_t size) {
    char line[PATH_MAX] = "", *word = line + 2;
    const char *given = (const char *)getauxval(AT_EXECFN);
    snprintf(path, size, "%s", given ? given : "");
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : read(file, line, sizeof line - 1);
    if (file >= 0) close(file);
    if (length < 2 || memcmp(line, "#!", 2)) return;
    while (*word == ' ' || *word == '\t') word++;
    word[strcspn(word, " \t\n")] = 0;
    snprintf(path, size, "%s", word);
}

/* dyld's ProcessConfig::Security: restricted programs see no DYLD variable. */
static void prune(char **envp) {
    size_t kept = 0;
    for (size_t i = 0; envp[i]; i++) if (strncmp(envp[i], "DYLD_", 5)) envp[kept++] = envp[i];
    envp[kept] = NULL;
}

static int is_macho(const char *path) {
    uint32_t magic = 0;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 1;
    ssize_t size = read(file, &magic, sizeof magic);
    close(file);
    return size == sizeof magic && (magic == 0xbebafeca || magic == 0xfeedfacf);
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp) {
    static int is_done;
    char path[PATH_MAX];
    if (is_done++) return;
    trace_file = getenv("MINIDYLD_TRACE");
    wrong_file = getenv("MINIDYLD_WRONG");
    const char *inner = getenv("MINIDYLD_INNER");
    inner_calls_are_hooked = !inner || *inner != '0';
    if (trace_file) trace_file = strdup(trace_file);
    if (wrong_file) wrong_file = strdup(wrong_file);
    take_own_out(envp);
    start_kernel();
    for (int i = 0; i < HOOKS; i++) {
        const struct symbol *original = symbol_of(i);
        if (original) hook[i] = original->function;
    }
    executed_path(path, sizeof path);
    if (is_restricted(path)) prune(envp);
    const char *list = getenv("DYLD_INSERT_LIBRARIES");
    if (!list) return;
    char *copy = strdup(list), *rest = copy;
    for (char *one; (one = strsep(&rest, ":"));) {
        /* Other names are Linux libraries. */
        if (!*one) continue;
        if (is_macho(one)) load_image(one, argc, argv, envp);
        else dlopen(one, RTLD_NOW | RTLD_GLOBAL);
    }
    free(copy);
}

/* ---- the functions that the program calls, with Linux's errno for Darwin's ---- */

#define CALL(type, result, ...)                                              \
    int before = errno, theirs = to_darwin(before);                          \
    errno = theirs;                                                          \
    result = ((type *)hook[number])(__VA_ARGS__);                            \
    errno = errno == theirs ? before : to_linux(errno)

#define FUNCTION(name, hooked, type, result, parameters, ...)                \
    EXPORT result name parameters {                                          \
        enum { number = hooked };                                            \
        CALL(type, result outcome, __VA_ARGS__);                             \
        return outcome;                                                      \
    }

typedef int by_path(const char *, char *const *);
typedef int by_line(const char *);
typedef FILE *by_line_and_mode(const char *, const char *);
typedef int by_path_in(const char *, const char *, char *const *);
typedef int by_words(const char *, void *, int);

FUNCTION(execve, EXECVE, exec_function, int, (const char *path, char *const argv[], char *const envp[]), path, argv, envp)
FUNCTION(execv, EXECV, by_path, int, (const char *path, char *const argv[]), path, argv)
FUNCTION(execvp, EXECVP, by_path, int, (const char *file, char *const argv[]), file, argv)
FUNCTION(execvP, EXECVP_IN, by_path_in, int,
         (const char *file, const char *search, char *const argv[]), file, search, argv)
FUNCTION(system, SYSTEM, by_line, int, (const char *line), line)
FUNCTION(system_nocancel, SYSTEM_NOCANCEL, by_line, int, (const char *line), line)
FUNCTION(popen, POPEN, by_line_and_mode, FILE *, (const char *line, const char *mode), line, mode)
FUNCTION(popen_darwin_extsn, POPEN_EXTSN, by_line_and_mode, FILE *, (const char *line, const char *mode), line, mode)
FUNCTION(wordexp, WORDEXP, by_words, int, (const char *words, wordexp_t *out, int flags), words, out, flags)

#define SPAWN(name, hooked)                                                                                        \
    EXPORT int name(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,                        \
                    const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]) {                  \
        enum { number = hooked };                                                                                  \
        CALL(spawn_function, int outcome, pid, path, actions, attributes, argv, envp);                             \
        return to_linux(outcome);                                                                                  \
    }
SPAWN(posix_spawn, POSIX_SPAWN)
SPAWN(posix_spawnp, POSIX_SPAWNP)

EXPORT int pclose(FILE *stream) { return libc_pclose(stream); }

/* The variadic ones: on x86-64 the arguments stay where they are, and so do the numbers of
 * errno. Apple's arm64 has all but the named ones on the stack, where Linux has registers. */
#ifdef __x86_64__
#define VARIADIC(name, number)                                                  \
    __asm__(".text\n.globl " #name "\n.type " #name ",@function\n" #name ":\n"  \
            " mov " #number "*8+hook(%rip), %r11\n jmp *%r11\n");
VARIADIC(execl, 4)
VARIADIC(execlp, 5)
VARIADIC(execle, 6)
_Static_assert(EXECL == 4 && EXECLP == 5 && EXECLE == 6, "as the assembler has them");
#else
/* Calls a function with `count` words on the stack. What the registers hold that Linux would
 * look at is nothing that could be taken for an argument. */
int call_with_words(void *function, const char *path, const char *first, char *const *words, size_t count);
__asm__(".text\ncall_with_words:\n"
        " stp x29, x30, [sp, #-16]!\n mov x29, sp\n mov x9, x0\n mov x0, x1\n mov x1, x2\n"
        " add x10, x4, #1\n and x10, x10, #-2\n sub sp, sp, x10, lsl #3\n mov x11, #0\n"
        "1: cmp x11, x4\n b.ge 2f\n ldr x12, [x3, x11, lsl #3]\n str x12, [sp, x11, lsl #3]\n add x11, x11, #1\n b 1b\n"
        "2: mov x2, #0x222\n mov x3, #0x333\n mov x4, #0x444\n mov x5, #0x555\n mov x6, #0x666\n mov x7, #0x777\n"
        " blr x9\n mov sp, x29\n ldp x29, x30, [sp], #16\n ret\n");

#define VARIADIC(name, hooked, more)                                                     \
    EXPORT int name(const char *path, const char *first, ...) {                          \
        va_list list;                                                                    \
        size_t count = 0;                                                                \
        const char *volatile given = first; /* declared to be none */                    \
        if (given) {                                                                     \
            va_start(list, first);                                                       \
            for (count = 1; va_arg(list, char *); count++) {}                            \
            va_end(list);                                                                \
        }                                                                                \
        char *words[count + more];                                                       \
        va_start(list, first);                                                           \
        for (size_t i = 0; i < count + more; i++) words[i] = va_arg(list, char *);       \
        va_end(list);                                                                    \
        int before = errno, theirs = to_darwin(before);                                  \
        errno = theirs;                                                                  \
        int result = call_with_words(hook[hooked], path, first, words, count + more);    \
        errno = errno == theirs ? before : to_linux(errno);                              \
        return result;                                                                   \
    }
VARIADIC(execl, EXECL, 0)
VARIADIC(execlp, EXECLP, 0)
VARIADIC(execle, EXECLE, 1)
#endif

/* ---- flags of posix_spawnattr_t ---- */

enum { MARK = 0x4472776e };

static int *padding(const posix_spawnattr_t *attributes) { return (int *)(attributes + 1) - 2; }

int spawn_flags(const posix_spawnattr_t *attributes) {
    short common = 0;
    posix_spawnattr_getflags(attributes, &common);
    const int *words = padding(attributes);
    /* Without the mark they are a program's of Linux, which has others. */
    return words[0] == MARK ? words[1] : common & SPAWN_COMMON;
}

EXPORT int posix_spawnattr_setflags_darwin(posix_spawnattr_t *attributes, short flags) {
    int *words = padding(attributes), theirs = flags & SPAWN_COMMON;
    words[0] = MARK, words[1] = (unsigned short)flags;
    return posix_spawnattr_setflags(attributes, (short)(flags & SPAWN_SETSID ? theirs | POSIX_SPAWN_SETSID : theirs));
}
