/* check kept|forked COUNT: asks for a program that is refused, so that only the check is
 * timed: in one process, or in a new child each time. */
#include "timing.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *refused[] = {"true", "refused", NULL};

static uint64_t in_this_process(void)
{
	pid_t child;
	uint64_t begun = now_ns();
	int error = posix_spawn(&child, "/bin/true", NULL, NULL, refused, environ);
	uint64_t took = now_ns() - begun;

	if (error != EPERM) {
		fprintf(stderr, "not refused: error %d\n", error);
		exit(1);
	}
	return took;
}

static void in_a_child(uint64_t *sample)
{
	pid_t child = fork();

	if (child == 0) {
		uint64_t begun = now_ns();
		execve("/bin/true", refused, environ);
		*sample = now_ns() - begun;
		_exit(errno == EPERM ? 0 : 1);
	}
	int status;
	waitpid(child, &status, 0);
	if (status != 0) {
		fprintf(stderr, "not refused: status %d\n", status);
		exit(1);
	}
}

/* Keeps the connection until the end of its input. */
static int hold(void)
{
	in_this_process();
	puts("ready");
	fflush(stdout);
	while (getchar() != EOF)
		;
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "hold") == 0)
		return hold();
	if (argc != 3)
		return 2;
	long count = atol(argv[2]);
	uint64_t *samples = samples_new(count);

	pin();

	for (long i = 0; i < count; i++) {
		if (strcmp(argv[1], "kept") == 0)
			samples[i] = in_this_process();
		else
			in_a_child(&samples[i]);
	}
	samples_print(samples, count);
	return 0;
}
