/* All functions that start a program, with one signature. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <wordexp.h>

#ifdef __APPLE__
#include <crt_externs.h>
#define MAC 1 /* tests/minidyld has it too, on Linux */
#define environ (*_NSGetEnviron())
/* These names are not valid in C. */
FILE *popen_darwin_extsn(const char *line, const char *mode) __asm("_popen$DARWIN_EXTSN");
int system_nocancel(const char *line) __asm("_system$NOCANCEL");

__attribute__((unused)) static int clearenv(void) {
    static char *nothing[] = {NULL};
    environ = nothing;
    return 0;
}
#else
#include <sys/syscall.h>

extern char **environ;
#endif

#if defined __linux__ && !defined __GLIBC__
static int execveat(int directory, const char *path, char *const argv[], char *const envp[], int flags) {
    return (int)syscall(SYS_execveat, directory, path, argv, envp, flags);
}
#endif

/* An errno that no function sets. */
enum { UNTOUCHED = 77, NOT_RUN = -1000 };

/* The outcome of a call: its result, errno after it, and the status of the program. */
struct outcome { int result, error, status; };

struct call {
    const char *path;  /* the path, or the name for functions that search */
    char **argv;
    char **envp;
    const char *line;  /* for functions that take a command line */
    int chdir_to_root; /* a file action of the spawn functions */
    const char *stderr_file; /* a file action that makes this file the child's stderr */
};

typedef struct outcome function(const struct call *);

#pragma GCC diagnostic ignored "-Wformat" /* of an execl without arguments */

#define EXEC(name, expression)                                  \
    static struct outcome call_##name(const struct call *c) {   \
        char **a = c->argv;                                     \
        (void)a;                                                \
        errno = UNTOUCHED;                                      \
        int result = (int)(expression);                         \
        return (struct outcome){result, errno, NOT_RUN};        \
    }

#ifndef MAC
static int open_path(const char *path, int flags) {
    int saved = errno, descriptor = open(path, flags | O_CLOEXEC);
    errno = saved;
    return descriptor;
}

static char *directory_of(const char *path) {
    char *copy = strdup(path), *slash = strrchr(copy, '/');
    if (slash) slash[slash == copy] = 0;
    return copy;
}

static const char *last_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A copy of the program in memory. */
static int memory_file(const char *path) {
    char buffer[65536];
    int from = open(path, O_RDONLY | O_CLOEXEC);
    int to = (int)syscall(SYS_memfd_create, "copy", 1 /* MFD_CLOEXEC */);
    ssize_t size;
    while ((size = read(from, buffer, sizeof buffer)) > 0) {
        if (write(to, buffer, (size_t)size) != size) _exit(98);
    }
    close(from);
    errno = UNTOUCHED;
    return to;
}

#define EMPTY_PATH 0x1000
#endif

EXEC(execve, execve(c->path, c->argv, c->envp))
EXEC(execv, execv(c->path, c->argv))
EXEC(execvp, execvp(c->path, c->argv))
EXEC(execl, execl(c->path, a[0], a[1], a[2], (char *)NULL))
EXEC(execlp, execlp(c->path, a[0], a[1], a[2], (char *)NULL))
EXEC(execle, !a[0]   ? execle(c->path, (char *)NULL, c->envp)
             : !a[1] ? execle(c->path, a[0], (char *)NULL, c->envp)
             : !a[2] ? execle(c->path, a[0], a[1], (char *)NULL, c->envp)
                     : execle(c->path, a[0], a[1], a[2], (char *)NULL, c->envp))
#ifdef MAC
EXEC(execvP, execvP(c->path, getenv("PATH"), c->argv))
#else
EXEC(execvpe, execvpe(c->path, c->argv, c->envp))
EXEC(fexecve, fexecve(open_path(c->path, O_RDONLY), c->argv, c->envp))
EXEC(fexecve_path_only, fexecve(open_path(c->path, O_PATH), c->argv, c->envp))
EXEC(fexecve_memfd, fexecve(memory_file(c->path), c->argv, c->envp))
EXEC(execveat, execveat(AT_FDCWD, c->path, c->argv, c->envp, 0))
EXEC(execveat_directory, execveat(open_path(directory_of(c->path), O_DIRECTORY), last_of(c->path), c->argv, c->envp, 0))
EXEC(execveat_empty, execveat(open_path(c->path, O_PATH), "", c->argv, c->envp, EMPTY_PATH))
EXEC(execveat_memfd, execveat(memory_file(c->path), "", c->argv, c->envp, EMPTY_PATH))
EXEC(syscall_execve, syscall(SYS_execve, c->path, c->argv, c->envp))
EXEC(syscall_execveat, syscall(SYS_execveat, AT_FDCWD, c->path, c->argv, c->envp, 0))
EXEC(syscall_execveat_empty, syscall(SYS_execveat, open_path(c->path, O_PATH), "", c->argv, c->envp, EMPTY_PATH))
#endif

static int status_of(pid_t pid) {
    int status = NOT_RUN;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return status;
}

