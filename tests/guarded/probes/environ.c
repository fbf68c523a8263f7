/* environ NAME [FUNCTION…]: starts a program in a vfork child by each function, then by system and
 * popen, and prints whether this process's own environment has changed. */
#include "calls.h"

#ifdef MAC
#define PRELOAD "DYLD_INSERT_LIBRARIES"
#else
#define PRELOAD "LD_PRELOAD"
#endif

static char **before;
static char *entries[256];

/* Remembers the environment. */
static void remember(void) {
    size_t i = 0;
    before = environ;
    for (; environ[i] && i < 255; i++) entries[i] = environ[i];
    entries[i] = NULL;
}

static void tell(const char *what) {
    int is_same = environ == before;
    for (size_t i = 0; is_same && (environ[i] || entries[i]); i++) is_same = environ[i] == entries[i];
    printf("%s: %s\n", what, is_same ? "as it was" : "changed");
    fflush(stdout);
}

static void in_vfork_child(const char *function, struct call *call) {
    pid_t pid = vfork();
    if (pid == 0) {
        function_named(function)(call);
        _exit(9);
    }
    status_of(pid);
}

int main(int argc, char **argv) {
    char *list[] = {argv[1], "x", NULL}, line[512];
    struct call call = {.path = argv[1], .argv = list, .line = line};
    if (argc < 2) return 96;
    char *preload = getenv(PRELOAD) ? strdup(getenv(PRELOAD)) : NULL;
    setenv("SOMETHING", "else", 1);
    for (int i = 2; i < argc; i++) {
        /* So that the child's environment must be repaired. */
        unsetenv(PRELOAD);
        remember();
        in_vfork_child(argv[i], &call);
        tell(argv[i]);
    }
    if (preload) setenv(PRELOAD, preload, 1);
    snprintf(line, sizeof line, "%s y", argv[1]);
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        function_named(i ? "popen" : "system")(&call);
        const char *now = getenv(PRELOAD);
        printf("%s: %s\n", i ? "popen" : "system", preload && (!now || strcmp(now, preload)) ? "the library is lost" : "the library is kept");
    }
    return 0;
}
