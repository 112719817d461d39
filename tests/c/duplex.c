/*
 * Full duplex over one connection: four threads send while the connection's own thread is called back with
 * what comes back. Every message arrives once, and in order per sender, from memory that is freed as soon as it was sent.
 *
 *     duplex [light] [URL]     URL of an echo server; without it, one of this library's
 */
#include "check.h"

enum { SENDERS = 4, MESSAGES = 10000, LIGHT_MESSAGES = 300, LONG = 70000 };

static wstrand_connection *connection;
static int messages;
static int next[SENDERS];
static struct counter arrived = COUNTER, closed = COUNTER;

/* How long a message is; some are longer than what is buffered in one go. */
static size_t size_of(int number)
{
    return number % 500 == 0 ? LONG : 16 + (size_t)number % 200;
}

static void on_message(wstrand_connection *own, int kind, const void *data, size_t size, void *userdata)
{
    char head[17] = "";
    int sender = -1, number = -1;
    CHECK(own == connection);
    CHECK(userdata == next);
    if (!CHECK(size >= 16))
        return;
    memcpy(head, data, 16);
    if (CHECK(sscanf(head, "%d %d", &sender, &number) == 2) && CHECK(sender >= 0 && sender < SENDERS)) {
        CHECK_INT(number, next[sender]);
        CHECK_INT(kind, sender % 2 == 0 ? WSTRAND_TEXT : WSTRAND_BINARY);
        CHECK_INT(size, size_of(number));
        CHECK(((const char *)data)[size - 1] == '.');
        next[sender] = number + 1;
    }
    counter_add(&arrived, 1);
}

static void on_close(wstrand_connection *own, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    (void)own, (void)userdata;
    CHECK_INT(code, 1000);
    CHECK_TEXT(reason, "that is all");
    CHECK_INT(reason_size, 11);
    CHECK(was_clean);
    counter_add(&closed, 1);
}

static void *send_all(void *argument)
{
    const int sender = *(const int *)argument;
    int number;
    for (number = 0; number < messages; number++) {
        const size_t size = size_of(number);
        char *message = malloc(size);
        int code;
        if (!CHECK(message != NULL))
            break;
        memset(message, '.', size);
        message[snprintf(message, 16, "%d %d", sender, number)] = ' ';
        code = sender % 2 == 0 ? wstrand_connection_send_text(connection, message, size, NULL)
                               : wstrand_connection_send_binary(connection, message, size, NULL);
        /* Whatever has not gone out yet must not be what lies here now. */
        memset(message, 0xDD, size);
        free(message);
        if (!CHECK_OK(code))
            break;
    }
    return NULL;
}

int main(int argc, char **argv)
{
    const bool light = is_light(argc, argv);
    const char *remote = argc > (light ? 2 : 1) ? argv[light ? 2 : 1] : NULL;
    wstrand_handler *handler = wstrand_handler_new(next, NULL);
    wstrand_server *server = NULL;
    wstrand_error *error;
    pthread_t threads[SENDERS];
    int senders[SENDERS];
    char url[URL_SIZE];
    int i;

    messages = light ? LIGHT_MESSAGES : MESSAGES;
    if (remote == NULL)
        server = serve_echo(url);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_close(handler, on_close);
    if (wstrand_connect(remote != NULL ? remote : url, NULL, handler, &connection, &error) != WSTRAND_OK) {
        fprintf(stderr, "%s\n", wstrand_error_text(error));
        return EXIT_FAILURE;
    }
    wstrand_handler_free(handler);

    for (i = 0; i < SENDERS; i++) {
        senders[i] = i;
        threads[i] = start_thread(send_all, &senders[i]);
    }
    for (i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    CHECK(counter_reaches(&arrived, (long)SENDERS * messages));
    CHECK_OK(wstrand_connection_close(connection, 1000, "that is all", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK_INT(counter_value(&closed), 1);
    CHECK_INT(counter_value(&arrived), (long)SENDERS * messages);
    for (i = 0; i < SENDERS; i++)
        CHECK_INT(next[i], messages);
    wstrand_connection_free(connection);
    if (server != NULL)
        end_server(server);
    return finish();
}
