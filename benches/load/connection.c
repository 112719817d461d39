/* The connections: one thread and epoll. Answers are compared with what was sent as they arrive. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "wsload.h"

enum state { CONNECTING, TLS_HANDSHAKE, HANDSHAKE, OPEN, GONE };

struct connection {
    int fd;
    enum state state;
    bool wants_writable; /* what epoll was told */
    SSL *tls;
    z_stream *inflate;

    /* Sending. */
    uint32_t sent, queued;
    const uint8_t *rest; /* of the frames that are on their way */
    size_t rest_length;
    uint8_t pong[131];
    size_t pong_length; /* 0: none is owed */
    uint64_t *sent_at;  /* of each message in flight */

    /* Receiving. */
    uint32_t received;
    uint8_t header[10];
    unsigned header_length; /* of a header that came in pieces */
    bool in_frame, in_message, is_final, is_compressed, is_compared_whole;
    int opcode;
    uint64_t left;    /* of the frame's payload */
    uint64_t offset;  /* in the message */
    uint8_t control[125];
    size_t control_length;

    char *answer; /* to the handshake; freed when it is over */
    size_t answer_length;
};

uint64_t in_flight, answered, answered_ever, payload_ever;
bool is_measuring, is_stopping;

static struct connection *connections;
static int open_count, active_count, epoll;
static int *reached; /* of each message in flight to a group: how many have it */
static SSL_CTX *tls_context;
static uint8_t *buffer;

enum { BUFFER = 256 * 1024, HANDSHAKES_AT_ONCE = 64, OPENING_LIMIT_S = 60, ANSWER = 4096 };

void prepare_connections(void)
{
    connections = calloc((size_t)options.connections, sizeof *connections);
    buffer = malloc(BUFFER);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    active_count = options.connections;
    reached = calloc((size_t)options.depth, sizeof *reached);
    if (connections == NULL || buffer == NULL || reached == NULL || epoll < 0)
        die("out of memory or descriptors");
    if (options.tls) {
        tls_context = SSL_CTX_new(TLS_client_method());
        if (tls_context == NULL)
            die("OpenSSL does not start");
        /* On the loopback interface, with the run's own certificate. */
        SSL_CTX_set_verify(tls_context, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        SSL_CTX_set_read_ahead(tls_context, 1);
        SSL_CTX_set_default_read_buffer_len(tls_context, 64 * 1024);
    }
}

void set_active(int active) { active_count = active; }

static int number(const struct connection *c) { return (int)(c - connections); }

static ssize_t tls_result(struct connection *c, int result)
{
    if (result > 0)
        return result;
    switch (SSL_get_error(c->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        errno = EIO;
        return -1;
    }
}

static ssize_t read_some(struct connection *c, void *bytes, size_t length)
{
    if (c->tls != NULL)
        return tls_result(c, SSL_read(c->tls, bytes, (int)length));
    return recv(c->fd, bytes, length, 0);
}

static ssize_t write_some(struct connection *c, const void *bytes, size_t length)
{
    if (c->tls != NULL)
        return tls_result(c, SSL_write(c->tls, bytes, length > 1 << 30 ? 1 << 30 : (int)length));
    return send(c->fd, bytes, length, MSG_NOSIGNAL);
}

static void watch(struct connection *c, bool writable)
{
    if (c->wants_writable == writable)
        return;
    struct epoll_event event = {.events = EPOLLIN | (writable ? EPOLLOUT : 0u), .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &event);
    c->wants_writable = writable;
}

/* ---- Sending ---- */

/* Takes what is to be written next, if there is anything. */
static bool take_output(struct connection *c)
{
    unsigned depth = (unsigned)options.depth;
    if (c->pong_length > 0) {
        c->rest = c->pong;
        c->rest_length = c->pong_length;
        c->pong_length = 0;
        return true;
    }
    if (c->queued == 0)
        return false;
    unsigned count = c->queued < depth ? c->queued : depth;
    unsigned first = c->sent % frames.distinct;
    uint64_t now = now_ns();
    for (unsigned i = 0; i < count; i++)
        c->sent_at[(c->sent + i) % depth] = now;
    c->rest = frames.bytes + frames.offsets[first];
    c->rest_length = frames.offsets[first + count] - frames.offsets[first];
    c->sent += count;
    c->queued -= count;
    return true;
}

/* Writes until nothing is left or the socket is full. */
static void flush(struct connection *c)
{
    while (c->rest_length > 0 || take_output(c)) {
        ssize_t written = write_some(c, c->rest, c->rest_length);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN) {
                watch(c, true);
                return;
            }
            die("write: %s (connection %d, message %u)", strerror(errno), number(c), c->sent);
        }
        c->rest += written;
        c->rest_length -= (size_t)written;
    }
    watch(c, false);
}

