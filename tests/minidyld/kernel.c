/* System calls that behave like XNU's. Each takes Darwin's numbers and layouts, and reports arguments
 * that Darwin does not have. The files named here are XNU's. One file, as it is one table of calls
 * that share the numbers and layouts at its head. */
#include "minidyld.h"

#include <alloca.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { DESCRIPTORS = 1 << 16 };

static int ds_access(const char *path, int mode) {
    TRACE("access %s %d", path, mode);
    return DARWIN(access(path, mode));
}

/* bsd/sys/_types/_clock.h, CLOCK_*: the realtime, and four that are monotonic. */
static int ds_clock_gettime(int clock, struct timespec *time) {
    if (clock != 0 && clock != 4 && clock != 6 && clock != 8) say_wrong("clock %d", clock);
    return clock_gettime(clock == 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC, time);
}

static int ds_getpid(void) { return (int)syscall(SYS_getpid); }

/* ---- sockets (bsd/sys/socket.h, bsd/sys/un.h, bsd/netinet/in.h) ---- */

enum { DARWIN_AF_INET6 = 30, DARWIN_SOL_SOCKET = 0xffff, DARWIN_SO_NOSIGPIPE = 0x1022, DARWIN_MSG_DONTWAIT = 0x80 };
static unsigned char never_sigpipe[DESCRIPTORS]; /* SO_NOSIGPIPE, F_SETNOSIGPIPE */

static int is_number(int descriptor) { return descriptor >= 0 && descriptor < DESCRIPTORS; }

static int ds_close(int descriptor) {
    TRACE("close %d", descriptor);
    if (is_number(descriptor)) never_sigpipe[descriptor] = 0;
    return DARWIN(close(descriptor));
}

static socklen_t linux_address(const unsigned char *address, socklen_t length, struct sockaddr_storage *out) {
    memset(out, 0, sizeof *out);
    if (address[0] != length) say_wrong("sa_len %d of an address of %u bytes", address[0], length);
    switch (address[1]) {
    case AF_UNIX: {
        struct sockaddr_un *name = (void *)out;
        if (length > 106) say_wrong("sockaddr_un of %u bytes", length);
        name->sun_family = AF_UNIX;
        memcpy(name->sun_path, address + 2, length - 2);
        return (socklen_t)(2 + strnlen(name->sun_path, length - 2) + 1);
    }
    case AF_INET:
        if (length != 16) say_wrong("sockaddr_in of %u bytes", length);
        memcpy(out, address, 16);
        out->ss_family = AF_INET;
        return 16;
    case DARWIN_AF_INET6:
        if (length != 28) say_wrong("sockaddr_in6 of %u bytes", length);
        memcpy(out, address, 28);
        out->ss_family = AF_INET6;
        return 28;
    }
    say_wrong("address family %d", address[1]);
    return 0;
}

static void darwin_address(const struct sockaddr_storage *address, socklen_t length, unsigned char *out, socklen_t *room) {
    unsigned char bytes[sizeof *address];
    memcpy(bytes, address, sizeof bytes);
    bytes[0] = (unsigned char)length;
    bytes[1] = (unsigned char)(address->ss_family == AF_INET6 ? DARWIN_AF_INET6 : address->ss_family);
    memcpy(out, bytes, length < *room ? length : *room);
    *room = length;
}

/* A Unix socket whose queue is full refuses connections (bsd/kern/uipc_usrreq.c, unp_connect, if
 * sonewconn fails); the other errors are the same. */
static int ds_connect(int descriptor, const unsigned char *address, socklen_t length) {
    struct sockaddr_storage storage;
    socklen_t size = linux_address(address, length, &storage);
    int result = connect(descriptor, (void *)&storage, size);
    if (result < 0) errno = errno == EAGAIN && address[1] == AF_UNIX ? to_darwin(ECONNREFUSED) : to_darwin(errno);
    TRACE("connect %d = %d (%d)", descriptor, result, result ? errno : 0);
    return result;
}

