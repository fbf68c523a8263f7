/* Functions of libSystem that are more than a system call, after Apple's Libc-1725; the files named
 * here are Libc's. Their calls of posix_spawn and execve go to the kernel, or through the tuples, as
 * MINIDYLD_INNER says. */
#include "minidyld.h"

#include <alloca.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

int inner_calls_are_hooked = 1;

/* The text segment of libsystem_c.dylib: the literals that the library recognises. */
static const struct { char before[64], shell[sizeof _PATH_BSHELL], sh[3], c[3], after[64]; } TEXT = {
    .shell = _PATH_BSHELL, .sh = "sh", .c = "-c"};

const char *libc_text(unsigned long *size) {
    *size = sizeof TEXT;
    return (const char *)&TEXT;
}

static exec_function *inner_execve(void) { return inner_calls_are_hooked ? (exec_function *)hook[EXECVE] : kernel_execve; }
static spawn_function *inner_spawn(void) { return inner_calls_are_hooked ? (spawn_function *)hook[POSIX_SPAWN] : kernel_posix_spawn; }

static int *ds_error(void) { return __errno_location(); }
static char ***ds_NSGetEnviron(void) { return &environ; }
static int ds_setenv(const char *name, const char *value, int overwrite) {
    TRACE("setenv %s", name);
    return DARWIN(setenv(name, value, overwrite));
}
static int ds_unsetenv(const char *name) {
    TRACE("unsetenv %s", name);
    return DARWIN(unsetenv(name));
}

/* ---- gen/FreeBSD/exec.c, sys/posix_spawn.c: both search alike ---- */

typedef int attempt(const char *path, char *const argv[], void *data);

static int with_shell(const char *path, char *const argv[], attempt *try, void *data) {
    size_t count = count_strings(argv);
    const char **list = alloca((count + 3) * sizeof *list);
    list[0] = count ? argv[0] : TEXT.sh;
    list[1] = path;
    list[2] = NULL;
    if (count) memcpy(list + 2, argv + 1, count * sizeof *list);
    return try(TEXT.shell, (char *const *)list, data);
}

enum { DARWIN_ELOOP = 62, DARWIN_ENAMETOOLONG = 63 };

/* Returns an error number of Darwin's. If a path is too long execvP prints a message and goes on,
 * posix_spawnp gives up. */
static int look_for(const char *name, const char *search, char *const argv[], int goes_on, attempt *try, void *data) {
    char buffer[1024];
    struct stat status;
    int denied = 0, error = 0;
    size_t length = strlen(name);
    if (strchr(name, '/')) search = NULL;
    else if (!*name) return ENOENT;
    for (const char *next = search; next || !search;) {
        const char *path = name;
        if (search) {
            const char *end = strchrnul(next, ':'), *part = end == next ? "." : next;
            size_t size = end == next ? 1 : (size_t)(end - next);
            next = *end ? end + 1 : NULL;
            if (size + length + 2 > sizeof buffer) {
                if (!goes_on) return DARWIN_ENAMETOOLONG;
                dprintf(STDERR_FILENO, "execvP: %.*s: path too long\n", (int)size, part);
                continue;
            }
            memcpy(buffer, part, size);
            buffer[size] = '/';
            memcpy(buffer + size + 1, name, length + 1);
            path = buffer;
        }
        error = try(path, argv, data);
        switch (error) {
        case 0: case E2BIG: case ENOMEM: case ETXTBSY: return error;
        case ENOEXEC: return with_shell(path, argv, try, data);
        case DARWIN_ELOOP: case DARWIN_ENAMETOOLONG: case ENOENT: case ENOTDIR: break;
        default:
            if (stat(path, &status)) break;
            if (error != EACCES) return error;
            denied = 1;
        }
        if (!search) break;
    }
    return denied ? EACCES : search ? ENOENT : error;
}

static const char *search_path(void) {
    const char *path = getenv("PATH");
    return path ? path : "/usr/bin:/bin"; /* _PATH_DEFPATH, include/paths.h */
}

