/* A log callback that calls the library: sends, closes, connects, sets another log. Nothing is locked meanwhile, and it
   is not called for what it does itself. */
#include "check.h"

static struct counter lines = COUNTER, freed = COUNTER;
static wstrand_connection *connection;
static _Thread_local int depth;

static void on_log(int level, const char *target, const char *text, void *userdata)
{
    const char *const nobody = "ws://127.0.0.1:1/";
    wstrand_connection *none;
    (void)level, (void)target, (void)text, (void)userdata;
    CHECK_INT(depth++, 0);
    if (connection != NULL) {
        (void)wstrand_connection_send_text(connection, "from the log", 12, NULL);
        (void)wstrand_connection_close(connection, 1000, NULL, NULL);
    }
    CHECK_INT(wstrand_connect(nobody, NULL, NULL, &none, NULL), WSTRAND_IO);
    CHECK_INT(wstrand_set_log(NULL, 77, NULL, NULL), WSTRAND_INVALID_ARGUMENT);
    depth--;
    counter_add(&lines, 1);
}

static void on_free(void *userdata)
{
    (void)userdata;
    counter_add(&freed, 1);
}

int main(int argc, char **argv)
{
    const int rounds = is_light(argc, argv) ? 2 : 20;
    wstrand_options *strict = wstrand_options_new();
    char url[URL_SIZE];
    wstrand_server *server;
    int i;

    CHECK_OK(wstrand_set_log(on_log, WSTRAND_LOG_TRACE, NULL, on_free));
    server = serve_echo(url);
    CHECK_OK(wstrand_options_add_header(strict, "Origin", "http://elsewhere"));
    for (i = 0; i < rounds; i++) {
        wstrand_connection *refused;
        connection = open_connection(url, NULL, NULL);
        /* The server tells of whom it refuses, and of why. */
        CHECK_INT(wstrand_connect(url, strict, NULL, &refused, NULL), WSTRAND_HANDSHAKE);
        CHECK(counter_reaches(&lines, i + 1));
        CHECK_OK(wstrand_set_log(NULL, WSTRAND_LOG_OFF, NULL, NULL));
        CHECK(counter_reaches(&freed, i + 1));
        wstrand_connection_free(connection);
        connection = NULL;
        CHECK_OK(wstrand_set_log(on_log, WSTRAND_LOG_TRACE, NULL, on_free));
    }
    CHECK_OK(wstrand_set_log(NULL, WSTRAND_LOG_OFF, NULL, NULL));
    CHECK(counter_reaches(&freed, rounds + 1));
    wstrand_options_free(strict);
    end_server(server);
    return finish();
}
