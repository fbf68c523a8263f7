/* tamper WAY FUNCTION PROGRAM [VALUE]: starts a program with a changed environment: as envp if the
 * function takes one, else as that of this process. */
#include "calls.h"

#ifdef MAC
#define PRELOAD "DYLD_INSERT_LIBRARIES"
#else
#define PRELOAD "LD_PRELOAD"
#endif

enum { MANY = 5000 };

static char *list[MANY + 64];
static size_t length;

static void add(char *entry) { list[length++] = entry; }

static void add_own(const char *without) {
    for (char **entry = environ; *entry; entry++) {
        if (!without || strncmp(*entry, without, strlen(without)) != 0) add(*entry);
    }
}

static void add_odd(void) {
    char *odd[] = {"NOEQUALS", "=x", "", "A=", "A==", "\xff\xfe=\x80\xff", PRELOAD "X=1", PRELOAD, "RAMPART_",
                   "RAMPART_MODEX=1", "RAMPART_OTHER=1", "RAMPART_MODE", "DUP=1", "DUP=2", "DUP=1", "L", "R", "LD_LIBRARY_PATH="};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) add(odd[i]);
}

static void add_poison(void) {
    char *poison[] = {"RAMPART_MODE=disabled", "RAMPART_URL=unix:///nonexistent", "RAMPART_FAIL_OPEN=1", "RAMPART_TOKEN=stolen",
                      "RAMPART_AGENT=another", "RAMPART_SESSION=another", "RAMPART_NOTICE=0", "RAMPART_DEBUG=1",
                      "RAMPART_TIMEOUT_MS=1", "RAMPART_ADDRESS=127.0.0.1:1"};
    for (size_t i = 0; i < sizeof poison / sizeof *poison; i++) add(poison[i]);
}

int main(int argc, char **argv) {
    if (argc < 4) return 96;
    const char *way = argv[1];
    if (strcmp(way, "nothing") == 0) add_own(NULL);
    if (strcmp(way, "no preload") == 0) add_own(PRELOAD "=");
    if (strcmp(way, "preload") == 0) {
        add("BEFORE=1");
        add(argv[4]);
        add_own(PRELOAD "=");
        add("AFTER=1");
    }
    if (strcmp(way, "poison") == 0) {
        add_poison();
        add_own(NULL);
    }
    if (strcmp(way, "poison behind") == 0) {
        add_own(NULL);
        add_poison();
        add(PRELOAD "=");
    }
    if (strcmp(way, "only poison") == 0) {
        add_poison();
        add_poison();
    }
    if (strcmp(way, "odd") == 0) {
        add_odd();
        add_own(PRELOAD "=");
        add_odd();
    }
    if (strcmp(way, "many") == 0) {
        for (int i = 0; i < MANY; i++) {
            char *entry = malloc(32);
            snprintf(entry, 32, "ENTRY_%d=%d", i, i);
            add(entry);
        }
    }
    struct call call = {.path = argv[3], .argv = argv + 3, .envp = list, .line = argv[3]};
    argv[4] = NULL;
    if (strcmp(way, "null") == 0) call.envp = NULL;
    if (strcmp(way, "cleared") == 0) {
        clearenv();
        call.envp = environ;
    } else {
        environ = call.envp;
    }
    struct outcome o = function_named(argv[2])(&call);
    printf("returned %d errno %d\n", o.result, o.error);
    return 0;
}
