/*
 * Load for WebSocket servers that echo: what wrk is for requests.
 *
 *     talk PORT PATH CONNECTIONS DEPTH SECONDS
 *
 * One thread, one epoll. Every connection keeps DEPTH masked messages of 32 bytes on their way, sent in one write as soon
 * as the echoes of the last are there; prints one JSON line as load.lua does. SIGINT ends it early.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MESSAGE = 32, SENT = 6 + MESSAGE, ECHOED = 2 + MESSAGE, MOST_DEPTH = 64, EVENTS = 512, BUCKETS = 100000 };

struct connection {
    int fd;
    int is_open; /* the handshake was answered */
    size_t due;  /* bytes of echoes */
    uint64_t sent_us;
};

static char batch[MOST_DEPTH * SENT];
static char buffer[65536];
static unsigned buckets[BUCKETS + 1]; /* round trips by 10 us */
static volatile sig_atomic_t is_over;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void stop(int number) {
    (void)number;
    is_over = 1;
}

static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void prepare(void) {
    static const unsigned char KEY[4] = {0x12, 0x34, 0x56, 0x78};
    for (int i = 0; i < MOST_DEPTH; i++) {
        char *frame = batch + i * SENT;
        frame[0] = (char)0x81;
        frame[1] = (char)(0x80 | MESSAGE);
        memcpy(frame + 2, KEY, 4);
        for (int k = 0; k < MESSAGE; k++) frame[6 + k] = (char)(('a' + k % 26) ^ KEY[k % 4]);
    }
}

static void open_one(struct connection *connection, int epoll, unsigned short port, const char *path) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    address.sin_port = htons(port);
    connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->fd < 0 || connect(connection->fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int length = snprintf(
        buffer, sizeof buffer,
        "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        path, port);
    if (send(connection->fd, buffer, (size_t)length, MSG_NOSIGNAL) != length) die("send");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0) die("epoll_ctl");
}

static void talk(struct connection *connection, int depth) {
    size_t length = (size_t)depth * SENT;
    connection->due = (size_t)depth * ECHOED;
    connection->sent_us = now_us();
    if (send(connection->fd, batch, length, MSG_NOSIGNAL) != (ssize_t)length) die("send");
}

/* Take what came; how many messages were echoed, or -1 when the server is not what it should be. */
static int listen_to(struct connection *connection, int depth) {
    ssize_t received = recv(connection->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) return 0;
    if (received <= 0) return -1;
    if (!connection->is_open) { /* nothing follows a handshake before we speak */
        if (received < 12 || memcmp(buffer, "HTTP/1.1 101", 12) || memcmp(buffer + received - 4, "\r\n\r\n", 4)) return -1;
        connection->is_open = 1;
        talk(connection, depth);
        return 0;
    }
    if ((size_t)received > connection->due) return -1;
    connection->due -= (size_t)received;
    if (connection->due > 0) return 0;
    uint64_t took = (now_us() - connection->sent_us) / 10;
    buckets[took < BUCKETS ? took : BUCKETS]++;
    talk(connection, depth);
    return depth;
}

static unsigned long percentile(double share, unsigned long rounds) {
    unsigned long seen = 0;
    for (unsigned i = 0; i <= BUCKETS; i++) {
        seen += buckets[i];
        if (seen > 0 && (double)seen >= share * (double)rounds) return i * 10ul;
    }
    return BUCKETS * 10ul;
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];

    if (argc != 6) {
        fprintf(stderr, "usage: talk PORT PATH CONNECTIONS DEPTH SECONDS\n");
        return 2;
    }
    int count = atoi(argv[3]), depth = atoi(argv[4]);
    if (count < 1 || depth < 1 || depth > MOST_DEPTH) return 2;
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    prepare();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections = calloc((size_t)count, sizeof *connections);
    if (epoll < 0 || connections == NULL) die("epoll_create1");
    for (int i = 0; i < count; i++) open_one(&connections[i], epoll, (unsigned short)atoi(argv[1]), argv[2]);
    uint64_t began = now_us(), end = began + (uint64_t)(atof(argv[5]) * 1e6);
    unsigned long messages = 0, errors = 0, rounds = 0;
    while (!is_over && now_us() < end) {
        int ready = epoll_wait(epoll, events, EVENTS, 100);
        if (ready < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            int echoed = listen_to(connection, depth);
            if (echoed < 0) {
                errors++;
                close(connection->fd);
            } else if (echoed > 0) {
                messages += (unsigned long)echoed;
                rounds++;
            }
        }
    }
    printf(
        "\n@{\"requests\":%lu,\"duration_us\":%lu,\"errors\":%lu,\"bad_status\":0,\"p50_us\":%lu,\"p99_us\":%lu}\n",
        messages, (unsigned long)(now_us() - began), errors, percentile(0.5, rounds), percentile(0.99, rounds));
    return 0;
}