static int ds_socket(int domain, int type, int protocol) {
    if (type != SOCK_STREAM && type != SOCK_DGRAM) say_wrong("socket type %#x", type);
    int result = DARWIN(socket(domain == DARWIN_AF_INET6 ? AF_INET6 : domain, type, protocol));
    if (is_number(result)) never_sigpipe[result] = 0;
    TRACE("socket %d %d = %d", domain, type, result);
    return result;
}

struct darwin_timeval { int64_t seconds; int32_t microseconds, padding; };
enum { DARWIN_SO_RCVTIMEO = 0x1006 };

/* A TCP connection that is closed in both directions. To Linux a new socket is in the same state, but
 * has no address yet. */
static int is_over(int descriptor) {
    struct tcp_info info = {.tcpi_state = TCP_ESTABLISHED};
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof info, room = sizeof address;
    if (getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) || info.tcpi_state != TCP_CLOSE) return 0;
    if (getsockname(descriptor, (struct sockaddr *)&address, &room)) return 1;
    if (address.ss_family == AF_INET) return ((struct sockaddr_in *)&address)->sin_addr.s_addr != INADDR_ANY;
    return !IN6_IS_ADDR_UNSPECIFIED(&((struct sockaddr_in6 *)&address)->sin6_addr);
}

/* Options of a connection that is closed in both directions cannot be set (bsd/kern/uipc_socket.c,
 * sosetoptlock), but they can be read (sogetoptlock). */
static int ds_setsockopt(int descriptor, int level, int option, const void *value, socklen_t length) {
    TRACE("setsockopt %d %#x %#x", descriptor, level, option);
    if (option == DARWIN_SO_RCVTIMEO && is_over(descriptor)) {
        errno = EINVAL;
        return -1;
    }
    if (level == DARWIN_SOL_SOCKET && option == DARWIN_SO_NOSIGPIPE) {
        never_sigpipe[descriptor] = *(const int *)value != 0;
        return 0;
    }
    if (level == DARWIN_SOL_SOCKET && option == DARWIN_SO_RCVTIMEO && length == sizeof(struct darwin_timeval)) {
        const struct darwin_timeval *time = value;
        struct timeval theirs = {time->seconds, time->microseconds};
        return DARWIN(setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &theirs, sizeof theirs));
    }
    if (level == IPPROTO_TCP && option == 1) return DARWIN(setsockopt(descriptor, level, TCP_NODELAY, value, length));
    say_wrong("socket option %#x %#x of %u bytes", level, option, length);
    errno = 42;
    return -1;
}

static int ds_getsockopt(int descriptor, int level, int option, void *value, socklen_t *length) {
    struct timeval theirs;
    socklen_t size = sizeof theirs;
    if (level != DARWIN_SOL_SOCKET || option != DARWIN_SO_RCVTIMEO || *length != sizeof(struct darwin_timeval)) {
        say_wrong("getsockopt %#x %#x of %u bytes", level, option, *length);
    }
    int result = DARWIN(getsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &theirs, &size));
    TRACE("getsockopt %d %#x = %d", descriptor, option, result);
    if (result == 0) *(struct darwin_timeval *)value = (struct darwin_timeval){theirs.tv_sec, (int32_t)theirs.tv_usec, 0};
    return result;
}

static ssize_t ds_send(int descriptor, const void *bytes, size_t length, int flags) {
    if (flags) say_wrong("send flags %#x", flags);
    if (!never_sigpipe[descriptor]) say_wrong("send on %d, which raises SIGPIPE", descriptor);
    ssize_t result = DARWIN(send(descriptor, bytes, length, MSG_NOSIGNAL));
    TRACE("send %d %zu = %zd (%d)", descriptor, length, result, result < 0 ? errno : 0);
    return result;
}

