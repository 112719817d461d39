/* What the test programs share: checks that go on after a failure, waiting with a deadline, an echo server. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wstrand.h>

/* Every program uses its own part of this. */
#define SHARED __attribute__((unused)) static

/* For what takes milliseconds on a machine that has nothing else to do. */
enum { PATIENCE_S = 100, PATIENCE_MS = PATIENCE_S * 1000 };

static atomic_int failures;

SHARED bool check(bool holds, const char *what, const char *file, int line)
{
    if (!holds && atomic_fetch_add(&failures, 1) < 50)
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
    return holds;
}

SHARED bool check_int(long long got, long long wanted, const char *what, const char *file, int line)
{
    if (got == wanted)
        return true;
    if (atomic_fetch_add(&failures, 1) < 50)
        fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", file, line, what, got, wanted);
    return false;
}

SHARED bool check_text(const char *got, const char *wanted, const char *what, const char *file, int line)
{
    if (got == wanted || (got != NULL && wanted != NULL && strcmp(got, wanted) == 0))
        return true;
    if (atomic_fetch_add(&failures, 1) < 50)
        fprintf(stderr, "%s:%d: %s is \"%s\", not \"%s\"\n", file, line, what, got ? got : "(NULL)",
                wanted ? wanted : "(NULL)");
    return false;
}

#define CHECK(condition) check((condition), #condition, __FILE__, __LINE__)
#define CHECK_INT(got, wanted) check_int((long long)(got), (long long)(wanted), #got, __FILE__, __LINE__)
#define CHECK_TEXT(got, wanted) check_text((got), (wanted), #got, __FILE__, __LINE__)
#define CHECK_OK(call) CHECK_INT(call, WSTRAND_OK)

/* For what the rest of the program cannot do without. */
#define REQUIRE(condition)                                                                          \
    do {                                                                                            \
        if (!CHECK(condition))                                                                      \
            exit(EXIT_FAILURE);                                                                     \
    } while (0)

/* `light` as the only argument asks for less of the same: valgrind is slow. */
SHARED bool is_light(int argc, char **argv)
{
    return argc > 1 && strcmp(argv[1], "light") == 0;
}

SHARED double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* How many entries a directory of /proc has. */
SHARED int entries(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;
    int count = 0;
    REQUIRE(directory != NULL);
    while ((entry = readdir(directory)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static int descriptors_at_start;

__attribute__((constructor)) static void look_around(void)
{
    descriptors_at_start = entries("/proc/self/fd");
}

/* ThreadSanitizer has a thread of its own. */
#ifdef __SANITIZE_THREAD__
enum { LASTING_THREADS = 3 };
#else
enum { LASTING_THREADS = 2 };
#endif

/* The end of every program. What is left then is this thread and the library's watchdog, and no
   descriptor; the last closing handshakes may take a moment. */
SHARED int finish(void)
{
    const double until = now_s() + PATIENCE_S;
    int failed, threads, descriptors;
    do {
        sched_yield();
        threads = entries("/proc/self/task");
        descriptors = entries("/proc/self/fd");
    } while ((threads > LASTING_THREADS || descriptors > descriptors_at_start) && now_s() < until);
    CHECK(threads <= LASTING_THREADS);
    CHECK_INT(descriptors, descriptors_at_start);
    failed = atomic_load(&failures);
    if (failed > 0)
        fprintf(stderr, "%d checks failed\n", failed);
    return failed > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* A number that threads raise and wait for. */
struct counter {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    long value;
};

#define COUNTER {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}

SHARED void counter_add(struct counter *counter, long more)
{
    pthread_mutex_lock(&counter->mutex);
    counter->value += more;
    pthread_cond_broadcast(&counter->changed);
    pthread_mutex_unlock(&counter->mutex);
}

SHARED long counter_value(struct counter *counter)
{
    long value;
    pthread_mutex_lock(&counter->mutex);
    value = counter->value;
    pthread_mutex_unlock(&counter->mutex);
    return value;
}

SHARED void counter_reset(struct counter *counter)
{
    counter_add(counter, -counter_value(counter));
}

SHARED bool counter_reaches(struct counter *counter, long wanted)
{
    struct timespec until;
    bool reached;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&counter->mutex);
    while (counter->value < wanted
           && pthread_cond_timedwait(&counter->changed, &counter->mutex, &until) == 0)
        ;
    reached = counter->value >= wanted;
    if (!reached)
        fprintf(stderr, "a counter is %ld after %d s, not %ld\n", counter->value, PATIENCE_S, wanted);
    pthread_mutex_unlock(&counter->mutex);
    return reached;
}

SHARED pthread_t start_thread(void *(*run)(void *), void *argument)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

SHARED void echo(wstrand_connection *connection, int kind, const void *data, size_t size, void *userdata)
{
    (void)userdata;
    if (kind == WSTRAND_TEXT)
        wstrand_connection_send_text(connection, data, size, NULL);
    else
        wstrand_connection_send_binary(connection, data, size, NULL);
}

enum { URL_SIZE = 64 };

/* Starts a server on a free port. The handler is freed. */
SHARED wstrand_server *serve(wstrand_handler *handler, const wstrand_options *options, char url[URL_SIZE])
{
    wstrand_server *server;
    wstrand_error *error;
    if (wstrand_server_new("127.0.0.1:0", options, handler, &server, &error) != WSTRAND_OK
        || wstrand_server_start(server, &error) != WSTRAND_OK) {
        fprintf(stderr, "no server: %s\n", wstrand_error_text(error));
        exit(EXIT_FAILURE);
    }
    wstrand_handler_free(handler);
    snprintf(url, URL_SIZE, "ws://%s/", wstrand_server_address(server));
    return server;
}

SHARED wstrand_server *serve_echo(char url[URL_SIZE])
{
    wstrand_handler *handler = wstrand_handler_new(NULL, NULL);
    wstrand_handler_set_on_message(handler, echo);
    return serve(handler, NULL, url);
}

/* Connects, or ends the program. */
SHARED wstrand_connection *open_connection(const char *url, const wstrand_options *options,
                                           const wstrand_handler *handler)
{
    wstrand_connection *connection;
    wstrand_error *error;
    if (wstrand_connect(url, options, handler, &connection, &error) != WSTRAND_OK) {
        fprintf(stderr, "no connection to %s: %s\n", url, wstrand_error_text(error));
        exit(EXIT_FAILURE);
    }
    return connection;
}

/* Stops and frees a server, which must not need to be patient. */
SHARED void end_server(wstrand_server *server)
{
    const double until = now_s() + PATIENCE_S;
    size_t busy = 1;
    CHECK_OK(wstrand_server_stop(server, PATIENCE_MS, &busy));
    CHECK(now_s() < until);
    CHECK_INT(busy, 0);
    wstrand_server_free(server);
}

#endif
