/* What the parts of wsload share. See wsload.c. */
#ifndef WSLOAD_H
#define WSLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum kind { BINARY, TEXT, UTF8, JSON };

struct options {
    int port;
    int pid; /* the server's, for its use of CPU and memory; 0: not measured */
    int connections;
    int depth; /* messages in flight on each connection */
    size_t size;
    enum kind kind;
    double duration, warm_up; /* seconds */
    bool is_idle; /* hold the connections open instead of loading them all */
    bool is_group; /* only the first connection sends, and all get it */
    int stuck;     /* so many of the last never read */
    bool tls, deflate;
    bool pauses; /* wait for a line of input before and after the load */
};

extern struct options options;

/* Ends the program with status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

uint64_t now_ns(void);

/* frames.c: what is sent, masked before the run. */

struct frames {
    unsigned distinct;
    uint8_t **payloads; /* unmasked, options.size bytes each */
    uint8_t *bytes;     /* distinct + depth frames behind each other, so that any run of depth is one piece */
    size_t *offsets;    /* where each begins, and where the last ends */
    unsigned whole_every; /* one message in so many is compared byte by byte */
};

extern struct frames frames;

void build_frames(void);
size_t put_masked_header(uint8_t *header, int first_byte, size_t length, const uint8_t key[4]);

/* connection.c: the connections and their event loop. */

extern uint64_t in_flight;      /* messages sent and not answered */
extern uint64_t answered;       /* messages answered while measuring */
extern uint64_t answered_ever;
extern uint64_t payload_ever; /* bytes of payload in the answers, as they came over the wire */
extern bool is_measuring;
extern bool is_stopping;        /* answers are still checked, nothing new is sent */

void prepare_connections(void);
/* Opens all connections; returns the seconds that it took. */
double open_connections(void);
/* Sends count more messages, as soon as they fit. */
void send_messages(int connection, unsigned count);
/* Handles events until the time, or until nothing is in flight where that is asked for. */
void run_until(uint64_t end_ns, bool or_drained);
/* The same for one connection of small messages, in blocking mode: a system call less a message. */
void run_blocking_until(uint64_t end_ns);
bool fits_blocking(void);
/* After the warm-up of an idle run, only the first `active` connections go on sending. */
void set_active(int active);
void close_connections(void);

/* measure.c: latencies, and the server's use of the machine. */

struct usage {
    double cpu; /* seconds, of all threads, ended ones too */
    uint64_t switches;
};

struct usage server_usage(void);
long server_rss_kb(void);
long server_threads(void);
double own_cpu(void);
void note_latency(uint64_t ns);
void forget_latencies(void);
/* The latency that this part of the messages stays below, in microseconds. */
double latency_us(double part);

#endif
