/* Interrupts a program a thousand times a second (LD_PRELOAD): every system call of it may fail with EINTR, on threads
   that take signals. At the end it says how often it did: "alarm: N signals". */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static volatile sig_atomic_t alarms;

static void count(int signal) {
    (void)signal;
    alarms++;
}

__attribute__((constructor)) static void start(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = count; /* without SA_RESTART */
    sigaction(SIGALRM, &action, NULL);
    struct itimerval timer = {{0, 1000}, {0, 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

__attribute__((destructor)) static void end(void) {
    struct itimerval never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &never, NULL);
    fprintf(stderr, "alarm: %ld signals\n", (long)alarms);
}
