/* Another preloaded library, which says that it was loaded. */
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void loaded(void) {
    const char line[] = "other library loaded\n";
    if (getenv("OTHER_SPEAKS")) write(1, line, sizeof line - 1);
}
