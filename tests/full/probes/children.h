/* The kinds of children; each makes one call twice. */

enum { STACK_BYTES = 16 * 1024, CANARY_BYTES = 4096, CANARY = 0x5a, CALLS = 2, CAME_BACK = 9 };

/* Seen by parent and child alike. */
struct seen {
    struct outcome outcomes[CALLS];
    volatile int broken_pipes;
};

static struct seen *seen;
static function *chosen;
static struct call calls[CALLS];
static char *stack;

static int make_calls(void *unused) {
    (void)unused;
    for (int i = 0; i < CALLS; i++) seen->outcomes[i] = chosen(&calls[i]);
    return 0;
}

static int make_calls_and_exit(void *unused) {
    make_calls(unused);
    _exit(CAME_BACK);
}

static pid_t clone_on_small_stack(void) {
    memset(stack, CANARY, CANARY_BYTES + STACK_BYTES);
    return clone(make_calls_and_exit, stack + CANARY_BYTES + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
}

/* How many bytes of the small stack the last child used; more than STACK_BYTES is an overrun. */
__attribute__((unused)) static int stack_depth(void) {
    int untouched = 0;
    while (untouched < CANARY_BYTES + STACK_BYTES && stack[untouched] == CANARY) untouched++;
    return CANARY_BYTES + STACK_BYTES - untouched;
}

struct ending { int parent_errno, status; };

/* Makes the calls in a child of that kind, which an exec that succeeds replaces. */
static struct ending in_child(const char *kind) {
    struct ending end = {UNTOUCHED, 0};
    pid_t pid;
    for (int i = 0; i < CALLS; i++) seen->outcomes[i] = (struct outcome){NOT_RUN, NOT_RUN, NOT_RUN};
    errno = UNTOUCHED;
    if (strcmp(kind, "direct") == 0) {
        make_calls(NULL);
        end.parent_errno = seen->outcomes[CALLS - 1].error;
        return end;
    }
    if (strcmp(kind, "fork") == 0) {
        pid = fork();
    } else if (strcmp(kind, "vfork") == 0) {
        pid = vfork();
    } else {
        pid = clone_on_small_stack();
    }
    if (pid == 0) make_calls_and_exit(NULL);
    end.parent_errno = errno;
    end.status = status_of(pid);
    return end;
}

static void prepare_children(void) {
    int protection = PROT_READ | PROT_WRITE;
    seen = mmap(NULL, sizeof *seen, protection, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    stack = mmap(NULL, CANARY_BYTES + STACK_BYTES, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
