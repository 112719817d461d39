/* Arguments that cannot be used: NULL for every pointer of every function, text that is not UTF-8, numbers
   out of range. Each is answered with a code or what the header says, and nothing crashes. */
#include "check.h"

static const char bad[] = "a\xff"
                          "b";
static const char line_end[] = "a\r\nb";

#define CHECK_INVALID(call) CHECK_INT(call, WSTRAND_INVALID_ARGUMENT)

/* With an error object: the same code in it, and a text. */
#define CHECK_REFUSED(call, wanted)                                                                 \
    do {                                                                                            \
        wstrand_error *error = (void *)&error;                                                      \
        CHECK_INT(call, wanted);                                                                    \
        CHECK_INT(wstrand_error_code(error), wanted);                                               \
        CHECK(wstrand_error_text(error)[0] != '\0');                                                \
        wstrand_error_free(error);                                                                  \
    } while (0)

static void errors(void)
{
    size_t size = 99;
    int code;
    CHECK_INT(wstrand_error_code(NULL), WSTRAND_OK);
    CHECK_TEXT(wstrand_error_text(NULL), "no error");
    CHECK_TEXT(wstrand_error_phase(NULL), "");
    CHECK_INT(wstrand_error_os_code(NULL), 0);
    CHECK_INT(wstrand_error_close_code(NULL), 0);
    CHECK_INT(wstrand_error_http_status(NULL), 0);
    CHECK(wstrand_error_http_header(NULL, NULL, 0) == NULL);
    CHECK(wstrand_error_http_body(NULL, NULL) == NULL);
    CHECK(wstrand_error_http_body(NULL, &size) == NULL);
    CHECK(wstrand_error_copy(NULL) == NULL);
    wstrand_error_free(NULL);
    for (code = -1; code <= 300; code++) {
        const bool is_code = code >= WSTRAND_OK && code <= WSTRAND_FORKED;
        CHECK(wstrand_strerror(code)[0] != '\0');
        CHECK((strcmp(wstrand_strerror(code), "unknown code") == 0) == !is_code);
    }
    CHECK(wstrand_version()[0] != '\0');
    CHECK_INT(wstrand_abi_version(), WSTRAND_ABI_VERSION);
}

static void option_values(void)
{
    static int (*const timeouts[])(wstrand_options *, int64_t) = {
        wstrand_options_set_connect_timeout_ms, wstrand_options_set_send_timeout_ms,
        wstrand_options_set_close_timeout_ms,   wstrand_options_set_pong_timeout_ms,
        wstrand_options_set_handshake_timeout_ms,
    };
    static int (*const positive[])(wstrand_options *, size_t) = {
        wstrand_options_set_max_fragments,
        wstrand_options_set_max_head_bytes,
        wstrand_options_set_max_buffered_bytes,
    };
    static int (*const any[])(wstrand_options *, size_t) = {
        wstrand_options_set_max_message_bytes,
        wstrand_options_set_max_connections,
        wstrand_options_set_max_handshakes,
        wstrand_options_set_stack_bytes,
    };
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection;
    size_t i;
    int value;

    for (i = 0; i < sizeof timeouts / sizeof *timeouts; i++) {
        CHECK_INVALID(timeouts[i](NULL, 1));
        CHECK_INVALID(timeouts[i](options, INT64_MIN));
        for (value = -1; value <= 300; value++)
            CHECK_INT(timeouts[i](options, value), value < 1 ? WSTRAND_INVALID_ARGUMENT : WSTRAND_OK);
        CHECK_OK(timeouts[i](options, INT64_MAX));
    }
    CHECK_INVALID(wstrand_options_set_ping_interval_ms(NULL, 1));
    for (value = -1; value <= 300; value++)
        CHECK_INT(wstrand_options_set_ping_interval_ms(options, value),
                  value < 0 ? WSTRAND_INVALID_ARGUMENT : WSTRAND_OK);
    CHECK_OK(wstrand_options_set_ping_interval_ms(options, INT64_MAX));
    for (i = 0; i < 3; i++) {
        CHECK_INVALID(positive[i](NULL, 1));
        CHECK_INVALID(any[i](NULL, 1));
        for (value = 0; value <= 300; value++) {
            CHECK_INT(positive[i](options, (size_t)value),
                      value == 0 ? WSTRAND_INVALID_ARGUMENT : WSTRAND_OK);
            CHECK_OK(any[i](options, (size_t)value));
        }
        CHECK_OK(positive[i](options, SIZE_MAX));
        CHECK_OK(any[i](options, SIZE_MAX));
    }

    CHECK_INVALID(wstrand_options_add_subprotocol(NULL, "a"));
    CHECK_INVALID(wstrand_options_add_subprotocol(options, NULL));
    CHECK_INVALID(wstrand_options_add_subprotocol(options, ""));
    CHECK_INVALID(wstrand_options_add_subprotocol(options, "a b"));
    CHECK_INVALID(wstrand_options_add_subprotocol(options, bad));
    CHECK_INVALID(wstrand_options_add_subprotocol(options, line_end));
    CHECK_INVALID(wstrand_options_add_header(NULL, "A", "b"));
    CHECK_INVALID(wstrand_options_add_header(options, NULL, "b"));
    CHECK_INVALID(wstrand_options_add_header(options, "A", NULL));
    CHECK_INVALID(wstrand_options_add_header(options, "", "b"));
    CHECK_INVALID(wstrand_options_add_header(options, bad, "b"));
    CHECK_INVALID(wstrand_options_add_header(options, "A", bad));
    CHECK_INVALID(wstrand_options_add_header(options, line_end, "b"));
    CHECK_INVALID(wstrand_options_add_header(options, "A", line_end));
    CHECK_INVALID(wstrand_options_add_header(options, "Host", "b"));
    CHECK_INVALID(wstrand_options_add_header(options, "sec-websocket-key", "b"));
    CHECK_INVALID(wstrand_options_add_allowed_origin(NULL, "https://example.com"));
    CHECK_INVALID(wstrand_options_add_allowed_origin(options, NULL));
    CHECK_INVALID(wstrand_options_add_allowed_origin(options, bad));
    CHECK_INVALID(wstrand_options_allow_any_origin(NULL));
    CHECK_OK(wstrand_options_allow_any_origin(options));

    /* What was refused is remembered. */
    CHECK_REFUSED(wstrand_connect("ws://127.0.0.1:1/", options, NULL, &connection, &error),
                  WSTRAND_INVALID_ARGUMENT);
    wstrand_options_free(options);
    wstrand_options_free(NULL);
}

