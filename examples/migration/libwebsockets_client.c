/*
 * What libwebsockets' minimal-ws-client does: connects, prints what comes, and when the connection fails or ends
 * connects again after a while that grows, five times at the most. See docs/migration.md.
 *
 *     libwebsockets_client URL [FIRST_WAIT_MS]
 */
#include <stdio.h>
#include <stdlib.h>
#include <wstrand.h>

static void on_open(wstrand_connection *ws, void *userdata)
{
    (void)ws, (void)userdata;
    printf("established\n");
}

static void on_message(wstrand_connection *ws, int kind, const void *data, size_t size, void *userdata)
{
    (void)ws, (void)kind, (void)userdata;
    printf("received %zu bytes: %.*s\n", size, (int)size, (const char *)data);
}

/* Why there is no connection, and what comes next. */
static void on_down(const wstrand_down *down, void *userdata)
{
    (void)userdata;
    printf("%s\n", wstrand_down_text(down));
}

int main(int argc, char **argv)
{
    long wait_ms = argc > 2 ? strtol(argv[2], NULL, 10) : 1000;
    wstrand_options *options = wstrand_options_new();
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_reconnecting *client;
    wstrand_error *error;

    if (argc < 2 || wait_ms < 1)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    wstrand_options_set_ping_interval_ms(options, 3000); /* as secs_since_valid_ping */
    wstrand_options_set_pong_timeout_ms(options, 7000);  /* and secs_since_valid_hangup */
    wstrand_options_set_reconnect_first_delay_ms(options, wait_ms);
    wstrand_options_set_reconnect_max_attempts(options, 5); /* in a row, unless a connection stays up for a while */
    wstrand_options_add_reconnect_retry_on(options, WSTRAND_CLOSE_NORMAL); /* else it is content with that */
    wstrand_handler_set_on_open(handler, on_open);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_down(handler, on_down);
    if (wstrand_reconnect(argv[1], options, handler, &client, &error) != WSTRAND_OK) {
        fprintf(stderr, "%s\n", wstrand_error_text(error));
        wstrand_error_free(error);
        return 2;
    }
    wstrand_handler_free(handler);
    wstrand_options_free(options);

    wstrand_reconnecting_wait_closed(client, -1, NULL);
    printf("connection attempts exhausted\n");
    wstrand_reconnecting_free(client);
    return 1;
}
