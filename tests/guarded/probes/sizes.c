/* sizes PATH COUNT SIZE BYTE: execve of PATH as "rm" with COUNT arguments of SIZE bytes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    if (argc != 5) return 96;
    size_t count = strtoul(argv[2], NULL, 10), size = strtoul(argv[3], NULL, 10);
    char *argument = malloc(size + 1), **list = calloc(count + 2, sizeof *list);
    memset(argument, argv[4][0], size);
    argument[size] = 0;
    list[0] = "rm";
    for (size_t i = 0; i < count; i++) list[i + 1] = argument;
    int result = execve(argv[1], list, environ);
    printf("returned %d: %s\n", result, strerror(errno));
    return 0;
}
