/* A system that is not kind (LD_PRELOAD): by a schedule that the number in SHIM_SEED begins, system calls are
   interrupted, move few bytes, or find no descriptor. With SHIM_RESETS a connection is reset now and then as well.
   With SHIM_THREADS one thread in three cannot be started, from the fifth on. It works where the calls go through the C library: rustix with its feature use-libc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_ullong state;
static atomic_long injected, interrupted, shortened;
static int resets;

__attribute__((constructor)) static void start(void)
{
    const char *seed = getenv("SHIM_SEED");
    state = seed == NULL ? 1 : strtoull(seed, NULL, 10) * 2654435761u + 1;
    resets = getenv("SHIM_RESETS") != NULL;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    static atomic_int started;
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    if (getenv("SHIM_THREADS") != NULL && ++started > 4 && started % 3 == 0) {
        injected++;
        return EAGAIN;
    }
    return real(thread, attributes, run, argument);
}

/* That it did something at all, the tests look for. */
__attribute__((destructor)) static void end(void)
{
    fprintf(stderr, "shim: %ld faults, %ld interrupted, %ld shortened\n", injected, interrupted, shortened);
}

/* The next number of the schedule, below `limit`. */
static unsigned next(unsigned limit)
{
    unsigned long long x = atomic_fetch_add(&state, 0x9e3779b97f4a7c15u);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((x ^ x >> 31) % limit);
}

static int fail(int error)
{
    injected++;
    interrupted += error == EINTR;
    errno = error;
    return -1;
}

static size_t fewer(size_t size)
{
    if (size < 2 || next(4) != 0)
        return size;
    injected++;
    shortened++;
    return 1 + next(size < 4096 ? (unsigned)size : 4096) % size;
}

#define REAL(type, name, ...)                                                                       \
    static type (*real)(__VA_ARGS__);                                                               \
    if (real == NULL)                                                                               \
        *(void **)&real = dlsym(RTLD_NEXT, name)

/* Common to all: interrupted, one time in eight. */
#define MAYBE_INTERRUPTED                                                                           \
    if (next(8) == 0)                                                                               \
        return fail(EINTR)

#define MAYBE_RESET                                                                                 \
    if (resets && next(400) == 0) {                                                                 \
        shutdown(fd, SHUT_RDWR);                                                                    \
        return fail(ECONNRESET);                                                                    \
    }

ssize_t recv(int fd, void *buffer, size_t size, int flags)
{
    REAL(ssize_t, "recv", int, void *, size_t, int);
    MAYBE_INTERRUPTED;
    MAYBE_RESET;
    return real(fd, buffer, fewer(size), flags);
}

ssize_t send(int fd, const void *buffer, size_t size, int flags)
{
    REAL(ssize_t, "send", int, const void *, size_t, int);
    MAYBE_INTERRUPTED;
    MAYBE_RESET;
    return real(fd, buffer, fewer(size), flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(ssize_t, "sendmsg", int, const struct msghdr *, int);
    MAYBE_INTERRUPTED;
    MAYBE_RESET;
    if (message->msg_iovlen > 0 && next(4) == 0) {
        struct iovec first = message->msg_iov[0];
        first.iov_len = fewer(first.iov_len);
        injected++;
        return send(fd, first.iov_base, first.iov_len, flags);
    }
    return real(fd, message, flags);
}

ssize_t read(int fd, void *buffer, size_t size)
{
    REAL(ssize_t, "read", int, void *, size_t);
    MAYBE_INTERRUPTED;
    return real(fd, buffer, size);
}

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    MAYBE_INTERRUPTED;
    return real(fd, data, size);
}

int poll(struct pollfd *fds, nfds_t count, int timeout)
{
    REAL(int, "poll", struct pollfd *, nfds_t, int);
    MAYBE_INTERRUPTED;
    return real(fds, count, timeout);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask)
{
    REAL(int, "ppoll", struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
    MAYBE_INTERRUPTED;
    return real(fds, count, timeout, mask);
}

int accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    static const int errors[] = {EINTR, ECONNABORTED, EPROTO, EPERM, ENETDOWN, EMFILE, ENOBUFS, ENOMEM};
    REAL(int, "accept4", int, struct sockaddr *, socklen_t *, int);
    if (next(4) == 0)
        return fail(errors[next(sizeof errors / sizeof *errors)]);
    return real(fd, address, size, flags);
}
