/* Prints what a program inherits: errno, descriptors, signal mask and dispositions. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(void) {
    int error = errno;
    printf("errno %d\n", error);
    for (int fd = 0; fd < 1024; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) printf("descriptor %d\n", fd);
    }
    unsigned long mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &mask, 8);
    printf("mask %lx\n", mask);
    for (int number = 1; number < 65; number++) {
        struct sigaction action = {0};
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler != SIG_DFL) printf("signal %d\n", number);
    }
    return 0;
}
