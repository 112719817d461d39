/* A client that connects again: its sessions, its callbacks, its queue, how it stops, and that nothing of the
   program's is used once it has been freed, wherever that is done. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

/* What the callbacks of one client have seen. */
struct seen {
    struct counter attempts, opened, messages, closed, down, stopped, freed;
    wstrand_reconnecting *client;
    const char *lead_to;
    int stop, code, http_status;
    unsigned close_code;
    uint64_t session;
    size_t lost;
    char text[200];
    wstrand_connection *kept;
    /* Where the client is freed: in which callback. */
    enum { NOWHERE, IN_ATTEMPT, IN_OPEN, IN_MESSAGE, IN_CLOSE, IN_DOWN } freed_in;
};

#define SEEN {COUNTER, COUNTER, COUNTER, COUNTER, COUNTER, COUNTER, COUNTER, NULL, NULL, -1, -1, 0, 0, 0, 0, "", NULL, NOWHERE}

static void free_if(struct seen *seen, int here)
{
    if ((int)seen->freed_in == here)
        wstrand_reconnecting_free(seen->client);
}

static void on_attempt(wstrand_attempt *attempt, void *userdata)
{
    struct seen *seen = userdata;
    if (seen->lead_to != NULL) {
        CHECK_OK(wstrand_attempt_set_url(attempt, seen->lead_to));
        CHECK_OK(wstrand_attempt_set_header(attempt, "Authorization", "Bearer 1"));
        CHECK_OK(wstrand_attempt_set_header(attempt, "authorization", "Bearer 2"));
    }
    if (wstrand_attempt_session(attempt) == 100)
        wstrand_attempt_give_up(attempt);
    free_if(seen, IN_ATTEMPT);
    counter_add(&seen->attempts, 1);
}

static void on_open(wstrand_connection *connection, void *userdata)
{
    struct seen *seen = userdata;
    CHECK_INT(wstrand_connection_session(connection), wstrand_reconnecting_session(seen->client));
    /* Where the client is closed early, that may come first. */
    int sent = wstrand_connection_send_string(connection, "first", NULL);
    CHECK(sent == WSTRAND_OK || sent == WSTRAND_CLOSED);
    CHECK_INT(wstrand_reconnecting_wait_closed(seen->client, 0, NULL), WSTRAND_WOULD_DEADLOCK);
    if (seen->kept == NULL)
        seen->kept = wstrand_connection_retain(connection);
    free_if(seen, IN_OPEN);
    counter_add(&seen->opened, 1);
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    struct seen *seen = userdata;
    (void)connection, (void)kind;
    snprintf(seen->text, sizeof seen->text, "%.*s", (int)size, (const char *)data);
    free_if(seen, IN_MESSAGE);
    counter_add(&seen->messages, 1);
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t size, bool was_clean,
                     void *userdata)
{
    struct seen *seen = userdata;
    (void)connection, (void)reason, (void)size, (void)was_clean;
    seen->close_code = code;
    free_if(seen, IN_CLOSE);
    counter_add(&seen->closed, 1);
}

static void on_down(const wstrand_down *down, void *userdata)
{
    struct seen *seen = userdata;
    const wstrand_error *error = wstrand_down_error(down);
    seen->code = wstrand_error_code(error);
    seen->http_status = wstrand_error_http_status(error);
    seen->stop = wstrand_down_stop(down);
    seen->session = wstrand_down_session(down);
    seen->lost = wstrand_down_lost_messages(down);
    CHECK(strncmp(wstrand_down_text(down), wstrand_error_text(error), strlen(wstrand_error_text(error))) == 0);
    free_if(seen, IN_DOWN);
    if (wstrand_down_stop(down) != WSTRAND_STOP_NOT)
        counter_add(&seen->stopped, 1);
    counter_add(&seen->down, 1);
}

static void on_free(void *userdata)
{
    struct seen *seen = userdata;
    counter_add(&seen->freed, 1);
}

