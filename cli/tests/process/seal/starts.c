/* starts WAY PROGRAM ARGUMENT…: starts a program in a way of its own, and says how that failed.
 * It is linked statically, so that no library can be in it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char **words;

static int fail(int error)
{
	printf("%s\n", strerrorname_np(error));
	fflush(stdout);
	return 1;
}

static int wait_for(pid_t pid)
{
	int status;
	if (pid < 0)
		return fail(errno);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(errno);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#ifdef __x86_64__
static long raw(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

/* The 32-bit way, for which all pointers have to be low. */
static long raw32(long number, long a, long b, long c)
{
	long result;
	__asm__ volatile("push %%rbx; mov %%rdi, %%rbx; int $0x80; pop %%rbx"
			 : "=a"(result) : "a"(number), "D"(a), "c"(b), "d"(c) : "r8", "r9", "r10", "r11", "memory");
	return result;
}

static char *low_copy(const char *text)
{
	static char *next;
	char *copy;
	if (!next)
		next = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	copy = next;
	next += (strlen(text) + 8) & ~7ul;
	return strcpy(copy, text);
}

static int by_int80(void)
{
	unsigned *list = (unsigned *)low_copy("..........................................................................");
	int count = 0;
	for (; words[count]; count++)
		list[count] = (unsigned)(long)low_copy(words[count]);
	list[count] = 0;
	return fail(-raw32(11, (long)low_copy(words[0]), (long)list, 0));
}
#endif

static void *in_thread(void *unused)
{
	execve(words[0], words, environ);
	fail(errno);
	exit(1);
	return unused;
}

static int copied_to_memory(void)
{
	char room[65536];
	ssize_t got;
	int from = open(words[0], O_RDONLY), to = memfd_create("copy", 0);
	while ((got = read(from, room, sizeof room)) > 0)
		if (write(to, room, got) != got)
			exit(9);
	close(from);
	return to;
}

int main(int count, char **all)
{
	const char *way = all[1];
	char path[4096], link[64];
	pid_t pid;
	if (count < 3)
		return 99;
	words = all + 2;
	setvbuf(stdout, 0, _IONBF, 0);
	if (!strcmp(way, "execve"))
		execve(words[0], words, environ);
	else if (!strcmp(way, "execv"))
		execv(words[0], words);
	else if (!strcmp(way, "execvp"))
		execvp(strrchr(words[0], '/') + 1, words);
	else if (!strcmp(way, "no-environment"))
		execve(words[0], words, 0);
	else if (!strcmp(way, "no-arguments"))
		execve(words[0], 0, environ);
	else if (!strcmp(way, "other-name")) {
		words[0] = strdup(words[0]);
		strcpy(path, words[0]);
		words[0] = "harmless";
		execve(path, words, environ);
	} else if (!strcmp(way, "relative")) {
		char *name = strrchr(words[0], '/');
		*name = 0;
		if (chdir(words[0]))
			return 98;
		sprintf(path, "./%s", name + 1);
		words[0] = path;
		execve(path, words, environ);
	} else if (!strcmp(way, "fexecve"))
		fexecve(open(words[0], O_RDONLY), words, environ);
	else if (!strcmp(way, "execveat-empty"))
		syscall(SYS_execveat, open(words[0], O_PATH), "", words, environ, AT_EMPTY_PATH);
	else if (!strcmp(way, "execveat-directory")) {
		char *name = strrchr(words[0], '/');
		*name = 0;
		int directory = open(words[0], O_PATH | O_DIRECTORY);
		*name = '/';
		syscall(SYS_execveat, directory, name + 1, words, environ, 0);
	} else if (!strcmp(way, "proc-fd")) {
		sprintf(link, "/proc/self/fd/%d", open(words[0], O_RDONLY));
		execve(link, words, environ);
	} else if (!strcmp(way, "dev-fd")) {
		sprintf(link, "/dev/fd/%d", open(words[0], O_RDONLY));
		execve(link, words, environ);
	} else if (!strcmp(way, "memory"))
		fexecve(copied_to_memory(), words, environ);
	else if (!strcmp(way, "vfork")) {
		pid = vfork();
		if (!pid) {
			execve(words[0], words, environ);
			_exit(fail(errno));
		}
		return wait_for(pid);
	} else if (!strcmp(way, "fork")) {
		pid = fork();
		if (!pid) {
			execve(words[0], words, environ);
			_exit(fail(errno));
		}
		return wait_for(pid);
	} else if (!strcmp(way, "posix_spawn")) {
		int error = posix_spawn(&pid, words[0], 0, 0, words, environ);
		return error ? fail(error) : wait_for(pid);
	} else if (!strcmp(way, "posix_spawnp")) {
		int error = posix_spawnp(&pid, strrchr(words[0], '/') + 1, 0, 0, words, environ);
		return error ? fail(error) : wait_for(pid);
	} else if (!strcmp(way, "system")) {
		int status = system(words[0]);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
	} else if (!strcmp(way, "popen")) {
		FILE *pipe = popen(words[0], "w");
		if (!pipe)
			return fail(errno);
		int status = pclose(pipe);
		return WIFEXITED(status) ? WEXITSTATUS(status) : 97;
	} else if (!strcmp(way, "thread")) {
		pthread_t thread;
		pthread_create(&thread, 0, in_thread, 0);
		pause();
#ifdef __x86_64__
	} else if (!strcmp(way, "raw"))
		return fail(-raw(SYS_execve, (long)words[0], (long)words, (long)environ));
	else if (!strcmp(way, "int80"))
		return by_int80();
#else
	}
#endif
	else
		return 96;
	return fail(errno);
}
