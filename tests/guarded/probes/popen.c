/* popen in several modes, with two streams at once, and with closed standard streams. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#if defined __APPLE__ || defined MAC
#define CLOSE_ON_EXEC
#else
#define CLOSE_ON_EXEC "e"
#endif

int main(void) {
    char buffer[64];
    errno = 0;
    FILE *bad = popen("rm bad", "x");
    printf("bad mode: %d %d\n", bad != NULL, errno);
    fflush(stdout);
    FILE *writer = popen("rm w; cat", "w"), *reader = popen("rm r", "r" CLOSE_ON_EXEC);
    int flag = fcntl(fileno(reader), F_GETFD);
    fputs("through the pipe\n", writer);
    printf("writer: %d\n", pclose(writer));
    printf("close-on-exec: %d\n", flag);
    while (fgets(buffer, sizeof buffer, reader)) printf("read %s", buffer);
    printf("reader: %d\n", pclose(reader));
    fflush(stdout);
    int out = dup(1);
    close(0);
    close(1);
    FILE *closed = popen("rm c", "r");
    size_t size = closed ? fread(buffer, 1, sizeof buffer, closed) : 0;
    dprintf(out, "with 0 and 1 closed: %zu %d\n", size, closed ? pclose(closed) : -1);
    return 0;
}
