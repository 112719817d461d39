/*
 * What libwebsockets' minimal-ws-client does: connects, prints what comes, and when the connection fails or ends
 * connects again after a while that grows, five times at the most. See docs/migration.md.
 *
 *     libwebsockets_client URL [FIRST_WAIT_MS]
 */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <wstrand.h>

/* Receives until the connection has ended; tells whether there was one. */
static int serve(const char *url, const wstrand_options *options)
{
    wstrand_connection *ws;
    wstrand_error *error;
    const void *data;
    size_t size;
    int kind, code = wstrand_connect(url, options, NULL, &ws, &error);
    int connected = code == WSTRAND_OK;

    if (connected) {
        printf("established\n");
        while ((code = wstrand_connection_receive(ws, -1, &kind, &data, &size, &error)) == WSTRAND_OK)
            printf("received %zu bytes: %.*s\n", size, (int)size, (const char *)data);
    }
    printf("%s\n", wstrand_error_text(error));
    wstrand_error_free(error);
    wstrand_connection_free(ws);
    return connected;
}

int main(int argc, char **argv)
{
    wstrand_options *options = wstrand_options_new();
    long wait_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
    int attempts;

    if (argc < 2 || wait_ms < 1)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    wstrand_options_set_ping_interval_ms(options, 3000); /* as secs_since_valid_ping */
    wstrand_options_set_pong_timeout_ms(options, 7000);  /* and secs_since_valid_hangup */
    for (attempts = 0; attempts < 5; attempts++) {
        long ms = wait_ms * (attempts + 1);
        struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
        if (serve(argv[1], options))
            attempts = -1; /* it worked: begin anew */
        else
            nanosleep(&pause, NULL);
    }
    printf("connection attempts exhausted\n");
    wstrand_options_free(options);
    return 1;
}