static int try_exec(const char *path, char *const argv[], void *envp) {
    inner_execve()(path, argv, envp);
    return errno;
}
static int ds_execv(const char *path, char *const argv[]) { return inner_execve()(path, argv, environ); }
static int ds_execvP(const char *file, const char *search, char *const argv[]) {
    errno = look_for(file, search, argv, 1, try_exec, environ);
    return -1;
}
static int ds_execvp(const char *file, char *const argv[]) { return ds_execvP(file, search_path(), argv); }

/* The variadic functions, by Darwin's calling convention: on arm64 the variadic arguments are on the
 * stack. */
static char **collected(char **argv, const char *first, char **rest) {
    size_t count = 0;
    argv[count++] = (char *)first;
    if (first) while ((argv[count++] = *rest++)) {}
    return rest;
}
#define ARGUMENTS alloca(((first ? count_strings(rest) : 0) + 2) * sizeof(char *))

static int execl_with(const char *path, const char *first, char **rest) {
    char **argv = ARGUMENTS;
    collected(argv, first, rest);
    return inner_execve()(path, argv, environ);
}
static int execlp_with(const char *file, const char *first, char **rest) {
    char **argv = ARGUMENTS;
    collected(argv, first, rest);
    return ds_execvp(file, argv);
}
static int execle_with(const char *path, const char *first, char **rest) {
    char **argv = ARGUMENTS, **end = collected(argv, first, rest);
    return inner_execve()(path, argv, *(char *const **)end);
}

#ifdef __aarch64__
#define VARIADIC(name)                                                         \
    __asm__(".text\nds_" #name ":\n mov x2, sp\n b " #name "_with_\n");        \
    __attribute__((used)) int name##_with_(const char *, const char *, char **) __asm__(#name "_with_"); \
    int name##_with_(const char *path, const char *first, char **rest) { return name##_with(path, first, rest); } \
    extern int ds_##name(const char *, const char *, ...);
#else
#define VARIADIC(name)                                                         \
    static int ds_##name(const char *path, const char *first, ...) {           \
        va_list list;                                                          \
        size_t count = 2; /* with the argument after the NULL */               \
        va_start(list, first);                                                 \
        while (first && va_arg(list, char *)) count++;                         \
        va_end(list);                                                          \
        char **rest = alloca(count * sizeof *rest);                            \
        va_start(list, first);                                                 \
        for (size_t i = 0; i < count; i++) rest[i] = va_arg(list, char *);     \
        va_end(list);                                                          \
        return name##_with(path, first, rest);                                 \
    }
#endif
VARIADIC(execl)
VARIADIC(execlp)
VARIADIC(execle)

struct spawning { pid_t *pid; const void *actions, *attributes; char *const *envp; };

static int try_spawn(const char *path, char *const argv[], void *data) {
    struct spawning *it = data;
    return inner_spawn()(it->pid, path, it->actions, it->attributes, argv, it->envp);
}
static int ds_posix_spawnp(pid_t *pid, const char *file, const void *actions, const void *attributes, char *const argv[], char *const envp[]) {
    struct spawning it = {pid, actions, attributes, envp};
    return look_for(file, search_path(), argv, 0, try_spawn, &it);
}

/* ---- the shell ---- */

/* stdlib/FreeBSD/system.c */
static int ds_system(const char *command) {
    char *argv[] = {(char *)TEXT.sh, (char *)TEXT.c, (char *)command, NULL};
    struct sigaction ignore = {.sa_handler = SIG_IGN}, interrupt, quit;
    posix_spawnattr_t attributes;
    sigset_t child, before, defaults;
    pid_t pid;
    int status = 0;
    TRACE("system");
    if (!command) return access(TEXT.shell, F_OK) == 0;
    posix_spawnattr_init(&attributes);
    sigaction(SIGINT, &ignore, &interrupt);
    sigaction(SIGQUIT, &ignore, &quit);
    sigemptyset(&defaults);
    if (interrupt.sa_handler != SIG_IGN) sigaddset(&defaults, SIGINT);
    if (quit.sa_handler != SIG_IGN) sigaddset(&defaults, SIGQUIT);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, &before);
    posix_spawnattr_setsigmask(&attributes, &before);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int error = inner_spawn()(&pid, TEXT.shell, NULL, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    if (error == 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    } else {
        status = error == ENOMEM || error == to_darwin(EAGAIN) ? -1 : 127 << 8;
    }
    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGQUIT, &quit, NULL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return status;
}

