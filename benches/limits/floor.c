/*
 * floor: the least that a WebSocket echo can cost; a yardstick, not a library.
 *
 *     floor threads|epoll PORT
 *
 * One read and one write a wake-up, whatever the number of messages in it, payloads unmasked in place, nothing
 * allocated: with blocking sockets and a thread a connection, or with one thread and level-triggered epoll. There is no
 * UTF-8 check, no limit and no control frame but Close, which is echoed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 64 * 1024, STACK = 64 * 1024, MAX_HEAD = 4096, ANSWER = 256 };

/* ---- The opening handshake ---- */

/* The length of the answer to a request; 0 while it is incomplete, -1 if it is none. */
static int answer_request(const char *request, char *answer)
{
    static const char name[] = "\nSec-WebSocket-Key:";
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char key[64];
    unsigned char digest[20], accept[32];
    if (strstr(request, "\r\n\r\n") == NULL)
        return 0;
    const char *value = strcasestr(request, name);
    if (value == NULL)
        return -1;
    value += sizeof name - 1;
    value += strspn(value, " ");
    if (strcspn(value, "\r ") != 24)
        return -1;
    memcpy(key, value, 24);
    memcpy(key + 24, guid, sizeof guid);
    EVP_Digest(key, 60, digest, NULL, EVP_sha1(), NULL);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    return snprintf(answer, ANSWER,
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: %s\r\n\r\n", (char *)accept);
}

/* ---- Frames ---- */

/* What was received and not yet answered. */
struct input {
    uint8_t *bytes;
    size_t capacity, length;
    size_t unmasked; /* bytes of the first frame's payload, which is not whole yet */
};

/* The key as it stands after so many bytes. */
static uint32_t rotated(uint32_t key, size_t by)
{
    by = by % 4 * 8;
    return by == 0 ? key : key >> by | key << (32 - by);
}

typedef uint8_t vector __attribute__((vector_size(32), aligned(1), may_alias));

/* Moves and unmasks; `to` is not behind `from`, and they may overlap. Vectors are written out, because the compiler makes
 * detours over memory of a loop over bytes; the loader picks the clone that the processor can run. */
#ifdef __x86_64__
__attribute__((target_clones("avx2", "default")))
#endif
static void unmask(uint8_t *to, const uint8_t *from, size_t length, uint32_t key)
{
    uint8_t pattern[sizeof(vector)];
    for (size_t i = 0; i < sizeof pattern; i += sizeof key)
        memcpy(pattern + i, &key, sizeof key);
    const vector mask = *(const vector *)pattern;
    size_t at = 0;
    for (; at + 2 * sizeof mask <= length; at += 2 * sizeof mask) {
        vector first = *(const vector *)(from + at), second = *(const vector *)(from + at + sizeof mask);
        *(vector *)(to + at) = first ^ mask;
        *(vector *)(to + at + sizeof mask) = second ^ mask;
    }
    for (; at + sizeof key <= length; at += sizeof key) {
        uint32_t word;
        memcpy(&word, from + at, sizeof word);
        word ^= key;
        memcpy(to + at, &word, sizeof word);
    }
    for (size_t i = 0; at < length; at++, i++)
        to[at] = from[at] ^ pattern[i];
}

/* The length of a client's header; 0 while it is incomplete. */
static size_t header(const uint8_t *bytes, size_t have, uint64_t *length, uint32_t *key)
{
    if (have < 6)
        return 0;
    if ((bytes[1] & 0x80) == 0) {
        fputs("floor: a frame is not masked\n", stderr);
        _exit(EXIT_FAILURE);
    }
    unsigned short_length = bytes[1] & 127;
    size_t extended = short_length == 127 ? 8 : short_length == 126 ? 2 : 0;
    if (have < 6 + extended)
        return 0;
    *length = extended ? 0 : short_length;
    for (size_t i = 0; i < extended; i++)
        *length = *length << 8 | bytes[2 + i];
    memcpy(key, bytes + 2 + extended, sizeof *key);
    return 6 + extended;
}

/* A stretch of the input's bytes that is the answer, and how much input that used up. */
struct answer {
    size_t start, end, used;
};

/* Makes the answer of the whole frames in the input, where they lie. A server's header is the client's less the mask bit
 * and the key. */
static struct answer turn(struct input *input)
{
    struct answer answer = {0};
    uint8_t *bytes = input->bytes;
    for (;;) {
        uint64_t length;
        uint32_t key;
        size_t at = answer.used;
        size_t head = header(bytes + at, input->length - at, &length, &key);
        if (head == 0)
            return answer;
        size_t have = input->length - at - head, done = at == 0 ? input->unmasked : 0;
        if (have < length) {
            if (at == 0) { /* what there is of a large one, while it is in the cache */
                unmask(bytes + head + done, bytes + head + done, have - done, rotated(key, done));
                input->unmasked = have;
            }
            return answer;
        }
        if (at == 0) { /* the payload stays, the header moves up to it */
            unmask(bytes + head + done, bytes + head + done, length - done, rotated(key, done));
            input->unmasked = 0;
            memmove(bytes + 4, bytes, head - 4);
            bytes[5] &= 127;
            answer.start = 4;
            answer.end = head + length;
        } else { /* moves down to the answer before it */
            memmove(bytes + answer.end, bytes + at, head - 4);
            bytes[answer.end + 1] &= 127;
            unmask(bytes + answer.end + head - 4, bytes + at + head, length, key);
            answer.end += head - 4 + length;
        }
        answer.used = at + head + length;
    }
}

/* Makes room for all of the first frame. */
static void make_room(struct input *input)
{
    uint64_t length;
    uint32_t key;
    size_t head = header(input->bytes, input->length, &length, &key);
    if (head == 0 || head + length <= input->capacity)
        return;
    input->capacity = (head + length + BUFFER) & ~(size_t)4095;
    input->bytes = realloc(input->bytes, input->capacity);
    if (input->bytes == NULL)
        _exit(EXIT_FAILURE);
}

static void consume(struct input *input, size_t used)
{
    input->length -= used;
    if (used > 0)
        memmove(input->bytes, input->bytes + used, input->length);
}

/* ---- A thread a connection ---- */

static bool send_all(int fd, const void *bytes, size_t length)
{
    const char *rest = bytes;
    while (length > 0) {
        ssize_t sent = send(fd, rest, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        rest += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool receive(int fd, struct input *input, size_t limit)
{
    ssize_t length;
    do
        length = recv(fd, input->bytes + input->length, limit - input->length, 0);
    while (length < 0 && errno == EINTR);
    if (length <= 0)
        return false;
    input->length += (size_t)length;
    return true;
}

static bool open_blocking(int fd, struct input *input)
{
    char text[ANSWER];
    int length = 0;
    while (length == 0) {
        if (input->length == MAX_HEAD || !receive(fd, input, MAX_HEAD))
            return false;
        input->bytes[input->length] = '\0';
        length = answer_request((char *)input->bytes, text);
    }
    if (length < 0 || !send_all(fd, text, (size_t)length))
        return false;
    char *end = strstr((char *)input->bytes, "\r\n\r\n") + 4;
    consume(input, (size_t)(end - (char *)input->bytes));
    return true;
}

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    struct input input = {.bytes = malloc(BUFFER), .capacity = BUFFER};
    if (input.bytes != NULL && open_blocking(fd, &input)) {
        for (;;) {
            make_room(&input);
            if (!receive(fd, &input, input.capacity))
                break;
            struct answer answer = turn(&input);
            bool is_close = answer.end > 0 && (input.bytes[answer.start] & 15) == 8;
            if (!send_all(fd, input.bytes + answer.start, answer.end - answer.start) || is_close)
                break;
            consume(&input, answer.used);
        }
    }
    free(input.bytes);
    close(fd);
    return NULL;
}

/* ---- Epoll ---- */

struct connection {
    int fd;
    bool is_open;
    struct input input; /* only while a frame is incomplete: else all share one buffer */
    uint8_t *unsent;
    size_t unsent_length, unsent_at;
};

static int epoll;

static void watch(int operation, struct connection *connection, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};
    epoll_ctl(epoll, operation, connection->fd, &event);
}

static void end(struct connection *connection)
{
    close(connection->fd);
    free(connection->input.bytes);
    free(connection->unsent);
    free(connection);
}

/* What the socket does not take is kept, and nothing is read until it is gone. */
static bool send_or_keep(struct connection *connection, const uint8_t *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(connection->fd, bytes, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            connection->unsent = malloc(length);
            if (connection->unsent == NULL)
                return false;
            memcpy(connection->unsent, bytes, length);
            connection->unsent_length = length;
            connection->unsent_at = 0;
            watch(EPOLL_CTL_MOD, connection, EPOLLOUT);
            return true;
        }
        if (sent <= 0)
            return false;
        bytes += sent;
        length -= (size_t)sent;
    }
    return true;
}

static bool send_kept(struct connection *connection)
{
    while (connection->unsent_at < connection->unsent_length) {
        ssize_t sent = send(connection->fd, connection->unsent + connection->unsent_at,
                            connection->unsent_length - connection->unsent_at, MSG_NOSIGNAL);
        if (sent < 0 && (errno == EINTR || errno == EAGAIN))
            return true;
        if (sent <= 0)
            return false;
        connection->unsent_at += (size_t)sent;
    }
    free(connection->unsent);
    connection->unsent = NULL;
    watch(EPOLL_CTL_MOD, connection, EPOLLIN);
    return true;
}

/* Keeps the unanswered end of the shared buffer as the connection's own. */
static bool keep_rest(struct connection *connection, struct input *shared)
{
    if (shared->length == 0)
        return true;
    struct input *own = &connection->input;
    *own = *shared;
    own->capacity = shared->length + BUFFER;
    own->bytes = malloc(own->capacity);
    if (own->bytes == NULL)
        return false;
    memcpy(own->bytes, shared->bytes, shared->length);
    return true;
}

/* False: the connection is over. */
static bool handle(struct connection *connection, struct input *shared)
{
    struct input *input = &connection->input;
    bool is_own = input->bytes != NULL;
    if (!is_own) {
        input = shared;
        input->length = input->unmasked = 0;
    }
    make_room(input);
    ssize_t length = recv(connection->fd, input->bytes + input->length, input->capacity - 1 - input->length, 0);
    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (length <= 0)
        return false;
    input->length += (size_t)length;
    if (connection->is_open) {
        struct answer answer = turn(input);
        if (!send_or_keep(connection, input->bytes + answer.start, answer.end - answer.start))
            return false;
        consume(input, answer.used);
    } else {
        char text[ANSWER];
        input->bytes[input->length] = '\0';
        int answer = answer_request((char *)input->bytes, text);
        if (answer < 0 || input->length > MAX_HEAD || !send_or_keep(connection, (uint8_t *)text, (size_t)answer))
            return false;
        if (answer > 0) {
            connection->is_open = true;
            consume(input, (size_t)(strstr((char *)input->bytes, "\r\n\r\n") + 4 - (char *)input->bytes));
        }
    }
    if (!is_own)
        return keep_rest(connection, input);
    if (input->length == 0) {
        free(input->bytes);
        *input = (struct input){0};
    }
    return true;
}

static void *loop(void *unused)
{
    struct input shared = {.bytes = malloc(BUFFER), .capacity = BUFFER};
    struct epoll_event events[512];
    (void)unused;
    if (shared.bytes == NULL)
        _exit(EXIT_FAILURE);
    for (;;) {
        int count = epoll_wait(epoll, events, 512, -1);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            bool goes_on = connection->unsent != NULL ? send_kept(connection) : handle(connection, &shared);
            if (!goes_on)
                end(connection);
        }
    }
}

/* ---- Accepting ---- */

static int listen_on(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 4096) != 0) {
        perror("floor");
        exit(EXIT_FAILURE);
    }
    return fd;
}

int main(int argc, char **argv)
{
    bool threads = argc == 3 && strcmp(argv[1], "threads") == 0;
    if (!threads && !(argc == 3 && strcmp(argv[1], "epoll") == 0)) {
        fputs("usage: floor threads|epoll PORT\n", stderr);
        return 2;
    }
    struct rlimit files;
    pthread_t thread;
    pthread_attr_t small;
    int listener = listen_on(atoi(argv[2])), yes = 1;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!threads && pthread_create(&thread, NULL, loop, NULL) != 0)
        return EXIT_FAILURE;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | (threads ? 0 : SOCK_NONBLOCK));
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (threads) {
            if (pthread_create(&thread, &small, serve, (void *)(intptr_t)fd) != 0)
                close(fd);
            continue;
        }
        struct connection *connection = calloc(1, sizeof *connection);
        if (connection == NULL)
            _exit(EXIT_FAILURE);
        connection->fd = fd;
        watch(EPOLL_CTL_ADD, connection, EPOLLIN);
    }
}