static wstrand_reconnecting *start(const char *url, struct seen *seen, wstrand_options *options)
{
    wstrand_handler *handler = wstrand_handler_new(seen, on_free);
    wstrand_error *error;
    wstrand_handler_set_on_attempt(handler, on_attempt);
    wstrand_handler_set_on_open(handler, on_open);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_close(handler, on_close);
    wstrand_handler_set_on_down(handler, on_down);
    if (wstrand_reconnect(url, options, handler, &seen->client, &error) != WSTRAND_OK) {
        fprintf(stderr, "not started: %s\n", wstrand_error_text(error));
        exit(EXIT_FAILURE);
    }
    wstrand_handler_free(handler);
    return seen->client;
}

/* Attempts follow each other fast, and no connection is stable. */
static wstrand_options *hasty(void)
{
    wstrand_options *options = wstrand_options_new();
    CHECK_OK(wstrand_options_set_reconnect_first_delay_ms(options, 1));
    CHECK_OK(wstrand_options_set_reconnect_max_delay_ms(options, 10));
    CHECK_OK(wstrand_options_set_reconnect_stable_after_ms(options, 3600000));
    CHECK_OK(wstrand_options_set_reconnect_queue_bytes(options, 1000));
    return options;
}

static int send_text(wstrand_reconnecting *client, const char *text)
{
    return wstrand_reconnecting_send(client, WSTRAND_TEXT, text, strlen(text), NULL);
}

static wstrand_server *serve_again(const char *address)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_server *server;
    wstrand_handler_set_on_message(handler, echo);
    REQUIRE(wstrand_server_new(address, NULL, handler, &server, NULL) == WSTRAND_OK);
    REQUIRE(wstrand_server_start(server, NULL) == WSTRAND_OK);
    wstrand_handler_free(handler);
    return server;
}

