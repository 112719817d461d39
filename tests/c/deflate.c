/* Compression: what is agreed on, messages there and back in callbacks and in pull style, a prepared message to
   clients that agreed on different things, and messages that go as they are. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SIZE = 200000, CLIENTS = 3 };

/* Compresses well, and no two parts of it are the same. */
static char text[SIZE + 1];

static void fill(void)
{
    size_t at = 0;
    int line = 0;
    while (at < SIZE)
        at += (size_t)snprintf(text + at, SIZE + 1 - at, "%d: the quick brown fox jumps over the lazy dog\n", line++);
}

static wstrand_options *compressing(void)
{
    wstrand_options *options = wstrand_options_new();
    CHECK_OK(wstrand_options_set_deflate(options, 1));
    return options;
}

/* Connects with the options, which are freed. */
static wstrand_connection *agree(const char *url, wstrand_options *options, const char *wanted)
{
    wstrand_connection *connection = open_connection(url, options, NULL);
    wstrand_options_free(options);
    CHECK_TEXT(wstrand_connection_extensions(connection), wanted);
    return connection;
}

static void negotiating(const char *url)
{
    wstrand_options *options = compressing();
    wstrand_connection_free(agree(url, NULL, ""));
    wstrand_connection_free(agree(url, compressing(), "permessage-deflate"));
    CHECK_OK(wstrand_options_set_deflate_server_no_context_takeover(options, 1));
    CHECK_OK(wstrand_options_set_deflate_client_no_context_takeover(options, 1));
    CHECK_OK(wstrand_options_set_deflate_server_max_window_bits(options, 10));
    CHECK_OK(wstrand_options_set_deflate_client_max_window_bits(options, 9));
    wstrand_connection_free(agree(url, options,
                                  "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; "
                                  "client_no_context_takeover; client_max_window_bits=9"));
    /* A parameter alone turns nothing on. */
    options = wstrand_options_new();
    CHECK_OK(wstrand_options_set_deflate_level(options, 9));
    CHECK_OK(wstrand_options_set_deflate_threshold_bytes(options, 0));
    wstrand_connection_free(agree(url, options, ""));
    options = compressing();
    CHECK_OK(wstrand_options_set_deflate(options, 0));
    wstrand_connection_free(agree(url, options, ""));
}

static void comes_back(wstrand_connection *connection, int kind, const char *wanted, size_t length)
{
    const void *data;
    size_t size;
    int got;
    REQUIRE(wstrand_connection_receive(connection, PATIENCE_MS, &got, &data, &size, NULL) == WSTRAND_OK);
    CHECK_INT(got, kind);
    CHECK(size == length && memcmp(data, wanted, length) == 0);
}

static void in_pull_style(const char *url)
{
    wstrand_connection *connection = agree(url, compressing(), "permessage-deflate");
    wstrand_writer *writer;
    int round;
    for (round = 0; round < 3; round++) {
        CHECK_OK(wstrand_connection_send_text(connection, text, SIZE, NULL));
        CHECK_OK(wstrand_connection_send_binary(connection, text, SIZE / 2, NULL));
        CHECK_OK(wstrand_connection_send_uncompressed(connection, WSTRAND_TEXT, text, SIZE, NULL));
        CHECK_OK(wstrand_connection_send_uncompressed(connection, WSTRAND_BINARY, NULL, 0, NULL));
        REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
        if (round > 0)
            CHECK_OK(wstrand_writer_set_uncompressed(writer, NULL));
        CHECK_OK(wstrand_writer_write(writer, text, SIZE / 2, NULL));
        CHECK_INT(wstrand_writer_set_uncompressed(writer, NULL), WSTRAND_INVALID_STATE);
        CHECK_OK(wstrand_writer_write(writer, text + SIZE / 2, SIZE / 2, NULL));
        CHECK_OK(wstrand_writer_finish(writer, NULL));
        wstrand_writer_free(writer);
        comes_back(connection, WSTRAND_TEXT, text, SIZE);
        comes_back(connection, WSTRAND_BINARY, text, SIZE / 2);
        comes_back(connection, WSTRAND_TEXT, text, SIZE);
        comes_back(connection, WSTRAND_BINARY, "", 0);
        comes_back(connection, WSTRAND_TEXT, text, SIZE);
    }
    wstrand_connection_free(connection);
}

