/* scribbles PATH: closes its standard streams and spawns PATH three times, while another thread keeps
 * writing to their numbers. The exit status is how often PATH ran. */
#define _GNU_SOURCE
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static atomic_int ended;

static void *scribbles(void *unused) {
    while (!ended)
        for (int fd = 0; fd < 3; fd++)
            if (write(fd, "scribble", 8) > 0) continue;
    return unused;
}

int main(int argc, char **argv) {
    if (argc != 2) return 96;
    for (int fd = 0; fd < 3; fd++) close(fd);
    pthread_t other;
    pthread_create(&other, NULL, scribbles, NULL);
    int ran = 0;
    for (int i = 0; i < 3; i++) {
        char *child[] = {"rm", "scribbled", NULL};
        pid_t pid;
        int status = -1;
        if (posix_spawn(&pid, argv[1], NULL, NULL, child, environ) == 0) {
            waitpid(pid, &status, 0);
            ran += status == 0;
        }
    }
    ended = 1;
    pthread_join(other, NULL);
    return ran;
}
