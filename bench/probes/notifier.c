/* notifier PROGRAM ARGUMENTS: starts PROGRAM, has the kernel ask about all that it starts, reads
 * what that is, and lets it go: the least that a sealed run can cost (seccomp_unotify(2)). */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS _IOW('!', 4, uint64_t)
#endif

static char page[4096];

static void look(pid_t from, uint64_t address)
{
	struct iovec here = { page, sizeof page - address % sizeof page };
	struct iovec there = { (void *)(uintptr_t)address, here.iov_len };

	(void)!process_vm_readv(from, &here, 1, &there, 1, 0);
}

int main(int count, char **words)
{
	struct sock_filter code[] = {
		{ BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(struct seccomp_data, nr) },
		{ BPF_JMP | BPF_JEQ | BPF_K, 1, 0, SYS_execve },
		{ BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_execveat },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF },
		{ BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW },
	};
	struct sock_fprog program = { sizeof code / sizeof *code, code };
	/* The child's listener, which this process takes by its number. */
	volatile int *number = mmap(NULL, sizeof *number, PROT_READ | PROT_WRITE,
				    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0;
	pid_t child;

	if (count < 2)
		return 2;
	*number = -1;
	child = fork();
	if (!child) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		*number = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				       SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
		execvp(words[1], words + 1);
		_exit(127);
	}
	while (*number < 0)
		if (waitpid(child, &status, WNOHANG))
			return 1;
	int listener = (int)syscall(SYS_pidfd_getfd, syscall(SYS_pidfd_open, child, 0), *number, 0);

	if (listener < 0) {
		perror("notifier");
		kill(child, SIGKILL);
		return 1;
	}
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, 1);
	for (;;) {
		struct seccomp_notif asked = { 0 };
		struct seccomp_notif_resp answer = { 0 };

		if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) {
			if (errno == EINTR)
				continue;
			break;
		}
		look((pid_t)asked.pid, asked.data.args[0]);
		look((pid_t)asked.pid, asked.data.args[1]);
		answer.id = asked.id;
		answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
		ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
