/* The server: what a request is answered, connections in pull style, userdata, stopping. */
#include "check.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

static struct counter closed = COUNTER, freed = COUNTER, in_callback = COUNTER, release = COUNTER;

static void on_request(const wstrand_request *request, wstrand_response *response, void *userdata)
{
    const char *path = wstrand_request_path(request);
    CHECK(userdata == &freed);
    CHECK_TEXT(wstrand_request_method(request), "GET");
    CHECK(wstrand_request_header(request, "HOST", 0) != NULL);
    CHECK(wstrand_request_header(request, "host", 1) == NULL);
    CHECK(wstrand_request_peer_address(request) != NULL);
    if (strcmp(path, "/page") == 0) {
        CHECK(!wstrand_request_is_upgrade(request));
        CHECK_TEXT(wstrand_request_query(request), "a=%20b");
        CHECK_OK(wstrand_response_set_body(response, "text/html", "<p>page", 7));
    } else if (strcmp(path, "/chosen") == 0) {
        CHECK(wstrand_request_is_upgrade(request));
        CHECK(wstrand_request_query(request) == NULL);
        CHECK(wstrand_request_origin(request) == NULL);
        CHECK_TEXT(wstrand_request_subprotocol(request, 0), "first");
        CHECK_TEXT(wstrand_request_subprotocol(request, 1), "second");
        CHECK(wstrand_request_subprotocol(request, 2) == NULL);
        CHECK_TEXT(wstrand_request_header(request, "x-client", 0), "one");
        CHECK_TEXT(wstrand_request_header(request, "X-Client", 1), "two");
        CHECK_INT(wstrand_response_add_header(response, "Connection", "x"), WSTRAND_INVALID_ARGUMENT);
        CHECK_INT(wstrand_response_add_header(response, "X-A", "b\r\nX-C: d"), WSTRAND_INVALID_ARGUMENT);
        CHECK_OK(wstrand_response_add_header(response, "X-Server", "yes"));
        CHECK_OK(wstrand_response_accept(response, "second"));
    } else if (strcmp(path, "/refused") == 0) {
        CHECK_INT(wstrand_response_set_status(response, 101), WSTRAND_INVALID_ARGUMENT);
        CHECK_OK(wstrand_response_set_status(response, 403));
        CHECK_OK(wstrand_response_add_header(response, "X-Why", "because"));
        CHECK_OK(wstrand_response_set_body(response, "text/plain", "not \0you", 8));
    }
}

static void userdata_free(void *userdata)
{
    counter_add(userdata, 1);
}

/* Greets every client in pull style before the events begin; counts in its own userdata. */
static void on_connection(wstrand_connection *connection, void *userdata)
{
    int *count = malloc(sizeof *count);
    const void *data;
    size_t size;
    int kind;
    (void)userdata;
    *count = 0;
    CHECK_OK(wstrand_connection_set_userdata(connection, count, free));
    if (strcmp(wstrand_request_path(wstrand_connection_request(connection)), "/pull") != 0)
        return;
    while (wstrand_connection_receive(connection, -1, &kind, &data, &size, NULL) == WSTRAND_OK) {
        ++*count;
        CHECK_OK(wstrand_connection_send_text(connection, data, size, NULL));
        if (size == 4 && memcmp(data, "over", 4) == 0)
            return; /* and on it goes, called back */
    }
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
                       void *userdata)
{
    char answer[32];
    int *count = wstrand_connection_userdata(connection);
    (void)kind, (void)userdata;
    ++*count;
    if (size == 4 && memcmp(data, "wait", 4) == 0) {
        counter_add(&in_callback, 1);
        CHECK(counter_reaches(&release, 1));
        return;
    }
    snprintf(answer, sizeof answer, "number %d", *count);
    CHECK_OK(wstrand_connection_send_string(connection, answer, NULL));
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    (void)code, (void)reason, (void)reason_size, (void)was_clean, (void)userdata;
    CHECK(wstrand_connection_userdata(connection) != NULL);
    counter_add(&closed, 1);
}