/* A new object each time, for what was refused is remembered. */
#define CHECK_OPTION(name, ...)                                                                     \
    do {                                                                                            \
        wstrand_options *options = wstrand_options_new();                                           \
        CHECK_INVALID(name(NULL, __VA_ARGS__));                                   \
        CHECK_OK(name(options, __VA_ARGS__));                                     \
        wstrand_options_free(options);                                                              \
    } while (0)

#define CHECK_NO_OPTION(wanted, name, ...)                                                          \
    do {                                                                                            \
        wstrand_options *options = wstrand_options_new();                                           \
        wstrand_connection *connection;                                                             \
        CHECK_INT(name(options, __VA_ARGS__), wanted);                            \
        CHECK_REFUSED(wstrand_connect("ws://127.0.0.1:1/", options, NULL, &connection, &error), wanted); \
        wstrand_options_free(options);                                                              \
    } while (0)

static void ways(const char *good)
{
    static const char *const proxies[] = {"", "nonsense", "ftp://127.0.0.1", "http://", "http://:1", bad, line_end};
    static const char *const addresses[] = {"", "nonsense", "127.0.0.1:1", "127.0.0", "[::1]", bad, line_end};
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection;
    wstrand_server *server;
    wstrand_cancel *cancel;
    size_t i;

    CHECK_OPTION(wstrand_options_set_tcp_nodelay, 0);
    CHECK_OPTION(wstrand_options_set_tcp_keepalive, -1);
    CHECK_OPTION(wstrand_options_set_max_redirects, SIZE_MAX);
    CHECK_OPTION(wstrand_options_set_proxy, "http://me:secret@127.0.0.1:1");
    CHECK_OPTION(wstrand_options_set_local_address, "::1");
    CHECK_INVALID(wstrand_options_use_proxy_of_environment(NULL));
    CHECK_OK(wstrand_options_use_proxy_of_environment(options));
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_proxy, NULL);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_local_address, NULL);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_cancel, NULL);
    for (i = 0; i < sizeof proxies / sizeof *proxies; i++) {
        CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_proxy, proxies[i]);
        CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_local_address, addresses[i]);
    }

    CHECK_REFUSED(wstrand_cancel_new(NULL, &error), WSTRAND_INVALID_ARGUMENT);
    REQUIRE(wstrand_cancel_new(&cancel, NULL) == WSTRAND_OK);
    CHECK_INVALID(wstrand_options_set_cancel(NULL, cancel));
    CHECK_OK(wstrand_options_set_cancel(options, cancel));
    CHECK(!wstrand_cancel_is_triggered(cancel) && !wstrand_cancel_is_triggered(NULL));
    wstrand_cancel_trigger(NULL);
    wstrand_cancel_free(cancel);
    wstrand_cancel_free(NULL);
    wstrand_options_free(options);

    CHECK_REFUSED(wstrand_connect_unix(NULL, good, NULL, NULL, &connection, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK(connection == NULL);
    CHECK_INVALID(wstrand_connect_unix(bad, good, NULL, NULL, &connection, NULL));
    CHECK_INVALID(wstrand_connect_unix("/", NULL, NULL, NULL, &connection, NULL));
    CHECK_INVALID(wstrand_connect_unix("/", good, NULL, NULL, NULL, NULL));
    CHECK_INT(wstrand_connect_unix("/", good, NULL, NULL, &connection, NULL), WSTRAND_IO);
    CHECK_INT(wstrand_connect_unix("", good, NULL, NULL, &connection, NULL), WSTRAND_IO);
    CHECK_REFUSED(wstrand_connect_over(-1, good, NULL, NULL, &connection, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_connect_over(INT32_MIN, good, NULL, NULL, &connection, NULL));
    CHECK_INVALID(wstrand_connect_over(INT32_MAX, good, NULL, NULL, &connection, NULL));
    CHECK_REFUSED(wstrand_server_new_unix(NULL, NULL, handler, &server, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK(server == NULL);
    CHECK_INVALID(wstrand_server_new_unix(bad, NULL, handler, &server, NULL));
    CHECK_INVALID(wstrand_server_new_unix("/", NULL, NULL, &server, NULL));
    CHECK_INVALID(wstrand_server_new_unix("/", NULL, handler, NULL, NULL));
    CHECK_INT(wstrand_server_new_unix("/", NULL, handler, &server, NULL), WSTRAND_IO);
    CHECK_REFUSED(wstrand_server_new_over(-1, NULL, handler, &server, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_server_new_over(INT32_MAX, NULL, handler, &server, NULL));
    wstrand_handler_free(handler);
}

static void compression(const char *url)
{
    static const struct {
        int (*set)(wstrand_options *, int);
        int first, last;
    } ranges[] = {
        {wstrand_options_set_deflate, -1, 300}, /* 0 is off, all others are on */
        {wstrand_options_set_deflate_server_no_context_takeover, -1, 300},
        {wstrand_options_set_deflate_client_no_context_takeover, -1, 300},
        {wstrand_options_set_deflate_level, 0, 9},
        {wstrand_options_set_deflate_server_max_window_bits, 8, 15},
        {wstrand_options_set_deflate_client_max_window_bits, 8, 15},
    };
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    wstrand_prepared *prepared;
    size_t i;
    int value;

    for (i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        CHECK_INVALID(ranges[i].set(NULL, ranges[i].first));
        for (value = -1; value <= 300; value++)
            CHECK_INT(ranges[i].set(options, value),
                      value >= ranges[i].first && value <= ranges[i].last ? WSTRAND_OK : WSTRAND_INVALID_ARGUMENT);
    }
    CHECK_OPTION(wstrand_options_set_deflate_threshold_bytes, SIZE_MAX);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_deflate_level, 10);
    wstrand_options_free(options);

    CHECK_INVALID(wstrand_prepared_new(WSTRAND_TEXT, "a", 1, NULL, NULL));
    CHECK_REFUSED(wstrand_prepared_new(WSTRAND_TEXT, bad, 3, &prepared, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK(prepared == NULL);
    CHECK_INVALID(wstrand_prepared_new(WSTRAND_BINARY, NULL, 1, &prepared, NULL));
    CHECK_INVALID(wstrand_prepared_new(WSTRAND_BINARY, "a", SIZE_MAX, &prepared, NULL));
    CHECK_INVALID(wstrand_prepared_new_uncompressed(WSTRAND_TEXT, "a", 1, NULL, NULL));
    CHECK_REFUSED(wstrand_prepared_new_uncompressed(WSTRAND_TEXT, bad, 3, &prepared, &error),
                  WSTRAND_INVALID_ARGUMENT);
    CHECK(prepared == NULL);
    CHECK_INVALID(wstrand_prepared_new_uncompressed(WSTRAND_BINARY, NULL, 1, &prepared, NULL));
    CHECK_INVALID(wstrand_prepared_new_uncompressed(WSTRAND_BINARY, "a", SIZE_MAX, &prepared, NULL));
    for (value = -1; value <= 300; value++) {
        const bool is_kind = value == WSTRAND_TEXT || value == WSTRAND_BINARY;
        const int wanted = is_kind ? WSTRAND_OK : WSTRAND_INVALID_ARGUMENT;
        CHECK_INT(wstrand_prepared_new(value, "a", 1, &prepared, NULL), wanted);
        CHECK((prepared != NULL) == is_kind);
        CHECK_INT(wstrand_connection_send_uncompressed(connection, value, NULL, 0, NULL), wanted);
        CHECK_INT(wstrand_connection_queue(connection, value, NULL, 0, NULL), wanted);
        if (is_kind)
            CHECK_OK(wstrand_connection_try_send_prepared(connection, prepared, NULL));
        wstrand_prepared_free(prepared);
        CHECK_INT(wstrand_prepared_new_uncompressed(value, NULL, 0, &prepared, NULL), wanted);
        CHECK((prepared != NULL) == is_kind);
        if (is_kind)
            CHECK_OK(wstrand_connection_queue_prepared(connection, prepared, NULL));
        wstrand_prepared_free(prepared);
    }
    CHECK_INVALID(wstrand_connection_send_uncompressed(connection, WSTRAND_TEXT, bad, 3, NULL));
    CHECK_INVALID(wstrand_connection_send_uncompressed(connection, WSTRAND_BINARY, NULL, 1, NULL));
    CHECK_REFUSED(wstrand_connection_send_prepared(connection, NULL, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_connection_try_send_prepared(connection, NULL, NULL));
    CHECK_REFUSED(wstrand_connection_queue_prepared(connection, NULL, &error), WSTRAND_INVALID_ARGUMENT);
    REQUIRE(wstrand_prepared_new(WSTRAND_TEXT, NULL, 0, &prepared, NULL) == WSTRAND_OK);
    CHECK_INVALID(wstrand_connection_send_prepared(NULL, prepared, NULL));
    CHECK_INVALID(wstrand_connection_try_send_prepared(NULL, prepared, NULL));
    CHECK_INVALID(wstrand_connection_queue_prepared(NULL, prepared, NULL));
    CHECK_OK(wstrand_connection_send_prepared(connection, prepared, NULL));
    wstrand_prepared_free(prepared);
    CHECK_TEXT(wstrand_connection_extensions(connection), "");
    wstrand_connection_free(connection);
}

static void groups(const char *url)
{
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    wstrand_group *group = wstrand_group_new();
    wstrand_prepared *prepared;
    size_t queued = 99;
    int value;

    REQUIRE(wstrand_prepared_new(WSTRAND_TEXT, "a", 1, &prepared, NULL) == WSTRAND_OK);
    for (value = -1; value <= 300; value++)
        CHECK_INT(wstrand_group_set_overflow(group, value),
                  value == WSTRAND_OVERFLOW_CLOSE || value == WSTRAND_OVERFLOW_DROP ? WSTRAND_OK
                                                                                    : WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_group_set_overflow(NULL, WSTRAND_OVERFLOW_DROP));
    CHECK(!wstrand_group_join(NULL, connection) && !wstrand_group_join(group, NULL));
    CHECK(!wstrand_group_leave(NULL, connection) && !wstrand_group_leave(group, NULL));
    CHECK(!wstrand_group_contains(NULL, connection) && !wstrand_group_contains(group, NULL));
    CHECK(wstrand_group_count(NULL) == 0 && wstrand_group_dropped(NULL) == 0);
    CHECK_INVALID(wstrand_group_send_text(NULL, "a", 1, &queued, NULL));
    CHECK_INVALID(wstrand_group_send_text(group, NULL, 1, &queued, NULL));
    CHECK_REFUSED(wstrand_group_send_text(group, bad, 3, &queued, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_group_send_binary(NULL, "a", 1, &queued, NULL));
    CHECK_INVALID(wstrand_group_send_binary(group, NULL, 1, &queued, NULL));
    CHECK_REFUSED(wstrand_group_send_binary(group, "a", SIZE_MAX, &queued, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_group_send_text_except(NULL, connection, "a", 1, &queued, NULL));
    CHECK_INVALID(wstrand_group_send_text_except(group, NULL, "a", 1, &queued, NULL));
    CHECK_REFUSED(wstrand_group_send_text_except(group, connection, bad, 3, &queued, &error),
                  WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_group_send_binary_except(NULL, connection, "a", 1, &queued, NULL));
    CHECK_INVALID(wstrand_group_send_binary_except(group, NULL, "a", 1, &queued, NULL));
    CHECK_REFUSED(wstrand_group_send_binary_except(group, connection, NULL, 1, &queued, &error),
                  WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_group_send_prepared(NULL, prepared, &queued, NULL));
    CHECK_REFUSED(wstrand_group_send_prepared(group, NULL, &queued, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_group_send_prepared_except(NULL, connection, prepared, &queued, NULL));
    CHECK_INVALID(wstrand_group_send_prepared_except(group, NULL, prepared, &queued, NULL));
    CHECK_REFUSED(wstrand_group_send_prepared_except(group, connection, NULL, &queued, &error),
                  WSTRAND_INVALID_ARGUMENT);
    CHECK_INT(queued, 99);
    CHECK_OK(wstrand_group_send_text(group, NULL, 0, &queued, NULL));
    CHECK_INT(queued, 0);
    CHECK(wstrand_group_join(group, connection));
    CHECK_OK(wstrand_group_send_binary(group, NULL, 0, NULL, NULL));
    CHECK_OK(wstrand_group_send_prepared(group, prepared, NULL, NULL));
    CHECK_OK(wstrand_group_send_prepared_except(group, connection, prepared, &queued, NULL));
    CHECK_INT(queued, 0);
    wstrand_prepared_free(prepared);
    wstrand_group_free(group);
    wstrand_group_free(NULL);
    wstrand_connection_free(connection);
}

static void tls(wstrand_server *plain)
{
    static const char pem[] = "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n";
    static const char digest[33] = "";
    wstrand_options *options = wstrand_options_new();
    int version;

    CHECK_OPTION(wstrand_options_set_tls_only_added_roots, 1);
    CHECK_OPTION(wstrand_options_set_tls_sni, 0);
    CHECK_OPTION(wstrand_options_set_tls_min_version, WSTRAND_TLS_1_3);
    CHECK_OPTION(wstrand_options_add_tls_pin, digest, 32);
    CHECK_OPTION(wstrand_options_danger_accept_invalid_certs, 1);
    CHECK_OPTION(wstrand_options_danger_accept_invalid_hostnames, 1);
    CHECK_INVALID(wstrand_options_add_tls_roots(NULL, pem, sizeof pem - 1));
    CHECK_NO_OPTION(WSTRAND_TLS, wstrand_options_add_tls_roots, pem, sizeof pem - 1);
    CHECK_NO_OPTION(WSTRAND_TLS, wstrand_options_add_tls_roots, NULL, 0);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_add_tls_roots, NULL, 1);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_add_tls_roots, pem, SIZE_MAX);
    CHECK_INVALID(wstrand_options_set_tls_identity(NULL, pem, 1, pem, 1));
    CHECK_NO_OPTION(WSTRAND_TLS, wstrand_options_set_tls_identity, pem, sizeof pem - 1, pem, sizeof pem - 1);
    CHECK_NO_OPTION(WSTRAND_TLS, wstrand_options_set_tls_identity, NULL, 0, NULL, 0);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_tls_identity, NULL, 1, pem, 1);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_tls_identity, pem, 1, NULL, 1);
    CHECK_INVALID(wstrand_options_set_tls_identity_pkcs12(NULL, pem, 1, ""));
    CHECK_NO_OPTION(WSTRAND_TLS, wstrand_options_set_tls_identity_pkcs12, pem, sizeof pem, "secret");
    CHECK_NO_OPTION(WSTRAND_TLS, wstrand_options_set_tls_identity_pkcs12, NULL, 0, NULL);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_tls_identity_pkcs12, NULL, 1, "secret");
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_set_tls_identity_pkcs12, pem, sizeof pem, bad);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_add_tls_pin, digest, 31);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_add_tls_pin, digest, 33);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_add_tls_pin, NULL, 0);
    CHECK_NO_OPTION(WSTRAND_INVALID_ARGUMENT, wstrand_options_add_tls_pin, NULL, 32);
    for (version = -1; version <= 800; version++)
        if (version != WSTRAND_TLS_1_2 && version != WSTRAND_TLS_1_3)
            CHECK_INVALID(wstrand_options_set_tls_min_version(options, version));
    wstrand_options_free(options);

    options = wstrand_options_new();
    CHECK_REFUSED(wstrand_server_renew_tls(NULL, options, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_server_renew_tls(plain, NULL, NULL));
    CHECK_INVALID(wstrand_server_renew_tls(plain, options, NULL));
    wstrand_options_free(options);
}

static void handlers(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    CHECK(handler != NULL);
    CHECK_INVALID(wstrand_handler_set_on_open(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_message(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_ping(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_pong(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_error(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_close(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_request(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_connection(NULL, NULL));
    CHECK_OK(wstrand_handler_set_on_open(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_message(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_ping(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_pong(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_error(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_close(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_request(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_connection(handler, NULL));
    CHECK_INVALID(wstrand_handler_set_queue_bytes(NULL, 1));
    CHECK_OK(wstrand_handler_set_queue_bytes(handler, SIZE_MAX));
    wstrand_handler_free(handler);
    wstrand_handler_free(NULL);
}

static void connecting(const char *good)
{
    static const char *const urls[] = {
        "", "nonsense", "http://127.0.0.1/", "ws://", "ws://:1/", "ws://127.0.0.1:99999/",
        "ws://127.0.0.1:1/#fragment", "ws://[::1/", "ws://127.0.0.1:-1/", bad, "\n", "ws://a b/",
    };
    wstrand_connection *connection = NULL;
    size_t i;
    CHECK_REFUSED(wstrand_connect(NULL, NULL, NULL, &connection, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_REFUSED(wstrand_connect(good, NULL, NULL, NULL, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_connect(NULL, NULL, NULL, NULL, NULL));
    for (i = 0; i < sizeof urls / sizeof *urls; i++) {
        connection = (void *)&connection;
        if (wstrand_connect(urls[i], NULL, NULL, &connection, NULL) != WSTRAND_INVALID_ARGUMENT) {
            fprintf(stderr, "not refused: %s\n", urls[i]);
            CHECK(false);
        }
        CHECK(connection == NULL);
    }
}

static void no_connection(void)
{
    wstrand_writer *writer = (void *)&writer;
    const void *data;
    size_t size;
    int kind;
    CHECK_INVALID(wstrand_connection_send_text(NULL, "a", 1, NULL));
    CHECK_INVALID(wstrand_connection_send_string(NULL, "a", NULL));
    CHECK_INVALID(wstrand_connection_send_binary(NULL, "a", 1, NULL));
    CHECK_INVALID(wstrand_connection_try_send_text(NULL, "a", 1, NULL));
    CHECK_INVALID(wstrand_connection_try_send_binary(NULL, "a", 1, NULL));
    CHECK_INVALID(wstrand_connection_send_uncompressed(NULL, WSTRAND_TEXT, "a", 1, NULL));
    CHECK_INVALID(wstrand_connection_queue(NULL, WSTRAND_TEXT, "a", 1, NULL));
    CHECK_INVALID(wstrand_connection_ping(NULL, "a", 1, NULL));
    CHECK_INVALID(wstrand_connection_flush(NULL, NULL));
    CHECK_REFUSED(wstrand_connection_flush(NULL, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_connection_receive(NULL, 0, &kind, &data, &size, NULL));
    CHECK_INVALID(wstrand_connection_dispatch(NULL, 0, NULL));
    CHECK_REFUSED(wstrand_connection_dispatch(NULL, 0, &error), WSTRAND_INVALID_ARGUMENT);
    kind = 0;
    CHECK_INVALID(wstrand_connection_event_descriptor(NULL, &kind, NULL));
    CHECK_INT(kind, -1);
    CHECK_INVALID(wstrand_connection_event_descriptor(NULL, NULL, NULL));
    CHECK_INVALID(wstrand_connection_close(NULL, 1000, NULL, NULL));
    CHECK_INVALID(wstrand_connection_wait_closed(NULL, -1, NULL));
    CHECK_INVALID(wstrand_connection_shutdown(NULL));
    CHECK(wstrand_connection_retain(NULL) == NULL);
    wstrand_connection_free(NULL);
    CHECK_INVALID(wstrand_connection_set_userdata(NULL, NULL, NULL));
    CHECK(wstrand_connection_userdata(NULL) == NULL);
    CHECK_INT(wstrand_connection_ready_state(NULL), WSTRAND_ENDED);
    CHECK_INT(wstrand_connection_buffered_amount(NULL), 0);
    CHECK_INT(wstrand_connection_round_trip_us(NULL), 0);
    CHECK(wstrand_connection_subprotocol(NULL) == NULL);
    CHECK(wstrand_connection_extensions(NULL) == NULL);
    CHECK(wstrand_connection_header(NULL, "a", 0) == NULL);
    CHECK(wstrand_connection_request(NULL) == NULL);
    CHECK(wstrand_connection_peer_address(NULL) == NULL);
    CHECK(wstrand_connection_local_address(NULL) == NULL);
    CHECK_INT(wstrand_connection_close_code(NULL), 0);
    CHECK(wstrand_connection_close_reason(NULL, &size) == NULL);
    CHECK(!wstrand_connection_was_clean(NULL));
    CHECK_INVALID(wstrand_connection_begin_message(NULL, WSTRAND_TEXT, &writer, NULL));
    CHECK(writer == NULL);
    CHECK_INVALID(wstrand_writer_set_uncompressed(NULL, NULL));
    CHECK_INVALID(wstrand_writer_write(NULL, "a", 1, NULL));
    CHECK_INVALID(wstrand_writer_flush(NULL, NULL));
    CHECK_INVALID(wstrand_writer_finish(NULL, NULL));
    wstrand_writer_free(NULL);
}

/* One connection takes all of this, and works as if nothing had been. */
static void on_a_connection(const char *url)
{
    char reason[WSTRAND_CLOSE_REASON_MAX + 2], long_ping[126] = "";
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    wstrand_writer *writer;
    const void *data;
    size_t size;
    int kind, code;

    CHECK_REFUSED(wstrand_connection_send_text(connection, NULL, 1, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_REFUSED(wstrand_connection_send_text(connection, bad, 3, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_connection_send_text(connection, "\xed\xa0\x80", 3, NULL)); /* a surrogate */
    CHECK_INVALID(wstrand_connection_send_text(connection, "\xc0\x80", 2, NULL));     /* too long a NUL */
    CHECK_INVALID(wstrand_connection_send_text(connection, "\xf4\x90\x80\x80", 4, NULL));
    CHECK_INVALID(wstrand_connection_send_text(connection, "a", SIZE_MAX, NULL));
    CHECK_INVALID(wstrand_connection_send_string(connection, NULL, NULL));
    CHECK_INVALID(wstrand_connection_send_string(connection, bad, NULL));
    CHECK_INVALID(wstrand_connection_send_binary(connection, NULL, 1, NULL));
    CHECK_INVALID(wstrand_connection_send_binary(connection, "a", SIZE_MAX, NULL));
    CHECK_INVALID(wstrand_connection_try_send_text(connection, NULL, 1, NULL));
    CHECK_INVALID(wstrand_connection_try_send_text(connection, bad, 3, NULL));
    CHECK_INVALID(wstrand_connection_try_send_binary(connection, NULL, 1, NULL));
    CHECK_INVALID(wstrand_connection_ping(connection, NULL, 1, NULL));
    CHECK_REFUSED(wstrand_connection_ping(connection, long_ping, 126, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_OK(wstrand_connection_ping(connection, long_ping, 125, NULL));
    CHECK_OK(wstrand_connection_ping(connection, NULL, 0, NULL));
    CHECK_INVALID(wstrand_connection_receive(connection, 0, NULL, &data, &size, NULL));
    CHECK_INVALID(wstrand_connection_receive(connection, 0, &kind, NULL, &size, NULL));
    CHECK_INVALID(wstrand_connection_receive(connection, 0, &kind, &data, NULL, NULL));
    CHECK(wstrand_connection_header(connection, NULL, 0) == NULL);
    CHECK(wstrand_connection_header(connection, bad, 0) == NULL);
    CHECK(wstrand_connection_header(connection, "upgrade", SIZE_MAX) == NULL);
    CHECK_TEXT(wstrand_connection_header(connection, "upgrade", 0), "websocket");
    CHECK(wstrand_connection_request(connection) == NULL);
    CHECK(wstrand_connection_subprotocol(connection) == NULL);
    CHECK(wstrand_connection_close_reason(connection, NULL) == NULL);
    CHECK(wstrand_connection_userdata(connection) == NULL);
    CHECK_OK(wstrand_connection_set_userdata(connection, &size, NULL));
    CHECK_OK(wstrand_connection_set_userdata(connection, NULL, NULL));

    CHECK_INVALID(wstrand_connection_begin_message(connection, WSTRAND_TEXT, NULL, NULL));
    for (kind = -1; kind <= 300; kind++) {
        const bool is_kind = kind == WSTRAND_TEXT || kind == WSTRAND_BINARY;
        code = wstrand_connection_begin_message(connection, kind, &writer, NULL);
        CHECK_INT(code, is_kind ? WSTRAND_OK : WSTRAND_INVALID_ARGUMENT);
        CHECK((writer != NULL) == is_kind);
        wstrand_writer_free(writer);
    }
    REQUIRE(wstrand_connection_begin_message(connection, WSTRAND_TEXT, &writer, NULL) == WSTRAND_OK);
    CHECK_INVALID(wstrand_writer_write(writer, NULL, 1, NULL));
    CHECK_OK(wstrand_writer_write(writer, NULL, 0, NULL));
    wstrand_writer_free(writer);

    for (code = 0; code <= UINT16_MAX; code++)
        if (code < 1000 || code == 1002 || (code >= 1004 && code <= 1006) || (code >= 1015 && code < 3000)
            || code > 4999)
            CHECK_INVALID(wstrand_connection_close(connection, (uint16_t)code, NULL, NULL));
    memset(reason, 'r', sizeof reason);
    reason[sizeof reason - 1] = '\0';
    CHECK_REFUSED(wstrand_connection_close(connection, 1000, reason, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_REFUSED(wstrand_connection_close(connection, 1000, bad, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INT(wstrand_connection_ready_state(connection), WSTRAND_OPEN);

    CHECK_OK(wstrand_connection_send_string(connection, "still here", NULL));
    CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL));
    CHECK_INT(size, 10);
    reason[WSTRAND_CLOSE_REASON_MAX] = '\0';
    CHECK_OK(wstrand_connection_close(connection, 4999, reason, NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK_TEXT(wstrand_connection_close_reason(connection, NULL), reason);
    wstrand_connection_free(connection);
}

static void on_request(const wstrand_request *request, wstrand_response *response, void *userdata)
{
    int status;
    (void)userdata;
    CHECK(wstrand_request_header(request, NULL, 0) == NULL);
    CHECK(wstrand_request_header(request, bad, 0) == NULL);
    CHECK(wstrand_request_header(request, "Host", SIZE_MAX) == NULL);
    CHECK(wstrand_request_subprotocol(request, SIZE_MAX) == NULL);
    CHECK_INVALID(wstrand_response_accept(response, ""));
    CHECK_INVALID(wstrand_response_accept(response, bad));
    CHECK_INVALID(wstrand_response_accept(response, line_end));
    CHECK_INVALID(wstrand_response_add_header(response, NULL, "a"));
    CHECK_INVALID(wstrand_response_add_header(response, "A", NULL));
    CHECK_INVALID(wstrand_response_add_header(response, "", "a"));
    CHECK_INVALID(wstrand_response_add_header(response, bad, "a"));
    CHECK_INVALID(wstrand_response_add_header(response, "A", bad));
    CHECK_INVALID(wstrand_response_add_header(response, "A", line_end));
    CHECK_INVALID(wstrand_response_add_header(response, "Content-Length", "1"));
    CHECK_INVALID(wstrand_response_set_body(response, bad, "a", 1));
    CHECK_INVALID(wstrand_response_set_body(response, line_end, "a", 1));
    CHECK_INVALID(wstrand_response_set_body(response, NULL, NULL, 1));
    CHECK_INVALID(wstrand_response_set_body(response, NULL, "a", SIZE_MAX));
    for (status = -1; status <= 700; status++)
        CHECK_INT(wstrand_response_set_status(response, status),
                  status >= 200 && status <= 599 ? WSTRAND_OK : WSTRAND_INVALID_ARGUMENT);
    CHECK_OK(wstrand_response_accept(response, NULL)); /* the last word */
}

static void no_request(void)
{
    CHECK(wstrand_request_method(NULL) == NULL);
    CHECK(wstrand_request_path(NULL) == NULL);
    CHECK(wstrand_request_query(NULL) == NULL);
    CHECK(wstrand_request_origin(NULL) == NULL);
    CHECK(wstrand_request_peer_address(NULL) == NULL);
    CHECK(wstrand_request_header(NULL, "a", 0) == NULL);
    CHECK(wstrand_request_subprotocol(NULL, 0) == NULL);
    CHECK(!wstrand_request_is_upgrade(NULL));
    CHECK_INVALID(wstrand_response_accept(NULL, NULL));
    CHECK_INVALID(wstrand_response_set_status(NULL, 200));
    CHECK_INVALID(wstrand_response_add_header(NULL, "A", "b"));
    CHECK_INVALID(wstrand_response_set_body(NULL, NULL, NULL, 0));
}

static void servers(void)
{
    static const char *const addresses[] = {"", "nonsense", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999",
                                            "99999", "-1", ":::", bad, "\n"};
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server = (void *)&server;
    size_t i, busy;

    CHECK_REFUSED(wstrand_server_new(NULL, NULL, handler, &server, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK(server == NULL);
    server = (void *)&server;
    CHECK_INVALID(wstrand_server_new("0", NULL, NULL, &server, NULL));
    CHECK(server == NULL);
    CHECK_INVALID(wstrand_server_new("0", NULL, handler, NULL, NULL));
    for (i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        server = (void *)&server;
        if (wstrand_server_new(addresses[i], NULL, handler, &server, NULL) != WSTRAND_INVALID_ARGUMENT) {
            fprintf(stderr, "not refused: %s\n", addresses[i]);
            CHECK(false);
        }
        CHECK(server == NULL);
    }
    CHECK_INVALID(wstrand_options_add_subprotocol(options, "no token"));
    CHECK_INVALID(wstrand_server_new("0", options, handler, &server, NULL));
    wstrand_options_free(options);

    /* What is not an origin is refused by starting. */
    options = wstrand_options_new();
    CHECK_OK(wstrand_options_add_allowed_origin(options, "nonsense"));
    REQUIRE(wstrand_server_new("0", options, handler, &server, NULL) == WSTRAND_OK);
    CHECK_REFUSED(wstrand_server_start(server, &error), WSTRAND_INVALID_ARGUMENT);
    wstrand_server_free(server);
    wstrand_options_free(options);
    wstrand_handler_free(handler);

    CHECK(wstrand_server_address(NULL) == NULL);
    CHECK_INT(wstrand_server_port(NULL), 0);
    CHECK_INVALID(wstrand_server_start(NULL, NULL));
    CHECK_INVALID(wstrand_server_run(NULL, NULL));
    CHECK_INVALID(wstrand_server_stop(NULL, 0, NULL));
    CHECK_INVALID(wstrand_server_stop(NULL, 0, &busy));
    CHECK_INT(wstrand_server_connection_count(NULL), 0);
    CHECK_INT(wstrand_connection_stat(NULL, WSTRAND_STAT_MESSAGES_SENT), 0);
    CHECK_INT(wstrand_server_stat(NULL, WSTRAND_STAT_OPEN), 0);
    wstrand_server_free(NULL);
}

static atomic_int lines, freed;

static void on_log(int level, const char *target, const char *text, void *userdata)
{
    CHECK(level >= WSTRAND_LOG_ERROR && level <= WSTRAND_LOG_TRACE);
    CHECK(target[0] != '\0');
    CHECK(text[0] != '\0');
    CHECK(userdata == &lines);
    wstrand_connection_free(NULL); /* may call everything */
    atomic_fetch_add(&lines, 1);
}

static void log_freed(void *userdata)
{
    CHECK(userdata == &lines);
    atomic_fetch_add(&freed, 1);
}

static void logging(const char *url)
{
    wstrand_connection *connection;
    int level, before;
    CHECK_OK(wstrand_set_log(on_log, WSTRAND_LOG_TRACE, &lines, log_freed));
    connection = open_connection(url, NULL, NULL);
    wstrand_connection_free(connection);
    for (level = -1; level <= 300; level++) {
        before = atomic_load(&freed);
        CHECK_INT(wstrand_set_log(on_log, level, &lines, log_freed),
                  level >= 0 && level <= 5 ? WSTRAND_OK : WSTRAND_INVALID_ARGUMENT);
        if (level < 0 || level > 5)
            CHECK_INT(atomic_load(&freed), before);
    }
    CHECK_OK(wstrand_set_log(NULL, WSTRAND_LOG_OFF, NULL, NULL));
    CHECK_OK(wstrand_set_log(NULL, WSTRAND_LOG_TRACE, NULL, NULL));
    while (atomic_load(&freed) < 7) /* once each for the one above and levels 0 to 5 */
        ;
    CHECK_INT(atomic_load(&freed), 7);
}

static void on_attempt(wstrand_attempt *attempt, void *userdata)
{
    const char *url = wstrand_attempt_url(attempt);
    CHECK(url != NULL);
    CHECK_INT(wstrand_attempt_number(attempt), 1);
    CHECK_INT(wstrand_attempt_session(attempt), 1);
    CHECK_INVALID(wstrand_attempt_set_url(attempt, NULL));
    CHECK_INVALID(wstrand_attempt_set_url(attempt, bad));
    CHECK_INVALID(wstrand_attempt_set_header(attempt, NULL, "b"));
    CHECK_INVALID(wstrand_attempt_set_header(attempt, "A", NULL));
    CHECK_INVALID(wstrand_attempt_set_header(attempt, bad, "b"));
    CHECK_INVALID(wstrand_attempt_set_header(attempt, "A", bad));
    if (userdata != NULL)
        CHECK_OK(wstrand_attempt_set_header(attempt, line_end, "b"));
    else {
        CHECK_OK(wstrand_attempt_set_url(attempt, "nonsense"));
        CHECK_TEXT(wstrand_attempt_url(attempt), "nonsense");
    }
}

static void on_down(const wstrand_down *down, void *userdata)
{
    (void)userdata;
    CHECK_INT(wstrand_down_stop(down), WSTRAND_STOP_MISUSE);
    CHECK_INT(wstrand_error_code(wstrand_down_error(down)), WSTRAND_INVALID_ARGUMENT);
    CHECK_INT(wstrand_down_delay_ms(down), 0);
    CHECK_INT(wstrand_down_session(down), 0);
    CHECK_INT(wstrand_down_attempts(down), 1);
    CHECK_INT(wstrand_down_lost_messages(down), 0);
    CHECK(strstr(wstrand_down_text(down), "not again") != NULL);
}

static void reconnecting(const char *good)
{
    static int (*const delays[])(wstrand_options *, int64_t) = {
        wstrand_options_set_reconnect_first_delay_ms,
        wstrand_options_set_reconnect_max_delay_ms,
        wstrand_options_set_reconnect_stable_after_ms,
    };
    static int (*const answers[])(wstrand_options *, int) = {
        wstrand_options_add_reconnect_retry_on,
        wstrand_options_add_reconnect_stop_on,
    };
    wstrand_options *options = wstrand_options_new();
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_reconnecting *client = (void *)&client;
    size_t i;
    int value;

    for (i = 0; i < sizeof delays / sizeof *delays; i++) {
        CHECK_INVALID(delays[i](NULL, 1));
        for (value = -1; value <= 300; value++)
            CHECK_INT(delays[i](options, value), value < 1 ? WSTRAND_INVALID_ARGUMENT : WSTRAND_OK);
        CHECK_INVALID(delays[i](options, INT64_MIN));
        CHECK_OK(delays[i](options, INT64_MAX));
    }
    for (i = 0; i < sizeof answers / sizeof *answers; i++) {
        CHECK_INVALID(answers[i](NULL, 1000));
        for (value = -1; value <= 70000; value++) {
            const bool is_answer = (value >= 100 && value <= 599) || (value >= 1000 && value <= 4999);
            CHECK_INT(answers[i](options, value), is_answer ? WSTRAND_OK : WSTRAND_INVALID_ARGUMENT);
        }
    }
    CHECK_INVALID(wstrand_options_set_reconnect_give_up_after_ms(NULL, 1));
    CHECK_INVALID(wstrand_options_set_reconnect_give_up_after_ms(options, -1));
    CHECK_OK(wstrand_options_set_reconnect_give_up_after_ms(options, INT64_MAX));
    CHECK_OK(wstrand_options_set_reconnect_give_up_after_ms(options, 0));
    CHECK_INVALID(wstrand_options_set_reconnect_max_attempts(NULL, 1));
    CHECK_OK(wstrand_options_set_reconnect_max_attempts(options, SIZE_MAX));
    CHECK_OK(wstrand_options_set_reconnect_max_attempts(options, 0));
    CHECK_INVALID(wstrand_options_set_reconnect_queue_bytes(NULL, 1));
    CHECK_OK(wstrand_options_set_reconnect_queue_bytes(options, SIZE_MAX));
    /* What was refused is remembered. */
    CHECK_REFUSED(wstrand_reconnect(good, options, handler, &client, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK(client == NULL);
    wstrand_options_free(options);

    CHECK_INVALID(wstrand_reconnect(NULL, NULL, handler, &client, NULL));
    CHECK_INVALID(wstrand_reconnect(good, NULL, NULL, &client, NULL));
    CHECK_INVALID(wstrand_reconnect(good, NULL, handler, NULL, NULL));
    CHECK_INVALID(wstrand_reconnect(bad, NULL, handler, &client, NULL));
    CHECK_REFUSED(wstrand_reconnect("http://127.0.0.1/", NULL, handler, &client, &error),
                  WSTRAND_INVALID_ARGUMENT);
    options = wstrand_options_new();
    CHECK_OK(wstrand_options_set_reconnect_max_delay_ms(options, 999));
    CHECK_REFUSED(wstrand_reconnect(good, options, handler, &client, &error), WSTRAND_INVALID_ARGUMENT);
    wstrand_options_free(options);
    CHECK_OK(wstrand_handler_set_queue_bytes(handler, 1));
    CHECK_REFUSED(wstrand_reconnect(good, NULL, handler, &client, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_OK(wstrand_handler_set_queue_bytes(handler, 0));

    REQUIRE(wstrand_reconnect(good, NULL, handler, &client, NULL) == WSTRAND_OK);
    CHECK_INVALID(wstrand_reconnecting_send(NULL, WSTRAND_TEXT, "a", 1, NULL));
    CHECK_REFUSED(wstrand_reconnecting_send(client, 0, "a", 1, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_reconnecting_send(client, WSTRAND_TEXT, bad, 3, NULL));
    CHECK_INVALID(wstrand_reconnecting_send(client, WSTRAND_TEXT, NULL, 3, NULL));
    CHECK_INVALID(wstrand_reconnecting_try_send(NULL, WSTRAND_TEXT, "a", 1, NULL));
    CHECK_REFUSED(wstrand_reconnecting_try_send(client, 3, "a", 1, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_reconnecting_try_send(client, WSTRAND_BINARY, "a", SIZE_MAX, NULL));
    CHECK_INVALID(wstrand_reconnecting_close(NULL, 1000, NULL, NULL));
    CHECK_REFUSED(wstrand_reconnecting_close(client, 1005, NULL, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK_INVALID(wstrand_reconnecting_close(client, 1000, bad, NULL));
    CHECK_INVALID(wstrand_reconnecting_wait_closed(NULL, 0, NULL));
    CHECK_REFUSED(wstrand_reconnecting_wait_closed(client, 0, &error), WSTRAND_TIMEOUT);
    CHECK_INT(wstrand_reconnecting_session(NULL), 0);
    wstrand_reconnecting_free(client);
    wstrand_reconnecting_free(NULL);
    CHECK_INT(wstrand_connection_session(NULL), 0);
    CHECK_INVALID(wstrand_handler_set_on_attempt(NULL, NULL));
    CHECK_INVALID(wstrand_handler_set_on_down(NULL, NULL));
    CHECK_OK(wstrand_handler_set_on_attempt(handler, NULL));
    CHECK_OK(wstrand_handler_set_on_down(handler, NULL));
    wstrand_handler_free(handler);

    CHECK_INT(wstrand_attempt_number(NULL), 0);
    CHECK_INT(wstrand_attempt_session(NULL), 0);
    CHECK(wstrand_attempt_url(NULL) == NULL);
    CHECK_INVALID(wstrand_attempt_set_url(NULL, good));
    CHECK_INVALID(wstrand_attempt_set_header(NULL, "A", "b"));
    CHECK_INVALID(wstrand_attempt_give_up(NULL));
    CHECK(wstrand_down_text(NULL) == NULL);
    CHECK(wstrand_down_error(NULL) == NULL);
    CHECK_INT(wstrand_down_stop(NULL), WSTRAND_STOP_NOT);
    CHECK_INT(wstrand_down_delay_ms(NULL), 0);
    CHECK_INT(wstrand_down_session(NULL), 0);
    CHECK_INT(wstrand_down_attempts(NULL), 0);
    CHECK_INT(wstrand_down_lost_messages(NULL), 0);
    for (i = 0; i < 2; i++) {
        handler = wstrand_handler_new(i == 0 ? NULL : &client, NULL);
        CHECK_OK(wstrand_handler_set_on_attempt(handler, on_attempt));
        CHECK_OK(wstrand_handler_set_on_down(handler, on_down));
        REQUIRE(wstrand_reconnect(good, NULL, handler, &client, NULL) == WSTRAND_OK);
        wstrand_handler_free(handler);
        CHECK_OK(wstrand_reconnecting_wait_closed(client, PATIENCE_MS, NULL));
        CHECK_INT(wstrand_reconnecting_send(client, WSTRAND_TEXT, "a", 1, NULL), WSTRAND_LOST);
        wstrand_reconnecting_free(client);
    }
}

int main(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_server *server;
    char url[URL_SIZE];

    wstrand_handler_set_on_message(handler, echo);
    wstrand_handler_set_on_request(handler, on_request);
    server = serve(handler, NULL, url);
    errors();
    option_values();
    ways(url);
    compression(url);
    groups(url);
    tls(server);
    handlers();
    connecting(url);
    no_connection();
    on_a_connection(url);
    no_request();
    reconnecting(url);
    servers();
    logging(url);
    end_server(server);
    return finish();
}