static ssize_t ds_recv(int descriptor, void *bytes, size_t length, int flags) {
    if (flags & ~(MSG_PEEK | DARWIN_MSG_DONTWAIT)) say_wrong("recv flags %#x", flags);
    int theirs = (flags & MSG_PEEK) | (flags & DARWIN_MSG_DONTWAIT ? MSG_DONTWAIT : 0);
    ssize_t result = DARWIN(recv(descriptor, bytes, length, theirs));
    TRACE("recv %d %#x = %zd (%d)", descriptor, flags, result, result < 0 ? errno : 0);
    return result;
}

/* netdb.h: the canonical name comes before the address. */
struct darwin_addrinfo {
    int flags, family, type, protocol;
    uint32_t length;
    char *name;
    void *address;
    struct darwin_addrinfo *next;
};

static int ds_getaddrinfo(const char *host, const char *service, const struct darwin_addrinfo *hints, struct darwin_addrinfo **out) {
    struct addrinfo hint = {.ai_socktype = hints->type}, *list;
    enum { EAI_NONAME_OF_DARWIN = 8, ADDRESS_BYTES = 128 };
    TRACE("getaddrinfo %s", host);
    if (getaddrinfo(host, service, &hint, &list)) return EAI_NONAME_OF_DARWIN;
    struct darwin_addrinfo *info = calloc(1, sizeof *info + ADDRESS_BYTES);
    struct sockaddr_storage address = {0};
    socklen_t room = ADDRESS_BYTES;
    memcpy(&address, list->ai_addr, list->ai_addrlen);
    info->address = info + 1;
    info->family = list->ai_family == AF_INET6 ? DARWIN_AF_INET6 : list->ai_family;
    info->type = list->ai_socktype;
    darwin_address(&address, list->ai_addrlen, info->address, &room);
    info->length = room;
    freeaddrinfo(list);
    *out = info;
    return 0;
}
static void ds_freeaddrinfo(struct darwin_addrinfo *info) { free(info); }

static int ds_getnameinfo(const unsigned char *address, socklen_t length, char *host, socklen_t host_size, char *service, socklen_t service_size, int flags) {
    enum { NUMERIC_HOST = 2 };
    struct sockaddr_storage storage;
    socklen_t size = linux_address(address, length, &storage);
    if (flags != NUMERIC_HOST) say_wrong("getnameinfo flags %#x", flags);
    return getnameinfo((void *)&storage, size, host, host_size, service, service_size, NI_NUMERICHOST) ? 8 : 0;
}

/* ---- files ---- */

/* bsd/sys/fcntl.h */
enum { DARWIN_O_NONBLOCK = 4, DARWIN_O_CLOEXEC = 0x1000000, DARWIN_O_NOCTTY = 0x20000 };

static int ds_open(const char *path, int flags) {
    if (flags & ~(O_ACCMODE | DARWIN_O_NONBLOCK | DARWIN_O_CLOEXEC | DARWIN_O_NOCTTY)) say_wrong("open flags %#x", flags);
    int theirs = flags & O_ACCMODE;
    if (flags & DARWIN_O_NONBLOCK) theirs |= O_NONBLOCK;
    if (flags & DARWIN_O_CLOEXEC) theirs |= O_CLOEXEC;
    if (flags & DARWIN_O_NOCTTY) theirs |= O_NOCTTY;
    int result = DARWIN(open(path, theirs));
    TRACE("open %s %#x = %d (%d)", path, flags, result, result < 0 ? errno : 0);
    return result;
}

/* F_GETPATH (bsd/kern/kern_descrip.c): at most MAXPATHLEN bytes, with the NUL. */
static int path_of(int descriptor, char *out) {
    char link[40], target[1024];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = DARWIN(readlink(link, target, sizeof target - 1));
    if (length < 0) return -1;
    memcpy(out, target, (size_t)length);
    out[length] = 0;
    return 0;
}

