/*
 * The floor: what the kernel's TCP costs when user space does nothing at all.
 *
 * One thread, one level-triggered epoll, one recv and one send of a fixed answer for each readable event. It does not
 * parse: whatever arrives is taken as one request, which holds for a client that does not pipeline and whose requests
 * fit one segment. The answer has the size and the fields of a typical small one (status, date, type, length).
 *
 *     floor PORT        serves on 127.0.0.1 until it is killed
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\n"
    "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
    "content-type: text/plain; charset=utf-8\r\n"
    "content-length: 2\r\n"
    "\r\n"
    "ok";

static void die(const char *what) {
    perror(what);
    exit(1);
}

int main(int argc, char **argv) {
    enum { EVENTS = 512, REQUEST = 65536 };
    static char request[REQUEST];
    struct epoll_event events[EVENTS];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;

    if (argc != 2) {
        fprintf(stderr, "usage: floor PORT\n");
        return 2;
    }
    address.sin_port = htons((unsigned short)atoi(argv[1]));
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listening < 0) die("socket");
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* inherited by what it accepts */
    if (bind(listening, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(listening, 1024) < 0) die("listen");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) die("epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event) < 0) die("epoll_ctl");

    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listening) {
                int accepted;
                while ((accepted = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                    event.data.fd = accepted;
                    if (epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, &event) < 0) die("epoll_ctl");
                }
                continue;
            }
            ssize_t received = recv(fd, request, REQUEST, 0);
            if (received > 0) {
                if (send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) < 0) close(fd);
            } else if (received == 0 || errno != EAGAIN) {
                close(fd);
            }
        }
    }
}
