/* storm TIMES PATH: spawns PATH TIMES times under a SIGALRM every 200 µs and a SIGCHLD for each child;
 * prints the results. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t alarms, deaths;

static void on_alarm(int signal) { (void)signal; alarms++; }
static void on_death(int signal) { (void)signal; deaths++; }

int main(int argc, char **argv) {
    if (argc < 3) return 96;
    int times = atoi(argv[1]), ran = 0, refused = 0, other = 0;
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    action.sa_handler = on_death;
    sigaction(SIGCHLD, &action, NULL);
    struct itimerval every = {{0, 200}, {0, 200}};
    setitimer(ITIMER_REAL, &every, NULL);
    for (int i = 0; i < times; i++) {
        char *child[] = {"rm", "storm", NULL};
        pid_t pid;
        int status = -1, result = posix_spawn(&pid, argv[2], NULL, NULL, child, environ);
        if (result == EPERM) {
            refused++;
            continue;
        }
        while (result == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        if (result == 0 && status == 0) ran++; else other++;
    }
    memset(&every, 0, sizeof every);
    setitimer(ITIMER_REAL, &every, NULL);
    dprintf(1, "ran %d refused %d other %d alarms %s deaths %s\n", ran, refused, other,
            alarms > 0 ? "some" : "none", deaths >= ran ? "all" : "lost");
    return 0;
}
