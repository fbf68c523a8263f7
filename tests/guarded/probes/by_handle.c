/* A library that intercepts execvp and calls the C library's by handle, bypassing libraries after it,
 * as torsocks does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <unistd.h>

int execvp(const char *file, char *const argv[]) {
    void *libc = dlopen("libc.so.6", RTLD_NOW);
    int (*next)(const char *, char *const[]) = dlsym(libc, "execvp");
    return next(file, argv);
}
