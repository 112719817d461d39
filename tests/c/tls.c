/* TLS: what a client trusts, what both ends show, versions, SNI, pins, and a certificate that is renewed.
   tls DIRECTORY ASKING-URL STRICT-URL: the first server asks for a certificate, the second demands one and speaks
   TLS 1.2 at the most. Both answer with whom they met, which name was sent in the clear, and the version. */
#include "certs.h"

static wstrand_server *serve_secure(const wstrand_options *options, char url[URL_SIZE])
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_server *server;
    wstrand_handler_set_on_message(handler, echo);
    server = serve(handler, options, url);
    secure_url(server, url);
    return server;
}

static void trusting(const char *url)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_error *error;
    wstrand_connection *connection;

    /* The system's roots do not know the authority, and no roots at all do not either. */
    fails(url, NULL, WSTRAND_TLS, "certificate");
    CHECK_INT(wstrand_connect(url, options, NULL, &connection, &error), WSTRAND_TLS);
    CHECK_TEXT(wstrand_error_phase(error), "TLS handshake");
    wstrand_error_free(error);
    CHECK_OK(wstrand_options_set_tls_only_added_roots(options, 1));
    fails(url, options, WSTRAND_TLS, "certificate");

    trust(options);
    reaches(url, options);
    reaches(url, options); /* options serve more than once */
    CHECK_OK(wstrand_options_set_tls_only_added_roots(options, 0));
    reaches(url, options);
    wstrand_options_free(options);

    options = wstrand_options_new();
    CHECK_OK(wstrand_options_danger_accept_invalid_certs(options, 1));
    reaches(url, options);
    CHECK_OK(wstrand_options_danger_accept_invalid_certs(options, 0));
    fails(url, options, WSTRAND_TLS, "certificate");
    wstrand_options_free(options);
}

/* The certificate is not for this address. */
static void host_names(void)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server;
    char url[URL_SIZE];
    identify(options, "server");
    trust(options);
    wstrand_handler_set_on_message(handler, echo);
    REQUIRE(wstrand_server_new("127.0.0.2:0", options, handler, &server, NULL) == WSTRAND_OK);
    REQUIRE(wstrand_server_start(server, NULL) == WSTRAND_OK);
    wstrand_handler_free(handler);
    snprintf(url, sizeof url, "wss://%s/", wstrand_server_address(server));
    fails(url, options, WSTRAND_TLS, "certificate");
    CHECK_OK(wstrand_options_danger_accept_invalid_hostnames(options, 1));
    reaches(url, options);
    wstrand_options_free(options);
    end_server(server);
}

static void pinning(const char *url)
{
    wstrand_options *options = wstrand_options_new();
    trust(options);
    pin(options, "other");
    fails(url, options, WSTRAND_TLS, "pinned");
    pin(options, "server");
    reaches(url, options);
    wstrand_options_free(options);

    /* A pin is no root. */
    options = wstrand_options_new();
    pin(options, "server");
    fails(url, options, WSTRAND_TLS, "certificate");
    wstrand_options_free(options);
}

static void is_told(const char *url, const wstrand_options *options, const char *text)
{
    wstrand_connection *connection = open_connection(url, options, NULL);
    expect_text(connection, text);
    wstrand_connection_free(connection);
}

static void showing(const char *asking, const char *strict)
{
    wstrand_options *options = wstrand_options_new();
    trust(options);
    is_told(asking, options, "nobody at localhost in TLSv1.3");
    fails(strict, options, WSTRAND_TLS, "alert");
    CHECK_OK(wstrand_options_set_tls_sni(options, 0));
    is_told(asking, options, "nobody at nowhere in TLSv1.3");
    CHECK_OK(wstrand_options_set_tls_sni(options, 1));
    identify(options, "client");
    is_told(asking, options, "the_client at localhost in TLSv1.3");
    is_told(strict, options, "the_client at localhost in TLSv1.2");
    CHECK_OK(wstrand_options_set_tls_min_version(options, WSTRAND_TLS_1_3));
    is_told(asking, options, "the_client at localhost in TLSv1.3");
    fails(strict, options, WSTRAND_TLS, "version");
    CHECK_OK(wstrand_options_set_tls_min_version(options, WSTRAND_TLS_1_2));
    is_told(strict, options, "the_client at localhost in TLSv1.2");
    wstrand_options_free(options);

    options = wstrand_options_new();
    trust(options);
    CHECK_OK(identify_by_archive(options, "client", "secret"));
    is_told(asking, options, "the_client at localhost in TLSv1.3");
    wstrand_options_free(options);
}

