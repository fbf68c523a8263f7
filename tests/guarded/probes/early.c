/* A library whose constructor starts a program, before any other may be ready. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int early_is_here(void) { return 1; }

__attribute__((constructor)) static void early(void) {
    char *argv[] = {"rm", "early", NULL};
    const char *program = getenv("EARLY");
    if (!program) return;
    unsetenv("EARLY"); /* or the program would do the same */
    execv(program, argv);
    _exit(errno);
}
