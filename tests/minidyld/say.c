/* What is told to whom, and error numbers. */
#include "minidyld.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *trace_file, *wrong_file;

/* By system calls: this runs in vfork children and signal handlers. */
static void append(const char *file, const char *line, size_t length) {
    long descriptor = file ? syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (descriptor < 0) return;
    syscall(SYS_write, descriptor, line, length);
    syscall(SYS_close, descriptor);
}

static size_t put(char *line, size_t size, const char *kind, const char *format, va_list arguments) {
    int length = snprintf(line, size, "%d %s ", (int)syscall(SYS_getpid), kind);
    length += vsnprintf(line + length, size - (size_t)length - 1, format, arguments);
    if (length > (int)size - 2) length = (int)size - 2;
    line[length++] = '\n';
    return (size_t)length;
}

void say(const char *kind, const char *format, ...) {
    char line[700];
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    append(trace_file, line, put(line, sizeof line, kind, format, arguments));
    va_end(arguments);
    errno = saved;
}

void say_wrong(const char *format, ...) {
    char line[700];
    int saved = errno;
    va_list arguments;
    va_start(arguments, format);
    size_t length = put(line, sizeof line, "not known to a Mac:", format, arguments);
    va_end(arguments);
    append(trace_file, line, length);
    append(wrong_file, line, length);
    if (syscall(SYS_write, 2, line, length) < 0) errno = saved;
    errno = saved;
}

/* Linux, Darwin (bsd/sys/errno.h of XNU); the others are the same. */
static const unsigned char PAIRS[][2] = {
    {11, 35}, {35, 11}, {36, 63}, {37, 77}, {38, 78}, {39, 66}, {40, 62}, {75, 84}, {84, 92}, {88, 38}, {89, 39},
    {90, 40}, {91, 41}, {92, 42}, {93, 43}, {94, 44}, {95, 102}, {97, 47}, {98, 48}, {99, 49}, {100, 50}, {101, 51},
    {102, 52}, {103, 53}, {104, 54}, {105, 55}, {106, 56}, {107, 57}, {108, 58}, {110, 60}, {111, 61}, {113, 65},
    {114, 37}, {115, 36}, {116, 70}, {122, 69}, {125, 89}};

static int translated(int number, int from) {
    for (size_t i = 0; i < sizeof PAIRS / sizeof *PAIRS; i++) {
        if (PAIRS[i][from] == number) return PAIRS[i][!from];
    }
    return number;
}
int to_darwin(int linux_errno) { return translated(linux_errno, 0); }
int to_linux(int darwin_errno) { return translated(darwin_errno, 1); }
