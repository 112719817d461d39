/* TLS where there is no memory for something large (shim.c), be it the library's or OpenSSL's: whichever that is, there is
   an error at one end at the least, or it is done without, and the next attempt goes well.

       starved DIRECTORY */
#include "certs.h"

enum { SIZE = 100 * 1000, ROUNDS = 2, ATTEMPTS = 3 };

/* The shim's: from now on requests are counted, and one of them refused; or not any more. */
void shim_count_requests(bool on) __attribute__((weak));

static unsigned char message[SIZE];
static int told;

/* Whether to go on. */
static bool goes_on(int code, wstrand_error *error)
{
    if (code != WSTRAND_OK) {
        told++;
        if (!CHECK(code != WSTRAND_TIMEOUT && code != WSTRAND_UNRESPONSIVE && code != WSTRAND_PANIC))
            fprintf(stderr, "%d: %s\n", code, wstrand_error_text(error));
        fprintf(stderr, "told: %s\n", wstrand_error_text(error));
        wstrand_error_free(error);
    }
    return code == WSTRAND_OK;
}

/* Gives up the connection where it cannot. */
static void send_back(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)kind, (void)userdata;
    if (wstrand_connection_send_binary(connection, data, size, NULL) != WSTRAND_OK)
        wstrand_connection_shutdown(connection);
}

static bool converse(wstrand_connection *connection)
{
    wstrand_error *error = NULL;
    const void *data;
    size_t size;
    int i, kind;
    for (i = 0; i < ROUNDS; i++) {
        int code = wstrand_connection_send_binary(connection, message, SIZE, &error);
        if (!goes_on(code, error))
            return false;
        code = wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, &error);
        if (!goes_on(code, error))
            return false;
        CHECK(size == SIZE && memcmp(data, message, SIZE) == 0);
    }
    CHECK_OK(wstrand_connection_close(connection, 1000, "done", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    if (!wstrand_connection_was_clean(connection))
        told++;
    return true;
}

static bool attempt(wstrand_options *served, wstrand_options *trusting)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection;
    wstrand_server *server;
    wstrand_error *error = NULL;
    bool went_well = false;
    char url[URL_SIZE];
    int code;
    wstrand_handler_set_on_message(handler, send_back);
    code = wstrand_server_new("127.0.0.1:0", served, handler, &server, &error);
    wstrand_handler_free(handler);
    if (!goes_on(code, error))
        return false;
    code = wstrand_server_start(server, &error);
    if (goes_on(code, error)) {
        snprintf(url, sizeof url, "wss://%s/", wstrand_server_address(server));
        code = wstrand_connect(url, trusting, NULL, &connection, &error);
        if (goes_on(code, error)) {
            went_well = converse(connection);
            wstrand_connection_free(connection);
        }
    }
    end_server(server);
    return went_well;
}

int main(int argc, char **argv)
{
    wstrand_options *served = wstrand_options_new(), *trusting = wstrand_options_new();
    int i;
    REQUIRE(argc == 2 && shim_count_requests != NULL);
    for (i = 0; i < SIZE; i++)
        message[i] = (unsigned char)(i * 31 + i / 1000);
    certs = argv[1];
    identify(served, "server");
    trust(trusting);
    shim_count_requests(true);
    for (i = 0; i < ATTEMPTS && !attempt(served, trusting); i++)
        ;
    shim_count_requests(false);
    CHECK(i < ATTEMPTS);
    CHECK(told <= 1);
    wstrand_options_free(served);
    wstrand_options_free(trusting);
    return finish();
}
