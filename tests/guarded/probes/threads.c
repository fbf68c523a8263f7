/* threads COUNT TIMES PATH: COUNT threads each spawn `PATH N` for N up to TIMES; an odd N must be
 * refused, an even one must run. Other threads allocate memory meanwhile. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static const char *path;
static int times;
static atomic_int wrong, ended;

static void *spawns(void *unused) {
    for (int i = 0; i < times; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", i);
        char *child[] = {"rm", number, NULL};
        pid_t pid;
        int status = -1, result;
        if (i % 3 == 0) {
            pid = fork();
            if (pid == 0) {
                execv(path, child);
                _exit(errno);
            }
            waitpid(pid, &status, 0);
            result = WEXITSTATUS(status);
        } else {
            result = posix_spawn(&pid, path, NULL, NULL, child, environ);
            if (result == 0) waitpid(pid, &status, 0);
        }
        if (result != (i % 2 ? EPERM : 0)) wrong++;
    }
    return unused;
}

static void *allocates(void *unused) {
    for (unsigned i = 1; !ended; i++) free(malloc(i % 5000));
    return unused;
}

int main(int argc, char **argv) {
    pthread_t threads[64], busy[2];
    if (argc != 4) return 96;
    int count = atoi(argv[1]);
    times = atoi(argv[2]);
    path = argv[3];
    for (int i = 0; i < 2; i++) pthread_create(&busy[i], NULL, allocates, NULL);
    for (int i = 0; i < count; i++) pthread_create(&threads[i], NULL, spawns, NULL);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    ended = 1;
    for (int i = 0; i < 2; i++) pthread_join(busy[i], NULL);
    printf("wrong: %d\n", wrong);
    return 0;
}
