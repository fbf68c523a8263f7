/* start [OPTION…] FUNCTION PATH [ARGV…]: starts a program by the named function and prints the
 * outcome. For shell functions PATH is the command line.
 *
 *   --in=direct|fork|vfork|clone|thread   where the call is made (clone: on a 16 KiB stack; Linux)
 *   --times=N                             how often
 *   --env=own|null|empty|large            the envp (large: 5,000 entries, none of the library's)
 *   --argv=null                           argv is NULL
 *   --line=null                           the line is NULL
 *   --chdir-action                        a file action that changes the directory
 *   --stderr=FILE                         a file for the child's stderr
 *   --clear                               calls clearenv() first
 *   --other-thread-first                  another thread makes the call once before
 *   --while-loading=LIBRARY               another thread meanwhile loads a library, without end (Linux)
 *   --audit                               prints what the calls have changed in this process
 */
#include "calls.h"

#include <dirent.h>
#include <pthread.h>

enum { STACK_BYTES = 16 * 1024, CANARY_BYTES = 4096, CANARY = 0x5a };

static function *chosen;
static struct call call;
static struct outcome *shared;
static const char *place = "direct";

static void *in_thread(void *unused) {
    *shared = chosen(&call);
    return unused;
}

static int in_clone(void *unused) {
    (void)unused;
    if (call.stderr_file) {
        /* In a vfork child this is the parent's errno, which is checked. */
        int saved = errno;
        dup2(open(call.stderr_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600), 2);
        errno = saved;
    }
    *shared = chosen(&call);
    _exit(9);
}

