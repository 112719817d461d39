/* A process ends while fifty connections are alive on both ends and messages fly: without a crash, and at once. */
#include "check.h"

static struct counter arrived = COUNTER;

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    counter_add(&arrived, 1);
    echo(connection, kind, data, size, userdata);
}

int main(int argc, char **argv)
{
    const int connections = is_light(argc, argv) ? 5 : 50;
    char url[URL_SIZE];
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    int i;

    serve_echo(url);
    wstrand_handler_set_on_message(handler, on_message);
    for (i = 0; i < connections; i++)
        CHECK_OK(wstrand_connection_send_text(open_connection(url, NULL, handler), "on and on", 9, NULL));
    CHECK(counter_reaches(&arrived, connections * 10));
    exit(atomic_load(&failures) > 0);
}
