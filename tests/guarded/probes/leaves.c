/* leaves WAY SLOW DENIED: leaves checks of SLOW by a signal handler that does not return (jump, exit) or
 * by the end of its thread (cancel), and tries to spawn DENIED while the answers come and after that;
 * prints the results and how many sockets are open at the end. */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TIMES = 3, BEFORE_LEAVING_US = 100000, UNTIL_ANSWERS_US = 600000 };

extern char **environ;
static const char *way;
static sigjmp_buf out;

static void on_signal(int signal) {
    (void)signal;
    if (strcmp(way, "jump") == 0) siglongjmp(out, 1);
    pthread_exit(NULL);
}

static void *start(void *path) {
    char *child[] = {"rm", NULL};
    pid_t pid;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    int result = posix_spawn(&pid, path, NULL, NULL, child, environ);
    if (result == 0) waitpid(pid, NULL, 0);
    dprintf(1, result == 0 ? "ran\n" : "refused\n");
    return NULL;
}

static void *interrupt(void *thread) {
    usleep(BEFORE_LEAVING_US);
    pthread_kill(*(pthread_t *)thread, SIGUSR1);
    return NULL;
}

static void begin(pthread_t *thread, void *(*work)(void *), void *argument) {
    if (pthread_create(thread, NULL, work, argument) != 0) _exit(97);
}

static void try(char *path, int leave) {
    pthread_t thread, other;
    if (strcmp(way, "jump") == 0) {
        pthread_t self = pthread_self();
        if (leave) begin(&other, interrupt, &self);
        if (sigsetjmp(out, 1) == 0) start(path);
        if (leave) pthread_join(other, NULL);
        return;
    }
    begin(&thread, start, path);
    if (leave) {
        usleep(BEFORE_LEAVING_US);
        if (strcmp(way, "cancel") == 0) pthread_cancel(thread); else pthread_kill(thread, SIGUSR1);
    }
    pthread_join(thread, NULL);
}

static int sockets(void) {
    int count = 0;
    for (int number = 0; number < 256; number++) {
        struct stat status;
        count += fstat(number, &status) == 0 && S_ISSOCK(status.st_mode);
    }
    return count;
}

int main(int argc, char **argv) {
    if (argc != 4) return 96;
    way = argv[1];
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    int before = sockets();
    try(argv[3], 0);
    for (int i = 0; i < TIMES; i++) {
        try(argv[2], 1);
        try(argv[3], 0);
    }
    try(argv[2], 1);
    usleep(UNTIL_ANSWERS_US);
    try(argv[3], 0);
    dprintf(1, "sockets %d\n", sockets() - before);
    return 0;
}