static void archives(void)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server;
    char url[URL_SIZE];
    CHECK_OK(identify_by_archive(options, "server", "secret"));
    trust(options);
    server = serve_secure(options, url);
    reaches(url, options);
    end_server(server);
    wstrand_options_free(options);
}

static void refused(const char *url)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server = (void *)&server;
    wstrand_error *error;

    /* What cannot be used is remembered, with its code. */
    CHECK_INT(identify_by(options, "server", "other"), WSTRAND_TLS);
    fails(url, options, WSTRAND_TLS, "private key is not");
    CHECK_INT(wstrand_server_new("0", options, handler, &server, &error), WSTRAND_TLS);
    CHECK(server == NULL);
    CHECK(strstr(wstrand_error_text(error), "private key is not") != NULL);
    wstrand_error_free(error);
    wstrand_options_free(options);
    wstrand_handler_free(handler);

    options = wstrand_options_new();
    CHECK_INT(identify_by_archive(options, "server", "wrong"), WSTRAND_TLS);
    CHECK_INT(identify_by_archive(options, "server", NULL), WSTRAND_TLS);
    wstrand_options_free(options);
}

static void renewing(void)
{
    wstrand_options *before = wstrand_options_new(), *after = wstrand_options_new();
    wstrand_options *pinned = wstrand_options_new(), *renewed = wstrand_options_new();
    wstrand_server *server, *plain;
    wstrand_connection *connection;
    wstrand_error *error;
    char url[URL_SIZE], plain_url[URL_SIZE];

    identify(before, "server");
    identify(after, "other");
    trust(pinned);
    pin(pinned, "server");
    trust(renewed);
    pin(renewed, "other");

    server = serve_secure(before, url);
    connection = open_connection(url, pinned, NULL);
    round_trip(connection);
    fails(url, renewed, WSTRAND_TLS, "pinned");
    CHECK_OK(wstrand_server_renew_tls(server, after, NULL));
    round_trip(connection);
    reaches(url, renewed);
    fails(url, pinned, WSTRAND_TLS, "pinned");

    /* What cannot be used leaves it as it is. */
    CHECK_INT(wstrand_server_renew_tls(server, renewed, &error), WSTRAND_INVALID_ARGUMENT);
    CHECK(strstr(wstrand_error_text(error), "identity") != NULL);
    wstrand_error_free(error);
    CHECK_INT(identify_by(before, "server", "other"), WSTRAND_TLS);
    CHECK_INT(wstrand_server_renew_tls(server, before, NULL), WSTRAND_TLS);
    reaches(url, renewed);
    round_trip(connection);

    plain = serve_echo(plain_url);
    CHECK_INT(wstrand_server_renew_tls(plain, after, NULL), WSTRAND_INVALID_STATE);
    reaches(plain_url, NULL);
    end_server(plain);

    end_server(server);
    wstrand_connection_free(connection);
    wstrand_options_free(before);
    wstrand_options_free(after);
    wstrand_options_free(pinned);
    wstrand_options_free(renewed);
}

int main(int argc, char **argv)
{
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server;
    char url[URL_SIZE];
    REQUIRE(argc == 4);
    certs = argv[1];

    identify(options, "server");
    server = serve_secure(options, url);
    wstrand_options_free(options);
    trusting(url);
    host_names();
    pinning(url);
    refused(url);
    end_server(server);
    showing(argv[2], argv[3]);
    archives();
    renewing();
    return finish();
}
