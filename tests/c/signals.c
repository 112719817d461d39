/* A signal every millisecond, without SA_RESTART, while all kinds of calls go on: nothing breaks, no
   deadline is missed, no byte is lost. */
#include "check.h"
#include <signal.h>
#include <sys/time.h>

static atomic_long ticks;
static struct counter arrived = COUNTER;

static void tick(int signal)
{
    (void)signal;
    atomic_fetch_add(&ticks, 1);
}

static void set_timer(long microseconds)
{
    struct itimerval timer;
    timer.it_interval.tv_sec = 0;
    timer.it_interval.tv_usec = microseconds;
    timer.it_value = timer.it_interval;
    REQUIRE(setitimer(ITIMER_REAL, &timer, NULL) == 0);
}

static size_t size_of(int number)
{
    return number % 50 == 49 ? 300000 : 1 + (size_t)number % 300;
}

static void fill(unsigned char *data, int number)
{
    const size_t size = size_of(number);
    size_t i;
    for (i = 0; i < size; i++)
        data[i] = (unsigned char)(i * 7 + (size_t)number);
}

/* Pull style: this thread sends, receives and waits. */
static void in_turns(const char *url, int rounds)
{
    unsigned char *data = malloc(300000);
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    const void *got;
    size_t size;
    double began;
    int kind, number;

    for (number = 0; number < rounds; number++) {
        fill(data, number);
        CHECK_OK(wstrand_connection_send_binary(connection, data, size_of(number), NULL));
        if (!CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &got, &size, NULL)))
            break;
        if (CHECK_INT(size, size_of(number)))
            CHECK(memcmp(got, data, size) == 0);
    }
    began = now_s();
    CHECK_INT(wstrand_connection_receive(connection, 300, &kind, &got, &size, NULL), WSTRAND_TIMEOUT);
    CHECK(now_s() - began >= 0.295);
    CHECK(now_s() - began < 10);
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK(wstrand_connection_was_clean(connection));
    wstrand_connection_free(connection);
    free(data);
}

static void on_message(wstrand_connection *connection, int kind, const void *data, size_t size,
                       void *userdata)
{
    const int number = (int)counter_value(&arrived);
    (void)connection, (void)userdata;
    CHECK_INT(kind, WSTRAND_BINARY);
    if (CHECK_INT(size, size_of(number))) {
        unsigned char *wanted = malloc(300000);
        fill(wanted, number);
        CHECK(memcmp(data, wanted, size) == 0);
        free(wanted);
    }
    counter_add(&arrived, 1);
}

/* Called back: the messages come while this thread goes on sending. */
static void in_flight(const char *url, int rounds)
{
    unsigned char *data = malloc(300000);
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_connection *connection;
    double began;
    int number;

    wstrand_handler_set_on_message(handler, on_message);
    connection = open_connection(url, NULL, handler);
    wstrand_handler_free(handler);
    for (number = 0; number < rounds; number++) {
        fill(data, number);
        CHECK_OK(wstrand_connection_send_binary(connection, data, size_of(number), NULL));
    }
    CHECK(counter_reaches(&arrived, rounds));
    began = now_s();
    CHECK_INT(wstrand_connection_wait_closed(connection, 300, NULL), WSTRAND_TIMEOUT);
    CHECK(now_s() - began >= 0.295);
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK(wstrand_connection_was_clean(connection));
    wstrand_connection_free(connection);
    free(data);
}

int main(int argc, char **argv)
{
    const bool light = is_light(argc, argv);
    wstrand_server *server;
    struct sigaction action;
    char url[URL_SIZE];
    int i;

    memset(&action, 0, sizeof action);
    action.sa_handler = tick; /* no SA_RESTART */
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    set_timer(light ? 20000 : 1000);

    server = serve_echo(url);
    in_turns(url, light ? 100 : 2000);
    in_flight(url, light ? 100 : 2000);
    for (i = 0; i < (light ? 3 : 10); i++)
        in_turns(url, 1);
    end_server(server);

    CHECK(atomic_load(&ticks) > (light ? 10 : 100));
    set_timer(0);
    return finish();
}
