/* signals PATH TIMES: starts the program at PATH in TIMES vfork children while signals are sent to the
 * whole process group; prints how often the handler ran in a child, where it changes the parent's
 * memory. */
#include "../../guarded/probes/calls.h"

#include <pthread.h>

enum { PAUSE_US = 500 };

static pid_t parent;
static volatile int in_children, in_parent;

static void on_signal(int signal) {
    (void)signal;
    if (syscall(SYS_getpid) == parent) in_parent++;
    else in_children++;
}

static void *signal_for_ever(void *unused) {
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGWINCH);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    for (;;) {
        kill(0, SIGWINCH);
        usleep(PAUSE_US);
    }
    return unused;
}

int main(int argc, char **argv) {
    struct sigaction action;
    pthread_t thread;
    int failures = 0;
    if (argc != 3) return 96;
    parent = getpid();
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(SIGWINCH, &action, NULL);
    pthread_create(&thread, NULL, signal_for_ever, NULL);
    for (int i = atoi(argv[2]); i > 0; i--) {
        char *child[] = {argv[1], NULL};
        pid_t pid = vfork();
        if (pid == 0) {
            execve(argv[1], child, environ);
            _exit(1);
        }
        if (status_of(pid) != 0) failures++;
    }
    printf("failures %d in-children %d in-parent %s\n", failures, in_children, in_parent > 0 ? "some" : "none");
    return 0;
}
