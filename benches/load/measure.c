/* Latencies in a histogram of fixed size, and what /proc tells of the server. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "wsload.h"

/* So many steps for each power of two: within 1.6 % of the truth. */
#define STEPS 64
#define STEPS_LOG2 6

static uint64_t histogram[(64 - STEPS_LOG2) * STEPS];
static uint64_t latencies;

void note_latency(uint64_t ns)
{
    if (ns < STEPS)
        ns = STEPS;
    int power = 63 - __builtin_clzll(ns) - STEPS_LOG2;
    histogram[power * STEPS + (int)(ns >> power & (STEPS - 1))]++;
    latencies++;
}

void forget_latencies(void)
{
    memset(histogram, 0, sizeof histogram);
    latencies = 0;
}

double latency_us(double part)
{
    uint64_t wanted = (uint64_t)(part * (double)latencies), seen = 0;
    for (size_t i = 0; i < sizeof histogram / sizeof *histogram; i++) {
        seen += histogram[i];
        if (seen > wanted) {
            int power = (int)(i / STEPS);
            uint64_t lowest = (STEPS + i % STEPS) << power;
            return ((double)lowest + (double)((uint64_t)1 << power) / 2) * 1e-3;
        }
    }
    return 0;
}

/* The number behind "KEY:" in a file of /proc, or -1. */
static long field(const char *path, const char *key)
{
    char line[256];
    size_t length = strlen(key);
    long value = -1;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return -1;
    while (value < 0 && fgets(line, sizeof line, file))
        if (strncmp(line, key, length) == 0 && line[length] == ':')
            value = atol(line + length + 1);
    fclose(file);
    return value;
}

static long server_field(const char *file, const char *key)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", options.pid, file);
    return field(path, key);
}

static uint64_t context_switches(void)
{
    char path[320];
    uint64_t all = 0;
    snprintf(path, sizeof path, "/proc/%d/task", options.pid);
    DIR *tasks = opendir(path);
    struct dirent *task;
    if (tasks == NULL)
        return 0;
    while ((task = readdir(tasks)) != NULL) {
        if (!isdigit((unsigned char)task->d_name[0]))
            continue;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", options.pid, task->d_name);
        long voluntary = field(path, "voluntary_ctxt_switches");
        long forced = field(path, "nonvoluntary_ctxt_switches");
        all += (uint64_t)(voluntary > 0 ? voluntary : 0) + (uint64_t)(forced > 0 ? forced : 0);
    }
    closedir(tasks);
    return all;
}

struct usage server_usage(void)
{
    struct usage usage = {0};
    clockid_t clock;
    struct timespec time;
    /* The process's own clock counts nanoseconds; /proc/PID/stat only steps of 10 ms. */
    if (clock_getcpuclockid(options.pid, &clock) == 0 && clock_gettime(clock, &time) == 0)
        usage.cpu = (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
    /* With thousands of threads, counting would take longer than the run. */
    if (options.connections <= 2000)
        usage.switches = context_switches();
    return usage;
}

long server_rss_kb(void)
{
    /* Exact, where "status" may lag by some pages a thread. */
    long rss = server_field("smaps_rollup", "Rss");
    return rss >= 0 ? rss : server_field("status", "VmRSS");
}

long server_threads(void) { return server_field("status", "Threads"); }

double own_cpu(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

uint64_t now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}
