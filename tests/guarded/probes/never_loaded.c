/* A library whose constructor never returns, so that the loader's lock is held for ever. */
#include <unistd.h>

enum { HAS_BEGUN = 61 };

__attribute__((constructor)) static void never_loaded(void) {
    if (write(HAS_BEGUN, "x", 1) != 1) _exit(94);
    for (;;) pause();
}
