/* Pull style: receiving with timeouts, messages in fragments, a peer that does not read, how it ends. */
#include "check.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static int receive(wstrand_connection *connection, int64_t timeout_ms)
{
    int kind;
    const void *data;
    size_t size;
    return wstrand_connection_receive(connection, timeout_ms, &kind, &data, &size, NULL);
}

static void expect(wstrand_connection *connection, int64_t timeout_ms, int kind, const char *text,
                   size_t size)
{
    int got_kind = 0;
    const void *data = NULL;
    size_t got_size = 0;
    wstrand_error *error;
    if (!CHECK_OK(wstrand_connection_receive(connection, timeout_ms, &got_kind, &data, &got_size, &error)))
        fprintf(stderr, "%s\n", wstrand_error_text(error));
    else {
        CHECK(error == NULL);
        CHECK(data != NULL);
        CHECK_INT(got_kind, kind);
        if (CHECK_INT(got_size, size))
            CHECK(memcmp(data, text, size) == 0);
    }
    wstrand_error_free(error);
}

static struct counter echoed = COUNTER;

static void echo_and_count(wstrand_connection *connection, int kind, const void *data, size_t size,
                           void *userdata)
{
    echo(connection, kind, data, size, userdata);
    counter_add(&echoed, 1);
}

static wstrand_server *serve_counted_echo(char url[URL_SIZE])
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_handler_set_on_message(handler, echo_and_count);
    return serve(handler, NULL, url);
}

static void timeouts(const char *url)
{
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    wstrand_error *error;
    const void *data;
    size_t size;
    double began;
    int kind;

    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_OPEN);
    CHECK_INT(receive(connection, 0), WSTRAND_TIMEOUT);
    began = now_s();
    CHECK_INT(wstrand_connection_receive(connection, 200, &kind, &data, &size, &error), WSTRAND_TIMEOUT);
    CHECK(now_s() - began >= 0.195);
    CHECK(now_s() - began < 20);
    CHECK_INT(wstrand_error_code(error), WSTRAND_TIMEOUT);
    CHECK_TEXT(wstrand_error_phase(error), "receive");
    wstrand_error_free(error);

    CHECK_OK(wstrand_connection_send_string(connection, "one", NULL));
    expect(connection, -1, WSTRAND_TEXT, "one", 3);
    CHECK_OK(wstrand_connection_send_binary(connection, "\0two", 4, NULL));
    expect(connection, PATIENCE_MS, WSTRAND_BINARY, "\0two", 4);
    CHECK_OK(wstrand_connection_send_text(connection, NULL, 0, NULL));
    expect(connection, INT64_MAX, WSTRAND_TEXT, "", 0);
    CHECK_OK(wstrand_connection_send_binary(connection, NULL, 0, NULL));
    expect(connection, INT64_MIN, WSTRAND_BINARY, "", 0);
    CHECK_OK(wstrand_connection_ping(connection, "ping", 4, NULL));
    CHECK_OK(wstrand_connection_flush(connection, NULL));
    CHECK_INT(receive(connection, 0), WSTRAND_TIMEOUT);

    /* What has come already needs no waiting; the operating system may take a moment to carry it. */
    CHECK_OK(wstrand_connection_send_string(connection, "three", NULL));
    CHECK(counter_reaches(&echoed, 5));
    began = now_s();
    do
        kind = receive(connection, 0);
    while (kind == WSTRAND_TIMEOUT && now_s() - began < PATIENCE_S);
    CHECK_OK(kind);

    CHECK_INT(wstrand_connection_wait_closed(connection, 0, NULL), WSTRAND_TIMEOUT);
    CHECK_OK(wstrand_connection_close(connection, 4321, "r\xc3\xa9", NULL));
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL)); /* too late to matter */
    CHECK_INT(wstrand_connection_send_string(connection, "x", NULL), WSTRAND_CLOSED);
    CHECK_INT(wstrand_connection_receive(connection, -1, &kind, &data, &size, &error), WSTRAND_CLOSED);
    CHECK_INT(wstrand_error_code(error), WSTRAND_CLOSED);
    CHECK_INT(wstrand_error_close_code(error), 4321);
    wstrand_error_free(error);
    CHECK_INT(receive(connection, -1), WSTRAND_CLOSED);
    CHECK_OK(wstrand_connection_wait_closed(connection, -1, NULL));
    CHECK_INT(wstrand_connection_close_code(connection), 4321);
    CHECK_TEXT(wstrand_connection_close_reason(connection, &size), "r\xc3\xa9");
    CHECK_INT(size, 3);
    CHECK(wstrand_connection_was_clean(connection));
    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_ENDED);
    wstrand_connection_free(connection);
}

