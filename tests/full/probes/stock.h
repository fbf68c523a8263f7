/* What a process has that its calls must leave as it was. */

enum { HIGHEST_DESCRIPTOR = 1024, HIGHEST_SIGNAL = 64, FIRST_OF_THE_LIBRARY = 64 };
/* SA_RESTORER, which stays where system(3) put an action back. */
enum { SET_BY_LIBC = 0x04000000 };

struct stock {
    /* Device and inode of each descriptor, but for those that can be the library's own. */
    struct { unsigned long device, inode; long flags; } descriptors[HIGHEST_DESCRIPTOR];
    /* Sockets that the library may keep: numbered 64 and above, closed on exec. */
    int kept_count;
    unsigned long kept_inode;
    sigset_t mask;
    struct { void (*handler)(int); long flags, mask; } actions[HIGHEST_SIGNAL + 1];
};

static void take_stock(struct stock *all) {
    memset(all, 0, sizeof *all);
    for (int number = 0; number < HIGHEST_DESCRIPTOR; number++) {
        struct stat status;
        int flags = fcntl(number, F_GETFD);
        if (flags < 0 || fstat(number, &status) != 0) continue;
        if (number >= FIRST_OF_THE_LIBRARY && S_ISSOCK(status.st_mode) && flags == FD_CLOEXEC) {
            all->kept_count++;
            all->kept_inode = status.st_ino;
            continue;
        }
        all->descriptors[number].device = status.st_dev + 1;
        all->descriptors[number].inode = status.st_ino;
        all->descriptors[number].flags = flags;
    }
    pthread_sigmask(SIG_BLOCK, NULL, &all->mask);
    for (int signal = 1; signal <= HIGHEST_SIGNAL; signal++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        if (sigaction(signal, NULL, &action) != 0) continue;
        all->actions[signal].handler = action.sa_handler;
        all->actions[signal].flags = action.sa_flags & ~SET_BY_LIBC;
        /* The kernel's part of it; the C library leaves the rest as it was. */
        memcpy(&all->actions[signal].mask, &action.sa_mask, sizeof(long));
    }
}

#define SAME(before, after, field) (memcmp(&(before)->field, &(after)->field, sizeof(after)->field) == 0)