static void queue(struct connection *c, unsigned count)
{
    c->queued += count;
    in_flight += count;
    if (c->rest_length == 0)
        flush(c);
}

void send_messages(int connection, unsigned count) { queue(&connections[connection], count); }

/* ---- Receiving ---- */

static void wrong(struct connection *c, const char *what)
{
    die("wrong echo: %s (connection %d, message %u, offset %llu)", what, number(c), c->received,
        (unsigned long long)c->offset);
}

static void compare(struct connection *c, const uint8_t *bytes, size_t length)
{
    const uint8_t *expected = frames.payloads[c->received % frames.distinct] + c->offset;
    if (c->offset + length > options.size)
        wrong(c, "too long");
    if (c->is_compared_whole) {
        if (memcmp(bytes, expected, length) != 0)
            wrong(c, "content");
    } else {
        size_t ends = length < 16 ? length : 16;
        if (memcmp(bytes, expected, ends) != 0 ||
            memcmp(bytes + length - ends, expected + length - ends, ends) != 0)
            wrong(c, "content");
    }
    c->offset += length;
}

static void payload(struct connection *c, const uint8_t *bytes, size_t length)
{
    static uint8_t inflated[64 * 1024];
    if (!c->is_compressed) {
        compare(c, bytes, length);
        return;
    }
    c->inflate->next_in = (Bytef *)(uintptr_t)bytes;
    c->inflate->avail_in = (uInt)length;
    do {
        c->inflate->next_out = inflated;
        c->inflate->avail_out = sizeof inflated;
        int result = inflate(c->inflate, Z_SYNC_FLUSH);
        if (result != Z_OK && result != Z_BUF_ERROR && result != Z_STREAM_END)
            wrong(c, "compression");
        size_t got = sizeof inflated - c->inflate->avail_out;
        if (got > 0)
            compare(c, inflated, got);
        if (result == Z_STREAM_END)
            inflateReset(c->inflate);
    } while (c->inflate->avail_in > 0 || c->inflate->avail_out == 0);
}

static void end_message(struct connection *c, uint64_t now)
{
    static const uint8_t sync_flush[] = {0, 0, 0xff, 0xff};
    if (c->is_compressed)
        payload(c, sync_flush, sizeof sync_flush);
    if (c->offset != options.size)
        wrong(c, "too short");
    struct connection *sender = options.is_group ? &connections[0] : c;
    unsigned slot = c->received % (unsigned)options.depth;
    if (is_measuring) {
        note_latency(now - sender->sent_at[slot]);
        answered++;
    }
    answered_ever++;
    c->received++;
    c->in_message = false;
    if (!options.is_group) {
        in_flight--;
    } else if (++reached[slot] == options.connections - options.stuck) {
        reached[slot] = 0;
        in_flight--;
        if (!is_stopping)
            queue(sender, 1);
    }
}

static void end_control(struct connection *c)
{
    if (c->opcode == 9) {
        static const uint8_t no_mask[4] = {0};
        size_t length = put_masked_header(c->pong, 0x8a, c->control_length, no_mask);
        memcpy(c->pong + length, c->control, c->control_length);
        c->pong_length = length + c->control_length;
    } else if (c->opcode == 8 && !is_stopping) {
        int code = c->control_length >= 2 ? c->control[0] << 8 | c->control[1] : 0;
        die("the server closed connection %d with code %d after %u messages", number(c), code, c->received);
    }
}

static void begin_frame(struct connection *c, const uint8_t *header, uint64_t length)
{
    if ((header[1] & 0x80) != 0)
        wrong(c, "masked by a server");
    if ((header[0] & 0x30) != 0)
        wrong(c, "reserved bits");
    c->opcode = header[0] & 15;
    c->is_final = (header[0] & 0x80) != 0;
    c->left = length;
    c->in_frame = true;
    if (c->opcode >= 8) {
        if (length > sizeof c->control || !c->is_final)
            wrong(c, "control frame");
        c->control_length = 0;
    } else if (c->opcode == 0) {
        if (!c->in_message)
            wrong(c, "continuation of nothing");
    } else {
        if (c->in_message)
            wrong(c, "message within a message");
        if (c->opcode != (options.kind == BINARY ? 2 : 1))
            wrong(c, "kind");
        c->is_compressed = (header[0] & 0x40) != 0;
        if (c->is_compressed && !options.deflate)
            wrong(c, "compressed without an extension");
        c->in_message = true;
        c->offset = 0;
        c->is_compared_whole = c->received % frames.whole_every == 0;
    }
}

