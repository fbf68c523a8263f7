/* becomes_readable PROGRAM: starts a program many times by a path that cannot be read until another
 * thread makes it readable, at one moment or another; prints when that was done. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *path;
static size_t page;
static volatile int begins, delay;

static void *makes_readable(void *unused) {
    while (!begins) {}
    for (volatile int i = 0; i < delay; i++) {}
    mprotect(path, page, PROT_READ);
    return unused;
}

int main(int argc, char **argv) {
    (void)argc;
    page = (size_t)sysconf(_SC_PAGESIZE);
    path = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(path, argv[1]);
    char *arguments[] = {"rm", "x", NULL};
    for (int i = 0; i < 400; i++) {
        pthread_t other;
        pid_t pid;
        begins = 0;
        delay = i % 100 * 1000;
        mprotect(path, page, PROT_NONE);
        pthread_create(&other, NULL, makes_readable, NULL);
        begins = 1;
        if (i % 2) {
            int result = posix_spawn(&pid, path, NULL, NULL, arguments, environ);
            if (result == 0) waitpid(pid, NULL, 0);
            else if (result != EPERM && result != EFAULT) printf("error %d\n", result);
        } else {
            /* A line that runs unasked: its shell is not guarded. */
            clearenv();
            if (system(path) == 0) puts("it ran");
        }
        pthread_join(other, NULL);
    }
    puts("done");
    return 0;
}
