/* Stands in for each program that a test must not really run: it only appends a line with its arguments
 * to the file `marks` above its own directory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef __APPLE__
#include <mach-o/dyld.h>
#endif

enum { LONGEST_SHOWN = 80, LONGEST_LINE = 3500 };

static char line[4096];
static size_t length;

static void put(const char *text) {
    size_t size = strlen(text);
    if (length + size < LONGEST_LINE) {
        memcpy(line + length, text, size);
        length += size;
    }
}

/* An argument; a long one as its length and a hash (FNV-1a). */
static void put_argument(const char *argument) {
    char text[64];
    size_t size = strlen(argument);
    if (size > LONGEST_SHOWN) {
        unsigned long hash = 0xcbf29ce484222325u;
        for (const char *at = argument; *at; at++) hash = (hash ^ (unsigned char)*at) * 0x100000001b3u;
        snprintf(text, sizeof text, "<%zu:%016lx>", size, hash);
        put(text);
        return;
    }
    if (size == 0) put("''");
    for (const unsigned char *at = (const unsigned char *)argument; *at; at++) {
        int plain = *at > ' ' && *at < 0x7f && *at != '\\';
        snprintf(text, sizeof text, plain ? "%c" : "\\x%02x", *at);
        put(text);
    }
}

/* The path of this program, and its length. */
static ssize_t own_path(char *path, size_t room) {
#ifdef __APPLE__
    uint32_t size = (uint32_t)room;
    return _NSGetExecutablePath(path, &size) == 0 ? (ssize_t)strlen(path) : -1;
#else
    return readlink("/proc/self/exe", path, room);
#endif
}

static int open_marks(void) {
    char path[PATH_MAX];
    ssize_t size = own_path(path, sizeof path - 16);
    /* A memfd has no directory: MARKS names the file. */
    const char *marks = size > 0 && strncmp(path, "/memfd:", 7) != 0 ? path : getenv("MARKS");
    if (marks == path) {
        for (int levels = 0; levels < 2; levels++) {
            while (size > 1 && path[--size] != '/') {}
        }
        path[size] = 0;
        strcat(path, "/marks");
    }
    return marks ? open(marks, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666) : -1;
}

int main(int argc, char **argv) {
    signal(SIGPIPE, SIG_IGN);
    for (int i = 0; i < argc; i++) {
        if (i > 0) put(" ");
        put_argument(argv[i]);
    }
    if (length > LONGEST_LINE - 200) {
        char text[64];
        snprintf(text, sizeof text, " ... argc=%d", argc);
        strcpy(line + length, text);
        length += strlen(text);
    }
    line[length++] = '\n';
    int marks = open_marks();
    if (marks < 0 || write(marks, line, length) != (ssize_t)length) return 99;
    const char *name = argc > 0 && strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argc > 0 ? argv[0] : "";
    dprintf(1, "ran %s\n", name);
    return 0;
}