/* How many bytes of frames a client makes of the text's beginning. */
static uint64_t sent_for(const char *url, wstrand_options *options, size_t size)
{
    wstrand_connection *connection = agree(url, options, "permessage-deflate");
    uint64_t bytes;
    CHECK_OK(wstrand_connection_send_text(connection, text, size, NULL));
    bytes = wstrand_connection_stat(connection, WSTRAND_STAT_WIRE_BYTES_SENT);
    wstrand_connection_free(connection);
    return bytes;
}

static wstrand_options *at_level(int level)
{
    wstrand_options *options = compressing();
    CHECK_OK(wstrand_options_set_deflate_level(options, level));
    return options;
}

static wstrand_options *from_bytes(size_t threshold)
{
    wstrand_options *options = compressing();
    CHECK_OK(wstrand_options_set_deflate_threshold_bytes(options, threshold));
    return options;
}

static void level_and_threshold(const char *url)
{
    /* What stands in front of a short payload, and of one from 126 bytes on: two bytes more are its length, and four
       the masking key. */
    enum { HEAD = 6, LONGER_HEAD = 8, LONG = 20000 };
    const uint64_t stored = sent_for(url, at_level(0), LONG), fast = sent_for(url, at_level(1), LONG),
                   best = sent_for(url, at_level(9), LONG);
    CHECK(stored > LONG && fast < stored / 2 && best < fast);
    CHECK_INT(sent_for(url, compressing(), LONG), fast);
    CHECK_INT(sent_for(url, compressing(), 63), 63 + HEAD);
    CHECK(sent_for(url, compressing(), 64) < 64 + HEAD);
    CHECK_INT(sent_for(url, from_bytes(1000), 999), 999 + LONGER_HEAD);
    CHECK(sent_for(url, from_bytes(1000), 1000) < 1000);
    CHECK(sent_for(url, from_bytes(0), 63) < 63 + HEAD);
}

static struct counter whole = COUNTER;

static void count_whole(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)connection, (void)kind, (void)userdata;
    CHECK(size == SIZE && memcmp(data, text, SIZE) == 0);
    counter_add(&whole, 1);
}

static void in_callbacks(const char *url)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = compressing();
    wstrand_connection *connection;
    int i;
    wstrand_handler_set_on_message(handler, count_whole);
    connection = open_connection(url, options, handler);
    wstrand_handler_free(handler);
    wstrand_options_free(options);
    for (i = 0; i < 5; i++)
        CHECK_OK(wstrand_connection_send_text(connection, text, SIZE, NULL));
    CHECK(counter_reaches(&whole, 5));
    wstrand_connection_free(connection);
}

/* Passes on bytes between a client and the server, and counts those to the server. */
struct relay {
    int listener, to;
    atomic_long bytes;
};

static int over_tcp(int port, bool listens)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int made = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(made >= 0);
    if (listens)
        REQUIRE(bind(made, (struct sockaddr *)&address, sizeof address) == 0 && listen(made, 1) == 0);
    else
        REQUIRE(connect(made, (struct sockaddr *)&address, sizeof address) == 0);
    return made;
}

static void *pass_on(void *argument)
{
    struct relay *relay = argument;
    static char buffer[65536];
    struct pollfd ends[2] = {{.events = POLLIN}, {.events = POLLIN}};
    ssize_t size = 1;
    ends[0].fd = accept(relay->listener, NULL, NULL);
    ends[1].fd = over_tcp(relay->to, false);
    while (size > 0 && poll(ends, 2, PATIENCE_MS) > 0) {
        const int from = ends[0].revents != 0 ? 0 : 1;
        size = read(ends[from].fd, buffer, sizeof buffer);
        if (from == 0 && size > 0)
            atomic_fetch_add(&relay->bytes, size);
        if (size > 0)
            size = send(ends[1 - from].fd, buffer, (size_t)size, MSG_NOSIGNAL);
    }
    close(ends[0].fd);
    close(ends[1].fd);
    return NULL;
}

/* A way to send the text. */
typedef void send_way(wstrand_connection *connection, const wstrand_prepared *prepared);

static void as_text(wstrand_connection *connection, const wstrand_prepared *prepared)
{
    (void)prepared;
    CHECK_OK(wstrand_connection_send_text(connection, text, SIZE, NULL));
}