static void fragments(const char *url)
{
    enum { LONG = 100000 };
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    wstrand_writer *writer;
    char *bytes = malloc(LONG);
    int i;

    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_writer_write(writer, "H\xc3", 2, NULL)); /* the second half comes later */
    CHECK_OK(wstrand_writer_flush(writer, NULL));
    CHECK_INT(wstrand_connection_try_send_text(connection, "x", 1, NULL), WSTRAND_FULL);
    CHECK_OK(wstrand_connection_ping(connection, "between", 7, NULL));
    CHECK_INT(wstrand_writer_write(writer, "\xff", 1, NULL), WSTRAND_INVALID_ARGUMENT);
    wstrand_writer_free(writer);
    /* The header: nothing of that write was sent; what was is abandoned with 1011. */
    CHECK_INT(receive(connection, PATIENCE_MS), WSTRAND_CLOSED);
    CHECK_INT(wstrand_connection_close_code(connection), WSTRAND_CLOSE_INTERNAL_ERROR);
    wstrand_connection_free(connection);

    connection = open_connection(url, NULL, NULL);
    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_writer_write(writer, "H\xc3", 2, NULL));
    CHECK_OK(wstrand_writer_flush(writer, NULL));
    CHECK_OK(wstrand_writer_flush(writer, NULL));
    CHECK_OK(wstrand_writer_write(writer, "\xa9llo", 4, NULL));
    CHECK_OK(wstrand_writer_write(writer, NULL, 0, NULL));
    CHECK_OK(wstrand_writer_finish(writer, NULL));
    CHECK_INT(wstrand_writer_write(writer, "x", 1, NULL), WSTRAND_INVALID_STATE);
    CHECK_INT(wstrand_writer_flush(writer, NULL), WSTRAND_INVALID_STATE);
    CHECK_INT(wstrand_writer_finish(writer, NULL), WSTRAND_INVALID_STATE);
    wstrand_writer_free(writer);
    expect(connection, PATIENCE_MS, WSTRAND_TEXT, "H\xc3\xa9llo", 6);

    for (i = 0; i < LONG; i++)
        bytes[i] = (char)(i * 31);
    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_BINARY, &writer, NULL) == WSTRAND_OK);
    for (i = 0; i < LONG; i += 1000)
        CHECK_OK(wstrand_writer_write(writer, bytes + i, 1000, NULL));
    CHECK_OK(wstrand_writer_finish(writer, NULL));
    wstrand_writer_free(writer);
    expect(connection, PATIENCE_MS, WSTRAND_BINARY, bytes, LONG);
    free(bytes);

    /* One of which nothing was sent leaves no trace, and an empty one is a message. */
    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_writer_write(writer, "never sent", 10, NULL));
    wstrand_writer_free(writer);
    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_writer_finish(writer, NULL));
    wstrand_writer_free(writer);
    expect(connection, PATIENCE_MS, WSTRAND_TEXT, "", 0);

    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_writer_write(writer, "half: \xc3", 7, NULL));
    CHECK_INT(wstrand_writer_finish(writer, NULL), WSTRAND_INVALID_ARGUMENT);
    wstrand_writer_free(writer);
    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_OPEN); /* nothing was sent yet */

    /* A writer needs no reference to its connection. */
    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
    wstrand_connection_free(connection);
    CHECK(wstrand_writer_write(writer, "x", 1, NULL) == WSTRAND_OK);
    CHECK_INT(wstrand_writer_finish(writer, NULL), WSTRAND_CLOSED);
    wstrand_writer_free(writer);
}

