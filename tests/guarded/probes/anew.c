/* anew HOW FILE MOST [PROGRAM ARGUMENT]: re-executes itself until its environment is clean, at most
 * MOST times, and then runs PROGRAM. Each start appends a byte to FILE.
 *   list: removes the preload list       all: keeps PATH and MARKS only
 *   child: as all, in a child            turns: as all, alternating with env
 *   number: as all, with MOST counted down, so that its arguments differ each time */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char *kept(const char *name)
{
	char *entry = malloc(4096);

	snprintf(entry, 4096, "%s=%s", name, getenv(name));
	return entry;
}

int main(int argc, char **argv)
{
	const char *how = argv[1];
	int most = atoi(argv[3]), status;
	int file = open(argv[2], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	struct stat found;
	pid_t child;

	if (argc < 4 || file < 0 || write(file, "x", 1) != 1 || fstat(file, &found) < 0)
		return 99;
	if (!getenv("LD_PRELOAD") || most == 0 || (strcmp(how, "number") && found.st_size > most)) {
		printf("%s\n", getenv("LD_PRELOAD") ? "guarded" : "clean");
		for (char **entry = environ; *entry; entry++)
			if (!getenv("LD_PRELOAD") && !strncmp(*entry, "RAMPART_", 8))
				printf("left %s\n", *entry);
		fflush(stdout);
		if (argc > 4)
			execv(argv[4], argv + 4);
		return argc > 4 ? 98 : 0;
	}

	char *clean[] = {kept("PATH"), kept("MARKS"), NULL};
	if (!strcmp(how, "list")) {
		unsetenv("LD_PRELOAD");
		execv(argv[0], argv);
	} else if (!strcmp(how, "child")) {
		if (posix_spawn(&child, argv[0], NULL, NULL, argv, clean) || waitpid(child, &status, 0) < 0)
			return 97;
		return WEXITSTATUS(status);
	} else if (!strcmp(how, "turns")) {
		char *words[16] = {"env", "-"};
		memcpy(words + 2, clean, 2 * sizeof *clean);
		memcpy(words + 4, argv, (size_t)(argc + 1) * sizeof *argv);
		execvpe("env", words, clean);
	} else {
		if (!strcmp(how, "number"))
			sprintf(argv[3], "%d", most - 1);
		execve(argv[0], argv, clean);
	}
	perror("again");
	return 97;
}