/* Called by its assembler name on arm64. */
__attribute__((used)) static int ds_fcntl(int descriptor, int command, long value) {
    enum { GETPATH = 50, DUPFD_CLOEXEC = 67, SETNOSIGPIPE = 73, GETNOSIGPIPE = 74 };
    TRACE("fcntl %d %d %#lx", descriptor, command, value);
    switch (command) {
    case F_GETFD: return DARWIN(fcntl(descriptor, F_GETFD));
    case F_SETFD: return DARWIN(fcntl(descriptor, F_SETFD, (int)value));
    case F_GETFL: {
        int flags = DARWIN(fcntl(descriptor, F_GETFL));
        return flags < 0 ? -1 : (flags & O_ACCMODE) | (flags & O_NONBLOCK ? DARWIN_O_NONBLOCK : 0);
    }
    case F_SETFL:
        if ((int)value & ~(O_ACCMODE | DARWIN_O_NONBLOCK)) say_wrong("F_SETFL %#lx", value);
        return DARWIN(fcntl(descriptor, F_SETFL, (int)value & DARWIN_O_NONBLOCK ? O_NONBLOCK : 0));
    case GETPATH: return path_of(descriptor, (char *)value);
    case DUPFD_CLOEXEC: {
        int result = DARWIN(fcntl(descriptor, F_DUPFD_CLOEXEC, (int)value));
        if (is_number(result)) never_sigpipe[result] = never_sigpipe[descriptor];
        return result;
    }
    case SETNOSIGPIPE:
    case GETNOSIGPIPE:
        if (fcntl(descriptor, F_GETFD) < 0) return errno = EBADF, -1;
        if (command == GETNOSIGPIPE) return never_sigpipe[descriptor];
        never_sigpipe[descriptor] = value != 0;
        return 0;
    }
    say_wrong("fcntl command %d", command);
    errno = EINVAL;
    return -1;
}

/* A Linux program looks like a Mach-O file for this processor, with dyld as its loader if it has one
 * (EXTERNAL_HEADERS/mach-o/loader.h: mach_header_64, LC_LOAD_DYLINKER). */
static int as_macho(int descriptor, uint32_t shown[16]) {
#ifdef __aarch64__
    enum { CPU = 0x0100000c, SUBTYPE = 0 };
#else
    enum { CPU = 0x01000007, SUBTYPE = 3 };
#endif
    enum { MAGIC_64 = 0xfeedfacf - 0x100000000, MAGIC_32 = 0xfeedface - 0x100000000, EXECUTE = 2, LOAD_DYLINKER = 0xe };
    Elf64_Ehdr elf;
    Elf64_Phdr segment = {0};
    int has_loader = 0;
    if (pread(descriptor, &elf, sizeof elf, 0) != sizeof elf || memcmp(elf.e_ident, ELFMAG, SELFMAG)) return 0;
    for (int i = 0; i < elf.e_phnum && !has_loader; i++) {
        if (pread(descriptor, &segment, sizeof segment, (off_t)(elf.e_phoff + i * sizeof segment)) != sizeof segment) break;
        has_loader = segment.p_type == PT_INTERP;
    }
    memset(shown, 0, 16 * sizeof *shown);
    shown[0] = (uint32_t)(elf.e_ident[EI_CLASS] == ELFCLASS64 ? MAGIC_64 : MAGIC_32);
    shown[1] = CPU, shown[2] = SUBTYPE, shown[3] = EXECUTE;
    if (!has_loader) return 1;
    shown[4] = 1, shown[5] = 32;
    shown[8] = LOAD_DYLINKER, shown[9] = 32, shown[10] = 12;
    memcpy(shown + 11, "/usr/lib/dyld", 14);
    return 1;
}

