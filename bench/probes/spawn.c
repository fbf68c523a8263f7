/* spawn COUNT [PROGRAM ARGUMENTS]: starts /bin/true, or PROGRAM, and waits for it, so many
 * times. A static one starts it without a library. */
#include "timing.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0;
	uint64_t *samples = samples_new(count);

	char *plain[] = {"true", NULL};
	char **words = argc > 2 ? argv + 2 : plain;
	const char *program = argc > 2 ? argv[2] : "/bin/true";

	pin();
#ifdef ALONE
	unsetenv("LD_PRELOAD");
#endif
	for (long i = 0; i < count; i++) {
		pid_t child;
		uint64_t begun = now_ns();
		int error = posix_spawn(&child, program, NULL, NULL, words, environ);

		if (error) {
			fprintf(stderr, "posix_spawn: error %d\n", error);
			return 1;
		}
		waitpid(child, NULL, 0);
		samples[i] = now_ns() - begun;
	}
	samples_print(samples, count);
	return 0;
}
