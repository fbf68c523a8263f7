/* Another library to preload, which prints a line when it is loaded. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void) {
    const char line[] = "other library loaded\n";
    if (getenv("OTHER_SPEAKS")) write(1, line, sizeof line - 1);
}
