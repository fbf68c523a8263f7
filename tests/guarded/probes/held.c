/* held fork|vfork FILE PATH [ARGV…]: a child starts PATH. Once FILE shows that its question was asked,
 * another process sends it SIGUSR1, for which there is a handler, and then SIGTERM, for which there is
 * none. Prints how the child ended, and whether the handler ran. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile struct {
    pid_t child;
    int handled;
} *shared;

static void handle(int number) {
    (void)number;
    shared->handled = 1;
}

int main(int count, char **words) {
    if (count < 5) return 2;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    signal(SIGUSR1, handle);
    pid_t helper = fork();
    if (helper == 0) {
        while (shared->child == 0 || access(words[2], F_OK) != 0) usleep(10 * 1000);
        kill(shared->child, SIGUSR1);
        /* Time for the handler to run, if it can. */
        usleep(200 * 1000);
        kill(shared->child, SIGTERM);
        _exit(0);
    }
    pid_t child = strcmp(words[1], "vfork") == 0 ? vfork() : fork();
    if (child == 0) {
        shared->child = getpid();
        execv(words[3], words + 4);
        _exit(9);
    }
    int status;
    waitpid(child, &status, 0);
    waitpid(helper, NULL, 0);
    printf("signal %d, handled %d\n", WIFSIGNALED(status) ? WTERMSIG(status) : 0, shared->handled);
    return 0;
}