static void as_it_is(wstrand_connection *connection, const wstrand_prepared *prepared)
{
    (void)prepared;
    CHECK_OK(wstrand_connection_send_uncompressed(connection, WSTRAND_TEXT, text, SIZE, NULL));
}

static void as_prepared(wstrand_connection *connection, const wstrand_prepared *prepared)
{
    CHECK_OK(wstrand_connection_send_prepared(connection, prepared, NULL));
}

static void without_waiting(wstrand_connection *connection, const wstrand_prepared *prepared)
{
    CHECK_OK(wstrand_connection_try_send_prepared(connection, prepared, NULL));
}

static void queued(wstrand_connection *connection, const wstrand_prepared *prepared)
{
    CHECK_OK(wstrand_connection_queue_prepared(connection, prepared, NULL));
    CHECK_OK(wstrand_connection_flush(connection, NULL));
}

static void to_a_group(wstrand_connection *connection, const wstrand_prepared *prepared)
{
    wstrand_group *group = wstrand_group_new();
    size_t members = 0;
    CHECK(wstrand_group_join(group, connection));
    CHECK_OK(wstrand_group_send_prepared(group, prepared, &members, NULL));
    CHECK_INT(members, 1);
    wstrand_group_free(group);
}

/* How many bytes the message takes on the wire. */
static long on_the_wire(int port, send_way *send_text, const wstrand_prepared *message)
{
    struct sockaddr_in bound;
    socklen_t length = sizeof bound;
    struct relay relay = {.listener = over_tcp(0, true), .to = port};
    wstrand_connection *connection;
    char url[URL_SIZE];
    pthread_t thread;
    long before, after;
    REQUIRE(getsockname(relay.listener, (struct sockaddr *)&bound, &length) == 0);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/", ntohs(bound.sin_port));
    thread = start_thread(pass_on, &relay);
    connection = agree(url, compressing(), "permessage-deflate");
    before = atomic_load(&relay.bytes);
    send_text(connection, message);
    comes_back(connection, WSTRAND_TEXT, text, SIZE);
    after = atomic_load(&relay.bytes);
    wstrand_connection_free(connection);
    pthread_join(thread, NULL);
    close(relay.listener);
    return after - before;
}

static void is_compressed_unless_told_otherwise(int port)
{
    static send_way *const ways[] = {as_prepared, without_waiting, queued, to_a_group};
    wstrand_prepared *message, *secret;
    long compressed = on_the_wire(port, as_text, NULL), plain = on_the_wire(port, as_it_is, NULL);
    size_t i;
    REQUIRE(wstrand_prepared_new(WSTRAND_TEXT, text, SIZE, &message, NULL) == WSTRAND_OK);
    REQUIRE(wstrand_prepared_new_uncompressed(WSTRAND_TEXT, text, SIZE, &secret, NULL) == WSTRAND_OK);
    for (i = 0;; i++) {
        if (!CHECK(compressed > 0 && compressed < SIZE / 4) || !CHECK(plain > SIZE))
            fprintf(stderr, "%zu: %ld bytes compressed, %ld not\n", i, compressed, plain);
        if (i == sizeof ways / sizeof *ways)
            break;
        compressed = on_the_wire(port, ways[i], message);
        plain = on_the_wire(port, ways[i], secret);
    }
    wstrand_prepared_free(message);
    wstrand_prepared_free(secret);
}

static wstrand_connection *served[CLIENTS];
static struct counter connected = COUNTER;

static void keep(wstrand_connection *connection, void *userdata)
{
    (void)userdata;
    served[counter_value(&connected)] = wstrand_connection_retain(connection);
    counter_add(&connected, 1);
}

static void *send_often(void *prepared)
{
    int i, client;
    for (i = 0; i < 10; i++)
        for (client = 0; client < CLIENTS; client++)
            CHECK_OK(wstrand_connection_send_prepared(served[client], prepared, NULL));
    return NULL;
}

