/* A miniature dyld: runs the macOS library's own machine code in processes of Linux.
 *
 * Preloaded into a process, it does at its start what dyld does: it maps each librampart.dylib
 * of DYLD_INSERT_LIBRARIES (the x86-64 slice; in an emulator the arm64 one), applies rebases and
 * binds, reads the tuples of __DATA,__interpose, and runs the initialiser. From then on the
 * program's calls of the functions that start programs go through the tuples.
 *
 *   say.c      messages, and error numbers
 *   kernel.c   system calls that behave like XNU's
 *   libc.c     functions of libSystem, after Apple's Libc-1725
 *   image.c    the Mach-O file
 *   program.c  the start of a process, and the program's calls
 *   mac.h      declarations of a Mac's headers, for the probes
 *
 * The library calls all of this with Darwin's numbers, layouts and conventions. A call that a Mac would
 * not understand is reported on stderr and in the file MINIDYLD_WRONG, and fails the run.
 *
 *   MINIDYLD_WRONG=FILE   gets a line for each such call
 *   MINIDYLD_INNER=0|1    whether libSystem's own calls go through the tuples too, as they do from
 *                         macOS 13 on (dyld, Loader.cpp, applyInterposingToDyldCache); 1 by default
 *   MINIDYLD_TRACE=FILE   gets a line for each call of the library
 *
 * These variables and LD_PRELOAD are hidden from the program, and passed to each program that it
 * starts. */
#ifndef MINIDYLD_H
#define MINIDYLD_H
#define _GNU_SOURCE
#include <errno.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define EXPORT __attribute__((visibility("default")))

extern char **environ;

/* say.c */
extern const char *trace_file, *wrong_file;
void say(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));
void say_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
int to_darwin(int linux_errno);
int to_linux(int darwin_errno);
#define TRACE(...) do { if (trace_file) say("call", __VA_ARGS__); } while (0)
/* The result of a Linux call; if it failed, errno becomes Darwin's number. */
#define DARWIN(call) ({ __typeof__(call) r_ = (call); if (r_ == (__typeof__(call))-1) errno = to_darwin(errno); r_; })

/* The functions that can be interposed. */
enum hooked {
    EXECVE, EXECV, EXECVP, EXECVP_IN, EXECL, EXECLP, EXECLE, POSIX_SPAWN, POSIX_SPAWNP,
    SYSTEM, SYSTEM_NOCANCEL, POPEN, POPEN_EXTSN, WORDEXP, HOOKS
};
extern void *hook[HOOKS]; /* what the program calls: the replacements, once there are any */
extern int inner_calls_are_hooked;

typedef int exec_function(const char *, char *const *, char *const *);
typedef int spawn_function(pid_t *, const char *, const void *, const void *, char *const *, char *const *);

/* A symbol of libSystem: its implementation here, and its hook (-1: none). */
struct symbol { const char *name; void *function; int hook; };
extern const struct symbol kernel_symbols[], libc_symbols[]; /* each ends with a NULL */
const struct symbol *symbol_of(int hook);

/* kernel.c */
void start_kernel(void);
int kernel_execve(const char *path, char *const argv[], char *const envp[]);
int kernel_posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attributes,
                       char *const argv[], char *const envp[]);

/* libc.c */
struct opened_process { FILE *stream; pid_t pid; };
int libc_pclose(FILE *stream);
/* The text segment of the C library's image, and an address in it. */
const char *libc_text(unsigned long *size);

/* image.c */
void load_image(const char *path, int argc, char **argv, char **envp);

/* program.c: the environment for a new process, in a buffer of `count_strings(envp) + ADDED`. */
enum { ADDED = 5 };
size_t count_strings(char *const *strings);
char *const *with_loader(char *const *envp, char **buffer);
/* Whether dyld takes the DYLD variables away from the program at this path. */
int is_restricted(const char *path);

/* Flags of posix_spawnattr_t that Linux does not have (bsd/sys/spawn.h); kept in its padding. */
enum { SPAWN_SETEXEC = 0x40, SPAWN_START_SUSPENDED = 0x80, SPAWN_DISABLE_ASLR = 0x100, SPAWN_SETSID = 0x400,
       SPAWN_CLOEXEC_DEFAULT = 0x4000, SPAWN_COMMON = 0x0f };
int spawn_flags(const posix_spawnattr_t *attributes);
#endif
