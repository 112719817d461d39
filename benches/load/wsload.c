/*
 * wsload: loads an echo server on 127.0.0.1, and prints one line of JSON.
 *
 *     wsload --port P [--pid PID] [-c CONNECTIONS] [-d IN_FLIGHT] [-s BYTES] [-t SECONDS] [-w WARM_UP_SECONDS]
 *            [--kind binary|text|utf8|json] [--idle] [--group [--stuck N]] [--tls] [--deflate] [--pause]
 *
 * Every answer's header and length are checked, and the content: all of it up to 4 KiB, above that one message in eight
 * whole and the ends of every piece of the others. With --pid, the server's CPU time a message, context switches,
 * memory and threads are told too. --idle holds the connections open, has each echo one message, and then measures four
 * of them among the others. --group is for a server that sends each message to all: the first connection sends, the
 * messages are those that arrive on all, and a message is in flight until the last has it; the last N never read.
 * --pause prints "open" when all connections are and waits for a line of input, and again
 * after the JSON, so that system calls can be counted in between. Every run ends in a bounded time by itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "wsload.h"

struct options options = {
    .connections = 1, .depth = 1, .size = 20, .duration = 1, .warm_up = 0.3,
};

static const char *const kinds[] = {"binary", "text", "utf8", "json"};

void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("wsload: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    _exit(EXIT_FAILURE);
}

static void out_of_time(int signal)
{
    static const char text[] = "wsload: out of time\n";
    (void)signal;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(EXIT_FAILURE);
}

static uint64_t after(double seconds) { return now_ns() + (uint64_t)(seconds * 1e9); }

static void pause_for_line(void)
{
    char line[16];
    fflush(stdout);
    if (options.pauses && fgets(line, sizeof line, stdin) == NULL)
        die("standard input has ended");
}

/* What a stretch of load came to. */
struct result {
    double seconds, own_cpu;
    struct usage before, after;
};

static void run_for(double seconds)
{
    if (!options.is_idle && !options.is_group && fits_blocking())
        run_blocking_until(after(seconds));
    else
        run_until(after(seconds), false);
}

static struct result measure(void)
{
    struct result result = {0};
    run_for(options.warm_up);
    forget_latencies();
    answered = 0;
    result.before = server_usage();
    double cpu = own_cpu();
    uint64_t began = now_ns();
    is_measuring = true;
    run_for(options.duration);
    is_measuring = false;
    result.seconds = (double)(now_ns() - began) * 1e-9;
    result.own_cpu = own_cpu() - cpu;
    result.after = server_usage();
    return result;
}

static void drain(void)
{
    is_stopping = true;
    run_until(after(5), true);
    if (in_flight > 0)
        die("%llu messages were never answered", (unsigned long long)in_flight);
    if (answered == 0)
        die("no message was answered in %.1f s", options.duration);
}

static void print_result(const struct result *result)
{
    double messages = (double)answered;
    printf("\"messages\":%llu,\"messages_ever\":%llu,\"msgs_s\":%.1f,\"p50_us\":%.2f,\"p99_us\":%.2f,\"own_cpu\":%.3f",
           (unsigned long long)answered, (unsigned long long)answered_ever, messages / result->seconds,
           latency_us(.5), latency_us(.99), result->own_cpu / result->seconds);
    printf(",\"ratio\":%.4f", (double)payload_ever / ((double)answered_ever * (double)options.size));
    if (options.pid != 0)
        printf(",\"cpu_us\":%.4f,\"switches\":%.4f", (result->after.cpu - result->before.cpu) / messages * 1e6,
               (double)(result->after.switches - result->before.switches) / messages);
}

static void run_load(void)
{
    double opening = open_connections();
    if (options.pauses)
        puts("open");
    pause_for_line();
    /* The server takes a connection into its group when the handshake is over, and nothing tells when. */
    if (options.is_group)
        run_until(after(1), false);
    for (int i = 0; i < (options.is_group ? 1 : options.connections); i++)
        send_messages(i, (unsigned)options.depth);
    struct result result = measure();
    drain();
    printf("{\"open_s\":%.4f,", opening);
    print_result(&result);
    puts("}");
    pause_for_line();
}

