/* matrix PATH NAME FUNCTION/CHILD…: starts the program at PATH, which is NAME in the search path, by
 * each function in each kind of child given, in two rounds, while other threads allocate memory. Prints
 * the outcome of each call, and what it has changed in this process. */
#include "../../guarded/probes/calls.h"

#include <pthread.h>

#include "children.h"
#include "stock.h"

enum { ROUNDS = 2, ALLOCATORS = 2, LONGEST_ID = 64 };

static void on_broken_pipe(int signal) {
    (void)signal;
    seen->broken_pipes++;
}

static void *allocate_for_ever(void *unused) {
    (void)unused;
    for (size_t size = 1;; size = size * 5 % 70001) {
        char *block = malloc(size);
        if (block) block[0] = 1;
        usleep(50);
        free(block);
    }
    return NULL;
}

/* Sets values other than the defaults, so that a reset is noticed. */
static void set_the_scene(void) {
    struct sigaction action;
    sigset_t blocked;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_broken_pipe;
    sigaction(SIGPIPE, &action, NULL);
    signal(SIGUSR2, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    sigaddset(&blocked, SIGTTOU);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    for (int i = 0; i < ALLOCATORS; i++) {
        pthread_t thread;
        pthread_create(&thread, NULL, allocate_for_ever, NULL);
    }
}

static const char *descriptors(const struct stock *before, const struct stock *after, int is_direct) {
    if (!SAME(before, after, descriptors)) return "changed";
    if (after->kept_count > 1) return "heaped";
    /* A child must not use the connection that its parent keeps. */
    if (!is_direct && (!SAME(before, after, kept_count) || !SAME(before, after, kept_inode))) return "meddled";
    return "same";
}

static void check(int report, const char *function, const char *kind, int round) {
    static struct stock before, after;
    char lines[CALLS][LONGEST_ID + 16], *arguments[CALLS][3];
    for (int i = 0; i < CALLS; i++) {
        int size = snprintf(lines[i], sizeof lines[i], "%s %s/%s/%d%s", calls[i].argv[0], function, kind, round, i ? "+" : "");
        if (size >= LONGEST_ID) _exit(95);
        arguments[i][0] = calls[i].argv[0];
        arguments[i][1] = strchr(lines[i], ' ') + 1;
        arguments[i][2] = NULL;
        calls[i].argv = arguments[i];
        calls[i].line = lines[i];
    }
    take_stock(&before);
    seen->broken_pipes = 0;
    int is_direct = strcmp(kind, "direct") == 0;
    struct ending end = in_child(kind);
    take_stock(&after);
    int is_childless = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
    dprintf(report, "%s/%s/%d", function, kind, round);
    for (int i = 0; i < CALLS; i++) {
        const struct outcome *o = &seen->outcomes[i];
        if (o->result == NOT_RUN) dprintf(report, " gone");
        else dprintf(report, " %d:%d:%d", o->result, o->error, o->status);
    }
    dprintf(report, " child %d errno %d children %s descriptors %s mask %s actions %s pipes %d stack %s\n",
            end.status, end.parent_errno, is_childless ? "none" : "some", descriptors(&before, &after, is_direct),
            SAME(&before, &after, mask) ? "same" : "changed", SAME(&before, &after, actions) ? "same" : "changed",
            seen->broken_pipes, strcmp(kind, "clone") == 0 && stack_depth() > STACK_BYTES ? "overrun" : "fits");
}

int main(int argc, char **argv) {
    static char cell[LONGEST_ID];
    int report;
    if (argc < 4) return 96;
    prepare_children();
    set_the_scene();
    /* The programs' output goes to stderr, the report to the old stdout. */
    report = fcntl(1, F_DUPFD_CLOEXEC, 10);
    dup2(2, 1);
    for (int round = 1; round <= ROUNDS; round++) {
        for (int at = 3; at < argc; at++) {
            snprintf(cell, sizeof cell, "%s", argv[at]);
            char *kind = strchr(cell, '/');
            *kind++ = 0;
            chosen = function_named(cell);
            int searches = strstr(cell, "execvp") || strcmp(cell, "execlp") == 0 || strcmp(cell, "posix_spawnp") == 0;
            for (int i = 0; i < CALLS; i++) {
                calls[i] = (struct call){.path = searches ? argv[2] : argv[1], .argv = &argv[2], .envp = environ};
            }
            check(report, cell, kind, round);
            if (strcmp(kind, "clone") == 0) dprintf(report, "stack/%s/%d %d\n", cell, round, stack_depth());
        }
    }
    dprintf(report, "end\n");
    return 0;
}
