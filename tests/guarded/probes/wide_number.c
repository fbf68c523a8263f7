/* wide_number FUNCTION PATH: execs by syscall(2) with a number of which the kernel uses the lower 32
 * bits. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv) {
    char *child[] = {"rm", "x", NULL};
    if (argc != 3) return 96;
    if (strcmp(argv[1], "execve") == 0) {
        syscall(0x100000000L | SYS_execve, argv[2], child, environ);
    } else {
        syscall(0x100000000L | SYS_execveat, AT_FDCWD, argv[2], child, environ, 0);
    }
    return 1;
}
