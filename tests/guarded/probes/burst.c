/* burst COUNT PATH: forks COUNT children, which all exec PATH at the same moment. Prints how many were
 * refused, and the highest number of voluntary context switches of a child. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc != 3) return 96;
    long count = atol(argv[1]), refused = 0, most = 0;
    char *words[] = {"rm", "x", NULL}, none;
    int start[2], status;
    struct rusage usage;
    if (pipe(start) != 0) return 97;
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child < 0) return 98;
        if (child == 0) {
            close(start[1]);
            while (read(start[0], &none, 1) > 0) continue;
            execve(argv[2], words, environ);
            _exit(126);
        }
    }
    close(start[1]);
    while (wait4(-1, &status, 0, &usage) > 0) {
        refused += WIFEXITED(status) && WEXITSTATUS(status) == 126;
        if (usage.ru_nvcsw > most) most = usage.ru_nvcsw;
    }
    printf("%ld %ld\n", refused, most);
    return 0;
}
