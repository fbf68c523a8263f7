/* streams PROGRAM: starts PROGRAM with standard input closed. Another thread suspends each call that
 * opens a file or socket meanwhile (seccomp_unotify(2)), and checks which descriptor number is free
 * then. Prints whether it checked, and how often the number was not 0. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <fcntl.h>

extern char **environ;

static int notices, looks, wrong, guarded = 1;

static void *supervise(void *unused)
{
	struct seccomp_notif notice;
	struct seccomp_notif_resp answer;

	(void)unused;
	for (;;) {
		notice = (struct seccomp_notif){0};
		if (ioctl(notices, SECCOMP_IOCTL_NOTIF_RECV, &notice) < 0) {
			if (errno == EINTR || errno == ENOENT)
				continue;
			return NULL;
		}
		if (guarded) {
			int number = dup(notices);

			looks++;
			wrong += number != 0;
			close(number);
		}
		answer = (struct seccomp_notif_resp){.id = notice.id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
		ioctl(notices, SECCOMP_IOCTL_NOTIF_SEND, &answer);
	}
}

int main(int argc, char **argv)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog filter = {sizeof code / sizeof *code, code};
	posix_spawn_file_actions_t actions;
	pthread_t thread;
	int found, status;
	pid_t child;

	if (argc != 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return 2;
	found = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter);
	notices = fcntl(found, F_DUPFD_CLOEXEC, 100);
	if (found < 0 || notices < 0) {
		puts("no seccomp");
		return 0;
	}
	close(found);
	if (pthread_create(&thread, NULL, supervise, NULL))
		return 3;
	close(0);

	/* The child's own calls are not checked. */
	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 3; i++) {
		if (posix_spawn(&child, argv[1], &actions, NULL, argv + 1, environ))
			return 4;
		__atomic_store_n(&guarded, 0, __ATOMIC_SEQ_CST);
		if (waitpid(child, &status, 0) != child || status)
			return 5;
		__atomic_store_n(&guarded, 1, __ATOMIC_SEQ_CST);
	}
	printf("looked %s wrong %d\n", looks ? "and" : "never", wrong);
	return 0;
}
