/* dump: prints its environment, one entry a line, in its order. */
#include <stdio.h>

extern char **environ;

int main(void) {
    for (char **entry = environ; entry && *entry; entry++) {
        for (unsigned char *at = (unsigned char *)*entry; *at; at++) {
            printf(*at > ' ' && *at < 0x7f ? "%c" : "\\x%02x", *at);
        }
        puts("");
    }
    return 0;
}
