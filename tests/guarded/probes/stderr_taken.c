/* stderr_taken HOW PLACE PATH: closes stderr, opens another file at its number (data: for reading and
 * writing; output: for writing only; pipe: a close-on-exec pipe), starts PATH (here: by posix_spawn;
 * child: by fork and exec), and prints what the file holds. */
#include "calls.h"

int main(int argc, char **argv) {
    char *child[] = {"tool", "x", NULL}, text[512] = "";
    int ends[2], reader = -1;
    pid_t pid;
    if (argc != 4) return 96;
    close(2);
    if (strcmp(argv[1], "data") == 0) {
        reader = open("data", O_RDWR | O_CREAT | O_TRUNC, 0600);
    } else if (strcmp(argv[1], "output") == 0) {
        reader = open("data", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    } else {
        pipe(ends);
        reader = ends[0] == 2 ? ends[1] : ends[0];
        dup2(ends[1], 9), dup2(ends[0], 8), close(ends[0]), close(ends[1]);
        dup2(9, 2), close(9), fcntl(2, F_SETFD, FD_CLOEXEC);
    }
    if (write(2, "mine", 4) != 4) return 95;
    if (strcmp(argv[2], "here") == 0) {
        printf("returned %d\n", posix_spawn(&pid, argv[3], NULL, NULL, child, environ));
    } else if ((pid = fork()) == 0) {
        execve(argv[3], child, environ);
        _exit(errno);
    } else {
        printf("returned %d\n", status_of(pid) >> 8);
    }
    int from = strcmp(argv[1], "pipe") == 0 ? 8 : open("data", O_RDONLY);
    if (read(from, text, sizeof text - 1) < 0) return 94;
    printf("holds %s\n", text);
    return reader < 0;
}
