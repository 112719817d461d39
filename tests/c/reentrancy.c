/* Every call that a callback is tempted to make, in every callback, in both roles, over ws:// and wss://: 7 by 7
   by 2 by 2. on_close comes once, the userdata goes once and last, and nothing is left. Made for AddressSanitizer.

       reentrancy [CERTIFICATES]

   Without certificates (tests/c/certs.h) there is no wss://. */
#include "certs.h"

/* The last one is on_connection of a server, and on_message out of a queue of a client. */
enum where { OPEN, MESSAGE, PING, PONG, ERROR, CLOSE, OTHER, PLACES };

enum call { SEND, SEND_PING, SHUT, FREE, FREE_TWICE, STOP, SET, CALLS };

static const char *const places[] = {"on_open", "on_message", "on_ping", "on_pong", "on_error", "on_close", "other"};
static const char *const calls[] = {"send", "ping", "close", "free", "free twice", "stop", "set"};

struct trial {
    enum where where;
    enum call call;
    bool is_server; /* the role that is tried */
    wstrand_options *options;
    wstrand_handler *handler;
    wstrand_server *_Atomic server; /* set when connections may come already */
    wstrand_connection *served; /* the server's end, with a reference of its own */
    struct counter opened, acted, closed, freed;
    atomic_bool has_freed, is_over;
};

static void act(struct trial *trial, enum where where, wstrand_connection *connection)
{
    size_t busy;
    CHECK(!atomic_load(&trial->is_over));
    CHECK_INT(counter_value(&trial->freed), 0);
    if (where != trial->where || counter_value(&trial->acted) > 0)
        return;
    switch (trial->call) {
    case SEND:
        wstrand_connection_send_string(connection, "from inside", NULL);
        break;
    case SEND_PING:
        wstrand_connection_ping(connection, "in", 2, NULL);
        break;
    case SHUT:
        wstrand_connection_close(connection, WSTRAND_CLOSE_INTERNAL_ERROR, "from inside", NULL);
        break;
    case FREE_TWICE:
        wstrand_connection_retain(connection);
        wstrand_connection_free(connection);
        /* fall through */
    case FREE:
        /* A server's is only lent, so this does nothing but log. */
        atomic_store(&trial->has_freed, !trial->is_server);
        if (!trial->is_server)
            wstrand_connection_free(connection);
        break;
    case STOP:
        CHECK_OK(wstrand_server_stop(trial->server, 0, &busy));
        break;
    case SET:
        CHECK_OK(wstrand_options_set_max_message_bytes(trial->options, 1000));
        CHECK_OK(wstrand_handler_set_on_open(trial->handler, NULL));
        break;
    case CALLS:
        break;
    }
    CHECK_INT(counter_value(&trial->freed), 0); /* this callback still has the userdata */
    counter_add(&trial->acted, 1);
}

static void on_open(wstrand_connection *connection, void *userdata)
{
    struct trial *trial = userdata;
    if (trial->is_server) {
        trial->served = wstrand_connection_retain(connection);
        counter_add(&trial->opened, 1);
    }
    act(trial, OPEN, connection);
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    struct trial *trial = userdata;
    (void)kind, (void)data, (void)size;
    act(trial, trial->where == OTHER && !trial->is_server ? OTHER : MESSAGE, connection);
}

static void on_ping(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    (void)data, (void)size;
    act(userdata, PING, connection);
}

static void on_pong(wstrand_connection *connection, const void *data, size_t size, void *userdata)
{
    (void)data, (void)size;
    act(userdata, PONG, connection);
}

static void on_error(wstrand_connection *connection, const wstrand_error *error, void *userdata)
{
    CHECK(wstrand_error_code(error) != WSTRAND_OK);
    act(userdata, ERROR, connection);
}

static void on_close(wstrand_connection *connection, uint16_t code, const char *reason, size_t reason_size,
                     bool was_clean, void *userdata)
{
    struct trial *trial = userdata;
    (void)code, (void)reason, (void)reason_size, (void)was_clean;
    act(trial, CLOSE, connection);
    atomic_store(&trial->is_over, true);
    counter_add(&trial->closed, 1);
}

static void on_connection(wstrand_connection *connection, void *userdata)
{
    act(userdata, OTHER, connection);
}

static void on_free(void *userdata)
{
    struct trial *trial = userdata;
    counter_add(&trial->freed, 1);
}

/* The end that is not tried tells where it is. */
static void on_open_elsewhere(wstrand_connection *connection, void *userdata)
{
    struct trial *trial = userdata;
    trial->served = wstrand_connection_retain(connection);
    counter_add(&trial->opened, 1);
}

static wstrand_handler *tried(struct trial *trial)
{
    wstrand_handler *handler = wstrand_handler_new(trial, on_free);
    wstrand_handler_set_on_open(handler, on_open);
    wstrand_handler_set_on_message(handler, on_message);
    wstrand_handler_set_on_ping(handler, on_ping);
    wstrand_handler_set_on_pong(handler, on_pong);
    wstrand_handler_set_on_error(handler, on_error);
    wstrand_handler_set_on_close(handler, on_close);
    if (trial->is_server && trial->where == OTHER)
        wstrand_handler_set_on_connection(handler, on_connection);
    if (!trial->is_server && trial->where == OTHER)
        wstrand_handler_set_queue_bytes(handler, 1000);
    return handler;
}