/* The same, but not a cancellation point. */
static int ds_system_nocancel(const char *command) {
    TRACE("system$NOCANCEL");
    return ds_system(command);
}

/* gen/FreeBSD/popen.c. If the shell cannot be started, the stream is at its end, and pclose returns
 * 127. A stream for both directions is a socket pair. */
static struct opened_process opened[64];

static FILE *ds_popen(const char *command, const char *type) {
    char *argv[] = {(char *)TEXT.sh, (char *)TEXT.c, (char *)command, NULL};
    int ends[2], reads = type && *type == 'r', both = type && strcmp(type, "r+") == 0;
    posix_spawn_file_actions_t actions;
    pid_t pid;
    TRACE("popen");
    if (!type || (!both && ((*type != 'r' && *type != 'w') || type[1]))) return errno = EINVAL, NULL;
    if (both ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) : pipe2(ends, O_CLOEXEC)) return errno = to_darwin(errno), NULL;
    int own = ends[reads ? 0 : 1], other = ends[reads ? 1 : 0];
    FILE *stream = fdopen(own, both ? "r+" : reads ? "r" : "w");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, other, reads ? STDOUT_FILENO : STDIN_FILENO);
    if (both) posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDIN_FILENO);
    int error = inner_spawn()(&pid, TEXT.shell, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(other);
    if (error == ENOMEM || error == to_darwin(EAGAIN)) {
        fclose(stream);
        errno = error;
        return NULL;
    }
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) {
        if (!opened[i].stream) {
            opened[i] = (struct opened_process){stream, error ? -1 : pid};
            return stream;
        }
    }
    say_wrong("more than %zu streams of popen", sizeof opened / sizeof *opened);
    return stream;
}

/* The variant for programs that are compiled for no particular standard (stdio.h). */
static FILE *ds_popen_extsn(const char *command, const char *type) {
    TRACE("popen$DARWIN_EXTSN");
    return ds_popen(command, type);
}

int libc_pclose(FILE *stream) {
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++) {
        if (opened[i].stream != stream) continue;
        pid_t pid = opened[i].pid;
        int status = 127 << 8;
        opened[i].stream = NULL;
        fclose(stream);
        if (pid < 0) return status;
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        return status;
    }
    return -1;
}

/* gen/FreeBSD/wordexp.c: it always runs a shell. `/usr/lib/system/wordexp-helper` prints the number of
 * words, their size, and the words. */
#define HELPER "h() { n=$#; b=0; for a in \"$@\"; do b=$((b + ${#a} + 1)); done; " \
               "printf '%08x%08x' $n $b; for a in \"$@\"; do printf '%s\\0' \"$a\"; done; }; h "

struct darwin_words { size_t count; char **words; size_t offset; };

