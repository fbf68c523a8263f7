/* pause PATH: spawns PATH twice, with a pause between. */
#define _GNU_SOURCE
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc != 2) return 96;
    for (int i = 1; i <= 2; i++) {
        char *child[] = {"rm", i == 1 ? "1" : "2", NULL};
        pid_t pid;
        if (posix_spawn(&pid, argv[1], NULL, NULL, child, environ) == 0) waitpid(pid, NULL, 0);
        usleep(200000);
    }
    return 0;
}
