/* unreadable BIN TIMES DONE: a daemon that other processes cannot read (PR_SET_DUMPABLE). It tries to
 * start BIN/rm and BIN/tool TIMES times, and then makes the file DONE. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void start(const char *directory, char *name, const char *label, int number) {
    pid_t child = fork();
    if (child == 0) {
        char path[4096], argument[64];
        snprintf(path, sizeof path, "%s/%s", directory, name);
        snprintf(argument, sizeof argument, "%s-unreadable-%d", label, number);
        char *words[] = {name, argument, NULL};
        execv(path, words);
        _exit(126);
    }
    waitpid(child, NULL, 0);
}

int main(int count, char **words) {
    if (count != 4) return 2;
    if (fork() != 0) return 0;
    setsid();
    prctl(PR_SET_DUMPABLE, 0);
    /* By then no process that can be read is its ancestor. */
    sleep(1);
    for (int number = 1; number <= atoi(words[2]); number++) {
        start(words[1], "rm", "evil", number);
        start(words[1], "tool", "good", number);
    }
    return close(open(words[3], O_CREAT | O_WRONLY, 0666));
}