enum { BOUND = 64 * 1024, PIECE = 32 * 1024, HUGE_SIZE = 24 * 1024 * 1024 };

static void small_messages(wstrand_connection *connection, const char *bytes)
{
    wstrand_error *error;
    double began;
    int code, tries = 0;

    do {
        code = wstrand_connection_try_send_binary(connection, bytes, PIECE, &error);
        CHECK((error == NULL) == (code == WSTRAND_OK));
        CHECK(wstrand_connection_buffered_amount(connection) <= BOUND + 100);
        if (code != WSTRAND_OK) {
            CHECK_INT(wstrand_error_code(error), WSTRAND_FULL);
            wstrand_error_free(error);
        }
    } while (code == WSTRAND_OK && ++tries < 10000);
    CHECK_INT(code, WSTRAND_FULL);
    CHECK(wstrand_connection_buffered_amount(connection) > BOUND - PIECE - 100);
    began = now_s();
    do /* the sockets' buffers may have had room left that only the flusher had not filled yet */
        code = wstrand_connection_send_binary(connection, bytes, PIECE, &error);
    while (code == WSTRAND_OK && ++tries < 10000);
    /* There was no room for it; or what went before was not taken in time. */
    CHECK(code == WSTRAND_TIMEOUT || code == WSTRAND_UNRESPONSIVE);
    CHECK_INT(wstrand_error_code(error), code);
    CHECK(wstrand_error_phase(error)[0] != '\0');
    wstrand_error_free(error);
    CHECK(now_s() - began < 20);
    CHECK_OK(wstrand_connection_shutdown(connection));
    CHECK(receive(connection, PATIENCE_MS) != WSTRAND_OK);
    CHECK_INT(wstrand_connection_close_code(connection), WSTRAND_CLOSE_ABNORMAL);
}

/* A single message that does not go out in time cannot be taken back. */
static void one_huge_message(wstrand_connection *connection, const char *bytes)
{
    wstrand_error *error;
    const double began = now_s();
    CHECK_INT(wstrand_connection_send_binary(connection, bytes, HUGE_SIZE, &error), WSTRAND_UNRESPONSIVE);
    CHECK_INT(wstrand_error_code(error), WSTRAND_UNRESPONSIVE);
    wstrand_error_free(error);
    CHECK(now_s() - began >= 0.6);
    CHECK(now_s() - began < 20);
    CHECK_INT(wstrand_connection_send_binary(connection, "x", 1, NULL), WSTRAND_UNRESPONSIVE);
    CHECK_INT(receive(connection, PATIENCE_MS), WSTRAND_UNRESPONSIVE);
    CHECK_INT(receive(connection, PATIENCE_MS), WSTRAND_UNRESPONSIVE);
    CHECK_INT(wstrand_connection_close_code(connection), WSTRAND_CLOSE_ABNORMAL);
    CHECK(!wstrand_connection_was_clean(connection));
}

static struct counter served = COUNTER;

static void send_too_much(wstrand_connection *connection, void *bytes)
{
    if (counter_value(&served) == 0)
        small_messages(connection, bytes);
    else
        one_huge_message(connection, bytes);
    counter_add(&served, 1);
}