/* Plain HTTP: the whole answer to a request for this target. */
static void get(uint16_t port, const char *target, char *answer, size_t size)
{
    struct sockaddr_in address;
    char head[256];
    size_t length = 0;
    ssize_t got;
    int client = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(connect(client, (struct sockaddr *)&address, sizeof address) == 0);
    snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
    REQUIRE(write(client, head, strlen(head)) == (ssize_t)strlen(head));
    while (length + 1 < size && (got = read(client, answer + length, size - 1 - length)) > 0)
        length += (size_t)got;
    answer[length] = '\0';
    close(client);
}

static void expect(wstrand_connection *connection, const char *text)
{
    const void *data;
    size_t size;
    int kind;
    if (CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL))
        && CHECK_INT(size, strlen(text)))
        CHECK(memcmp(data, text, size) == 0);
}

static wstrand_connection *open_at(const char *base, const char *path)
{
    char url[URL_SIZE + 16];
    snprintf(url, sizeof url, "%.*s%s", (int)strlen(base) - 1, base, path);
    return open_connection(url, NULL, NULL);
}

static void requests(wstrand_server *server, const char *base)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection;
    wstrand_error *error;
    char answer[4096], url[URL_SIZE + 16];
    size_t size;

    get(wstrand_server_port(server), "/page?a=%20b", answer, sizeof answer);
    CHECK(strncmp(answer, "HTTP/1.1 200 ", 13) == 0);
    CHECK(strstr(answer, "text/html") != NULL);
    CHECK(strstr(answer, "\r\n\r\n<p>page") != NULL);
    get(wstrand_server_port(server), "/else", answer, sizeof answer);
    CHECK(strncmp(answer, "HTTP/1.1 426 ", 13) == 0);

    wstrand_options_add_subprotocol(options, "first");
    wstrand_options_add_subprotocol(options, "second");
    wstrand_options_add_header(options, "X-Client", "one");
    wstrand_options_add_header(options, "X-Client", "two");
    snprintf(url, sizeof url, "%schosen", base);
    connection = open_connection(url, options, NULL);
    CHECK_TEXT(wstrand_connection_subprotocol(connection), "second");
    CHECK_TEXT(wstrand_connection_header(connection, "x-server", 0), "yes");
    CHECK(wstrand_connection_header(connection, "x-server", 1) == NULL);
    CHECK(wstrand_connection_request(connection) == NULL);
    CHECK_TEXT(wstrand_connection_peer_address(connection), wstrand_server_address(server));
    CHECK(wstrand_connection_local_address(connection) != NULL);
    wstrand_connection_free(connection);

    snprintf(url, sizeof url, "%srefused", base);
    CHECK_INT(wstrand_connect(url, options, NULL, &connection, &error), WSTRAND_HANDSHAKE);
    CHECK(connection == NULL);
    CHECK_INT(wstrand_error_http_status(error), 403);
    CHECK_TEXT(wstrand_error_http_header(error, "x-why", 0), "because");
    CHECK(wstrand_error_http_header(error, "x-why", 1) == NULL);
    if (CHECK(wstrand_error_http_body(error, &size) != NULL) && CHECK_INT(size, 8))
        CHECK(memcmp(wstrand_error_http_body(error, NULL), "not \0you", 8) == 0);
    wstrand_error_free(error);
    wstrand_options_free(options);
}