static ssize_t ds_pread(int descriptor, void *bytes, size_t length, off_t offset) {
    uint32_t shown[16];
    TRACE("pread %d %zu %ld", descriptor, length, (long)offset);
    if (!as_macho(descriptor, shown)) return DARWIN(pread(descriptor, bytes, length, offset));
    size_t left = offset < (off_t)sizeof shown ? sizeof shown - (size_t)offset : 0;
    if (length > left) length = left;
    memcpy(bytes, (const char *)shown + offset, length);
    return (ssize_t)length;
}

static ssize_t ds_write(int descriptor, const void *bytes, size_t length) {
    sigset_t sigpipe, old, pending;
    TRACE("write %d %zu", descriptor, length);
    if (!is_number(descriptor) || !never_sigpipe[descriptor]) return DARWIN(write(descriptor, bytes, length));
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &sigpipe, &old);
    ssize_t result = DARWIN(write(descriptor, bytes, length));
    int saved = errno;
    if (result < 0 && errno == EPIPE && !sigismember(&old, SIGPIPE) && !sigpending(&pending) && sigismember(&pending, SIGPIPE)) {
        sigtimedwait(&sigpipe, NULL, &(struct timespec){0});
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return result;
}

/* bsd/sys/stat.h, __DARWIN_STRUCT_STAT64 */
struct darwin_stat {
    int32_t dev;
    uint16_t mode, nlink;
    uint64_t ino;
    uint32_t uid, gid;
    int32_t rdev;
    struct timespec accessed, modified, changed, born;
    int64_t size, blocks;
    int32_t block_size;
    uint32_t flags, generation;
    int32_t spare;
    int64_t spares[2];
};
_Static_assert(sizeof(struct darwin_stat) == 144, "as in <sys/stat.h>");

static int fill(int result, const struct stat *from, struct darwin_stat *to) {
    if (result < 0) return errno = to_darwin(errno), -1;
    *to = (struct darwin_stat){
        .dev = (int32_t)from->st_dev, .mode = (uint16_t)from->st_mode, .nlink = (uint16_t)from->st_nlink,
        .ino = from->st_ino, .uid = from->st_uid, .gid = from->st_gid, .rdev = (int32_t)from->st_rdev,
        .accessed = from->st_atim, .modified = from->st_mtim, .changed = from->st_ctim, .born = from->st_ctim,
        .size = from->st_size, .blocks = from->st_blocks, .block_size = (int32_t)from->st_blksize};
    return 0;
}

/* A socket of TCP has no inode number (bsd/kern/sys_socket.c, soo_stat; the Unix sockets make
 * one up: bsd/kern/uipc_usrreq.c, uipc_sense). */
static int ds_fstat(int descriptor, struct darwin_stat *out) {
    struct stat status;
    int result = fill(fstat(descriptor, &status), &status, out), domain = 0;
    socklen_t length = sizeof domain;
    TRACE("fstat %d = %d", descriptor, result);
    if (result == 0 && S_ISSOCK(status.st_mode) && !getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &domain, &length) && domain != AF_UNIX) {
        out->ino = 0;
    }
    return result;
}

static int ds_stat(const char *path, struct darwin_stat *out) {
    struct stat status;
    TRACE("stat %s", path);
    return fill(stat(path, &status), &status, out);
}

/* ---- memory, waiting, signals ---- */

static void *ds_mmap(void *address, size_t length, int access, int flags, int descriptor, off_t offset) {
    enum { SHARED_ANON = 0x1001, PRIVATE_ANON = 0x1002 }; /* bsd/sys/mman.h */
    TRACE("mmap %zu %#x %#x", length, access, flags);
    if ((flags != PRIVATE_ANON && flags != SHARED_ANON) || descriptor != -1) say_wrong("mmap flags %#x of %d", flags, descriptor);
    int kind = flags == SHARED_ANON ? MAP_SHARED : MAP_PRIVATE;
    return DARWIN(mmap(address, length, access, kind | MAP_ANONYMOUS, -1, offset));
}

