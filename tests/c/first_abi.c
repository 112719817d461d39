/* A program that was built with the first header: its declarations alone, all of its functions, and a bit of
   everything that they do. Whatever library has the same SONAME runs it. */
#include "../abi/first.h" /* has the guard of today's header, which check.h then leaves out */

#include "check.h"

#define F(name) (void (*)(void))name

static void (*const all[])(void) = {
    F(wstrand_abi_version), F(wstrand_connect), F(wstrand_connection_begin_message),
    F(wstrand_connection_buffered_amount), F(wstrand_connection_close), F(wstrand_connection_close_code),
    F(wstrand_connection_close_reason), F(wstrand_connection_flush), F(wstrand_connection_free),
    F(wstrand_connection_header), F(wstrand_connection_local_address), F(wstrand_connection_peer_address),
    F(wstrand_connection_ping), F(wstrand_connection_ready_state), F(wstrand_connection_receive),
    F(wstrand_connection_request), F(wstrand_connection_retain), F(wstrand_connection_round_trip_us),
    F(wstrand_connection_send_binary), F(wstrand_connection_send_string), F(wstrand_connection_send_text),
    F(wstrand_connection_set_userdata), F(wstrand_connection_shutdown), F(wstrand_connection_subprotocol),
    F(wstrand_connection_try_send_binary), F(wstrand_connection_try_send_text), F(wstrand_connection_userdata),
    F(wstrand_connection_wait_closed), F(wstrand_connection_was_clean), F(wstrand_error_close_code),
    F(wstrand_error_code), F(wstrand_error_free), F(wstrand_error_http_body), F(wstrand_error_http_header),
    F(wstrand_error_http_status), F(wstrand_error_os_code), F(wstrand_error_phase), F(wstrand_error_text),
    F(wstrand_handler_free), F(wstrand_handler_new), F(wstrand_handler_set_on_close),
    F(wstrand_handler_set_on_connection), F(wstrand_handler_set_on_error), F(wstrand_handler_set_on_message),
    F(wstrand_handler_set_on_open), F(wstrand_handler_set_on_ping), F(wstrand_handler_set_on_pong),
    F(wstrand_handler_set_on_request), F(wstrand_options_add_allowed_origin), F(wstrand_options_add_header),
    F(wstrand_options_add_subprotocol), F(wstrand_options_allow_any_origin), F(wstrand_options_free),
    F(wstrand_options_new), F(wstrand_options_set_close_timeout_ms), F(wstrand_options_set_connect_timeout_ms),
    F(wstrand_options_set_handshake_timeout_ms), F(wstrand_options_set_max_buffered_bytes),
    F(wstrand_options_set_max_connections), F(wstrand_options_set_max_fragments),
    F(wstrand_options_set_max_head_bytes), F(wstrand_options_set_max_message_bytes),
    F(wstrand_options_set_ping_interval_ms), F(wstrand_options_set_pong_timeout_ms),
    F(wstrand_options_set_send_timeout_ms), F(wstrand_options_set_stack_bytes), F(wstrand_request_header),
    F(wstrand_request_is_upgrade), F(wstrand_request_method), F(wstrand_request_origin),
    F(wstrand_request_path), F(wstrand_request_peer_address), F(wstrand_request_query),
    F(wstrand_request_subprotocol), F(wstrand_response_accept), F(wstrand_response_add_header),
    F(wstrand_response_set_body), F(wstrand_response_set_status), F(wstrand_server_address),
    F(wstrand_server_connection_count), F(wstrand_server_free), F(wstrand_server_new), F(wstrand_server_port),
    F(wstrand_server_run), F(wstrand_server_start), F(wstrand_server_stop), F(wstrand_set_log),
    F(wstrand_strerror), F(wstrand_version), F(wstrand_writer_finish), F(wstrand_writer_flush),
    F(wstrand_writer_free), F(wstrand_writer_write),
};

static struct counter opened = COUNTER, received = COUNTER, closed = COUNTER, freed = COUNTER;

static void on_open(wstrand_connection *connection, void *userdata)
{
    CHECK(userdata == &opened);
    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_OPEN);
    counter_add(&opened, 1);
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)userdata;
    CHECK(kind == WSTRAND_TEXT && size == 5 && memcmp(data, "hello", 5) == 0);
    counter_add(&received, 1);
    CHECK_OK(wstrand_connection_close(connection, 4000, "enough", NULL));
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    (void)connection, (void)userdata;
    CHECK(code == 4000 && reason_size == 6 && strcmp(reason, "enough") == 0 && was_clean);
    counter_add(&closed, 1);
}

static void on_free(void *userdata)
{
    CHECK(userdata == &opened);
    counter_add(&freed, 1);
}

static void called_back(const char *url)
{
    wstrand_handler *handler = wstrand_handler_new(&opened, on_free);
    wstrand_connection *connection;
    CHECK_OK(wstrand_handler_set_on_open(handler, on_open));
    CHECK_OK(wstrand_handler_set_on_message(handler, on_message));
    CHECK_OK(wstrand_handler_set_on_close(handler, on_close));
    connection = open_connection(url, NULL, handler);
    wstrand_handler_free(handler);
    CHECK_OK(wstrand_connection_send_string(connection, "hello", NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    wstrand_connection_free(connection);
    CHECK_INT(counter_value(&opened) + counter_value(&received) + counter_value(&closed), 3);
    CHECK_INT(counter_value(&freed), 1);
}

static void pulled(const char *url)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection;
    wstrand_writer *writer;
    wstrand_error *error;
    const void *data;
    size_t size;
    int kind;
    CHECK_OK(wstrand_options_set_max_message_bytes(options, 100));
    connection = open_connection(url, options, NULL);
    wstrand_options_free(options);
    CHECK_OK(wstrand_connection_send_binary(connection, "\0\1", 2, NULL));
    CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, &error));
    CHECK(error == NULL && kind == WSTRAND_BINARY && size == 2);
    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_BINARY, &writer, NULL) == WSTRAND_OK);
    CHECK_OK(wstrand_writer_write(writer, "too long: 101 bytes", 19, NULL));
    while (size++ < 84)
        CHECK_OK(wstrand_writer_write(writer, "x", 1, NULL));
    CHECK_OK(wstrand_writer_finish(writer, NULL));
    wstrand_writer_free(writer);
    CHECK_INT(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, &error), WSTRAND_PROTOCOL);
    CHECK_INT(wstrand_error_code(error), WSTRAND_PROTOCOL);
    CHECK_INT(wstrand_error_close_code(error), WSTRAND_CLOSE_MESSAGE_TOO_BIG);
    wstrand_error_free(error);
    wstrand_connection_free(connection);
    CHECK_INT(wstrand_connect("nonsense", NULL, NULL, &connection, NULL), WSTRAND_INVALID_ARGUMENT);
    CHECK(connection == NULL);
}

int main(void)
{
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    size_t i;
    for (i = 0; i < sizeof all / sizeof *all; i++)
        CHECK(all[i] != NULL);
    CHECK_INT(wstrand_abi_version(), WSTRAND_ABI_VERSION);
    called_back(url);
    pulled(url);
    end_server(server);
    return finish();
}
