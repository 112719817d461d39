/* A client and a server in one program: says hello to itself over TCP, prints what comes back. */
#include <stdio.h>
#include <string.h>
#include <wstrand.h>

static void on_message(wstrand_connection *ws, int kind, const void *data, size_t size, void *userdata)
{
    (void)kind, (void)userdata;
    wstrand_connection_send_text(ws, data, size, NULL);
}

int main(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_server *server;
    wstrand_connection *ws;
    const void *data;
    size_t size;
    char url[64];
    int kind, failed = 1;

    wstrand_handler_set_on_message(handler, on_message);
    if (wstrand_server_new("127.0.0.1:0", NULL, handler, &server, NULL) != WSTRAND_OK
        || wstrand_server_start(server, NULL) != WSTRAND_OK)
        return 1;
    snprintf(url, sizeof url, "ws://%s/", wstrand_server_address(server));
    if (wstrand_connect(url, NULL, NULL, &ws, NULL) == WSTRAND_OK) {
        wstrand_connection_send_string(ws, "hello", NULL);
        if (wstrand_connection_receive(ws, 10000, &kind, &data, &size, NULL) == WSTRAND_OK) {
            printf("wstrand %s: %.*s\n", wstrand_version(), (int)size, (const char *)data);
            failed = size != 5 || memcmp(data, "hello", 5) != 0;
        }
    }
    wstrand_connection_free(ws);
    wstrand_server_free(server);
    wstrand_handler_free(handler);
    return failed;
}