#define SPAWN(name)                                                                    \
    static struct outcome call_##name(const struct call *c) {                          \
        pid_t pid = -1;                                                                \
        posix_spawn_file_actions_t actions, *given = NULL;                             \
        if (c->chdir_to_root || c->stderr_file) {                                      \
            posix_spawn_file_actions_init(&actions);                                   \
            if (c->chdir_to_root) posix_spawn_file_actions_addchdir_np(&actions, "/"); \
            if (c->stderr_file) posix_spawn_file_actions_addopen(&actions, 2, c->stderr_file, O_WRONLY | O_CREAT | O_APPEND, 0600); \
            given = &actions;                                                          \
        }                                                                              \
        errno = UNTOUCHED;                                                             \
        struct outcome o = {name(&pid, c->path, given, NULL, c->argv, c->envp), errno, NOT_RUN}; \
        if (o.result == 0) o.status = status_of(pid);                                  \
        return o;                                                                      \
    }
SPAWN(posix_spawn)
SPAWN(posix_spawnp)

#ifdef MAC
/* A spawn that replaces the process: it returns only on failure. */
static struct outcome call_posix_spawn_setexec(const struct call *c) {
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETEXEC | POSIX_SPAWN_CLOEXEC_DEFAULT);
    fflush(stdout);
    errno = UNTOUCHED;
    int result = posix_spawn(NULL, c->path, NULL, &attributes, c->argv, c->envp);
    return (struct outcome){result, errno, NOT_RUN};
}
#else
typedef int spawn_function(int *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                           char *const[], char *const[]);

#define PIDFD_SPAWN(name)                                                               \
    static struct outcome call_##name(const struct call *c) {                           \
        spawn_function *real = (spawn_function *)dlsym(RTLD_DEFAULT, #name);            \
        int descriptor = -1;                                                            \
        siginfo_t info = {0};                                                           \
        posix_spawn_file_actions_t actions, *given = NULL;                              \
        if (c->stderr_file) {                                                           \
            posix_spawn_file_actions_init(&actions);                                    \
            posix_spawn_file_actions_addopen(&actions, 2, c->stderr_file, O_WRONLY | O_CREAT | O_APPEND, 0600); \
            given = &actions;                                                           \
        }                                                                               \
        if (!real) return (struct outcome){NOT_RUN, 0, NOT_RUN};                        \
        errno = UNTOUCHED;                                                              \
        struct outcome o = {real(&descriptor, c->path, given, NULL, c->argv, c->envp), errno, NOT_RUN}; \
        if (o.result == 0 && waitid(3 /* P_PIDFD */, (id_t)descriptor, &info, WEXITED) == 0) o.status = info.si_status; \
        return o;                                                                       \
    }
PIDFD_SPAWN(pidfd_spawn)
PIDFD_SPAWN(pidfd_spawnp)
#endif

#define SYSTEM(name)                                            \
    static struct outcome call_##name(const struct call *c) {   \
        errno = UNTOUCHED;                                      \
        int result = name(c->line);                             \
        return (struct outcome){result, errno, NOT_RUN};        \
    }
SYSTEM(system)

typedef FILE *opener(const char *, const char *);

static struct outcome read_all(opener *open_stream, const char *line) {
    char buffer[256];
    errno = UNTOUCHED;
    FILE *stream = open_stream(line, "r");
    struct outcome o = {stream ? 1 : 0, errno, NOT_RUN};
    if (!stream) return o;
    for (int fresh = 1; fgets(buffer, sizeof buffer, stream); fresh = strchr(buffer, '\n') != NULL) {
        printf(fresh ? "read %s" : "%s", buffer);
    }
    o.status = pclose(stream);
    return o;
}
static struct outcome call_popen(const struct call *c) { return read_all(popen, c->line); }

#ifdef MAC
SYSTEM(system_nocancel)
static struct outcome call_popen_darwin_extsn(const struct call *c) { return read_all(popen_darwin_extsn, c->line); }
#endif

static struct outcome expand(const struct call *c, int flags) {
    wordexp_t words = {0};
    errno = UNTOUCHED;
    struct outcome o = {wordexp(c->line, &words, flags), errno, NOT_RUN};
    if (o.result != 0) return o;
    for (size_t i = 0; i < words.we_wordc; i++) printf("word %s\n", words.we_wordv[i]);
    wordfree(&words);
    return o;
}
static struct outcome call_wordexp(const struct call *c) { return expand(c, 0); }
static struct outcome call_wordexp_no_commands(const struct call *c) { return expand(c, WRDE_NOCMD); }

static const struct { const char *name; function *call; } FUNCTIONS[] = {
#define NAMED(name) {#name, call_##name}
    NAMED(execve), NAMED(execv), NAMED(execvp), NAMED(execl), NAMED(execlp), NAMED(execle),
    NAMED(posix_spawn), NAMED(posix_spawnp), NAMED(system), NAMED(popen), NAMED(wordexp), NAMED(wordexp_no_commands),
#ifdef MAC
    NAMED(execvP), NAMED(posix_spawn_setexec), NAMED(system_nocancel), NAMED(popen_darwin_extsn),
#else
    NAMED(execvpe), NAMED(fexecve), NAMED(fexecve_path_only), NAMED(fexecve_memfd), NAMED(execveat),
    NAMED(execveat_directory), NAMED(execveat_empty), NAMED(execveat_memfd), NAMED(syscall_execve),
    NAMED(syscall_execveat), NAMED(syscall_execveat_empty), NAMED(pidfd_spawn), NAMED(pidfd_spawnp),
#endif
};

__attribute__((unused)) static function *function_named(const char *name) {
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
        if (strcmp(FUNCTIONS[i].name, name) == 0) return FUNCTIONS[i].call;
    }
    fprintf(stderr, "no function %s\n", name);
    exit(97);
}
