/* Proxies: proxy DIRECTORY HTTP-PORT SOCKS-PORT. Both want the user "me" with the password "secret". */
#include "certs.h"

static char text[256];

/* The URL of a proxy, with these credentials. */
static const char *proxy_url(const char *scheme, const char *credentials, const char *port)
{
    snprintf(text, sizeof text, "%s://%s127.0.0.1:%s", scheme, credentials, port);
    return text;
}

static wstrand_options *through(const char *proxy)
{
    wstrand_options *options = wstrand_options_new();
    trust(options);
    CHECK_OK(wstrand_options_set_proxy(options, proxy));
    return options;
}

static void http(const char *url, const char *port)
{
    static const char *const wrong[] = {"", "me:wrong@", "you:secret@"};
    wstrand_options *options = through(proxy_url("http", "me:secret@", port));
    wstrand_error *error;
    wstrand_connection *connection;
    int status;
    size_t i;
    reaches(url, options);
    wstrand_options_free(options);

    for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options = through(proxy_url("http", wrong[i], port));
        CHECK_INT(wstrand_connect(url, options, NULL, &connection, &error), WSTRAND_PROXY);
        CHECK_TEXT(wstrand_error_phase(error), "proxy");
        /* tinyproxy answers 401 to who has none, and 407 or 401 to who has wrong ones, by its version. */
        status = wstrand_error_http_status(error);
        CHECK(status == 401 || status == 407);
        CHECK(wstrand_error_http_header(error, "content-type", 0) != NULL);
        CHECK(wstrand_error_http_body(error, NULL) != NULL);
        CHECK(strstr(wstrand_error_text(error), "wrong") == NULL);
        wstrand_error_free(error);
        wstrand_options_free(options);
    }
}

static void socks(const char *url, const char *port)
{
    wstrand_options *options = through(proxy_url("socks5", "me:secret@", port));
    wstrand_error *error;
    wstrand_connection *connection;
    reaches(url, options);
    wstrand_options_free(options);

    options = through(proxy_url("socks5h", "me:wrong@", port));
    CHECK_INT(wstrand_connect(url, options, NULL, &connection, &error), WSTRAND_PROXY);
    CHECK_TEXT(wstrand_error_phase(error), "proxy");
    CHECK_INT(wstrand_error_http_status(error), 0);
    wstrand_error_free(error);
    wstrand_options_free(options);
}

/* No other thread runs while it is changed. */
static void environment(const char *url, const char *port)
{
    wstrand_options *options = wstrand_options_new();
    trust(options);
    CHECK_OK(wstrand_options_use_proxy_of_environment(options));
    REQUIRE(setenv("https_proxy", proxy_url("http", "me:secret@", port), 1) == 0);
    reaches(url, options);
    REQUIRE(setenv("https_proxy", proxy_url("http", "me:wrong@", port), 1) == 0);
    fails(url, options, WSTRAND_PROXY, "proxy");
    REQUIRE(setenv("no_proxy", "localhost", 1) == 0);
    reaches(url, options);
    wstrand_options_free(options);
}

int main(int argc, char **argv)
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_options *options = wstrand_options_new();
    wstrand_server *server;
    char url[URL_SIZE];
    REQUIRE(argc == 4);
    certs = argv[1];

    identify(options, "server");
    wstrand_handler_set_on_message(handler, echo);
    server = serve(handler, options, url);
    secure_url(server, url);
    wstrand_options_free(options);
    http(url, argv[2]);
    socks(url, argv[3]);
    environment(url, argv[2]);
    end_server(server);
    return finish();
}