/* Has the peer do what the callback waits for. */
static void provoke(struct trial *trial, wstrand_connection *peer, wstrand_connection *own)
{
    switch (trial->where) {
    case MESSAGE:
        wstrand_connection_send_string(peer, "x", NULL);
        break;
    case PING:
        wstrand_connection_ping(peer, "x", 1, NULL);
        break;
    case PONG:
        wstrand_connection_ping(own, "x", 1, NULL);
        break;
    case ERROR:
        wstrand_connection_shutdown(peer);
        break;
    case CLOSE:
        wstrand_connection_close(peer, 4000, "as provoked", NULL);
        break;
    default:
        break;
    }
}

static void of_a_client(struct trial *trial, wstrand_connection *client)
{
    const bool is_queued = trial->where == OTHER;
    if (trial->where != OPEN) {
        REQUIRE(counter_reaches(&trial->opened, 1));
        provoke(trial, trial->served, client);
        if (is_queued)
            wstrand_connection_send_string(trial->served, "x", NULL);
        while (is_queued && counter_value(&trial->acted) == 0)
            if (wstrand_connection_dispatch(client, PATIENCE_MS, NULL) == WSTRAND_TIMEOUT)
                break;
    }
    REQUIRE(counter_reaches(&trial->acted, 1));
    if (!atomic_load(&trial->has_freed)) {
        wstrand_connection_close(client, 1000, NULL, NULL);
        CHECK_OK(wstrand_connection_wait_closed(client, PATIENCE_MS, NULL));
        CHECK_INT(counter_value(&trial->closed), 1);
        wstrand_connection_free(client);
    }
    CHECK(counter_reaches(&trial->freed, 1));
    /* Freed before the end, it hears of no end. */
    CHECK_INT(counter_value(&trial->closed), !atomic_load(&trial->has_freed) || trial->where == CLOSE);
}

static void of_a_server(struct trial *trial, wstrand_connection *client)
{
    if (trial->where != OPEN && trial->where != OTHER) {
        REQUIRE(counter_reaches(&trial->opened, 1));
        provoke(trial, client, trial->served);
    }
    REQUIRE(counter_reaches(&trial->acted, 1));
    wstrand_connection_close(client, 1000, NULL, NULL);
    CHECK_OK(wstrand_connection_wait_closed(client, PATIENCE_MS, NULL));
    wstrand_connection_free(client);
    CHECK(counter_reaches(&trial->closed, 1));
}

static void run(enum where where, enum call call, bool is_server, bool is_secure)
{
    struct trial trial = {.where = where, .call = call, .is_server = is_server,
                          .opened = COUNTER, .acted = COUNTER, .closed = COUNTER, .freed = COUNTER};
    wstrand_handler *serving, *connecting;
    wstrand_options *options = wstrand_options_new();
    wstrand_connection *client;
    char url[URL_SIZE];
    const int failures_before = atomic_load(&failures);
    size_t busy;

    trial.options = wstrand_options_new();
    if (is_secure) {
        identify(trial.options, "server");
        trust(options);
    }
    if (is_server) {
        serving = tried(&trial);
        connecting = wstrand_handler_new(NULL, NULL); /* receives, so that pings are answered */
    } else {
        serving = wstrand_handler_new(&trial, NULL);
        wstrand_handler_set_on_open(serving, on_open_elsewhere);
        connecting = tried(&trial);
    }
    trial.handler = wstrand_handler_new(NULL, NULL);
    trial.server = serve(serving, trial.options, url);
    if (is_secure)
        snprintf(url, sizeof url, "wss://localhost:%d/", wstrand_server_port(trial.server));
    client = open_connection(url, options, connecting);
    wstrand_handler_free(connecting);
    wstrand_options_free(options);

    if (is_server)
        of_a_server(&trial, client);
    else
        of_a_client(&trial, client);

    CHECK_OK(wstrand_server_stop(trial.server, PATIENCE_MS, &busy));
    CHECK_INT(busy, 0);
    wstrand_connection_free(trial.served);
    wstrand_server_free(trial.server);
    wstrand_options_free(trial.options);
    wstrand_handler_free(trial.handler);
    CHECK_INT(counter_value(&trial.freed), 1);
    CHECK_INT(counter_value(&trial.acted), 1);
    CHECK(counter_value(&trial.closed) <= 1);
    if (atomic_load(&failures) > failures_before)
        fprintf(stderr, "so much for: %s in %s of a %s over %s\n", calls[call], places[where],
                is_server ? "server" : "client", is_secure ? "wss" : "ws");
}

int main(int argc, char **argv)
{
    int where, call, role, secure, cases = 0;
    certs = argc > 1 ? argv[1] : NULL;
    for (secure = 0; secure <= (certs != NULL); secure++)
        for (role = 0; role < 2; role++)
            for (where = 0; where < PLACES; where++)
                for (call = 0; call < CALLS; call++, cases++)
                    run((enum where)where, (enum call)call, role == 1, secure == 1);
    CHECK_INT(cases, certs != NULL ? 196 : 98);
    return finish();
}
