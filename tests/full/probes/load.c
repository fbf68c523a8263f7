/* load SECRET: prints errno at the start of main, and the permissions of the memory that holds a header
 * with the secret. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* In two parts, so that this program's own constants are not found. */
static const char FIRST[] = "Bear", SECOND[] = "er ";

static int is_header(const char *at, const char *end, const char *secret) {
    size_t first = sizeof FIRST - 1, second = sizeof SECOND - 1, size = strlen(secret);
    return (size_t)(end - at) >= first + second + size && memcmp(at, FIRST, first) == 0 &&
           memcmp(at + first, SECOND, second) == 0 && memcmp(at + first + second, secret, size) == 0;
}

int main(int argc, char **argv) {
    int found = errno;
    static char line[4096];
    if (argc != 2) return 96;
    printf("errno %d", found);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long start, end;
        char permissions[5];
        /* Not all of the kernel's mappings ([vvar], [vsyscall]) can be read. */
        if (sscanf(line, "%lx-%lx %4s", &start, &end, permissions) != 3) continue;
        if (permissions[0] != 'r' || strstr(line, "[v")) continue;
        for (const char *at = (const char *)start; at < (const char *)end; at++) {
            if (*at == FIRST[0] && is_header(at, (const char *)end, argv[1])) printf(" %s", permissions);
        }
    }
    printf("\n");
    return 0;
}
