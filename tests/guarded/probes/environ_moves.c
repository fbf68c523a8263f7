/* environ_moves FUNCTION FILE: a vfork child starts a shell, which prints NEW_999. Meanwhile another
 * thread sets so many variables that the array moves, overwrites the old one, and then makes FILE. */
#include "calls.h"

#include <pthread.h>

static void *moves(void *file) {
    enum { VARIABLES = 1000, BLOCKS = 2000 };
    char name[32];
    usleep(50000);
    for (int i = 0; i < VARIABLES; i++) {
        snprintf(name, sizeof name, "NEW_%d", i);
        setenv(name, "some value that is a little longer", 1);
    }
    for (int i = 0; i < BLOCKS; i++) {
        size_t size = 64 + (size_t)i * 8 % 40000;
        void *block = malloc(size);
        memset(block, 0x41, size);
    }
    close(open(file, O_WRONLY | O_CREAT, 0600));
    return NULL;
}

int main(int argc, char **argv) {
    char *child[] = {"sh", "-c", "echo ${NEW_999-unset}", NULL};
    struct call call = {.path = "/bin/sh", .argv = child};
    pthread_t thread;
    int status;
    if (argc != 3) return 96;
    function *chosen = function_named(argv[1]);
    setenv("FIRST", "1", 1);
    pthread_create(&thread, NULL, moves, argv[2]);
    pid_t pid = vfork();
    if (pid == 0) {
        chosen(&call);
        _exit(9);
    }
    waitpid(pid, &status, 0);
    printf("status %d\n", status);
    return 0;
}
