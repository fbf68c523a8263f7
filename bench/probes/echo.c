/* echo PATH PORT ANSWER-FILE: gives the same answer to whatever comes, on a Unix socket and
 * on 127.0.0.1: the least that a server of one thread can do. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int listening(int fd, void *address, socklen_t length)
{
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, address, length) < 0 || listen(fd, 4096) < 0) {
		perror("listen");
		exit(1);
	}
	return fd;
}

int main(int argc, char **argv)
{
	static char answer[4096], question[65536];

	if (argc != 4)
		return 2;
	FILE *file = fopen(argv[3], "rb");
	if (!file)
		return 1;
	size_t length = fread(answer, 1, sizeof answer, file);
	fclose(file);

	struct sockaddr_un un = {.sun_family = AF_UNIX};
	strncpy(un.sun_path, argv[1], sizeof un.sun_path - 1);
	struct sockaddr_in in = {.sin_family = AF_INET,
				 .sin_port = htons((uint16_t)atoi(argv[2])),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listeners[] = {
		listening(socket(AF_UNIX, SOCK_STREAM, 0), &un, sizeof un),
		listening(socket(AF_INET, SOCK_STREAM, 0), &in, sizeof in),
	};
	int poll = epoll_create1(0), one = 1;
	for (int i = 0; i < 2; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = listeners[i]};
		epoll_ctl(poll, EPOLL_CTL_ADD, listeners[i], &event);
	}
	for (;;) {
		struct epoll_event events[64];
		int count = epoll_wait(poll, events, 64, -1);

		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;
			if (fd == listeners[0] || fd == listeners[1]) {
				int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
				struct epoll_event event = {.events = EPOLLIN, .data.fd = client};
				if (fd == listeners[1])
					setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
				epoll_ctl(poll, EPOLL_CTL_ADD, client, &event);
			} else if (recv(fd, question, sizeof question, 0) <= 0) {
				close(fd);
			} else {
				send(fd, answer, length, MSG_NOSIGNAL);
			}
		}
	}
}