static int ds_wordexp(const char *text, struct darwin_words *out, int flags) {
    enum { NOCMD = 4, CMDSUB = 3, NOSPACE = 4, SYNTAX = 6, LONGEST = 1 << 20, BADCHAR = 1 };
    char *argv[] = {(char *)TEXT.sh, (char *)TEXT.c, NULL, NULL}, head[17] = "", *buffer;
    int ends[2], status = 0;
    pid_t pid;
    TRACE("wordexp");
    /* we_check: characters that are more than words to a shell. */
    for (const char *at = text, *quote = NULL; *at; at++) {
        if (*at == '\\' && at[1]) at++;
        else if (quote) quote = *at == *quote ? NULL : quote;
        else if (*at == '\'' || *at == '"') quote = at;
        else if (*at == '`' || (*at == '$' && at[1] == '(')) break;
        else if (strchr("|&;<>{}\n", *at) && (at == text || at[-1] != '$')) {
            if (*at == '}' ) continue;
            return BADCHAR;
        }
    }
    if (flags & NOCMD && (strchr(text, '`') || strstr(text, "$("))) return CMDSUB;
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) || asprintf(&argv[2], "%s%s", HELPER, text) < 0) return NOSPACE;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int error = inner_spawn()(&pid, TEXT.shell, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    free(argv[2]);
    close(ends[1]);
    if (error) {
        close(ends[0]);
        errno = error;
        return NOSPACE;
    }
    buffer = malloc(LONGEST);
    size_t length = 0;
    for (ssize_t size; (size = read(ends[0], buffer + length, LONGEST - 1 - length)) > 0;) length += (size_t)size;
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    if (status || length < 16) {
        free(buffer);
        return SYNTAX;
    }
    buffer[length] = 0;
    memcpy(head, buffer, 8);
    out->count = strtoul(head, NULL, 16);
    out->words = calloc(out->count + 1, sizeof *out->words);
    const char *word = buffer + 16;
    for (size_t i = 0; i < out->count; i++, word += strlen(word) + 1) out->words[i] = strdup(word);
    free(buffer);
    return 0;
}

/* ---- dyld's functions, and symbols that are the same on both systems ---- */

/* dladdr, for the addresses that the library passes: its own, for which image.c answers, and libc's. */
int image_dladdr(const void *address, Dl_info *info);
static int ds_dladdr(const void *address, Dl_info *info) {
    if (image_dladdr(address, info)) return 1;
    for (const struct symbol *it = libc_symbols; it->name; it++) {
        if (it->function != address) continue;
        *info = (Dl_info){"/usr/lib/system/libsystem_c.dylib", (void *)&TEXT, it->name + 1, it->function};
        return 1;
    }
    say_wrong("dladdr of %p", address);
    return 0;
}

/* mach-o/getsect.h */
static const char *ds_getsegmentdata(const void *header, const char *segment, unsigned long *size) {
    if (header != &TEXT || strcmp(segment, "__TEXT")) say_wrong("getsegmentdata of %p %s", header, segment);
    return libc_text(size);
}

static void ds_stub_binder(void) {
    say_wrong("dyld_stub_binder, though everything was bound");
    abort();
}

const struct symbol libc_symbols[] = {
    {"__NSGetEnviron", ds_NSGetEnviron, -1}, {"___error", ds_error, -1}, {"___bzero", bzero, -1}, {"_bzero", bzero, -1},
    {"_memcmp", memcmp, -1}, {"_memcpy", memcpy, -1}, {"_memmove", memmove, -1}, {"_memset", memset, -1}, {"_strlen", strlen, -1},
    {"_setenv", ds_setenv, -1}, {"_unsetenv", ds_unsetenv, -1}, {"_dladdr", ds_dladdr, -1},
    {"_getsegmentdata", ds_getsegmentdata, -1}, {"dyld_stub_binder", ds_stub_binder, -1},
    {"_execv", ds_execv, EXECV}, {"_execvp", ds_execvp, EXECVP}, {"_execvP", ds_execvP, EXECVP_IN}, {"_execl", ds_execl, EXECL},
    {"_execlp", ds_execlp, EXECLP}, {"_execle", ds_execle, EXECLE}, {"_posix_spawnp", ds_posix_spawnp, POSIX_SPAWNP},
    {"_system", ds_system, SYSTEM}, {"_system$NOCANCEL", ds_system_nocancel, SYSTEM_NOCANCEL},
    {"_popen", ds_popen, POPEN}, {"_popen$DARWIN_EXTSN", ds_popen_extsn, POPEN_EXTSN}, {"_wordexp", ds_wordexp, WORDEXP}, {NULL, NULL, -1}};
