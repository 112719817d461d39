/*
 * What curl's example websocket.c does: sends a ping, waits for the pong that answers it, several times, and closes.
 * See docs/migration.md.
 *
 *     curl_websocket URL [TIMES]
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wstrand.h>

static const char payload[] = "foobar";
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int pongs;
static bool closed;

static void on_pong(wstrand_connection *ws, const void *data, size_t size, void *userdata)
{
    (void)ws, (void)userdata;
    if (size != strlen(payload) || memcmp(data, payload, size) != 0)
        return; /* it answers one of the library's own pings */
    pthread_mutex_lock(&lock);
    pongs++;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

static void on_close(wstrand_connection *ws, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    (void)ws, (void)reason_size, (void)userdata;
    printf("closed %d %s%s\n", code, reason, was_clean ? "" : "(lost)");
    pthread_mutex_lock(&lock);
    closed = true;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

int main(int argc, char **argv)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *ws;
    wstrand_error *error;
    bool answered;
    int i, times = argc > 2 ? atoi(argv[2]) : 10;

    wstrand_handler_set_on_pong(handler, on_pong);
    wstrand_handler_set_on_close(handler, on_close);
    if (argc < 2) {
        fprintf(stderr, "usage: curl_websocket URL [TIMES]\n");
        return 1;
    }
    if (wstrand_connect(argv[1], NULL, handler, &ws, &error) != WSTRAND_OK) {
        fprintf(stderr, "%s\n", wstrand_error_text(error));
        wstrand_error_free(error);
        return 1;
    }
    wstrand_handler_free(handler);
    for (i = 1; i <= times; i++) {
        if (wstrand_connection_ping(ws, payload, strlen(payload), NULL) != WSTRAND_OK)
            break;
        pthread_mutex_lock(&lock);
        while (pongs < i && !closed)
            pthread_cond_wait(&changed, &lock);
        answered = pongs >= i;
        pthread_mutex_unlock(&lock);
        if (!answered)
            break;
        printf("ping %d answered\n", i);
    }
    wstrand_connection_close(ws, WSTRAND_CLOSE_NORMAL, "done", NULL);
    wstrand_connection_wait_closed(ws, -1, NULL);
    wstrand_connection_free(ws);
    return pongs == times ? 0 : 1;
}