/* Takes a header from the start of the bytes and returns how many those were, at least 1. */
static size_t take_header(struct connection *c, const uint8_t *bytes, size_t length)
{
    const uint8_t *header = bytes;
    bool is_in_one_piece = c->header_length == 0 && length >= sizeof c->header;
    if (!is_in_one_piece) {
        c->header[c->header_length++] = *bytes;
        header = c->header;
        if (c->header_length < 2)
            return 1;
    }
    unsigned short_length = header[1] & 127;
    unsigned extended = short_length == 127 ? 8 : short_length == 126 ? 2 : 0;
    if (!is_in_one_piece && c->header_length < 2 + extended)
        return 1;
    uint64_t payload_length = extended ? 0 : short_length;
    for (unsigned i = 0; i < extended; i++)
        payload_length = payload_length << 8 | header[2 + i];
    begin_frame(c, header, payload_length);
    c->header_length = 0;
    return is_in_one_piece ? 2 + extended : 1;
}

/* Takes what the server sent; returns how many messages ended in it. */
static unsigned take(struct connection *c, const uint8_t *bytes, size_t length, uint64_t now)
{
    unsigned ended = 0;
    while (length > 0 || (c->in_frame && c->left == 0)) {
        if (!c->in_frame) {
            size_t taken = take_header(c, bytes, length);
            bytes += taken;
            length -= taken;
            continue;
        }
        size_t part = c->left < length ? (size_t)c->left : length;
        if (c->opcode >= 8) {
            memcpy(c->control + c->control_length, bytes, part);
            c->control_length += part;
        } else if (part > 0) {
            payload(c, bytes, part);
            payload_ever += part;
        }
        bytes += part;
        length -= part;
        c->left -= part;
        if (c->left > 0)
            break;
        c->in_frame = false;
        if (c->opcode >= 8) {
            end_control(c);
        } else if (c->is_final) {
            end_message(c, now);
            ended++;
        }
    }
    return ended;
}

static void go_on(struct connection *c, unsigned ended)
{
    if (ended > 0 && !is_stopping && !options.is_group && number(c) < active_count)
        queue(c, ended);
    else if (c->pong_length > 0 && c->rest_length == 0)
        flush(c);
}

static void receive(struct connection *c)
{
    for (;;) {
        ssize_t length = read_some(c, buffer, BUFFER);
        if (length < 0 && errno == EINTR)
            continue;
        if (length < 0 && errno == EAGAIN)
            return;
        if (length <= 0) {
            if (!is_stopping)
                die("the server ended connection %d after %u messages (%s)", number(c), c->received,
                    length < 0 ? strerror(errno) : "end of stream");
            epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
            c->state = GONE;
            return;
        }
        go_on(c, take(c, buffer, (size_t)length, now_ns()));
        if (c->tls != NULL ? !SSL_has_pending(c->tls) && length < BUFFER : length < BUFFER)
            return;
    }
}

/* ---- Opening ---- */

/* The key of RFC 6455, section 1.3, and its answer. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define KEY_ANSWER "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void start(struct connection *c)
{
    int yes = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (options.connections > 4000) {
        /* One address has not enough ports. */
        struct sockaddr_in own = {.sin_family = AF_INET};
        own.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)number(c) / 4000);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
        if (bind(c->fd, (struct sockaddr *)&own, sizeof own) != 0)
            die("bind: %s", strerror(errno));
    }
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(c->fd, (struct sockaddr *)&server, sizeof server) != 0 && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    c->state = CONNECTING;
    c->wants_writable = true;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void request(struct connection *c)
{
    char head[512];
    int length = snprintf(head, sizeof head,
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: " KEY "\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
        options.port, options.deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    if (write_some(c, head, (size_t)length) != length)
        die("the handshake cannot be sent");
    c->state = HANDSHAKE;
    c->answer = malloc(ANSWER);
    if (c->answer == NULL)
        die("out of memory");
    watch(c, false);
}

static void shake_hands_tls(struct connection *c)
{
    int result = SSL_do_handshake(c->tls);
    if (result == 1) {
        request(c);
        return;
    }
    switch (SSL_get_error(c->tls, result)) {
    case SSL_ERROR_WANT_READ:
        watch(c, false);
        return;
    case SSL_ERROR_WANT_WRITE:
        watch(c, true);
        return;
    default:
        die("TLS handshake: %s", ERR_error_string(ERR_get_error(), NULL));
    }
}

static void connected(struct connection *c)
{
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0)
        die("connect: %s", strerror(error));
    if (!options.tls) {
        request(c);
        return;
    }
    c->tls = SSL_new(tls_context);
    SSL_set_fd(c->tls, c->fd);
    SSL_set_connect_state(c->tls);
    c->state = TLS_HANDSHAKE;
    shake_hands_tls(c);
}