static void both_styles_and_stopping(wstrand_server *server, const char *base)
{
    wstrand_connection *one = open_at(base, "/pull"), *two = open_at(base, "/pull"), *three = open_at(base, "/");
    wstrand_error *error;
    const void *data;
    size_t size, busy = 99;
    long before;
    double until;
    int kind;

    wstrand_connection_send_string(one, "a", NULL);
    expect(one, "a");
    wstrand_connection_send_string(one, "over", NULL);
    expect(one, "over");
    wstrand_connection_send_string(one, "b", NULL);
    expect(one, "number 3");
    wstrand_connection_send_string(three, "c", NULL);
    expect(three, "number 1");
    wstrand_connection_send_string(two, "d", NULL);
    expect(two, "d");
    CHECK(wstrand_server_connection_count(server) >= 3);

    /* One is in a callback that does not return for a while, two in on_connection, three waits. */
    wstrand_connection_send_string(one, "wait", NULL);
    CHECK(counter_reaches(&in_callback, 1));
    before = counter_value(&closed);
    CHECK_INT(wstrand_connection_receive(three, 0, &kind, &data, &size, NULL), WSTRAND_TIMEOUT);
    until = now_s() + PATIENCE_S;
    do /* the threads of those that are cut may take a while to end */
        CHECK_OK(wstrand_server_stop(server, 300, &busy));
    while (busy > 1 && now_s() < until);
    CHECK_INT(busy, 1);
    CHECK_INT(wstrand_connection_receive(three, PATIENCE_MS, &kind, &data, &size, &error), WSTRAND_CLOSED);
    CHECK_INT(wstrand_error_close_code(error), WSTRAND_CLOSE_GOING_AWAY);
    wstrand_error_free(error);
    CHECK_INT(wstrand_connection_receive(two, PATIENCE_MS, &kind, &data, &size, NULL), WSTRAND_CLOSED);
    CHECK_INT(wstrand_connection_close_code(two), WSTRAND_CLOSE_GOING_AWAY);
    counter_add(&release, 1);
    CHECK_OK(wstrand_server_stop(server, -1, &busy));
    CHECK_INT(busy, 0);
    CHECK(counter_reaches(&closed, before + 3));
    CHECK_INT(wstrand_server_connection_count(server), 0);
    CHECK_INT(wstrand_server_start(server, NULL), WSTRAND_INVALID_STATE);
    CHECK_INT(wstrand_server_run(server, NULL), WSTRAND_INVALID_STATE);
    wstrand_connection_free(three);
    CHECK(wstrand_connect(base, NULL, NULL, &three, NULL) != WSTRAND_OK);
    wstrand_connection_free(one);
    wstrand_connection_free(two);
}

/* A client that answers the close at once is drained, not cut. */
static void *close_well(void *connection)
{
    const void *data;
    size_t size;
    int kind;
    CHECK_INT(wstrand_connection_receive(connection, -1, &kind, &data, &size, NULL), WSTRAND_CLOSED);
    CHECK_INT(wstrand_connection_close_code(connection), WSTRAND_CLOSE_GOING_AWAY);
    CHECK(wstrand_connection_was_clean(connection));
    return NULL;
}

static void *run(void *server)
{
    CHECK_OK(wstrand_server_run(server, NULL));
    return NULL;
}

static void running_and_draining(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connections[5];
    pthread_t clients[5], runner;
    wstrand_server *server;
    wstrand_error *error;
    char url[URL_SIZE];
    double began;
    size_t i;

    wstrand_handler_set_on_message(handler, echo);
    REQUIRE(wstrand_server_new("0", NULL, handler, &server, NULL) == WSTRAND_OK);
    snprintf(url, sizeof url, "127.0.0.1:%u", (unsigned)wstrand_server_port(server));
    CHECK_TEXT(wstrand_server_address(server), url);
    CHECK(wstrand_server_port(server) != 0);
    {
        wstrand_server *second = server;
        CHECK_INT(wstrand_server_new(url, NULL, handler, &second, &error), WSTRAND_IO);
        CHECK(second == NULL);
        CHECK_TEXT(wstrand_error_phase(error), "bind");
        wstrand_error_free(error);
    }
    wstrand_handler_free(handler);
    snprintf(url, sizeof url, "ws://127.0.0.1:%u", (unsigned)wstrand_server_port(server));
    runner = start_thread(run, server);
    for (i = 0; i < 5; i++) {
        connections[i] = open_connection(url, NULL, NULL);
        wstrand_connection_send_string(connections[i], "hi", NULL);
        expect(connections[i], "hi");
        clients[i] = start_thread(close_well, connections[i]);
    }
    began = now_s();
    CHECK_OK(wstrand_server_stop(server, PATIENCE_MS, NULL));
    CHECK(now_s() - began < PATIENCE_S / 2);
    pthread_join(runner, NULL);
    for (i = 0; i < 5; i++) {
        pthread_join(clients[i], NULL);
        wstrand_connection_free(connections[i]);
    }
    wstrand_server_free(server);

    /* IPv6, and a server that is never started. */
    handler = wstrand_handler_new(NULL, NULL);
    if (wstrand_server_new("[::1]:0", NULL, handler, &server, NULL) == WSTRAND_OK) {
        CHECK(strncmp(wstrand_server_address(server), "[::1]:", 6) == 0);
        wstrand_server_free(server);
    }
    wstrand_handler_free(handler);
}

