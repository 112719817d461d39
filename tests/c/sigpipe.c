/* A peer that is gone: sending fails with a code, and SIGPIPE, at its default, does not end the process. Over TLS if
   there is a directory of certificates. */
#include "certs.h"
#include <signal.h>

enum { SENDERS = 4 };

static struct counter gone = COUNTER, accepted = COUNTER;
static wstrand_connection *kept;

/* The server's end cuts the connection at the first message. */
static void cut(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)kind, (void)data, (void)size, (void)userdata;
    CHECK_OK(wstrand_connection_shutdown(connection));
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    (void)connection, (void)reason, (void)userdata;
    CHECK_INT(code, WSTRAND_CLOSE_ABNORMAL);
    CHECK_INT(reason_size, 0);
    CHECK(!was_clean);
    counter_add(&gone, 1);
}

static void keep(wstrand_connection *connection, void *userdata)
{
    (void)userdata;
    kept = wstrand_connection_retain(connection);
    counter_add(&accepted, 1);
}

/* What a thread sends on, and how much at a time. */
struct sending {
    wstrand_connection *connection;
    size_t size;
};

static void *send_until_it_fails(void *argument)
{
    static const char data[1 << 20];
    const struct sending *sending = argument;
    wstrand_connection *connection = sending->connection;
    int code, i;
    do
        code = wstrand_connection_send_binary(connection, data, sending->size, NULL);
    while (code == WSTRAND_OK || code == WSTRAND_TIMEOUT);
    /* Where nobody receives, a peer whose window was full when it went can look like one that does not
       read. */
    if (!CHECK(code == WSTRAND_LOST || code == WSTRAND_IO || code == WSTRAND_CLOSED
               || code == WSTRAND_UNRESPONSIVE))
        fprintf(stderr, "but %s\n", wstrand_strerror(code));
    for (i = 0; i < 20; i++) {
        CHECK(wstrand_connection_send_text(connection, "x", 1, NULL) != WSTRAND_OK);
        CHECK(wstrand_connection_ping(connection, "x", 1, NULL) != WSTRAND_OK);
        CHECK(wstrand_connection_try_send_text(connection, "x", 1, NULL) != WSTRAND_OK);
    }
    return NULL;
}

/* Messages of 32 KiB and more go out in ways of their own. */
static void send_from_several_threads(wstrand_connection *connection)
{
    static const size_t sizes[SENDERS] = {5000, 5000, 32 << 10, 1 << 20};
    struct sending sendings[SENDERS];
    pthread_t threads[SENDERS];
    int i;
    for (i = 0; i < SENDERS; i++) {
        sendings[i].connection = connection;
        sendings[i].size = sizes[i];
        threads[i] = start_thread(send_until_it_fails, &sendings[i]);
    }
    for (i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
}

/* Goes while the other end sends. */
static void *receive_one_and_go(void *argument)
{
    wstrand_connection *connection = argument;
    const void *data;
    size_t size;
    int kind;
    CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL));
    CHECK_OK(wstrand_connection_shutdown(connection));
    return NULL;
}

static wstrand_server *serve_either(wstrand_handler *handler, const wstrand_options *options, char url[URL_SIZE])
{
    wstrand_server *server = serve(handler, options, url);
    if (certs != NULL)
        secure_url(server, url);
    return server;
}

int main(int argc, char **argv)
{
    const int rounds = is_light(argc, argv) ? 3 : 30;
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server;
    wstrand_connection *connection;
    struct sigaction action;
    char url[URL_SIZE];
    int i;

    /* Whoever started this program may ignore it, and that is inherited. */
    signal(SIGPIPE, SIG_DFL);

    if (argc > 1 && !is_light(argc, argv)) {
        certs = argv[1];
        identify(options, "server");
        trust(options);
    }
    wstrand_options_set_send_timeout_ms(options, 2000);
    wstrand_handler_set_on_message(handler, cut);
    server = serve_either(handler, options, url);

    /* Called back, and in pull style. */
    handler = wstrand_handler_new(NULL, NULL);
    wstrand_handler_set_on_close(handler, on_close);
    for (i = 0; i < rounds; i++) {
        connection = open_connection(url, options, handler);
        send_from_several_threads(connection);
        CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
        wstrand_connection_free(connection);
        connection = open_connection(url, options, NULL);
        send_from_several_threads(connection);
        wstrand_connection_free(connection);
    }
    CHECK_INT(counter_value(&gone), rounds);
    wstrand_handler_free(handler);
    end_server(server);

    /* The client goes, and the server's end sends, or closes, with what TLS has to say then. */
    handler = wstrand_handler_new(NULL, NULL);
    wstrand_handler_set_on_open(handler, keep);
    server = serve_either(handler, options, url);
    for (i = 0; i < 3 * rounds; i++) {
        connection = open_connection(url, options, NULL);
        REQUIRE(counter_reaches(&accepted, i + 1));
        if (i % 3 == 0) {
            pthread_t receiver = start_thread(receive_one_and_go, connection);
            send_from_several_threads(kept);
            pthread_join(receiver, NULL);
        } else {
            wstrand_connection_shutdown(connection);
            if (i % 3 == 1)
                send_from_several_threads(kept);
            else
                wstrand_connection_close(kept, WSTRAND_CLOSE_NORMAL, NULL, NULL); /* it may be over by now */
        }
        wstrand_connection_free(kept);
        wstrand_connection_free(connection);
    }
    end_server(server);
    wstrand_options_free(options);

    REQUIRE(sigaction(SIGPIPE, NULL, &action) == 0);
    CHECK(action.sa_handler == SIG_DFL);
    return finish();
}