#ifdef __linux__
static pid_t clone_on_small_stack(void) {
    static char *stack;
    if (!stack) stack = mmap(NULL, CANARY_BYTES + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(stack, CANARY, CANARY_BYTES);
    pid_t pid = clone(in_clone, stack + CANARY_BYTES + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    for (int i = 0; i < CANARY_BYTES; i++) {
        if (stack[i] != CANARY) {
            puts("stack overrun");
            break;
        }
    }
    return pid;
}

#else
static pid_t clone_on_small_stack(void) {
    errno = ENOSYS;
    return -1;
}
#endif

/* Makes the call in a child, which an exec that succeeds replaces. */
static struct outcome in_child(void) {
    pid_t pid;
    *shared = (struct outcome){NOT_RUN, NOT_RUN, NOT_RUN};
    fflush(stdout);
    errno = UNTOUCHED;
    if (strcmp(place, "fork") == 0) {
        pid = fork();
    } else if (strcmp(place, "vfork") == 0) {
        pid = vfork();
    } else {
        pid = clone_on_small_stack();
    }
    if (pid == 0) in_clone(NULL);
    int error = errno, status = status_of(pid);
    if (error != UNTOUCHED && shared->result == NOT_RUN) printf("the parent's errno is %d\n", error);
    if (shared->result == NOT_RUN) shared->status = status;
    return *shared;
}

static volatile int other_is_done;

static struct outcome once(void) {
    if (strcmp(place, "direct") == 0) return chosen(&call);
    if (strcmp(place, "thread") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, in_thread, NULL);
        pthread_join(thread, NULL);
        return *shared;
    }
    return in_child();
}

static void *calls_and_stays(void *unused) {
    once();
    other_is_done = 1;
    pause();
    return unused;
}

/* The descriptor to which never_loaded.c writes when its constructor runs. */
enum { HAS_BEGUN = 61 };

static void *loads(void *library) {
    puts(dlopen(library, RTLD_NOW) ? "loaded" : dlerror());
    return NULL;
}

static void load_meanwhile(char *library) {
    int begun[2];
    char word;
    pthread_t thread;
    if (pipe(begun) != 0 || dup2(begun[1], HAS_BEGUN) < 0) exit(95);
    pthread_create(&thread, NULL, loads, library);
    if (read(begun[0], &word, 1) != 1) exit(95);
}

static char **large_environment(void) {
    enum { ENTRIES = 5000 };
    char **list = calloc(ENTRIES + 1, sizeof *list);
    for (int i = 0; i < ENTRIES; i++) {
        list[i] = malloc(32);
        snprintf(list[i], 32, "ENTRY_%d=%d", i, i);
    }
    return list;
}

/* The state of a process that calls must not change. */
struct belongings {
    char descriptors[1024];
    sigset_t mask;
    struct { void (*handler)(int); int flags; unsigned long blocked; } actions[NSIG];
    long mappings, resident_kib;
};

static long number_after(const char *file, const char *key) {
    char text[512];
    long number = 0;
    FILE *stream = fopen(file, "re");
    while (stream && fgets(text, sizeof text, stream)) {
        if (!key) number++;
        else if (strncmp(text, key, strlen(key)) == 0) number = atol(text + strlen(key));
    }
    if (stream) fclose(stream);
    return number;
}

static void take_stock(struct belongings *all) {
    memset(all, 0, sizeof *all);
    for (int fd = 0; fd < 1024; fd++) all->descriptors[fd] = fcntl(fd, F_GETFD) < 0 ? 0 : 1;
    sigprocmask(SIG_BLOCK, NULL, &all->mask);
    for (int signal = 1; signal < NSIG; signal++) {
        struct sigaction action = {0};
        sigaction(signal, NULL, &action);
        all->actions[signal].handler = action.sa_handler;
        all->actions[signal].flags = action.sa_flags;
        size_t size = sizeof(unsigned long) < sizeof(sigset_t) ? sizeof(unsigned long) : sizeof(sigset_t);
        memcpy(&all->actions[signal].blocked, &action.sa_mask, size);
    }
    all->mappings = number_after("/proc/self/maps", NULL);
    all->resident_kib = number_after("/proc/self/status", "VmRSS:");
}

static void print_audit(const struct belongings *before) {
    struct belongings after;
    take_stock(&after);
    printf("descriptors %s\n", memcmp(before->descriptors, after.descriptors, 64) ? "changed" : "same");
    for (int fd = 64; fd < 1024; fd++) {
        struct stat status;
        if (before->descriptors[fd] || fstat(fd, &status) != 0) continue;
        printf("kept %s %s\n", S_ISSOCK(status.st_mode) ? "socket" : "file",
               fcntl(fd, F_GETFD) & FD_CLOEXEC ? "close-on-exec" : "inherited");
    }
    printf("mask %s\n", memcmp(&before->mask, &after.mask, sizeof after.mask) ? "changed" : "same");
    printf("dispositions %s\n", memcmp(before->actions, after.actions, sizeof after.actions) ? "changed" : "same");
    printf("mappings %+ld\n", after.mappings - before->mappings);
    printf("resident %s\n", after.resident_kib - before->resident_kib > 512 ? "grown" : "flat");
}

/* Consecutive equal outcomes are printed as one line. */
static void repeat(int times) {
    struct outcome last = {0};
    int alike = 0;
    for (int i = 0; i <= times; i++) {
        struct outcome now = last;
        if (i < times) now = once();
        if (alike > 0 && (i == times || memcmp(&now, &last, sizeof now) != 0)) {
            printf("%dx returned %d errno %d status %d\n", alike, last.result, last.error, last.status);
            alike = 0;
        }
        last = now;
        alike++;
    }
}

int main(int argc, char **argv) {
    static char *nothing[] = {NULL};
    static char line[256 * 1024];
    struct belongings before;
    int times = 1, audit = 0, null_argv = 0, other_first = 0, loading = 0;
    int at = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    call.line = line;
    call.envp = environ;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        const char *option = argv[at];
        if (strncmp(option, "--in=", 5) == 0) place = option + 5;
        if (strncmp(option, "--times=", 8) == 0) times = atoi(option + 8);
        if (strcmp(option, "--env=null") == 0) call.envp = NULL;
        if (strcmp(option, "--env=empty") == 0) call.envp = nothing;
        if (strcmp(option, "--env=large") == 0) call.envp = large_environment();
        if (strcmp(option, "--other-thread-first") == 0) other_first = 1;
        if (strcmp(option, "--argv=null") == 0) null_argv = 1;
        if (strcmp(option, "--line=null") == 0) call.line = NULL;
        if (strcmp(option, "--chdir-action") == 0) call.chdir_to_root = 1;
        if (strncmp(option, "--stderr=", 9) == 0) call.stderr_file = option + 9;
        if (strcmp(option, "--clear") == 0) clearenv();
        if (strncmp(option, "--while-loading=", 16) == 0) load_meanwhile(argv[at] + 16), loading = 1;
        if (strcmp(option, "--audit") == 0) audit = 1;
    }
    if (argc - at < 2) return 96;
    chosen = function_named(argv[at]);
    call.path = argv[at + 1];
    call.argv = null_argv ? NULL : argv + at + 2;
    strncpy(line, call.path, sizeof line - 1);
    if (other_first) {
        pthread_t thread;
        pthread_create(&thread, NULL, calls_and_stays, NULL);
        while (!other_is_done) usleep(1000);
    }
    if (audit) {
        /* Memory that the first call or the audit itself uses once does not count. */
        struct belongings first;
        take_stock(&first);
        once();
        take_stock(&before);
        memcpy(before.descriptors, first.descriptors, sizeof first.descriptors);
    }
    repeat(times);
    if (audit) print_audit(&before);
    fflush(stdout);
    /* exit() would wait for the loader's lock. */
    if (loading) _exit(0);
    return 0;
}
