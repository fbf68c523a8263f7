/* start_macos WAY PROGRAM [ARGV…]: starts a program in a way that only macOS has, or by a shell, and
 * prints the result. `about`, in the child, prints what the child got. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef _POSIX_SPAWN_DISABLE_ASLR
#define _POSIX_SPAWN_DISABLE_ASLR 0x0100 /* spawn_private.h */
#endif

extern char **environ;

static int spawn(const char *way, const char *program, char **argv) {
    posix_spawn_file_actions_t actions, *given = &actions;
    posix_spawnattr_t attributes;
    pid_t pid = -1;
    int status = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    if (strcmp(way, "setexec") == 0) {
        given = NULL;
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETEXEC);
    } else if (strcmp(way, "cloexec_default") == 0) {
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_CLOEXEC_DEFAULT);
        for (int descriptor = 0; descriptor < 3; descriptor++) {
            posix_spawn_file_actions_addinherit_np(&actions, descriptor);
        }
        dup2(1, 50);
    } else if (strcmp(way, "disable_aslr") == 0) {
        posix_spawnattr_setflags(&attributes, _POSIX_SPAWN_DISABLE_ASLR);
    } else if (strcmp(way, "plain") == 0) {
        dup2(1, 50);
    } else if (strcmp(way, "chdir") == 0) {
        posix_spawn_file_actions_addchdir_np(&actions, "../tmp");
    } else {
        return 97;
    }
    int result = posix_spawn(&pid, program, given, &attributes, argv, environ);
    printf("returned %d\n", result);
    if (result == 0) waitpid(pid, &status, 0);
    return status == 0 ? 0 : 1;
}

static int read_all(const char *line) {
    char text[256];
    FILE *stream = popen(line, "r");
    if (!stream) return 1;
    while (fgets(text, sizeof text, stream)) printf("read %s", text);
    return pclose(stream) == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc < 3) return 96;
    if (strcmp(argv[1], "about") == 0) {
        printf("descriptor 50 is %s\nmain is at %p\n", fcntl(50, F_GETFD) < 0 ? "closed" : "open", (void *)(size_t)main);
        return 0;
    }
    if (strcmp(argv[1], "system") == 0) return system(argv[2]) == 0 ? 0 : 1;
    if (strcmp(argv[1], "popen") == 0) return read_all(argv[2]);
    return spawn(argv[1], argv[2], argv + 3);
}
