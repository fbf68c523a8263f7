/* bad_pointers PROGRAM: calls each function with pointers that cannot be read, each time in a child,
 * and prints the outcome: what was given, result and errno, or the signal that killed the child. */
#include "calls.h"

/* Behind it nothing can be read. */
static char *edge;
static struct outcome *shared;

/* A copy that ends at the edge, `beyond` bytes of it behind. */
static void *at_edge(const void *bytes, size_t size, size_t beyond) {
    char *start = edge - (size - beyond);
    for (size_t i = 0; i < size - beyond; i++) start[i] = ((const char *)bytes)[i];
    return start;
}

enum { PATH, ARGV, ENVP, ENVIRON, ACTIONS, PARTS };
static const char *const PART_NAMES[] = {"path", "argv", "envp", "environ", "actions"};

enum { LOW, CLOSED, CUT, SPLIT, LOW_ENTRY, CLOSED_ENTRY, CUT_ENTRY, LATER_ENTRY, WAYS };
static const char *const WAY_NAMES[] = {"low", "closed", "cut", "split", "low entry", "closed entry", "cut entry", "later entry"};

static char **bad_array(int way, char **good) {
    static char *list[4];
    char cut[] = {'R', 'A', 'M'}, *ours = "RAMPART_MODE=enforce", *two[] = {ours, ours};
    list[0] = good[0];
    list[1] = ours;
    list[2] = list[3] = NULL;
    switch (way) {
    case LOW: return (char **)1;
    case CLOSED: return (char **)edge;
    case CUT: return at_edge(two, sizeof two, 0);
    case SPLIT: return at_edge(two, sizeof two, 3);
    case LOW_ENTRY: list[0] = (char *)1; break;
    case CLOSED_ENTRY: list[0] = edge; break;
    case CUT_ENTRY: list[0] = at_edge(cut, sizeof cut, 0); break;
    default: list[2] = edge; break;
    }
    return list;
}

static char *bad_string(int way) {
    return way == LOW ? (char *)1 : way == CLOSED ? edge : at_edge("/bin/rm", 7, 0);
}

static void call_with(function *chosen, const char *program, int part, int way) {
    char *argv[] = {"rm", "x", NULL, NULL}, *envp[] = {"A=1", NULL};
    struct call call = {.path = program, .argv = argv, .envp = envp, .line = program};
    if (part == PATH) call.path = call.line = bad_string(way);
    if (part == ARGV) call.argv = bad_array(way, argv);
    if (part == ENVP) call.envp = bad_array(way, envp);
    if (part == ENVIRON) environ = bad_array(way, envp);
    if (part == ACTIONS) {
        pid_t pid = -1;
        *shared = (struct outcome){posix_spawn(&pid, program, (posix_spawn_file_actions_t *)bad_string(way), NULL, argv, envp), 0, 0};
    } else {
        *shared = chosen(&call);
    }
    _exit(0);
}

static int is(const char *name, const char *names) {
    const char *at = strstr(names, name);
    size_t length = strlen(name);
    return at && (at == names || at[-1] == ' ') && (at[length] == 0 || at[length] == ' ');
}

/* Whether a function is given this, or uses its own environment. */
static int takes(const char *name, int part) {
    int is_line = is(name, "system popen wordexp wordexp_no_commands");
    int uses_own = is_line || is(name, "execv execl execvp execlp");
    switch (part) {
    case ARGV: return !is_line;
    case ENVP: return !uses_own;
    case ENVIRON: return uses_own;
    case ACTIONS: return strcmp(name, "posix_spawn") == 0;
    default: return 1;
    }
}

int main(int argc, char **argv) {
    (void)argc;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    shared = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    edge = pages + page;
    mprotect(edge, page, PROT_NONE);
    for (size_t at = 0; at < sizeof FUNCTIONS / sizeof *FUNCTIONS; at++) {
        for (int part = 0; part < PARTS; part++) {
            if (!takes(FUNCTIONS[at].name, part)) continue;
            for (int way = 0; way < WAYS; way++) {
                if ((part == PATH || part == ACTIONS) && way > CUT) break;
                *shared = (struct outcome){NOT_RUN, 0, NOT_RUN};
                fflush(stdout);
                pid_t child = fork();
                if (child == 0) call_with(FUNCTIONS[at].call, argv[1], part, way);
                int status = status_of(child);
                printf("%s %s %s: ", FUNCTIONS[at].name, PART_NAMES[part], WAY_NAMES[way]);
                if (WIFSIGNALED(status)) printf("signal %d\n", WTERMSIG(status));
                else printf("%d %d %d\n", shared->result, shared->error, shared->status);
            }
        }
    }
    return 0;
}
