/* A resolver for the tests, loaded before the C library's (LD_PRELOAD):
 *
 *   hang.test     is looked up for half a minute. The file named by RESOLVER_ASKED is made first.
 *   hold.test     is looked up until there is a file named by RESOLVER_GO, then does not exist.
 *   nobody.test   does not exist.
 *   NAME.test     has the addresses in RESOLVER_ADDRESSES, in that order, with commas between.
 *
 * All other names are left to the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef int resolver(const char *, const char *, const struct addrinfo *, struct addrinfo **);

static int ends_with(const char *text, const char *end) {
    size_t text_len = strlen(text), end_len = strlen(end);
    return text_len >= end_len && strcmp(text + text_len - end_len, end) == 0;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    union {
        void *symbol;
        resolver *function;
    } real = {dlsym(RTLD_NEXT, "getaddrinfo")};
    if (node == NULL || !ends_with(node, ".test")) {
        return real.function(node, service, hints, result);
    }
    if (strcmp(node, "nobody.test") == 0) {
        return EAI_NONAME;
    }
    if (strcmp(node, "hang.test") == 0) {
        const char *asked = getenv("RESOLVER_ASKED");
        if (asked != NULL) {
            close(open(asked, O_CREAT | O_WRONLY, 0600));
        }
        sleep(30);
        return EAI_AGAIN;
    }
    if (strcmp(node, "hold.test") == 0) {
        const char *go = getenv("RESOLVER_GO");
        while (go != NULL && access(go, F_OK) != 0) {
            usleep(10000);
        }
        return EAI_NONAME;
    }
    const char *addresses = getenv("RESOLVER_ADDRESSES");
    char *copy = strdup(addresses == NULL ? "" : addresses);
    struct addrinfo **end = result;
    char *rest = NULL;
    *result = NULL;
    for (char *one = strtok_r(copy, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        /* Of numbers the C library makes lists that freeaddrinfo takes apart piece by piece. */
        int error = real.function(one, service, hints, end);
        if (error != 0) {
            return error;
        }
        while (*end != NULL) {
            end = &(*end)->ai_next;
        }
    }
    free(copy);
    return *result == NULL ? EAI_NONAME : 0;
}
