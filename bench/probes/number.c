/* number COUNT: calls syscall(SYS_getpid) a thousand times a sample. */
#include "timing.h"

#include <sys/syscall.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long count = argc > 1 ? atol(argv[1]) : 0;
	uint64_t *samples = samples_new(count);

	pin();

	for (long i = 0; i < count; i++) {
		uint64_t begun = now_ns();
		for (int j = 0; j < 1000; j++)
			syscall(SYS_getpid);
		samples[i] = now_ns() - begun;
	}
	samples_print(samples, count);
	return 0;
}
