/* System calls by number: results, errno and all six arguments. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* linux/futex.h, which musl does not have. */
enum { FUTEX_WAIT = 0, FUTEX_CMP_REQUEUE = 4 };

static void tell(const char *what, long result) {
    printf("%s: %ld %d\n", what, result, errno);
    errno = 77;
}

int main(int argc, char **argv) {
    (void)argc;
    errno = 77;
    tell("getpid", syscall(SYS_getpid) == getpid());
    tell("close -1", syscall(SYS_close, -1));
    tell("no such call", syscall(100000));
    tell("negative number", syscall(-1));
    /* The kernel takes the lower 32 bits of the number. */
    tell("getpid, upper bits set", syscall(0x100000000L | SYS_getpid) == getpid());

    /* The sixth argument is the offset. */
    long page = sysconf(_SC_PAGESIZE);
    int file = open(argv[0], O_RDONLY);
    char expected[16];
    pread(file, expected, sizeof expected, page);
    char *mapped = (char *)syscall(SYS_mmap, NULL, page, PROT_READ, MAP_PRIVATE, file, page);
    tell("mmap", mapped != MAP_FAILED && memcmp(mapped, expected, sizeof expected) == 0);
    /* Wrong flags must reach the kernel. */
    tell("mmap without flags", syscall(SYS_mmap, NULL, page, PROT_READ, 0, file, 0));

    uint32_t word = 1;
    struct timespec soon = {0, 1000000};
    tell("futex that is not equal", syscall(SYS_futex, &word, FUTEX_WAIT, 2, &soon, NULL, 0));
    tell("futex that times out", syscall(SYS_futex, &word, FUTEX_WAIT, 1, &soon, NULL, 0));
    /* The fifth and sixth argument: a requeue that compares with the sixth. */
    uint32_t other = 0;
    tell("requeue of another value", syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1L, &other, 7));
    tell("requeue of this value", syscall(SYS_futex, &word, FUTEX_CMP_REQUEUE, 1, 1L, &other, 1));

    char from[8] = "copied!", to[8] = "";
    struct iovec local = {to, 8}, remote = {from, 8};
    tell("process_vm_readv", syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 0));
    tell("with wrong flags", syscall(SYS_process_vm_readv, getpid(), &local, 1, &remote, 1, 1));
    printf("%s\n", to);

    int ends[2];
    pipe(ends);
    loff_t offset = 4;
    tell("splice", syscall(SYS_splice, file, &offset, ends[1], NULL, 5, 0));
    tell("offset", offset);

    sigset_t set;
    sigemptyset(&set);
    struct { const sigset_t *set; size_t size; } mask = {&set, 8};
    tell("pselect6", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &soon, &mask));
    mask.size = 3;
    tell("pselect6 with a bad mask", syscall(SYS_pselect6, 0, NULL, NULL, NULL, &soon, &mask));
    return 0;
}
