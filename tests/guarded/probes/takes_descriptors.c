/* takes_descriptors WAY PATH: spawns PATH four times; in between it closes all descriptors above 2,
 * perhaps puts files or sockets of its own there, and checks that nobody touches those. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
enum { FIRST = 3, LAST = 120 };

static void spawn(const char *path) {
    char *child[] = {"rm", NULL};
    pid_t pid;
    if (posix_spawn(&pid, path, NULL, NULL, child, environ) != 0) _exit(1);
    waitpid(pid, NULL, 0);
}

static int same(int a, int b) {
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino && x.st_dev == y.st_dev;
}

int main(int argc, char **argv) {
    if (argc != 3) return 96;
    const char *way = argv[1], *path = argv[2];
    int ends[2], own = 900;
    /* "owned": a socket whose owner (F_SETOWN) is this process, as of the library's. */
    int owned = strcmp(way, "owned") == 0, socket = owned || strcmp(way, "socket") == 0;
    char byte;
    spawn(path);
    spawn(path);
    if (socket) {
        socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
        dup2(ends[0], own);
        dup2(ends[1], 901);
        if (owned) fcntl(own, F_SETOWN, getpid());
    } else {
        char name[] = "/tmp/own-XXXXXX";
        int file = mkstemp(name);
        unlink(name);
        write(file, "mine", 4);
        dup2(file, own);
    }
    if (strcmp(way, "close_range") == 0) {
        close_range(FIRST, LAST, 0);
    } else {
        for (int fd = FIRST; fd <= LAST; fd++) close(fd);
    }
    int covers = socket || strcmp(way, "dup2") == 0;
    for (int fd = FIRST; covers && fd <= LAST; fd++) dup2(own, fd);
    spawn(path);
    spawn(path);
    for (int fd = FIRST; covers && fd <= LAST; fd++) {
        if (!same(fd, own)) return puts("a descriptor was closed"), 1;
    }
    if (socket ? recv(901, &byte, 1, MSG_DONTWAIT) >= 0 : lseek(own, 0, SEEK_END) != 4) {
        return puts("something was written"), 1;
    }
    puts("untouched");
    return 0;
}
