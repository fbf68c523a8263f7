/* raw kept|forked|refused COUNT ADDRESS [REQUEST-FILE]: the same bytes as a check's, by plain
 * system calls: on one connection, on a new one in a new child, or a connect that is
 * refused. ADDRESS is a port on 127.0.0.1 or the path of a Unix socket. */
#include "timing.h"

#include <arpa/inet.h>
#include <errno.h>
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

static int connected(void)
{
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

int main(int argc, char **argv)
{
	if (argc < 4)
		return 2;
	long count = atol(argv[2]);
	uint64_t *samples = samples_new(count);

	pin();
	read_address(argv[3]);
	if (argc > 4)
		read_request(argv[4]);

	if (strcmp(argv[1], "kept") == 0) {
		int fd = connected();
		for (long i = 0; i < count; i++) {
			uint64_t begun = now_ns();
			round_trip(fd);
			samples[i] = now_ns() - begun;
		}
	} else {
		for (long i = 0; i < count; i++) {
			if (strcmp(argv[1], "forked") == 0)
				in_a_child(&samples[i]);
			else
				samples[i] = refused();
		}
	}
	samples_print(samples, count);
	return 0;
}