static void judge_answer(const char *head)
{
    if (strncmp(head, "HTTP/1.1 101", 12) != 0)
        die("refused: %.60s", head);
    if (strstr(head, KEY_ANSWER) == NULL)
        die("wrong Sec-WebSocket-Accept");
    if (options.deflate != (strcasestr(head, "permessage-deflate") != NULL))
        die("permessage-deflate was %s", options.deflate ? "not accepted" : "not offered");
}

static void answer(struct connection *c)
{
    ssize_t length = read_some(c, c->answer + c->answer_length, ANSWER - 1 - c->answer_length);
    if (length < 0 && errno == EAGAIN)
        return;
    if (length <= 0)
        die("no answer to the handshake on connection %d", number(c));
    c->answer_length += (size_t)length;
    c->answer[c->answer_length] = '\0';
    char *end = strstr(c->answer, "\r\n\r\n");
    if (end == NULL) {
        if (c->answer_length == ANSWER - 1)
            die("the answer to the handshake is too long");
        return;
    }
    judge_answer(c->answer);
    if (options.deflate) {
        c->inflate = calloc(1, sizeof *c->inflate);
        if (c->inflate == NULL || inflateInit2(c->inflate, -15) != Z_OK)
            die("zlib does not start");
    }
    c->sent_at = calloc((size_t)options.depth, sizeof *c->sent_at);
    if (c->sent_at == NULL)
        die("out of memory");
    c->state = OPEN;
    open_count++;
    end += 4;
    take(c, (uint8_t *)end, c->answer_length - (size_t)(end - c->answer), now_ns());
    free(c->answer);
    c->answer = NULL;
    if (number(c) >= options.connections - options.stuck)
        epoll_ctl(epoll, EPOLL_CTL_DEL, c->fd, NULL);
}

/* ---- The loop ---- */

static void handle(struct connection *c, uint32_t events)
{
    switch (c->state) {
    case CONNECTING:
        connected(c);
        break;
    case TLS_HANDSHAKE:
        shake_hands_tls(c);
        break;
    case HANDSHAKE:
        answer(c);
        break;
    case OPEN:
        if (events & EPOLLOUT)
            flush(c);
        if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
            receive(c);
        break;
    case GONE:
        break;
    }
}

static void wait_for_events(int timeout_ms)
{
    static struct epoll_event events[1024];
    int count = epoll_wait(epoll, events, 1024, timeout_ms);
    if (count < 0 && errno != EINTR)
        die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        handle(events[i].data.ptr, events[i].events);
}

void run_until(uint64_t end_ns, bool or_drained)
{
    for (;;) {
        uint64_t now = now_ns();
        if (now >= end_ns || (or_drained && in_flight == 0))
            return;
        uint64_t ms = (end_ns - now) / 1000000 + 1;
        wait_for_events(ms > 50 ? 50 : (int)ms);
    }
}

bool fits_blocking(void)
{
    /* What is in flight must fit into the sockets' buffers, or both ends would wait in a write. */
    return options.connections == 1 && !options.tls && frames.offsets[1] * (size_t)options.depth <= 32768;
}

void run_blocking_until(uint64_t end_ns)
{
    struct connection *c = &connections[0];
    struct timeval limit = {.tv_sec = 5};
    int flags = fcntl(c->fd, F_GETFL);
    fcntl(c->fd, F_SETFL, flags & ~O_NONBLOCK);
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (uint64_t now = 0; now < end_ns;) {
        ssize_t length = recv(c->fd, buffer, BUFFER, 0);
        now = now_ns();
        if (length < 0 && errno == EINTR)
            continue;
        if (length <= 0)
            die("no answer: %s", length < 0 ? strerror(errno) : "the server ended the connection");
        go_on(c, take(c, buffer, (size_t)length, now));
    }
    fcntl(c->fd, F_SETFL, flags);
}

double open_connections(void)
{
    uint64_t began = now_ns(), limit = began + OPENING_LIMIT_S * 1000000000ull;
    int started = 0;
    while (open_count < options.connections) {
        while (started < options.connections && started - open_count < HANDSHAKES_AT_ONCE)
            start(&connections[started++]);
        wait_for_events(100);
        if (now_ns() > limit)
            die("only %d of %d connections opened", open_count, options.connections);
    }
    return (double)(now_ns() - began) * 1e-9;
}

void close_connections(void)
{
    static const uint8_t close_frame[] = {0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8}; /* 1000 */
    struct linger at_once = {.l_onoff = 1};
    is_stopping = true;
    for (int i = 0; i < options.connections; i++)
        if (connections[i].state == OPEN && connections[i].rest_length == 0)
            write_some(&connections[i], close_frame, sizeof close_frame);
    run_until(now_ns() + (options.connections > 2000 ? 500000000u : 100000000u), false);
    /* No port is left waiting for the next run. */
    for (int i = 0; i < options.connections; i++) {
        setsockopt(connections[i].fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(connections[i].fd);
    }
}
