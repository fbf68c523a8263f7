/* spawn COUNT: starts /bin/true and waits for it, so many times. */
#include "timing.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0;
	uint64_t *samples = samples_new(count);

	pin();

	for (long i = 0; i < count; i++) {
		char *arguments[] = {"true", NULL};
		pid_t child;
		uint64_t begun = now_ns();
		int error = posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ);

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
