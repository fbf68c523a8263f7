/* fexecve and execveat with descriptors that are not open. */
#include "calls.h"

static void tell(const char *what, int result) { printf("%s: %d %d\n", what, result, errno); }

int main(void) {
    char *argv[] = {"x", NULL};
    tell("fexecve -1", fexecve(-1, argv, environ));
    tell("fexecve 900", fexecve(900, argv, environ));
    tell("execveat -1", execveat(-1, "x", argv, environ, 0));
    tell("execveat 900", execveat(900, "x", argv, environ, 0));
    tell("execveat -1 empty", execveat(-1, "", argv, environ, EMPTY_PATH));
    tell("execveat 900 empty", execveat(900, "", argv, environ, EMPTY_PATH));
    return 0;
}