/* A server that is restarted again and again; messages sent meanwhile arrive. */
static void restarts(int rounds)
{
    struct seen seen = SEEN;
    wstrand_options *options = hasty();
    char url[URL_SIZE], address[URL_SIZE];
    wstrand_server *server;
    wstrand_reconnecting *client;
    int round, on = 1;
    /* While it is bound the system gives the port to nobody who does not ask for it. */
    int held = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in own;
    socklen_t own_size = sizeof own;

    memset(&own, 0, sizeof own);
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(setsockopt(held, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    REQUIRE(bind(held, (struct sockaddr *)&own, sizeof own) == 0);
    REQUIRE(getsockname(held, (struct sockaddr *)&own, &own_size) == 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)ntohs(own.sin_port));
    snprintf(url, sizeof url, "ws://127.0.0.1:%u/", (unsigned)ntohs(own.sin_port));
    server = serve_again(address);
    client = start(url, &seen, options);
    wstrand_options_free(options);
    REQUIRE(counter_reaches(&seen.opened, 1) && counter_reaches(&seen.messages, 1));
    for (round = 1; round <= rounds; round++) {
        CHECK_OK(wstrand_server_stop(server, 0, NULL));
        wstrand_server_free(server);
        REQUIRE(counter_reaches(&seen.closed, round));
        CHECK_INT(send_text(client, "queued"), WSTRAND_OK);
        server = serve_again(address);
        REQUIRE(counter_reaches(&seen.opened, round + 1));
        /* "first" of each session, and "queued" of all but the first. */
        REQUIRE(counter_reaches(&seen.messages, 2 * round + 1));
        CHECK_INT(wstrand_reconnecting_session(client), round + 1);
    }
    CHECK(counter_value(&seen.down) >= rounds);
    CHECK_INT(counter_value(&seen.stopped), 0);
    CHECK_INT(wstrand_reconnecting_wait_closed(client, 0, NULL), WSTRAND_TIMEOUT);

    CHECK_OK(wstrand_reconnecting_close(client, 4321, "enough", NULL));
    CHECK_OK(wstrand_reconnecting_close(client, 4321, NULL, NULL));
    CHECK_OK(wstrand_reconnecting_wait_closed(client, PATIENCE_MS, NULL));
    CHECK_INT(seen.stop, WSTRAND_STOP_CLOSED);
    CHECK_INT(seen.code, WSTRAND_CLOSED);
    CHECK_INT(seen.close_code, 4321);
    CHECK_INT(seen.session, rounds + 1);
    CHECK_INT(counter_value(&seen.stopped), 1);
    CHECK_INT(send_text(client, "late"), WSTRAND_CLOSED);
    CHECK_OK(wstrand_reconnecting_wait_closed(client, -1, NULL));
    wstrand_reconnecting_free(client);
    CHECK_INT(counter_value(&seen.freed), 1);

    /* The first session's connection is over, and may still be asked. */
    CHECK_INT(wstrand_connection_session(seen.kept), 1);
    CHECK_INT(wstrand_connection_ready_state(seen.kept), WSTRAND_ENDED);
    CHECK_OK(wstrand_connection_wait_closed(seen.kept, PATIENCE_MS, NULL));
    CHECK(wstrand_connection_send_string(seen.kept, "x", NULL) != WSTRAND_OK);
    wstrand_connection_free(seen.kept);
    end_server(server);
    close(held);
}

static void refuse(const wstrand_request *request, wstrand_response *response, void *userdata)
{
    const char *token = wstrand_request_header(request, "Authorization", 0);
    (void)userdata;
    if (strcmp(wstrand_request_path(request), "/forbidden") == 0)
        wstrand_response_set_status(response, 403);
    else if (strcmp(wstrand_request_path(request), "/busy") == 0) {
        wstrand_response_set_status(response, 503);
        wstrand_response_add_header(response, "Retry-After", "3600");
    } else if (strcmp(wstrand_request_path(request), "/token") == 0) {
        CHECK_TEXT(token, "Bearer 2");
        CHECK(wstrand_request_header(request, "Authorization", 1) == NULL);
    }
}

static void answers(void)
{
    struct seen forbidden = SEEN, busy = SEEN, token = SEEN, limited = SEEN;
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = hasty();
    wstrand_server *server;
    wstrand_reconnecting *client;
    char url[URL_SIZE], path[URL_SIZE + 20];
    double before;

    wstrand_handler_set_on_message(handler, echo);
    wstrand_handler_set_on_request(handler, refuse);
    server = serve(handler, NULL, url);

    snprintf(path, sizeof path, "%sforbidden", url);
    client = start(path, &forbidden, options);
    CHECK_OK(wstrand_reconnecting_wait_closed(client, PATIENCE_MS, NULL));
    CHECK_INT(forbidden.stop, WSTRAND_STOP_ANSWER);
    CHECK_INT(forbidden.code, WSTRAND_HANDSHAKE);
    CHECK_INT(forbidden.http_status, 403);
    CHECK_INT(counter_value(&forbidden.attempts), 1);
    wstrand_reconnecting_free(client);

    /* Closed in the middle of an hour's pause. */
    CHECK_OK(wstrand_options_set_reconnect_max_delay_ms(options, 3600000));
    snprintf(path, sizeof path, "%sbusy", url);
    client = start(path, &busy, options);
    REQUIRE(counter_reaches(&busy.down, 1));
    CHECK_INT(busy.stop, WSTRAND_STOP_NOT);
    CHECK_INT(send_text(client, "never"), WSTRAND_OK);
    CHECK_INT(wstrand_reconnecting_try_send(client, WSTRAND_BINARY, url, 1000, NULL), WSTRAND_FULL);
    before = now_s();
    CHECK_OK(wstrand_reconnecting_close(client, 1000, NULL, NULL));
    CHECK_OK(wstrand_reconnecting_wait_closed(client, PATIENCE_MS, NULL));
    CHECK(now_s() - before < PATIENCE_S / 2);
    CHECK_INT(busy.stop, WSTRAND_STOP_CLOSED);
    CHECK_INT(busy.code, WSTRAND_CANCELLED);
    CHECK_INT(busy.lost, 1);
    wstrand_reconnecting_free(client);

    /* Led elsewhere, with a header field in place of another. */
    snprintf(path, sizeof path, "%stoken", url);
    token.lead_to = path;
    client = start("ws://127.0.0.1:1/", &token, options);
    REQUIRE(counter_reaches(&token.messages, 1));
    wstrand_reconnecting_free(client);
    CHECK_INT(counter_value(&token.freed), 1);
    CHECK_INT(counter_value(&token.closed), 0);
    wstrand_connection_free(token.kept);

    CHECK_OK(wstrand_options_set_reconnect_max_attempts(options, 3));
    CHECK_OK(wstrand_options_set_reconnect_max_delay_ms(options, 2));
    client = start("ws://127.0.0.1:1/", &limited, options);
    CHECK_OK(wstrand_reconnecting_wait_closed(client, PATIENCE_MS, NULL));
    CHECK_INT(limited.stop, WSTRAND_STOP_ATTEMPTS);
    CHECK_INT(limited.code, WSTRAND_IO);
    CHECK_INT(counter_value(&limited.attempts), 3);
    wstrand_reconnecting_free(client);
    wstrand_options_free(options);
    end_server(server);
}

/* Inside a callback, it is freed without a wait; nothing is called after that one. */
static void freed_inside(void)
{
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    wstrand_options *options = hasty();
    int where;
    for (where = IN_ATTEMPT; where <= IN_DOWN; where++) {
        struct seen seen = SEEN;
        seen.freed_in = (unsigned)where;
        start(url, &seen, options);
        if (where == IN_CLOSE || where == IN_DOWN) {
            REQUIRE(counter_reaches(&seen.messages, 1));
            wstrand_connection_shutdown(seen.kept);
        }
        REQUIRE(counter_reaches(&seen.freed, 1));
        CHECK_INT(counter_value(&seen.attempts), 1);
        CHECK_INT(counter_value(&seen.opened), where >= IN_OPEN);
        CHECK_INT(counter_value(&seen.messages), where >= IN_MESSAGE);
        CHECK_INT(counter_value(&seen.closed), where >= IN_CLOSE);
        CHECK_INT(counter_value(&seen.down), where >= IN_DOWN);
        wstrand_connection_free(seen.kept);
    }
    wstrand_options_free(options);
    end_server(server);
}

/* Freed at any time while it comes and goes: after it nothing of the program's is used. */
static void freed_at_any_time(int rounds)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = hasty();
    wstrand_server *server;
    char url[URL_SIZE];
    int round;
    (void)handler;
    server = serve(handler, NULL, url); /* which hears and says nothing */
    for (round = 0; round < rounds; round++) {
        struct seen *seen = malloc(sizeof *seen);
        const struct seen fresh = SEEN;
        REQUIRE(seen != NULL);
        *seen = fresh;
        start(url, seen, options);
        if (round % 4 == 1)
            counter_reaches(&seen->attempts, 1);
        if (round % 4 == 2)
            counter_reaches(&seen->opened, 1);
        if (round % 4 == 3) {
            counter_reaches(&seen->opened, 1);
            wstrand_connection_shutdown(seen->kept);
        }
        wstrand_reconnecting_free(seen->client);
        CHECK_INT(counter_value(&seen->freed), 1);
        wstrand_connection_free(seen->kept);
        free(seen);
    }
    wstrand_options_free(options);
    end_server(server);
}