/* The server sends: a client would mask megabytes, which takes unoptimised code under valgrind most of its time. */
static void a_peer_that_does_not_read(void)
{
    char *bytes = calloc(1, HUGE_SIZE);
    wstrand_options *options = wstrand_options_new();
    wstrand_handler *handler = wstrand_handler_new(bytes, NULL);
    wstrand_server *server;
    char url[URL_SIZE];
    int i;

    wstrand_handler_set_on_connection(handler, send_too_much);
    CHECK_OK(wstrand_options_set_max_buffered_bytes(options, BOUND));
    CHECK_OK(wstrand_options_set_send_timeout_ms(options, 700));
    server = serve(handler, options, url);
    wstrand_options_free(options);
    for (i = 1; i <= 2; i++) {
        wstrand_connection *connection = open_connection(url, NULL, NULL);
        CHECK(counter_reaches(&served, i));
        wstrand_connection_free(connection);
    }
    end_server(server);
    free(bytes);
}

static struct counter pongs = COUNTER;

static void ping(wstrand_connection *connection, void *userdata)
{
    (void)userdata;
    CHECK_OK(wstrand_connection_ping(connection, "there?", 6, NULL));
}

static void count_pong(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    (void)connection, (void)data, (void)size, (void)userdata;
    counter_add(&pongs, 1);
}

static void *receive_one(void *connection)
{
    CHECK_OK(receive(connection, -1));
    return NULL;
}

static void only_one_receives(const char *url)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection = open_connection(url, NULL, handler);
    wstrand_server *server;
    char pinging[URL_SIZE];
    pthread_t thread;

    CHECK_INT(receive(connection, 0), WSTRAND_INVALID_STATE);
    wstrand_connection_free(connection);

    wstrand_handler_set_on_open(handler, ping);
    wstrand_handler_set_on_message(handler, echo);
    wstrand_handler_set_on_pong(handler, count_pong);
    server = serve(handler, NULL, pinging);
    connection = open_connection(pinging, NULL, NULL);
    thread = start_thread(receive_one, connection);
    /* Nothing but a receiving call answers a ping, so the thread is in one, and stays until a message comes. To
       try until it is busy would keep the thread out: it comes to its turn while the other receives. */
    CHECK(counter_reaches(&pongs, 1));
    CHECK_INT(receive(connection, 0), WSTRAND_BUSY);
    CHECK_INT(wstrand_connection_wait_closed(connection, 0, NULL), WSTRAND_BUSY);
    CHECK_OK(wstrand_connection_send_string(connection, "wake up", NULL));
    pthread_join(thread, NULL);
    wstrand_connection_free(connection);
    end_server(server);
}

static void no_server(void)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection = (void *)&options; /* must become NULL */
    wstrand_error *error;
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    char url[URL_SIZE];
    double began;

    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/", ntohs(address.sin_port));

    /* Bound, but not listening. */
    CHECK_INT(wstrand_connect(url, NULL, NULL, &connection, &error), WSTRAND_IO);
    CHECK(connection == NULL);
    CHECK_TEXT(wstrand_error_phase(error), "connect");
    CHECK_INT(wstrand_error_os_code(error), ECONNREFUSED);
    CHECK(strstr(wstrand_error_text(error), "refused") != NULL);
    wstrand_error_free(error);

    /* It listens, and never answers. */
    REQUIRE(listen(listener, 5) == 0);
    CHECK_OK(wstrand_options_set_connect_timeout_ms(options, 1000));
    began = now_s();
    CHECK_INT(wstrand_connect(url, options, NULL, &connection, &error), WSTRAND_TIMEOUT);
    CHECK(connection == NULL);
    CHECK(now_s() - began >= 0.99);
    CHECK(now_s() - began < 20);
    CHECK_TEXT(wstrand_error_phase(error), "opening handshake");
    wstrand_error_free(error);
    wstrand_options_free(options);
    close(listener);
}

int main(void)
{
    char url[URL_SIZE];
    wstrand_server *server = serve_counted_echo(url);
    timeouts(url);
    fragments(url);
    only_one_receives(url);
    end_server(server);
    a_peer_that_does_not_read();
    no_server();
    return finish();
}
