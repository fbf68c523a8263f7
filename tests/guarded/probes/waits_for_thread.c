/* A library whose constructor waits for a thread that starts the program STARTED, or, without one, uses
 * syscall(2): neither may need the loader's lock, which the constructor's thread holds. */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void *starts(void *program) {
    char *argv[] = {"tool", "constructed", NULL};
    pid_t pid;
    if (!program) {
        if (syscall(SYS_getpid) == getpid()) puts("called");
    } else if (posix_spawn(&pid, program, NULL, NULL, argv, environ) == 0) {
        waitpid(pid, NULL, 0);
    }
    return NULL;
}

__attribute__((constructor)) static void waits_for_thread(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, starts, getenv("STARTED"));
    pthread_join(thread, NULL);
}