/* A server that takes what comes and never answers. */
static void closed_in_the_handshake(const char *scheme)
{
    struct seen seen = SEEN;
    struct sockaddr_in addr = {0};
    socklen_t size = sizeof addr;
    char url[URL_SIZE], byte;
    wstrand_reconnecting *client;
    double before;
    int listener = socket(AF_INET, SOCK_STREAM, 0), peer;

    addr.sin_family = AF_INET;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(listener >= 0 && bind(listener, (struct sockaddr *)&addr, sizeof addr) == 0);
    REQUIRE(listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&addr, &size) == 0);
    snprintf(url, sizeof url, "%s://127.0.0.1:%u/", scheme, (unsigned)ntohs(addr.sin_port));
    client = start(url, &seen, NULL);
    peer = accept(listener, NULL, NULL);
    REQUIRE(peer >= 0 && read(peer, &byte, 1) == 1);
    before = now_s();
    CHECK_OK(wstrand_reconnecting_close(client, 1000, NULL, NULL));
    CHECK_OK(wstrand_reconnecting_wait_closed(client, PATIENCE_MS, NULL));
    CHECK(now_s() - before < 10);
    CHECK_INT(seen.stop, WSTRAND_STOP_CLOSED);
    CHECK_INT(seen.code, WSTRAND_CANCELLED);
    wstrand_reconnecting_free(client);
    close(peer);
    close(listener);
}

int main(int argc, char **argv)
{
    const bool light = is_light(argc, argv);
    restarts(light ? 3 : 20);
    answers();
    freed_inside();
    freed_at_any_time(light ? 8 : 200);
    closed_in_the_handshake("ws");
    closed_in_the_handshake("wss");
    return finish();
}
