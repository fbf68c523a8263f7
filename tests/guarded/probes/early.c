/* A library whose constructor starts the program EARLY, or loads the library EARLY_LOADS, perhaps
 * before the constructors of other libraries. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int early_is_here(void) { return 1; }

__attribute__((constructor)) static void early(void) {
    char *argv[] = {"rm", "early", NULL};
    const char *program = getenv("EARLY"), *library = getenv("EARLY_LOADS");
    if (library && !dlopen(library, RTLD_NOW)) _exit(99);
    if (!program) return;
    unsetenv("EARLY"); /* otherwise the program would do the same */
    execv(program, argv);
    _exit(errno);
}