/* The same text once compressed where that was agreed on, and once not, to all by a group. */
static void grouped(wstrand_connection *const clients[CLIENTS], const wstrand_prepared *compressible)
{
    wstrand_group *group = wstrand_group_new();
    wstrand_prepared *secret;
    size_t members = 0;
    int i, round;

    REQUIRE(wstrand_prepared_new_uncompressed(WSTRAND_TEXT, text, SIZE, &secret, NULL) == WSTRAND_OK);
    for (i = 0; i < CLIENTS; i++)
        CHECK(wstrand_group_join(group, served[i]));
    for (round = 0; round < 2; round++) {
        uint64_t before[CLIENTS];
        for (i = 0; i < CLIENTS; i++)
            before[i] = wstrand_connection_stat(served[i], WSTRAND_STAT_WIRE_BYTES_SENT);
        CHECK_OK(wstrand_group_send_prepared(group, round == 0 ? compressible : secret, &members, NULL));
        CHECK_INT(members, CLIENTS);
        for (i = 0; i < CLIENTS; i++) {
            const uint64_t sent = wstrand_connection_stat(served[i], WSTRAND_STAT_WIRE_BYTES_SENT) - before[i];
            CHECK(round == 0 && i > 0 ? sent > 0 && sent < SIZE / 4 : sent > SIZE);
            comes_back(clients[i], WSTRAND_TEXT, text, SIZE);
        }
    }
    CHECK_OK(wstrand_group_send_prepared_except(group, served[0], secret, &members, NULL));
    CHECK_INT(members, CLIENTS - 1);
    for (i = 1; i < CLIENTS; i++)
        comes_back(clients[i], WSTRAND_TEXT, text, SIZE);
    wstrand_prepared_free(secret);
    wstrand_group_free(group);
}

/* Two threads send one message to clients that agreed on different things. */
static void prepared_for_many(void)
{
    static const char *const agreed[CLIENTS] = {
        "", "permessage-deflate", "permessage-deflate; server_no_context_takeover; server_max_window_bits=9"};
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = compressing();
    wstrand_connection *clients[CLIENTS];
    wstrand_prepared *prepared;
    wstrand_server *server;
    pthread_t threads[2];
    char url[URL_SIZE];
    int i, j;

    wstrand_handler_set_on_open(handler, keep);
    wstrand_options_set_max_buffered_bytes(options, 32 * SIZE);
    server = serve(handler, options, url);
    wstrand_options_free(options);
    for (i = 0; i < CLIENTS; i++) {
        options = i == 0 ? NULL : compressing();
        if (i == 2) {
            wstrand_options_set_deflate_server_no_context_takeover(options, 1);
            wstrand_options_set_deflate_server_max_window_bits(options, 9);
        }
        clients[i] = agree(url, options, agreed[i]);
        CHECK(counter_reaches(&connected, i + 1));
    }
    REQUIRE(wstrand_prepared_new(WSTRAND_TEXT, text, SIZE, &prepared, NULL) == WSTRAND_OK);
    for (i = 0; i < 2; i++)
        threads[i] = start_thread(send_often, prepared);
    for (j = 0; j < 20; j++)
        for (i = 0; i < CLIENTS; i++)
            comes_back(clients[i], WSTRAND_TEXT, text, SIZE);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < CLIENTS; i++) {
        CHECK_OK(wstrand_connection_try_send_prepared(served[i], prepared, NULL));
        /* After it the connection's own context is in order. */
        CHECK_OK(wstrand_connection_send_text(served[i], text, SIZE, NULL));
        comes_back(clients[i], WSTRAND_TEXT, text, SIZE);
        comes_back(clients[i], WSTRAND_TEXT, text, SIZE);
    }
    grouped(clients, prepared);
    /* A client, which masks, sends it like any other. */
    CHECK_OK(wstrand_connection_send_prepared(clients[1], prepared, NULL));
    wstrand_prepared_free(prepared);
    for (i = 0; i < CLIENTS; i++) {
        wstrand_connection_free(served[i]);
        wstrand_connection_free(clients[i]);
    }
    end_server(server);
}

int main(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = compressing();
    wstrand_server *server;
    char url[URL_SIZE];
    fill();
    wstrand_handler_set_on_message(handler, echo);
    server = serve(handler, options, url);
    wstrand_options_free(options);
    negotiating(url);
    level_and_threshold(url);
    in_pull_style(url);
    in_callbacks(url);
    is_compressed_unless_told_otherwise(wstrand_server_port(server));
    prepared_for_many();
    end_server(server);
    return finish();
}
