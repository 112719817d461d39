/* Certificates that the test puts into a directory, whose name is a program's first argument: ca.pem, and of
   "server", "other" and "client" each NAME.pem, NAME.key, NAME.p12 (password "secret") and NAME.sha256. */
#ifndef CERTS_H
#define CERTS_H

#include "check.h"

static const char *certs;

struct file {
    size_t size;
    char data[16384];
};

SHARED const struct file *load(const char *name, const char *extension)
{
    static struct file loaded;
    char path[4096];
    FILE *file;
    snprintf(path, sizeof path, "%s/%s.%s", certs, name, extension);
    file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    loaded.size = fread(loaded.data, 1, sizeof loaded.data, file);
    REQUIRE(feof(file) && loaded.size > 0);
    fclose(file);
    return &loaded;
}

/* Has a client trust the authority of all of them. */
SHARED void trust(wstrand_options *options)
{
    const struct file *ca = load("ca", "pem");
    CHECK_OK(wstrand_options_add_tls_roots(options, ca->data, ca->size));
}

SHARED void pin(wstrand_options *options, const char *name)
{
    const struct file *digest = load(name, "sha256");
    CHECK_OK(wstrand_options_add_tls_pin(options, digest->data, digest->size));
}

SHARED int identify_by(wstrand_options *options, const char *chain_name, const char *key_name)
{
    const struct file chain = *load(chain_name, "pem");
    const struct file *key = load(key_name, "key");
    return wstrand_options_set_tls_identity(options, chain.data, chain.size, key->data, key->size);
}

SHARED void identify(wstrand_options *options, const char *name)
{
    CHECK_OK(identify_by(options, name, name));
}

SHARED int identify_by_archive(wstrand_options *options, const char *name, const char *password)
{
    const struct file *archive = load(name, "p12");
    return wstrand_options_set_tls_identity_pkcs12(options, archive->data, archive->size, password);
}

/* The URL of a server that `serve` has started with an identity. */
SHARED void secure_url(const wstrand_server *server, char url[URL_SIZE])
{
    snprintf(url, URL_SIZE, "wss://localhost:%u/", (unsigned)wstrand_server_port(server));
}

SHARED void expect_text(wstrand_connection *connection, const char *text)
{
    const void *data;
    size_t size;
    int kind;
    if (CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL))
        && !CHECK(size == strlen(text) && memcmp(data, text, size) == 0))
        fprintf(stderr, "not \"%s\" but \"%.*s\"\n", text, (int)size, (const char *)data);
}

SHARED void round_trip(wstrand_connection *connection)
{
    CHECK_OK(wstrand_connection_send_string(connection, "there and back", NULL));
    expect_text(connection, "there and back");
}

/* Connects and goes there and back. */
SHARED void reaches(const char *url, const wstrand_options *options)
{
    wstrand_connection *connection = open_connection(url, options, NULL);
    round_trip(connection);
    wstrand_connection_free(connection);
}

/* Connecting fails with this code and a text with these words in it. */
SHARED void fails(const char *url, const wstrand_options *options, int code, const char *words)
{
    wstrand_connection *connection = (void *)&connection;
    wstrand_error *error;
    CHECK_INT(wstrand_connect(url, options, NULL, &connection, &error), code);
    CHECK(connection == NULL);
    CHECK_INT(wstrand_error_code(error), code);
    if (!CHECK(strstr(wstrand_error_text(error), words) != NULL))
        fprintf(stderr, "not \"%s\" but \"%s\"\n", words, wstrand_error_text(error));
    wstrand_error_free(error);
    wstrand_connection_free(connection);
}

#endif
