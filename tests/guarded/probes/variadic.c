/* variadic FUNCTION COUNT PATH: calls execl, execlp or execle with that many arguments:
 * "rm", then the last digits of 1, 2, 3 … */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;
static char *a[5001];

#pragma GCC diagnostic ignored "-Wformat" /* of a call without arguments */

#define A10(n) a[n], a[n + 1], a[n + 2], a[n + 3], a[n + 4], a[n + 5], a[n + 6], a[n + 7], a[n + 8], a[n + 9]
#define A100(n) A10(n), A10(n + 10), A10(n + 20), A10(n + 30), A10(n + 40), A10(n + 50), A10(n + 60), A10(n + 70), A10(n + 80), A10(n + 90)
#define A1000(n) A100(n), A100(n + 100), A100(n + 200), A100(n + 300), A100(n + 400), A100(n + 500), A100(n + 600), A100(n + 700), A100(n + 800), A100(n + 900)
#define END (char *)NULL

#define MANY A10(0), A10(10), A10(20), A10(30), A10(40), A10(50), A10(60), A10(70), A10(80)
#define CASE(count, ...)                                                             \
    case count:                                                                      \
        if (strcmp(function, "execl") == 0) return execl(path, __VA_ARGS__);         \
        if (strcmp(function, "execlp") == 0) return execlp(path, __VA_ARGS__);       \
        return execle(path, __VA_ARGS__, environ);

int main(int argc, char **argv) {
    static char digits[10][2];
    if (argc != 4) return 96;
    const char *function = argv[1], *path = argv[3];
    for (int i = 0; i < 5001; i++) {
        digits[i % 10][0] = (char)('0' + i % 10);
        a[i] = digits[i % 10];
    }
    a[0] = "rm";
    switch (atoi(argv[2])) {
        CASE(0, END)
        CASE(1, a[0], END)
        CASE(2, a[0], a[1], END)
        CASE(3, a[0], a[1], a[2], END)
        CASE(4, a[0], a[1], a[2], a[3], END)
        CASE(5, a[0], a[1], a[2], a[3], a[4], END)
        CASE(6, a[0], a[1], a[2], a[3], a[4], a[5], END)
        CASE(7, a[0], a[1], a[2], a[3], a[4], a[5], a[6], END)
        CASE(31, A10(0), A10(10), A10(20), a[30], END)
        CASE(32, A10(0), A10(10), A10(20), a[30], a[31], END)
        CASE(33, A10(0), A10(10), A10(20), a[30], a[31], a[32], END)
        CASE(400, A100(0), A100(100), A100(200), A100(300), END)
        CASE(5000, A1000(0), A1000(1000), A1000(2000), A1000(3000), A1000(4000), END)
    }
    int count = atoi(argv[2]);
    if (count < 80) {
        /* Arguments after the NULL must be ignored. */
        a[count] = NULL;
        a[count + 1] = (char *)environ;
        if (strcmp(function, "execl") == 0) return execl(path, MANY);
        if (strcmp(function, "execlp") == 0) return execlp(path, MANY);
        return execle(path, MANY);
    }
    return 95;
}