static void run_idle(void)
{
    enum { ACTIVE = 4, AT_ONCE = 64 };
    long rss_before = server_rss_kb();
    double opening = open_connections();
    run_until(after(1), false);
    long rss_open = server_rss_kb();

    set_active(0);
    uint64_t limit = after(20);
    for (int i = 0; i < options.connections; i++) {
        send_messages(i, 1);
        while (in_flight >= AT_ONCE)
            run_until(now_ns() + 1000000, true);
        if (now_ns() > limit)
            die("one message on each connection took over 20 s");
    }
    run_until(limit, true);
    if (in_flight > 0)
        die("%llu connections did not echo", (unsigned long long)in_flight);
    run_until(after(0.5), false);
    long rss_used = server_rss_kb();

    struct usage before = server_usage();
    run_until(after(1), false);
    double idle_cpu = server_usage().cpu - before.cpu;

    int active = options.connections < ACTIVE ? options.connections : ACTIVE;
    set_active(active);
    for (int i = 0; i < active; i++)
        send_messages(i, 1);
    struct result result = measure();
    drain();
    double count = options.connections;
    printf("{\"open_s\":%.4f,\"open_kib\":%.3f,\"used_kib\":%.3f,\"threads\":%ld,\"idle_cpu\":%.4f,", opening,
           (double)(rss_open - rss_before) / count, (double)(rss_used - rss_before) / count, server_threads(),
           idle_cpu);
    print_result(&result);
    puts("}");
    fflush(stdout);
}

static size_t parse_size(const char *text)
{
    char *end;
    double size = strtod(text, &end);
    if (*end == 'k')
        size *= 1024;
    if (*end == 'm')
        size *= 1024 * 1024;
    return (size_t)size;
}

static void usage(void)
{
    fputs("usage: wsload --port P [--pid PID] [-c CONNECTIONS] [-d IN_FLIGHT] [-s BYTES] [-t SECONDS]\n"
          "              [-w WARM_UP_SECONDS] [--kind binary|text|utf8|json] [--idle] [--group [--stuck N]]\n"
          "              [--tls] [--deflate] [--pause]\n",
          stderr);
    exit(2);
}

static enum kind parse_kind(const char *text)
{
    for (int kind = BINARY; kind <= JSON; kind++)
        if (strcmp(text, kinds[kind]) == 0)
            return (enum kind)kind;
    usage();
    return BINARY;
}

static void parse(int argc, char **argv)
{
    enum { PORT = 256, PID, KIND, IDLE, GROUP, STUCK, TLS, DEFLATE, PAUSE };
    static const struct option long_options[] = {
        {"port", required_argument, NULL, PORT}, {"pid", required_argument, NULL, PID},
        {"kind", required_argument, NULL, KIND}, {"idle", no_argument, NULL, IDLE},
        {"tls", no_argument, NULL, TLS},         {"deflate", no_argument, NULL, DEFLATE},
        {"pause", no_argument, NULL, PAUSE},     {"group", no_argument, NULL, GROUP},
        {"stuck", required_argument, NULL, STUCK}, {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:d:s:t:w:", long_options, NULL)) != -1) {
        switch (option) {
        case 'c': options.connections = atoi(optarg); break;
        case 'd': options.depth = atoi(optarg); break;
        case 's': options.size = parse_size(optarg); break;
        case 't': options.duration = atof(optarg); break;
        case 'w': options.warm_up = atof(optarg); break;
        case PORT: options.port = atoi(optarg); break;
        case PID: options.pid = atoi(optarg); break;
        case KIND: options.kind = parse_kind(optarg); break;
        case IDLE: options.is_idle = true; break;
        case GROUP: options.is_group = true; break;
        case STUCK: options.stuck = atoi(optarg); break;
        case TLS: options.tls = true; break;
        case DEFLATE: options.deflate = true; break;
        case PAUSE: options.pauses = true; break;
        default: usage();
        }
    }
    bool is_sound = optind == argc && options.port > 0 && options.port < 65536 && options.connections > 0 &&
                    options.connections <= 100000 && options.depth > 0 && options.depth <= 65536 &&
                    options.duration > 0 && options.duration <= 120 && options.warm_up >= 0 &&
                    options.warm_up <= 30 && options.size <= 256u << 20 && options.stuck >= 0 &&
                    options.stuck < options.connections && (options.is_group || options.stuck == 0) &&
                    !(options.is_group && options.is_idle);
    if (!is_sound)
        usage();
    if (options.is_idle)
        options.depth = 1;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)options.connections + 100;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted)
        limit.rlim_max = wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        die("the limit of open files cannot be raised to %llu", (unsigned long long)wanted);
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGALRM, out_of_time);
    alarm((unsigned)(options.duration + options.warm_up) + (options.is_idle || options.pauses ? 120 : 75));
    raise_descriptor_limit();
    build_frames();
    prepare_connections();
    if (options.is_idle)
        run_idle();
    else
        run_load();
    close_connections();
    return EXIT_SUCCESS;
}
