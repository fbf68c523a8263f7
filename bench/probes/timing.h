/* What the probes share: a clock, their core, and how they tell their samples. Included
 * first: it wants the GNU extensions. */
#ifndef TIMING_H
#define TIMING_H

#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Stays on the core that BENCH_CORE names. */
static inline void pin(void)
{
	const char *core = getenv("BENCH_CORE");
	cpu_set_t set;

	if (!core)
		return;
	CPU_ZERO(&set);
	CPU_SET(atoi(core), &set);
	sched_setaffinity(0, sizeof set, &set);
}

/* Room for samples that forked children fill too. */
static inline uint64_t *samples_new(long count)
{
	void *room = mmap(NULL, (size_t)count * 8, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (room == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return room;
}

static inline void samples_print(const uint64_t *samples, long count)
{
	for (long i = 0; i < count; i++)
		printf("%llu\n", (unsigned long long)samples[i]);
}

#endif
