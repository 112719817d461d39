/* Ways to a peer: dial DIRECTORY. Unix sockets, descriptors that are handed in and who closes them, the address to
   connect from, redirects, and giving up from another thread in every phase that can be waited in. */
#include "certs.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool is_open(int descriptor)
{
    return fcntl(descriptor, F_GETFD) != -1;
}

static struct sockaddr_in loopback(uint16_t port)
{
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int connected_to(uint16_t port)
{
    const struct sockaddr_in address = loopback(port);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(connect(client, (const struct sockaddr *)&address, sizeof address) == 0);
    return client;
}

static int listening(uint16_t *port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0);
    REQUIRE(listen(listener, 10) == 0);
    REQUIRE(getsockname(listener, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return listener;
}

static wstrand_handler *echoing(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_handler_set_on_message(handler, echo);
    return handler;
}

static void started(wstrand_server *server)
{
    REQUIRE(wstrand_server_start(server, NULL) == WSTRAND_OK);
}

static void go_and_come_back(wstrand_connection *connection)
{
    round_trip(connection);
    wstrand_connection_free(connection);
}

static void unix_sockets(void)
{
    wstrand_handler *handler = echoing();
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server, *second = (void *)&second;
    wstrand_connection *connection;
    wstrand_error *error;
    char path[4096];
    int round;

    snprintf(path, sizeof path, "%s/socket", certs);
    identify(options, "server");
    trust(options);
    for (round = 0; round < 2; round++) { /* the name stays, and is taken over */
        REQUIRE(wstrand_server_new_unix(path, NULL, handler, &server, NULL) == WSTRAND_OK);
        CHECK_TEXT(wstrand_server_address(server), "");
        CHECK_INT(wstrand_server_port(server), 0);
        CHECK_INT(wstrand_server_new_unix(path, NULL, handler, &second, &error), WSTRAND_IO);
        CHECK(second == NULL);
        CHECK_TEXT(wstrand_error_phase(error), "bind");
        wstrand_error_free(error);
        started(server);
        REQUIRE(wstrand_connect_unix(path, "ws://localhost/", NULL, NULL, &connection, NULL) == WSTRAND_OK);
        go_and_come_back(connection);
        end_server(server);
    }
    CHECK_INT(wstrand_connect_unix(path, "ws://localhost/", NULL, NULL, &connection, &error), WSTRAND_IO);
    CHECK_TEXT(wstrand_error_phase(error), "connect");
    CHECK(connection == NULL);
    wstrand_error_free(error);

    REQUIRE(wstrand_server_new_unix(path, options, handler, &server, NULL) == WSTRAND_OK);
    started(server);
    REQUIRE(wstrand_connect_unix(path, "wss://localhost/", options, NULL, &connection, NULL) == WSTRAND_OK);
    go_and_come_back(connection);
    end_server(server);
    wstrand_options_free(options);
    wstrand_handler_free(handler);
    REQUIRE(unlink(path) == 0);
}

static void descriptors(void)
{
    wstrand_handler *handler = echoing();
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server = (void *)&server;
    wstrand_connection *connection = (void *)&connection;
    uint16_t port;
    int listener = listening(&port), client, kept, on;
    socklen_t size = sizeof on;

    REQUIRE(wstrand_server_new_over(listener, NULL, handler, &server, NULL) == WSTRAND_OK);
    CHECK_INT(wstrand_server_port(server), port);
    started(server);
    client = connected_to(port);
    REQUIRE(wstrand_connect_over(client, "ws://localhost/", NULL, NULL, &connection, NULL) == WSTRAND_OK);
    go_and_come_back(connection);

    /* The options reach the socket: a duplicate tells. */
    CHECK_OK(wstrand_options_set_tcp_nodelay(options, 0));
    CHECK_OK(wstrand_options_set_tcp_keepalive(options, 0));
    for (on = 0; on < 2; on++) {
        int nodelay = -1, keepalive = -1;
        client = connected_to(port);
        kept = dup(client);
        REQUIRE(wstrand_connect_over(client, "ws://localhost/", on ? NULL : options, NULL, &connection, NULL)
                == WSTRAND_OK);
        size = sizeof nodelay;
        CHECK_INT(getsockopt(kept, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), 0);
        CHECK_INT(getsockopt(kept, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &size), 0);
        CHECK_INT(nodelay != 0, on);
        CHECK_INT(keepalive != 0, on);
        CHECK(is_open(client));
        wstrand_connection_free(connection);
        close(kept);
    }
    end_server(server);
    CHECK(!is_open(listener));

    /* Closed where it fails too, by whatever. */
    CHECK_INT(wstrand_options_set_max_fragments(options, 0), WSTRAND_INVALID_ARGUMENT);
    listener = listening(&port);
    client = connected_to(port);
    CHECK_INT(wstrand_connect_over(client, "ws://localhost/", options, NULL, &connection, NULL),
              WSTRAND_INVALID_ARGUMENT);
    CHECK(!is_open(client));
    client = connected_to(port);
    CHECK_INT(wstrand_connect_over(client, "nonsense", NULL, NULL, &connection, NULL), WSTRAND_INVALID_ARGUMENT);
    CHECK(!is_open(client));
    CHECK(connection == NULL);
    client = connected_to(port);
    CHECK_INT(wstrand_connect_over(client, NULL, NULL, NULL, NULL, NULL), WSTRAND_INVALID_ARGUMENT);
    CHECK(!is_open(client));
    CHECK_INT(wstrand_server_new_over(listener, options, handler, &server, NULL), WSTRAND_INVALID_ARGUMENT);
    CHECK(!is_open(listener));
    CHECK(server == NULL);
    listener = listening(&port);
    CHECK_INT(wstrand_server_new_over(listener, NULL, NULL, &server, NULL), WSTRAND_INVALID_ARGUMENT);
    CHECK(!is_open(listener));

    /* What is no socket at all. */
    client = open("/dev/null", O_RDWR);
    REQUIRE(client >= 0);
    CHECK_INT(wstrand_connect_over(client, "ws://localhost/", NULL, NULL, &connection, NULL), WSTRAND_IO);
    CHECK(!is_open(client));
    CHECK_INT(wstrand_connect_over(client, "ws://localhost/", NULL, NULL, &connection, NULL),
              WSTRAND_INVALID_ARGUMENT);
    client = open("/dev/null", O_RDWR);
    CHECK_INT(wstrand_server_new_over(client, NULL, handler, &server, NULL), WSTRAND_IO);
    CHECK(!is_open(client));
    wstrand_options_free(options);
    wstrand_handler_free(handler);
}

static void redirect(const wstrand_request *request, wstrand_response *response, void *userdata)
{
    (void)userdata;
    if (strcmp(wstrand_request_path(request), "/moved") == 0) {
        wstrand_response_set_status(response, 302);
        wstrand_response_add_header(response, "Location", "/here");
    } else
        CHECK_TEXT(wstrand_request_path(request), "/here");
}

static void redirects_and_addresses(void)
{
    wstrand_handler *handler = echoing();
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection;
    wstrand_error *error;
    wstrand_server *server;
    char url[URL_SIZE], moved[URL_SIZE + 10];

    wstrand_handler_set_on_request(handler, redirect);
    server = serve(handler, NULL, url);
    snprintf(moved, sizeof moved, "%smoved", url);
    CHECK_INT(wstrand_connect(moved, NULL, NULL, &connection, &error), WSTRAND_HANDSHAKE);
    CHECK_INT(wstrand_error_http_status(error), 302);
    wstrand_error_free(error);
    CHECK_OK(wstrand_options_set_max_redirects(options, 1));
    CHECK_OK(wstrand_options_set_local_address(options, "127.0.0.9"));
    connection = open_connection(moved, options, NULL);
    CHECK(strncmp(wstrand_connection_local_address(connection), "127.0.0.9:", 10) == 0);
    round_trip(connection);
    wstrand_connection_free(connection);
    wstrand_options_free(options);
    end_server(server);
}

struct attempt {
    char url[URL_SIZE];
    const wstrand_options *options;
    int code;
};

static void *attempt(void *argument)
{
    struct attempt *attempt = argument;
    wstrand_connection *connection = (void *)&connection;
    attempt->code = wstrand_connect(attempt->url, attempt->options, NULL, &connection, NULL);
    CHECK(connection == NULL);
    return NULL;
}

/* A server that takes what comes and never answers, in the opening handshake or in that of TLS. */
static void giving_up(const char *scheme)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_cancel *cancel;
    struct attempt here = {"", NULL, -1};
    pthread_t thread;
    uint16_t port;
    const int listener = listening(&port);
    double before;
    char byte;
    int peer;

    REQUIRE(wstrand_cancel_new(&cancel, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_options_set_connect_timeout_ms(options, PATIENCE_MS));
    CHECK_OK(wstrand_options_set_cancel(options, cancel));
    snprintf(here.url, sizeof here.url, "%s://127.0.0.1:%u/", scheme, (unsigned)port);
    here.options = options;
    thread = start_thread(attempt, &here);
    peer = accept(listener, NULL, NULL);
    REQUIRE(peer >= 0 && read(peer, &byte, 1) == 1);
    CHECK(!wstrand_cancel_is_triggered(cancel));
    before = now_s();
    wstrand_cancel_trigger(cancel);
    pthread_join(thread, NULL);
    CHECK_INT(here.code, WSTRAND_CANCELLED);
    CHECK(now_s() - before < PATIENCE_S / 2);
    CHECK(wstrand_cancel_is_triggered(cancel));

    /* It stays so, also once it is freed. */
    fails(here.url, options, WSTRAND_CANCELLED, "cancelled");
    wstrand_cancel_free(cancel);
    fails(here.url, options, WSTRAND_CANCELLED, "cancelled");
    wstrand_options_free(options);
    close(peer);
    close(listener);
}

/* Nothing happens to a connection that is open. */
static void too_late(void)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_cancel *cancel;
    wstrand_connection *connection;
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    REQUIRE(wstrand_cancel_new(&cancel, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_options_set_cancel(options, cancel));
    connection = open_connection(url, options, NULL);
    wstrand_cancel_trigger(cancel);
    wstrand_cancel_trigger(cancel);
    round_trip(connection);
    wstrand_connection_free(connection);
    wstrand_options_free(options);
    wstrand_cancel_free(cancel);
    end_server(server);
}

int main(int argc, char **argv)
{
    REQUIRE(argc == 2);
    certs = argv[1];
    unix_sockets();
    descriptors();
    redirects_and_addresses();
    giving_up("ws");
    giving_up("wss");
    too_late();
    return finish();
}