static int ds_mprotect(void *address, size_t length, int access) {
    TRACE("mprotect %p %zu %d", address, length, access);
    return DARWIN(mprotect(address, (length + 4095) & -4096ul, access));
}

static int ds_poll(struct pollfd *descriptors, unsigned count, int ms) {
    int result = DARWIN(poll(descriptors, count, ms));
    TRACE("poll of %u for %d ms = %d", count, ms, result);
    return result;
}

static int ds_select(int count, fd_set *read, fd_set *write, fd_set *except, struct darwin_timeval *time) {
    struct timeval theirs = {time->seconds, time->microseconds};
    TRACE("select %d", count);
    if (count > FD_SETSIZE) say_wrong("select of %d", count);
    return DARWIN(select(count, read, write, except, &theirs));
}

static void *ds_pthread_self(void) { return (void *)pthread_self(); }

/* pthread.h of libpthread: 0 disables. */
static int ds_pthread_setcancelstate(int state, int *old) {
    int theirs, result = pthread_setcancelstate(state == 0 ? PTHREAD_CANCEL_DISABLE : PTHREAD_CANCEL_ENABLE, &theirs);
    if (state != 0 && state != 1) say_wrong("cancel state %d", state);
    if (old) *old = theirs == PTHREAD_CANCEL_DISABLE ? 0 : 1;
    return to_darwin(result);
}

/* bsd/sys/signal.h: a mask of 32 bits, and other numbers. */
static const unsigned char LINUX[32] = {0,  1,  2,  3,  4,  5,  6,  0,  8,  9,  7,  11, 31, 13, 14, 15,
                                        23, 19, 20, 18, 17, 21, 22, 29, 24, 25, 26, 27, 28, 0,  10, 12};

struct darwin_sigaction {
    void *handler;
    uint32_t mask;
    int flags;
};

/* Only reads an action. A signal that Linux does not have has no handler. */
static int ds_sigaction(int number, const struct darwin_sigaction *action, struct darwin_sigaction *old) {
    struct sigaction theirs = {.sa_handler = SIG_DFL};
    if (action) say_wrong("sigaction changes signal %d", number);
    if (number < 1 || number > 31) {
        say_wrong("sigaction of %d", number);
    } else if (LINUX[number]) {
        sigaction(LINUX[number], NULL, &theirs);
    }
    if (old) *old = (struct darwin_sigaction){.handler = (void *)theirs.sa_handler};
    return 0;
}

static int ds_pthread_sigmask(int how, const uint32_t *set, uint32_t *old) {
    sigset_t theirs, before;
    uint32_t mask = 0;
    if (how < 1 || how > 3) say_wrong("pthread_sigmask %d", how);
    sigemptyset(&theirs);
    /* What Darwin does not have stays as it is. */
    if (how == 3) pthread_sigmask(SIG_SETMASK, NULL, &theirs);
    for (int i = 1; i < 32; i++) {
        if (!LINUX[i]) continue;
        if (*set >> (i - 1) & 1) sigaddset(&theirs, LINUX[i]);
        else sigdelset(&theirs, LINUX[i]);
    }
    int result = pthread_sigmask(how == 1 ? SIG_BLOCK : how == 2 ? SIG_UNBLOCK : SIG_SETMASK, &theirs, &before);
    for (int i = 1; i < 32; i++) {
        if (LINUX[i] && sigismember(&before, LINUX[i]) == 1) mask |= 1u << (i - 1);
    }
    if (old) *old = mask;
    return to_darwin(result);
}

/* ---- programs (bsd/kern/kern_exec.c) ---- */

static spawn_function *linux_spawn;

void start_kernel(void) { linux_spawn = (spawn_function *)dlsym(RTLD_NEXT, "posix_spawn"); }

#define WITH_LOADER(envp) with_loader(envp, alloca((count_strings(envp) + ADDED) * sizeof(char *)))

