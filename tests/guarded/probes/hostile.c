/* hostile WAY PROGRAM: brings itself into difficult surroundings, spawns `PROGRAM x`, and prints the
 * result. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

extern char **environ;
static const char *program;
static int out = 1;

static int is(const char *way, const char *name) { return strcmp(way, name) == 0; }

static void spawn(void) {
    char *argv[] = {"rm", "x", NULL};
    pid_t pid;
    int status = 0, result = posix_spawn(&pid, program, NULL, NULL, argv, environ);
    if (result == EPERM) {
        dprintf(out, "refused\n");
    } else if (result != 0) {
        dprintf(out, "error %d\n", result);
    } else {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
        dprintf(out, status == 0 ? "ran\n" : "status %d\n", status);
    }
}

static void on_signal(int signal) {
    (void)signal;
    spawn();
}

static void limit(int resource, rlim_t soft) {
    struct rlimit now;
    getrlimit(resource, &now);
    now.rlim_cur = soft;
    setrlimit(resource, &now);
}

static void *is_cancelled(void *unused) {
    /* The cancellation is pending: it must not take effect before the spawn is done. */
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    char *argv[] = {"rm", "x", NULL};
    pid_t *pid = unused;
    if (posix_spawn(pid, program, NULL, NULL, argv, environ) != 0) *pid = -1;
    return unused;
}

static void *waits(void *unused) {
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    usleep(20000);
    return is_cancelled(unused);
}

static void in_cancelled_thread(void) {
    pthread_t thread;
    pid_t pid = 0;
    int status = 0;
    pthread_create(&thread, NULL, waits, &pid);
    pthread_cancel(thread);
    pthread_join(thread, NULL);
    if (pid > 0) waitpid(pid, &status, 0);
    dprintf(out, pid == -1 ? "refused\n" : pid > 0 && status == 0 ? "ran\n" : "cancelled in the check\n");
}

/* Closes what it finds, again and again. */
static void *closes(void *unused) {
    for (;;) {
        syscall(SYS_close_range, 3, ~0U, 0);
        usleep(200);
    }
    return unused;
}

/* Answers a system call if its second argument is this one; -1: always. */
static void filter_one(int number, int argument, unsigned answer) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)argument, 0, argument == -1 ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, answer),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog rules = {sizeof filter / sizeof *filter, filter};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &rules) != 0) _exit(95);
}

static void forbid_one(int number, int argument, int error) {
    filter_one(number, argument, SECCOMP_RET_ERRNO | (unsigned)error);
}

static void forbid(int number, int error) { forbid_one(number, -1, error); }

static void fails(int signal, siginfo_t *info, void *context) {
    (void)signal;
    (void)info;
#ifdef __x86_64__
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -EPERM;
#else
    ((ucontext_t *)context)->uc_mcontext.regs[0] = (unsigned long)-EPERM;
#endif
}

/* Has a handler decide about a system call, and starts the program in a forked child. */
static void trap(int number) {
    struct sigaction action = {.sa_sigaction = fails, .sa_flags = SA_SIGINFO};
    char *argv[] = {"rm", "x", NULL};
    int status;
    sigaction(SIGSYS, &action, NULL);
    filter_one(number, -1, SECCOMP_RET_TRAP);
    pid_t pid = fork();
    if (pid == 0) {
        execv(program, argv);
        _exit(errno);
    }
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) dprintf(out, "signal %d\n", WTERMSIG(status));
    else dprintf(out, status == 0 ? "ran\n" : WEXITSTATUS(status) == EPERM ? "refused\n" : "failed\n");
}

int main(int argc, char **argv) {
    if (argc != 3) return 96;
    const char *way = argv[1];
    struct sigaction action = {.sa_handler = on_signal};
    program = argv[2];
    if (is(way, "no descriptors")) limit(RLIMIT_NOFILE, 3);
    if (is(way, "few descriptors")) limit(RLIMIT_NOFILE, 16);
    if (is(way, "full table")) {
        limit(RLIMIT_NOFILE, 256);
        while (open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0) {}
    }
    if (is(way, "standard streams closed")) {
        out = fcntl(1, F_DUPFD_CLOEXEC, 10);
        close(0);
        close(1);
        close(2);
    }
    if (is(way, "little memory")) {
        /* Just enough for the child. */
        mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        limit(RLIMIT_AS, 32 << 20);
    }
    if (is(way, "no file size")) {
        signal(SIGXFSZ, SIG_IGN);
        limit(RLIMIT_FSIZE, 4096 * 16);
    }
    if (is(way, "other directory removed")) {
        char directory[] = "/tmp/gone-XXXXXX";
        if (!mkdtemp(directory) || chdir(directory) != 0 || rmdir(directory) != 0) return 95;
    }
    if (is(way, "in a signal handler")) {
        sigaction(SIGUSR1, &action, NULL);
        raise(SIGUSR1);
        return 0;
    }
    if (is(way, "on a signal stack")) {
        stack_t stack = {.ss_sp = malloc(32 * 1024), .ss_size = 32 * 1024};
        sigaltstack(&stack, NULL);
        action.sa_flags = SA_ONSTACK;
        sigaction(SIGUSR1, &action, NULL);
        raise(SIGUSR1);
        return 0;
    }
    if (is(way, "all signals blocked")) {
        sigset_t all, after;
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        sigprocmask(SIG_SETMASK, NULL, &all);
        spawn();
        sigprocmask(SIG_SETMASK, NULL, &after);
        return memcmp(&all, &after, 8) != 0;
    }
    if (is(way, "children ignored")) {
        /* waitpid(2) then waits until the child has ended, and fails. */
        signal(SIGCHLD, SIG_IGN);
    }
    if (is(way, "cancelled thread")) {
        in_cancelled_thread();
        return 0;
    }
    if (is(way, "non-blocking everything")) {
        for (int fd = 0; fd < 3; fd++) fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    if (is(way, "socket EPERM")) forbid(SYS_socket, EPERM);
    if (is(way, "socket EACCES")) forbid(SYS_socket, EACCES);
    if (is(way, "setsockopt EPERM")) forbid(SYS_setsockopt, EPERM);
    if (is(way, "F_SETFL EACCES")) forbid_one(SYS_fcntl, F_SETFL, EACCES);
    if (is(way, "connect EPERM")) forbid(SYS_connect, EPERM);
    if (is(way, "connect EACCES")) forbid(SYS_connect, EACCES);
    if (is(way, "socket trapped")) return trap(SYS_socket), 0;
    if (is(way, "connect trapped")) return trap(SYS_connect), 0;
    if (is(way, "descriptors closed meanwhile")) {
        pthread_t other;
        pthread_create(&other, NULL, closes, NULL);
        for (int i = 0; i < 100; i++) spawn();
        return 0;
    }
    if (is(way, "chroot")) {
        char *child[] = {"rm", "x", NULL};
        if (chroot(program) != 0 || chdir("/") != 0) return 95;
        return execv("/bin/rm", child) != 0 ? errno : 0;
    }
    spawn();
    return 0;
}
