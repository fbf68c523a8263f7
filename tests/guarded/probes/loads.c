/* loads LIBRARY: loads it by dlopen(3). */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc == 2 && dlopen(argv[1], RTLD_NOW)) return 0;
    puts(argc == 2 ? dlerror() : "loads LIBRARY");
    return 1;
}
