/* burst ROUNDS COUNT: lets so many processes become /bin/true in one moment, and prints what each
 * takes of the time until the last has ended, round by round. */
#include "timing.h"

#include <sys/wait.h>

int main(int argc, char **argv)
{
	long rounds = argc > 2 ? atol(argv[1]) : 1, count = argc > 2 ? atol(argv[2]) : 1;
	uint64_t *samples = samples_new(rounds);

	for (long round = 0; round < rounds; round++) {
		int gate[2], status, failed = 0;

		if (pipe(gate))
			return 1;
		for (long i = 0; i < count; i++)
			if (!fork()) {
				char byte, *words[] = { "true", NULL };

				close(gate[1]);
				(void)!read(gate[0], &byte, 1);
				execv("/bin/true", words);
				_exit(1);
			}
		uint64_t begun = now_ns();

		close(gate[0]);
		close(gate[1]);
		while (wait(&status) > 0)
			failed += status != 0;
		if (failed) {
			fprintf(stderr, "%d of %ld did not start\n", failed, count);
			return 1;
		}
		samples[round] = (now_ns() - begun) / (uint64_t)count;
	}
	samples_print(samples, rounds);
	return 0;
}
