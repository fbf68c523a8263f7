/* idle [wait]: tells the private memory of a process that does nothing, in bytes; with
 * `wait`, when its input ends. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	char line[256];
	long total = 0, kilobytes;

	if (argc > 1 && strcmp(argv[1], "wait") == 0) {
		puts("ready");
		fflush(stdout);
		while (getchar() != EOF)
			;
	}
	FILE *file = fopen("/proc/self/smaps_rollup", "r");

	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "Private_Dirty: %ld kB", &kilobytes) == 1)
			total += kilobytes;
	printf("%ld\n", total * 1024);
	return 0;
}
