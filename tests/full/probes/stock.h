/* The state of a process that calls must not change. */

enum { HIGHEST_DESCRIPTOR = 1024, HIGHEST_SIGNAL = 64, FIRST_OF_THE_LIBRARY = 64 };
/* SA_RESTORER, which remains after system(3) has restored an action. */
enum { SET_BY_LIBC = 0x04000000 };

struct stock {
    /* Device and inode of each descriptor that is not the library's. */
    struct { unsigned long device, inode; long flags; } descriptors[HIGHEST_DESCRIPTOR];
    /* The sockets that the library may keep: numbered 64 and above, close-on-exec. */
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
        /* The kernel's part of the mask; the C library does not set the rest. */
        memcpy(&all->actions[signal].mask, &action.sa_mask, sizeof(long));
    }
}

#define SAME(before, after, field) (memcmp(&(before)->field, &(after)->field, sizeof(after)->field) == 0)
