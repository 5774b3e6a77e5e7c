/*
 * The floor: what the kernel's TCP costs when user space does nearly nothing.
 *
 * One thread, one level-triggered epoll, one recv and one send of a prepared answer for each readable event. It does
 * not parse. The answer has the fields and, byte for byte, the length of the one it is compared with.
 *
 *     floor PORT CONTENT_TYPE BODY MODE        serves on 127.0.0.1 until it is killed
 *
 * MODE each:  whatever is received at once is one request: a client that does not pipeline, requests that fit a segment
 *             (on loopback 64 KiB; a POST of 1 KiB is received whole, its content included).
 *      heads: every blank line ends a request, and the answers to all of one recv leave in one send: pipelining.
 *      close: as each, but the answer says so and the connection ends after it.
 *      talk:  the first thing received is the handshake of talk.c, and everything after it its masked frames, which are
 *             unmasked and sent back: what a WebSocket server cannot do without.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, RECEIVED = 65536, CONNECTIONS = 65536, BATCH = 64, OVERLAP = 3 };

/* The last bytes of what a connection sent before: a blank line may be cut by two receives. */
static char tails[CONNECTIONS][OVERLAP];
static char answers[BATCH * 1024];
static size_t answer_length;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static void prepare(const char *type, const char *body, int closes) {
    static const char FORMAT[] =
        "HTTP/1.1 200 OK\r\n"
        "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        "Content-Type: %s\r\n"
        "Content-Length: %zu\r\n"
        "%s\r\n%s";
    char answer[1024];
    const char *connection = closes ? "Connection: close\r\n" : "";
    int length = snprintf(answer, sizeof answer, FORMAT, type, strlen(body), connection, body);
    if (length < 0 || (size_t)length >= sizeof answer) {
        fprintf(stderr, "floor: the answer is too long\n");
        exit(2);
    }
    answer_length = (size_t)length;
    for (int i = 0; i < BATCH; i++) memcpy(answers + (size_t)i * answer_length, answer, answer_length);
}

/*
 * How many blank lines end in size bytes after the overlap: a line feed, one more byte, a line feed. Bytes are compared
 * with bytes and counted in bytes, for no more than a byte can count: that the compiler turns into vector instructions,
 * and a request costs a nanosecond or two.
 */
static unsigned heads(const char *data, size_t size) {
    unsigned found = 0;
    for (size_t at = 0; at < size; at += 128) {
        size_t last = at + 128 < size ? at + 128 : size;
        uint8_t some = 0;
        for (size_t i = at; i < last; i++) some = (uint8_t)(some + ((data[i + 1] == '\n') & (data[i + 3] == '\n')));
        found += some;
    }
    return found;
}

static int send_answers(int fd, unsigned count) {
    while (count > 0) {
        unsigned now = count < BATCH ? count : BATCH;
        size_t length = now * answer_length;
        if (send(fd, answers, length, MSG_NOSIGNAL) != (ssize_t)length) return -1; /* a client that does not read */
        count -= now;
    }
    return 0;
}

/* Of the one key that talk.c sends. */
static const char HANDSHAKE[] =
    "HTTP/1.1 101 Switching Protocols\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static char is_talking[CONNECTIONS];

/* Echo short frames. A frame cut by two receives, which talk.c's sizes do not lead to, ends the connection. */
static int echo(int fd, const char *data, size_t size) {
    static char echoes[RECEIVED];
    size_t at = 0, made = 0;
    if (!is_talking[fd]) {
        is_talking[fd] = 1;
        return send(fd, HANDSHAKE, sizeof HANDSHAKE - 1, MSG_NOSIGNAL) < 0 ? -1 : 0;
    }
    while (at + 6 <= size) {
        size_t length = data[at + 1] & 0x7f;
        const char *key = data + at + 2, *content = data + at + 6;
        if (length > 125 || at + 6 + length > size) return -1;
        echoes[made] = data[at];
        echoes[made + 1] = (char)length;
        for (size_t i = 0; i < length; i++) echoes[made + 2 + i] = content[i] ^ key[i % 4];
        made += 2 + length;
        at += 6 + length;
    }
    return at == size && send(fd, echoes, made, MSG_NOSIGNAL) == (ssize_t)made ? 0 : -1;
}

static void serve(int fd, const char *mode) {
    static char buffer[OVERLAP + RECEIVED];
    ssize_t received = recv(fd, buffer + OVERLAP, RECEIVED, 0);
    if (received < 0 && errno == EAGAIN) return;
    if (received <= 0) {
        close(fd);
        return;
    }
    if (*mode == 't') {
        if (echo(fd, buffer + OVERLAP, (size_t)received) < 0) close(fd);
        return;
    }
    unsigned count = 1;
    if (*mode == 'h') {
        memcpy(buffer, tails[fd], OVERLAP);
        count = heads(buffer, (size_t)received);
        memcpy(tails[fd], buffer + received, OVERLAP);
    }
    if (send_answers(fd, count) < 0 || *mode == 'c') close(fd);
}

static int listen_on(unsigned short port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int on = 1;
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listening < 0) die("socket");
    address.sin_port = htons(port);
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listening, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* inherited by what it accepts */
    if (bind(listening, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
    if (listen(listening, 1024) < 0) die("listen");
    return listening;
}

static void accept_all(int epoll, int listening) {
    int accepted;
    while ((accepted = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = accepted};
        if (accepted >= CONNECTIONS || epoll_ctl(epoll, EPOLL_CTL_ADD, accepted, &event) < 0) die("epoll_ctl");
        memset(tails[accepted], 0, OVERLAP);
        is_talking[accepted] = 0;
    }
}

int main(int argc, char **argv) {
    struct epoll_event events[EVENTS];

    if (argc != 5 || strchr("ehct", *argv[4]) == NULL) {
        fprintf(stderr, "usage: floor PORT CONTENT_TYPE BODY each|heads|close|talk\n");
        return 2;
    }
    const char *mode = argv[4];
    prepare(argv[2], argv[3], *mode == 'c');
    int listening = listen_on((unsigned short)atoi(argv[1]));
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) die("epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listening};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listening, &event) < 0) die("epoll_ctl");

    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == listening) {
                accept_all(epoll, listening);
            } else {
                serve(events[i].data.fd, mode);
            }
        }
    }
}
