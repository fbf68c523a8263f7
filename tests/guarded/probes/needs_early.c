/* Depends on a library whose constructor starts a program: its code is early.c's. */
#include "early.c"

int main(void) { return 1; }
