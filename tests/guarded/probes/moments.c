/* moments: calls system(3) with a changed environment. Prints how often another thread found no
 * LD_PRELOAD meanwhile, how often errno changed, and how often a variable was left twice. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static volatile int ends, looks, misses;

static void *watches(void *unused) {
    while (!ends) {
        looks++;
        if (!getenv("LD_PRELOAD")) misses++;
    }
    return unused;
}

static int count(const char *name) {
    int found = 0;

    for (char **entry = environ; *entry; entry++)
        found += !strncmp(*entry, name, strlen(name));
    return found;
}

/* Makes an environment in which two variables occur twice. */
static void repeat(void) {
    char **twice = calloc(200, sizeof *twice);
    int i = 0;

    for (char **entry = environ; *entry && i < 190; entry++)
        twice[i++] = *entry;
    twice[i++] = "LD_PRELOAD=";
    twice[i++] = "RAMPART_MODE=disabled";
    environ = twice;
}

int main(void) {
    pthread_t thread;
    int changed = 0, repeated = 0;
    /* Adds all variables, so that the array does not move afterwards. */
    if (system("exit 3") != 3 << 8) return 1;
    pthread_create(&thread, NULL, watches, NULL);
    for (int i = 0; i < 100; i++) {
        setenv("RAMPART_MODE", "disabled", 1);
        setenv("LD_PRELOAD", "", 1);
        if (i % 2) repeat();
        errno = 77;
        if (system("exit 3") != 3 << 8 || errno != 77) changed++;
        if (count("LD_PRELOAD=") != 1 || count("RAMPART_MODE=") != 1) repeated++;
    }
    ends = 1;
    pthread_join(thread, NULL);
    printf("looked %d missed %d changed %d repeated %d\n", looks > 0, misses, changed, repeated);
    return 0;
}
