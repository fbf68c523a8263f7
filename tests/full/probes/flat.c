/* flat PATH NAME FUNCTION/CHILD TIMES [after-a-thread]: starts a program TIMES times, every other time
 * with a large environment that must be repaired, and prints how this process has grown. With the last
 * word another thread has done the same before. */
#include "../../guarded/probes/calls.h"

#include <pthread.h>

#include "children.h"

enum { WARM_UP_TIMES = 40, ENTRIES = 400 };

/* A number in /proc/self/status, in KiB. */
static long status_kib(const char *key) {
    char text[256];
    long number = -1;
    FILE *stream = fopen("/proc/self/status", "re");
    while (stream && fgets(text, sizeof text, stream)) {
        if (strncmp(text, key, strlen(key)) == 0) number = atol(text + strlen(key));
    }
    if (stream) fclose(stream);
    return number;
}

static long mappings(void) {
    char text[4096];
    long number = 0;
    FILE *stream = fopen("/proc/self/maps", "re");
    while (stream && fgets(text, sizeof text, stream)) number++;
    if (stream) fclose(stream);
    return number;
}

/* The result of the chosen function on success. */
static int success;

static int repeat(const char *kind, int times) {
    static char entry[] = "FILLER=something to carry", *large[ENTRIES + 1];
    char **own = environ;
    int failures = 0, is_shell = calls[0].line != NULL;
    for (int i = 0; i < ENTRIES; i++) large[i] = entry;
    for (int i = 0; own[i]; i++) {
        if (strncmp(own[i], "PATH=", 5) == 0) large[0] = own[i];
    }
    for (int i = 0; i < times; i++) {
        /* A shell's function repairs the environment of its process for good. */
        if (!is_shell) environ = i % 2 ? large : own;
        for (int call = 0; call < CALLS; call++) calls[call].envp = environ;
        struct ending end = in_child(kind);
        const struct outcome *first = &seen->outcomes[0];
        if (first->result == NOT_RUN ? end.status != 0 : first->result != success) failures++;
    }
    if (!is_shell) environ = own;
    return failures;
}

static volatile int is_another_done;

static void *be_first(void *kind) {
    repeat(kind, 2);
    is_another_done = 1;
    pause();
    return NULL;
}

int main(int argc, char **argv) {
    if (argc < 5) return 96;
    char *arguments[] = {argv[2], NULL}, *kind = strchr(argv[3], '/');
    *kind++ = 0;
    prepare_children();
    chosen = function_named(argv[3]);
    int searches = strstr(argv[3], "execvp") || strcmp(argv[3], "execlp") == 0 || strcmp(argv[3], "posix_spawnp") == 0;
    int is_shell = strcmp(argv[3], "system") == 0 || strcmp(argv[3], "popen") == 0;
    for (int i = 0; i < CALLS; i++) {
        calls[i] = (struct call){.path = searches ? argv[2] : argv[1], .argv = arguments, .line = is_shell ? argv[2] : NULL};
    }
    success = strcmp(argv[3], "popen") == 0;
    if (argc > 5) {
        pthread_t thread;
        pthread_create(&thread, NULL, be_first, kind);
        while (!is_another_done) usleep(1000);
    }
    int failures = repeat(kind, WARM_UP_TIMES);
    long mapped = mappings(), size = status_kib("VmSize:"), resident = status_kib("VmRSS:");
    failures += repeat(kind, atoi(argv[4]));
    printf("failures %d mappings %+ld size %+ld KiB resident %+ld KiB\n", failures, mappings() - mapped,
           status_kib("VmSize:") - size, status_kib("VmRSS:") - resident);
    return 0;
}