/* Counters of both ends, to the byte: a client's frame has 6 bytes around 5 of payload, a server's 2. */
static void counters(void)
{
    wstrand_connection *connection;
    wstrand_server *server;
    char url[URL_SIZE];
    const void *data;
    size_t size;
    int kind, stat;

    server = serve_echo(url);
    for (stat = -1; stat <= 30; stat++)
        CHECK_INT(wstrand_server_stat(server, stat), 0);
    connection = open_connection(url, NULL, NULL);
    CHECK_OK(wstrand_connection_send_string(connection, "hello", NULL));
    CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL));
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_MESSAGES_SENT), 1);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_MESSAGES_RECEIVED), 1);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_PAYLOAD_BYTES_SENT), 5);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_PAYLOAD_BYTES_RECEIVED), 5);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_WIRE_BYTES_SENT), 11);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_WIRE_BYTES_RECEIVED), 7);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_BUFFERED_BYTES), 0);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_MOST_BUFFERED_BYTES), 11);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_ROUND_TRIP_US), 0);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_SMOOTHED_ROUND_TRIP_US), 0);
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_OPEN), 0);
    CHECK_INT(wstrand_connection_stat(connection, 30), 0);

    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_OPENING), 0);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_OPEN), 1);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_CLOSING), 0);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_ACCEPTED), 1);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_WIRE_BYTES_SENT), 7);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_WIRE_BYTES_RECEIVED), 11);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_ROUND_TRIP_US), 0);
    CHECK_OK(wstrand_connection_close(connection, WSTRAND_CLOSE_NORMAL, "", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK_INT(wstrand_connection_stat(connection, WSTRAND_STAT_WIRE_BYTES_SENT), 11 + 8);
    wstrand_connection_free(connection);

    /* What is over stays counted. */
    CHECK_OK(wstrand_server_stop(server, PATIENCE_MS, NULL));
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_OPEN), 0);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_ACCEPTED), 1);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_MESSAGES_SENT), 1);
    CHECK_INT(wstrand_server_stat(server, WSTRAND_STAT_WIRE_BYTES_RECEIVED), 11 + 8);
    end_server(server);
}

int main(void)
{
    wstrand_handler *handler = wstrand_handler_new(&freed, userdata_free);
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server;
    char url[URL_SIZE];

    wstrand_handler_set_on_request(handler, on_request);
    wstrand_handler_set_on_connection(handler, on_connection);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_close(handler, on_close);
    /* So that only stopping can cut those that do not answer Close. */
    CHECK_OK(wstrand_options_set_close_timeout_ms(options, 10 * PATIENCE_MS));
    server = serve(handler, options, url);
    wstrand_options_free(options);
    requests(server, url);
    both_styles_and_stopping(server, url);
    CHECK_INT(counter_value(&freed), 0);
    wstrand_server_free(server);
    CHECK_INT(counter_value(&freed), 1);

    running_and_draining();
    counters();
    return finish();
}
