/* raw kept|looked|forked|fresh|refused COUNT ADDRESS [REQUEST-FILE [CLIENTS]]: the same bytes
 * as a check's, by plain system calls: on one connection, on one after a look at a program's
 * head, on a new one in a new child, on a new one, or a connect that is refused. ADDRESS is a
 * port on 127.0.0.1 or the path of a Unix socket. So many CLIENTS ask COUNT times each. */
#include "timing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_storage address;
static socklen_t address_length;
static char request[65536];
static size_t request_length;

static void read_address(const char *text)
{
	if (text[0] == '/') {
		struct sockaddr_un *un = (void *)&address;
		un->sun_family = AF_UNIX;
		strncpy(un->sun_path, text, sizeof un->sun_path - 1);
		address_length = sizeof *un;
	} else {
		struct sockaddr_in *in = (void *)&address;
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)atoi(text));
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address_length = sizeof *in;
	}
}

/* Says who asks, as the library does: digits of the request give way to as many. */
static void sign(void)
{
	char own[16], *digits = strstr(request, "\"pid\":");

	if (!digits)
		return;
	digits += strlen("\"pid\":");
	int length = (int)strspn(digits, " 0123456789");
	if (snprintf(own, sizeof own, "%*d", length, getpid()) != length) {
		fprintf(stderr, "the request has no room for this process's number\n");
		exit(1);
	}
	memcpy(digits, own, (size_t)length);
}

static int connected(void)
{
	sign();
	int one = 1, fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || connect(fd, (void *)&address, address_length) < 0) {
		perror("connect");
		exit(1);
	}
	if (address.ss_family == AF_INET)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

static void round_trip(int fd)
{
	char answer[4096];

	if (send(fd, request, request_length, MSG_NOSIGNAL) < 0 ||
	    recv(fd, answer, sizeof answer, 0) <= 0) {
		perror("round trip");
		exit(1);
	}
}

static uint64_t fresh(void)
{
	uint64_t begun = now_ns();
	int fd = connected();
	round_trip(fd);
	close(fd);
	return now_ns() - begun;
}

static void look(void)
{
	char head[1024];
	int fd = open("/bin/true", O_RDONLY | O_CLOEXEC);

	if (fd < 0 || read(fd, head, sizeof head) <= 0) {
		perror("/bin/true");
		exit(1);
	}
	close(fd);
}

static uint64_t refused(void)
{
	uint64_t begun = now_ns();
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (connect(fd, (void *)&address, address_length) == 0) {
		fprintf(stderr, "somebody listens\n");
		exit(1);
	}
	close(fd);
	return now_ns() - begun;
}

static void in_a_child(uint64_t *sample)
{
	pid_t child = fork();

	if (child == 0) {
		*sample = fresh();
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void read_request(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file) {
		perror(path);
		exit(1);
	}
	request_length = fread(request, 1, sizeof request, file);
	fclose(file);
}

static void ask(const char *how, uint64_t *samples, long count)
{
	int looks = strcmp(how, "looked") == 0, kept = looks || strcmp(how, "kept") == 0;
	int fd = kept ? connected() : -1;

	for (long i = 0; i < count; i++) {
		if (kept) {
			uint64_t begun = now_ns();
			if (looks)
				look();
			round_trip(fd);
			samples[i] = now_ns() - begun;
		} else if (strcmp(how, "forked") == 0) {
			in_a_child(&samples[i]);
		} else {
			samples[i] = strcmp(how, "fresh") == 0 ? fresh() : refused();
		}
	}
}

/* Children that begin when the last of them is there. */
static void ask_together(const char *how, uint64_t *samples, long count, long clients)
{
	int start[2];
	char none;

	if (pipe(start) < 0)
		exit(1);
	for (long i = 0; i < clients; i++) {
		if (fork() == 0) {
			close(start[1]);
			while (read(start[0], &none, 1) > 0)
				;
			ask(how, samples + i * count, count);
			_exit(0);
		}
	}
	close(start[1]);
	for (int status; wait(&status) > 0;) {
		if (status != 0)
			exit(1);
	}
}

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	long count = atol(argv[2]), clients = argc > 5 ? atol(argv[5]) : 1;
	uint64_t *samples = samples_new(count * clients);

	pin();
	read_address(argv[3]);
	if (argc > 4)
		read_request(argv[4]);
	if (clients == 1)
		ask(argv[1], samples, count);
	else
		ask_together(argv[1], samples, count, clients);
	samples_print(samples, count * clients);
	return 0;
}