int kernel_execve(const char *path, char *const argv[], char *const envp[]) {
    TRACE("execve %s", path);
    return DARWIN((int)syscall(SYS_execve, path, argv, WITH_LOADER(envp)));
}

/* The child must close all descriptors that no action names: for the duration of the call they are
 * marked close-on-exec in the parent. */
static int spawn_with_few_descriptors(pid_t *pid, const char *path, const void *actions, const void *attributes, char *const argv[], char *const envp[]) {
    unsigned char was_open[1024] = {0};
    for (int i = 0; i < (int)sizeof was_open; i++) {
        was_open[i] = fcntl(i, F_GETFD) == 0;
        if (was_open[i]) fcntl(i, F_SETFD, FD_CLOEXEC);
    }
    int result = linux_spawn(pid, path, actions, attributes, argv, envp);
    for (int i = 0; i < (int)sizeof was_open; i++) {
        if (was_open[i]) fcntl(i, F_SETFD, 0);
    }
    return result;
}

int kernel_posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attributes, char *const argv[], char *const envp[]) {
    int flags = attributes ? spawn_flags(attributes) : 0, saved = errno;
    char *const *theirs = WITH_LOADER(envp);
    TRACE("posix_spawn %s flags %#x", path, flags);
    if (flags & ~(SPAWN_COMMON | SPAWN_SETEXEC | SPAWN_DISABLE_ASLR | SPAWN_SETSID | SPAWN_CLOEXEC_DEFAULT)) {
        say_wrong("posix_spawn flags %#x", flags);
    }
    int before = flags & SPAWN_DISABLE_ASLR ? personality(0xffffffff) : -1;
    if (before >= 0) personality((unsigned)before | ADDR_NO_RANDOMIZE);
    int result;
    if (flags & SPAWN_SETEXEC) {
        if (actions) say_wrong("actions of a spawn that is an exec are not done here");
        result = (int)syscall(SYS_execve, path, argv, theirs) < 0 ? errno : 0;
    } else if (flags & SPAWN_CLOEXEC_DEFAULT) {
        result = spawn_with_few_descriptors(pid, path, actions, attributes, argv, theirs);
    } else {
        result = linux_spawn(pid, path, actions, attributes, argv, theirs);
    }
    if (before >= 0) personality((unsigned)before);
    errno = saved;
    return to_darwin(result);
}

#ifdef __aarch64__
/* Apple's arm64 passes variadic arguments on the stack, Linux in registers. */
__asm__(".text\nstack_fcntl:\n ldr x2, [sp]\n b ds_fcntl\n");
extern int stack_fcntl(int, int, long);
#define FCNTL stack_fcntl
#else
#define FCNTL ds_fcntl
#endif

#define SHIM(name) {"_" #name, ds_##name, -1}
const struct symbol kernel_symbols[] = {
    SHIM(access), SHIM(clock_gettime), SHIM(close), {"_close$NOCANCEL", ds_close, -1}, SHIM(connect), {"_fcntl", FCNTL, -1}, SHIM(freeaddrinfo),
    SHIM(fstat), {"_fstat$INODE64", ds_fstat, -1}, SHIM(getaddrinfo), SHIM(getnameinfo), SHIM(getpid), SHIM(getsockopt),
    SHIM(mmap), SHIM(mprotect), SHIM(open), SHIM(poll), SHIM(pread), SHIM(pthread_self),
    SHIM(pthread_setcancelstate), SHIM(pthread_sigmask), SHIM(recv), SHIM(select), {"_select$1050", ds_select, -1}, SHIM(send),
    SHIM(sigaction), SHIM(setsockopt), SHIM(socket), SHIM(stat), {"_stat$INODE64", ds_stat, -1}, SHIM(write), {"__exit", _exit, -1},
    {"_execve", kernel_execve, EXECVE}, {"_posix_spawn", kernel_posix_spawn, POSIX_SPAWN}, {NULL, NULL, -1}};
