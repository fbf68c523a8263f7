/* moments: whether another thread ever finds no LD_PRELOAD while `system` puts the environment
 * right, and what errno is after it. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static volatile int ends, looks, misses;

static void *watches(void *unused) {
    while (!ends) {
        looks++;
        if (!getenv("LD_PRELOAD")) misses++;
    }
    return unused;
}

int main(void) {
    pthread_t thread;
    int changed = 0;
    /* From now on nothing is added, so that the list of the environment stays where it is. */
    if (system("exit 3") != 3 << 8) return 1;
    pthread_create(&thread, NULL, watches, NULL);
    for (int i = 0; i < 100; i++) {
        setenv("RAMPART_MODE", "disabled", 1);
        setenv("LD_PRELOAD", "", 1);
        errno = 77;
        if (system("exit 3") != 3 << 8 || errno != 77) changed++;
    }
    ends = 1;
    pthread_join(thread, NULL);
    printf("looked %d missed %d changed %d\n", looks > 0, misses, changed);
    return 0;
}
