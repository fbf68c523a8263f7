/* crowd COUNT PROGRAM ARGUMENT: so many of PROGRAM at once, with this process's input and
 * output, under the library that BENCH_CROWD_LIBRARY names; ends when they all have. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	if (getenv("BENCH_CROWD_LIBRARY"))
		setenv("LD_PRELOAD", getenv("BENCH_CROWD_LIBRARY"), 1);
	for (long i = 0; i < atol(argv[1]); i++) {
		char *arguments[] = {argv[2], argv[3], NULL};
		pid_t child;

		if (posix_spawn(&child, argv[2], NULL, NULL, arguments, environ)) {
			perror(argv[2]);
			return 1;
		}
	}
	while (wait(NULL) > 0)
		;
	return 0;
}
