/*
 * An echo client in pull style: sends every message back until the server closes.
 *
 *     echo_client [--subprotocol P]... [--deflate] [--ca PEM] [--insecure] [--proxy URL] URL
 *
 * With --deflate messages are compressed, if the server does so too.
 *
 * Exits with 0 after a clean close, else says why not and exits with 1.
 */
#include "file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wstrand.h>

static int usage(void)
{
    fprintf(stderr, "usage: echo_client [--subprotocol P]... [--deflate] [--ca PEM] [--insecure] [--proxy URL] URL\n");
    return EXIT_FAILURE;
}

static int fail(wstrand_error *error)
{
    fprintf(stderr, "echo_client: %s\n", wstrand_error_text(error));
    wstrand_error_free(error);
    return EXIT_FAILURE;
}

static void trust(wstrand_options *options, const char *path)
{
    size_t size;
    char *pem = read_file(path, &size);
    wstrand_options_add_tls_roots(options, pem, size); /* if they cannot be used, connecting says so */
    free(pem);
}

/* Sends back what comes until nothing more does; says how that ended. */
static int echo(wstrand_connection *connection, wstrand_error **error)
{
    for (;;) {
        int kind;
        const void *data;
        size_t size;
        int code = wstrand_connection_receive(connection, -1, &kind, &data, &size, error);
        if (code != WSTRAND_OK)
            return code;
        /* If it fails, the next call that receives says why. */
        if (kind == WSTRAND_TEXT)
            wstrand_connection_send_text(connection, data, size, NULL);
        else
            wstrand_connection_send_binary(connection, data, size, NULL);
    }
}

int main(int argc, char **argv)
{
    const char *url = NULL, *subprotocol;
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection;
    wstrand_error *error;
    int code, i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--subprotocol") == 0 && i + 1 < argc)
            wstrand_options_add_subprotocol(options, argv[++i]);
        else if (strcmp(argv[i], "--deflate") == 0)
            wstrand_options_set_deflate(options, 1);
        else if (strcmp(argv[i], "--ca") == 0 && i + 1 < argc)
            trust(options, argv[++i]);
        else if (strcmp(argv[i], "--insecure") == 0)
            wstrand_options_danger_accept_invalid_certs(options, 1);
        else if (strcmp(argv[i], "--proxy") == 0 && i + 1 < argc)
            wstrand_options_set_proxy(options, argv[++i]);
        else if (argv[i][0] != '-' && url == NULL)
            url = argv[i];
        else
            return usage();
    }
    if (url == NULL)
        return usage();

    code = wstrand_connect(url, options, NULL, &connection, &error);
    wstrand_options_free(options);
    if (code != WSTRAND_OK)
        return fail(error);
    subprotocol = wstrand_connection_subprotocol(connection);
    printf("open subprotocol=%s\n", subprotocol ? subprotocol : "");
    fflush(stdout);

    code = echo(connection, &error);
    printf("closed %u %s\n", (unsigned)wstrand_connection_close_code(connection),
           wstrand_connection_close_reason(connection, NULL));
    wstrand_connection_free(connection);
    if (code != WSTRAND_CLOSED)
        return fail(error);
    wstrand_error_free(error);
    return EXIT_SUCCESS;
}
