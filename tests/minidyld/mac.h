/* Declarations of a Mac's headers that Linux's do not have. Included before each probe that runs under
 * minidyld. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <unistd.h>
#include <wordexp.h>

#define MAC 1

int execvP(const char *file, const char *search, char *const argv[]);
FILE *popen_darwin_extsn(const char *line, const char *mode);
int system_nocancel(const char *line);

/* bsd/sys/spawn.h of XNU */
#define POSIX_SPAWN_SETEXEC 0x0040
#define _POSIX_SPAWN_DISABLE_ASLR 0x0100
#define POSIX_SPAWN_CLOEXEC_DEFAULT 0x4000
int posix_spawnattr_setflags_darwin(posix_spawnattr_t *attributes, short flags);
#define posix_spawnattr_setflags posix_spawnattr_setflags_darwin
#define posix_spawn_file_actions_addinherit_np(actions, descriptor) \
    posix_spawn_file_actions_adddup2(actions, descriptor, descriptor)
