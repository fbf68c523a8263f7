// Writes over what it was started with, or traces another program.
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
int main(int count, char **words)
{
	char how = words[1][0], **last = environ, *other, *path = (char *)getauxval(AT_EXECFN);
	int status, child;

	while (last[1]) last++;
	switch (how == 't' && words[1][1] == 'r' ? 'r' : how) {
	case 'a':
		memset(words[0], 'x', *last + strlen(*last) - words[0]);
		break;
	case 't':
		memset(words[0], 'y', path + strlen(path) - words[0]);
		break;
	case 'm':
		// Not everybody may.
		other = mmap(0, 4096, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		strcpy(other, "moved");
		prctl(PR_SET_MM, PR_SET_MM_ARG_START, other, 0, 0);
		prctl(PR_SET_MM, PR_SET_MM_ARG_END, other + 6, 0, 0);
		prctl(PR_SET_MM, PR_SET_MM_ENV_START, other + 6, 0, 0);
		prctl(PR_SET_MM, PR_SET_MM_ENV_END, other + 6, 0, 0);
		break;
	case 'r':
		if (!(child = fork())) {
			ptrace(PTRACE_TRACEME, 0, 0, 0);
			execv(words[2], words + 2);
			_exit(1);
		}
		while (wait(&status) > 0 && !WIFEXITED(status)) {
			usleep(20000);
			ptrace(PTRACE_CONT, child, 0, 0);
		}
		return WEXITSTATUS(status);
	}
	usleep(50000);
	return 0;
}
