/* A system that is not kind (LD_PRELOAD). Which of its calls fail, SHIM_FAULTS says, words of these; when, a schedule that
   the number in SHIM_SEED begins:

     interrupt   calls are interrupted
     shorten     few bytes are moved
     accept      there is no descriptor, or nobody there any more
     reset       a connection is reset
     thread      every third thread that a server wants for a connection cannot be started
     connect     no way to an address, at once or after a while
     lookup      no address of a name

   With SHIM_REFUSE the so manieth thread that the program wants cannot be started, whoever wants it; with SHIM_STARVE
   there is no memory for the so manieth request of 4 KiB or more that the program has had counted.
   At the end it says on stderr how often each came to pass. It works where the calls go through the C library: rustix with its
   feature use-libc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { INTERRUPT, SHORTEN, ACCEPT, RESET, THREAD, CONNECT, LOOKUP, MEMORY, KINDS };

static const char *const names[KINDS] = {"interrupt", "shorten", "accept", "reset", "thread", "connect",
                                          "lookup", "memory"};
static atomic_ullong state;
static atomic_long injected[KINDS];
static bool wanted[KINDS];
static long refused, starved;

__attribute__((constructor)) static void start(void)
{
    const char *seed = getenv("SHIM_SEED"), *faults = getenv("SHIM_FAULTS"), *nth = getenv("SHIM_REFUSE");
    const char *request = getenv("SHIM_STARVE");
    int kind;
    state = seed == NULL ? 1 : strtoull(seed, NULL, 10) * 2654435761u + 1;
    for (kind = 0; kind < KINDS; kind++)
        wanted[kind] = faults != NULL && strstr(faults, names[kind]) != NULL;
    refused = nth == NULL ? 0 : atol(nth);
    starved = request == NULL ? 0 : atol(request);
}

/* That it did what a test is about, the test looks for. */
__attribute__((destructor)) static void end(void)
{
    int kind;
    for (kind = 0; kind < KINDS; kind++)
        fprintf(stderr, "shim: %s %ld\n", names[kind], injected[kind]);
}

/* The next number of the schedule, below `limit`. */
static unsigned next(unsigned limit)
{
    unsigned long long x = atomic_fetch_add(&state, 0x9e3779b97f4a7c15u);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (unsigned)((x ^ x >> 31) % limit);
}

static int fail(enum kind kind, int error)
{
    injected[kind]++;
    errno = error;
    return -1;
}

/* Whether that happens now: one time in `times`. */
static bool happens(enum kind kind, unsigned times)
{
    return wanted[kind] && next(times) == 0;
}

static size_t fewer(size_t size)
{
    if (size < 2 || !happens(SHORTEN, 4))
        return size;
    injected[SHORTEN]++;
    return 1 + next(size < 4096 ? (unsigned)size : 4096) % size;
}

#define REAL(type, name, ...)                                                                       \
    static type (*real)(__VA_ARGS__);                                                               \
    if (real == NULL)                                                                               \
        *(void **)&real = dlsym(RTLD_NEXT, name)

#define MAYBE_INTERRUPTED                                                                           \
    if (happens(INTERRUPT, 8))                                                                      \
        return fail(INTERRUPT, EINTR)

#define MAYBE_RESET                                                                                 \
    if (happens(RESET, 100) && is_connection(fd)) {                                                 \
        shutdown(fd, SHUT_RDWR);                                                                    \
        return fail(RESET, ECONNRESET);                                                             \
    }

/* Not a pipe by which threads wake each other. */
static bool is_connection(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_INET;
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
    if (message->msg_iovlen > 0 && happens(SHORTEN, 4)) {
        struct iovec first = message->msg_iov[0];
        first.iov_len = fewer(first.iov_len);
        injected[SHORTEN]++;
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
    if (happens(ACCEPT, 2))
        return fail(ACCEPT, errors[next(sizeof errors / sizeof *errors)]);
    return real(fd, address, size, flags);
}

/* What the clients in the same program start is not meant: the thread that accepts has a name. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    static atomic_int started;
    static atomic_long asked;
    char own[16] = "";
    REAL(int, "pthread_create", pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    prctl(PR_GET_NAME, own);
    if (++asked == refused) {
        fprintf(stderr, "shim: refused to %s\n", own);
        injected[THREAD]++;
        return EAGAIN;
    }
    if (wanted[THREAD] && strcmp(own, "wstrand-accept") == 0 && ++started % 3 == 0) {
        injected[THREAD]++;
        return EAGAIN;
    }
    return real(thread, attributes, run, argument);
}

/* The errors that attempts to connect will have come to when they are asked for. */
enum { MOST = 1024 };
static atomic_int late[MOST];

int connect(int fd, const struct sockaddr *address, socklen_t size)
{
    static const int errors[] = {ECONNREFUSED, ENETUNREACH, EADDRNOTAVAIL};
    static const int late_errors[] = {ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH};
    int result;
    REAL(int, "connect", int, const struct sockaddr *, socklen_t);
    if (fd < 0 || fd >= MOST || !is_connection(fd))
        return real(fd, address, size);
    late[fd] = 0;
    switch (wanted[CONNECT] ? next(6) : 5) {
    case 0:
        return fail(CONNECT, errors[next(3)]);
    case 1:
        /* A socket that has not begun to connect is ready, as one that has failed is. */
        late[fd] = late_errors[next(3)];
        return fail(CONNECT, EINPROGRESS);
    case 2:
        /* An interrupted attempt goes on. */
        result = real(fd, address, size);
        return result == 0 || errno == EINPROGRESS ? fail(CONNECT, EINTR) : result;
    default:
        return real(fd, address, size);
    }
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
    int error;
    REAL(int, "getsockopt", int, int, int, void *, socklen_t *);
    if (level == SOL_SOCKET && name == SO_ERROR && fd >= 0 && fd < MOST && (error = atomic_exchange(&late[fd], 0)) != 0) {
        *(int *)value = error;
        return 0;
    }
    return real(fd, level, name, value, size);
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result)
{
    static const int errors[] = {EAI_AGAIN, EAI_FAIL, EAI_NONAME, EAI_MEMORY, EAI_SYSTEM};
    REAL(int, "getaddrinfo", const char *, const char *, const struct addrinfo *, struct addrinfo **);
    if (happens(LOOKUP, 4)) {
        fail(LOOKUP, EIO);
        return errors[next(sizeof errors / sizeof *errors)];
    }
    return real(node, service, hints, result);
}

/* What there is beneath the C library's own, for which nothing needs to be looked up. */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

enum { LARGE = 4096 };
static atomic_bool counts;

void shim_count_requests(bool on)
{
    counts = on;
}

static bool is_starved(size_t size)
{
    static atomic_long requests;
    if (size < LARGE || !counts || ++requests != starved)
        return false;
    fail(MEMORY, ENOMEM);
    return true;
}

void *malloc(size_t size)
{
    return is_starved(size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return is_starved(count * size) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return is_starved(size) ? NULL : __libc_realloc(block, size);
}

int posix_memalign(void **block, size_t alignment, size_t size)
{
    if (is_starved(size))
        return ENOMEM;
    *block = __libc_memalign(alignment, size);
    return *block == NULL ? ENOMEM : 0;
}
