/* soak PATH NAME THREADS SECONDS: threads start the program at PATH, which is NAME in the search path,
 * in all ways for SECONDS: four times out of five as `good`, otherwise as `evil`, each with a number of
 * its own. Prints how often programs ran or were refused, the longest duration of a call, and whether
 * anything is left behind. */
#include "../../guarded/probes/calls.h"

#include <pthread.h>
#include <time.h>

#include "stock.h"

enum { ONE_IS_EVIL_OF = 5, LONGEST_ID = 64, SMALL_STACK = 16 * 1024 };
enum tally { RAN, REFUSED, OTHER, TALLIES };

static const char *path, *name;
static double until;
static long tallies[2][TALLIES];
static long longest_ms;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* A child that could not exec says by its exit status whether it was refused. */
enum { WAS_REFUSED = 41, FAILED = 42 };

static void leave(void) { _exit(errno == EPERM ? WAS_REFUSED : FAILED); }

static enum tally tally_of(int status) {
    if (status == 0) return RAN;
    /* A shell whose own child was refused exits with 126. */
    return WIFEXITED(status) && (WEXITSTATUS(status) == WAS_REFUSED || WEXITSTATUS(status) == 126) ? REFUSED : OTHER;
}

struct errand { char **argv; char **envp; };

static int exec_on_small_stack(void *given) {
    struct errand *errand = given;
    execve(path, errand->argv, errand->envp);
    leave();
    return 0;
}

static enum tally start(unsigned way, char **argv, const char *line, char *stack) {
    pid_t pid = -1;
    int result;
    FILE *stream;
    struct errand errand = {argv, environ};
    switch (way) {
    case 0:
    case 1:
        result = way ? posix_spawn(&pid, path, NULL, NULL, argv, environ) : posix_spawnp(&pid, name, NULL, NULL, argv, environ);
        return result == EPERM ? REFUSED : result ? OTHER : tally_of(status_of(pid));
    case 2:
        result = system(line);
        return result < 0 && errno == EPERM ? REFUSED : tally_of(result);
    case 3:
        errno = 0;
        stream = popen(line, "re");
        return stream ? tally_of(pclose(stream)) : errno == EPERM ? REFUSED : OTHER;
    case 4:
        if ((pid = fork()) == 0) {
            execvp(name, argv);
            leave();
        }
        return tally_of(status_of(pid));
    case 5:
        if ((pid = vfork()) == 0) {
            execv(path, argv);
            leave();
        }
        return tally_of(status_of(pid));
    default:
        pid = clone(exec_on_small_stack, stack + SMALL_STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &errand);
        return tally_of(status_of(pid));
    }
}

static void *spawn_for_long(void *number) {
    char id[LONGEST_ID], line[2 * LONGEST_ID], *argv[] = {(char *)name, id, NULL};
    char *stack = malloc(SMALL_STACK);
    for (unsigned long i = 0; now() < until; i++) {
        int is_evil = i % ONE_IS_EVIL_OF == 0;
        snprintf(id, sizeof id, "%s-%d-%ld-%lu", is_evil ? "evil" : "good", (int)getpid(), (long)number, i);
        snprintf(line, sizeof line, "%s %s", name, id);
        double begun = now();
        enum tally tally = start((unsigned)(i % 7), argv, line, stack);
        long took_ms = (long)((now() - begun) * 1000);
        pthread_mutex_lock(&lock);
        tallies[is_evil][tally]++;
        if (took_ms > longest_ms) longest_ms = took_ms;
        pthread_mutex_unlock(&lock);
    }
    free(stack);
    return NULL;
}

int main(int argc, char **argv) {
    static struct stock before, after;
    pthread_t threads[64];
    if (argc != 5) return 96;
    long count = atol(argv[3]);
    path = argv[1];
    name = argv[2];
    until = now() + atof(argv[4]);
    if (count > 64) return 96;
    take_stock(&before);
    for (long i = 0; i < count; i++) pthread_create(&threads[i], NULL, spawn_for_long, (void *)i);
    for (long i = 0; i < count; i++) pthread_join(threads[i], NULL);
    take_stock(&after);
    int is_intact = SAME(&before, &after, descriptors) && SAME(&before, &after, mask) && SAME(&before, &after, actions);
    int is_childless = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
    printf("good %ld %ld %ld evil %ld %ld %ld longest %ld kept %d left %s\n", tallies[0][RAN], tallies[0][REFUSED],
           tallies[0][OTHER], tallies[1][RAN], tallies[1][REFUSED], tallies[1][OTHER], longest_ms, after.kept_count,
           is_intact && is_childless ? "nothing" : "something");
    return 0;
}
