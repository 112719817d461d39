/*
 * An echo server: sends every message back.
 *
 *     echo_server [--subprotocol P]... [--deflate] [--tls CERT.pem KEY.pem] ADDR
 *
 * With --deflate messages are compressed, with those clients that do so too.
 * ADDR is HOST:PORT, or a bare port on 127.0.0.1. GET / gets a line of text. The text message
 * "/close CODE REASON" makes the server close the connection like that. SIGINT and SIGTERM stop it.
 */
#define _POSIX_C_SOURCE 200809L
#include "file.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wstrand.h>

static void complain(wstrand_error *error)
{
    if (error != NULL)
        fprintf(stderr, "echo_server: %s\n", wstrand_error_text(error));
    wstrand_error_free(error);
}

/* Does what "CODE REASON" says. */
static void close_as_told(wstrand_connection *connection, const char *data, size_t size)
{
    char order[256];
    char *reason;
    unsigned long code;
    wstrand_error *error;

    if (size >= sizeof order)
        size = sizeof order - 1; /* too long for a reason anyway */
    memcpy(order, data, size);
    order[size] = '\0';
    code = strtoul(order, &reason, 10);
    if (*reason == ' ')
        reason++;
    wstrand_connection_close(connection, code <= 4999 ? (uint16_t)code : 0, reason, &error);
    complain(error);
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
                       void *userdata)
{
    static const char order[] = "/close ";
    const size_t length = sizeof order - 1;
    wstrand_error *error;
    (void)userdata;

    if (kind == WSTRAND_BINARY)
        wstrand_connection_send_binary(connection, data, size, &error);
    else if (size < length || memcmp(data, order, length) != 0)
        wstrand_connection_send_text(connection, data, size, &error);
    else {
        close_as_told(connection, (const char *)data + length, size - length);
        return;
    }
    complain(error);
}

static void on_request(const wstrand_request *request, wstrand_response *response, void *userdata)
{
    static const char text[] = "An echo server: connect with WebSocket.\n";
    (void)userdata;
    if (!wstrand_request_is_upgrade(request) && strcmp(wstrand_request_path(request), "/") == 0)
        wstrand_response_set_body(response, "text/plain", text, sizeof text - 1);
}

static void speak_tls(wstrand_options *options, const char *chain_path, const char *key_path)
{
    size_t chain_size, key_size;
    char *chain = read_file(chain_path, &chain_size);
    char *key = read_file(key_path, &key_size);
    /* If they cannot be used, making the server says so. */
    wstrand_options_set_tls_identity(options, chain, chain_size, key, key_size);
    free(chain);
    free(key);
}

static int usage(void)
{
    fprintf(stderr, "usage: echo_server [--subprotocol P]... [--deflate] [--tls CERT.pem KEY.pem] ADDR\n");
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    const char *address = NULL, *scheme = "ws";
    wstrand_options *options = wstrand_options_new();
    wstrand_options_set_max_connections(options, 16384); /* the system's limits come first */
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_server *server;
    wstrand_error *error;
    sigset_t signals;
    int code, i, signal;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--subprotocol") == 0 && i + 1 < argc)
            wstrand_options_add_subprotocol(options, argv[++i]);
        else if (strcmp(argv[i], "--deflate") == 0)
            wstrand_options_set_deflate(options, 1);
        else if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc) {
            speak_tls(options, argv[i + 1], argv[i + 2]);
            scheme = "wss";
            i += 2;
        } else if (argv[i][0] != '-' && address == NULL)
            address = argv[i];
        else
            return usage();
    }
    if (address == NULL)
        return usage();

    /* Blocked before other threads exist: so the signals wait for sigwait below. */
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);

    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_request(handler, on_request);
    code = wstrand_server_new(address, options, handler, &server, &error);
    wstrand_options_free(options);
    wstrand_handler_free(handler);
    if (code == WSTRAND_OK)
        code = wstrand_server_start(server, &error);
    if (code == WSTRAND_OK) {
        printf("listening on %s://%s/\n", scheme, wstrand_server_address(server));
        fflush(stdout);
        sigwait(&signals, &signal);
        wstrand_server_stop(server, 5000, NULL);
    }
    complain(error);
    wstrand_server_free(server);
    return code == WSTRAND_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
