/* A process that has connections forks. What the child executes has no descriptor of the library's; a child that does
   not execute anything is refused by every function, and disturbs nothing of the parent's. */
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

/* The descriptors that a program executed now would have: the socket of its listing is not among them. */
static int descriptors_after_exec(void)
{
    FILE *listing = popen("ls /proc/self/fd | wc -l", "r");
    int count = -1;
    REQUIRE(listing != NULL);
    REQUIRE(fscanf(listing, "%d", &count) == 1);
    pclose(listing);
    return count;
}

static void in_child(wstrand_connection *connection, wstrand_server *server, const char *url)
{
    wstrand_connection *another = connection;
    wstrand_error *error = NULL;
    const int descriptor = dup(STDERR_FILENO);
    wstrand_handler *handler;
    const void *data;
    size_t size;
    int kind;

    CHECK_INT(wstrand_connection_send_text(connection, "x", 1, NULL), WSTRAND_FORKED);
    CHECK_INT(wstrand_connection_try_send_text(connection, "x", 1, NULL), WSTRAND_FORKED);
    CHECK_INT(wstrand_connection_ping(connection, "x", 1, NULL), WSTRAND_FORKED);
    CHECK_INT(wstrand_connection_receive(connection, -1, &kind, &data, &size, NULL), WSTRAND_FORKED);
    CHECK_INT(wstrand_connection_close(connection, 1000, NULL, NULL), WSTRAND_FORKED);
    CHECK_INT(wstrand_connection_wait_closed(connection, -1, NULL), WSTRAND_FORKED);
    CHECK_INT(wstrand_connection_shutdown(connection), WSTRAND_FORKED);
    CHECK_INT(wstrand_server_stop(server, 1000, NULL), WSTRAND_FORKED);
    CHECK_INT(wstrand_connect(url, NULL, NULL, &another, &error), WSTRAND_FORKED);
    CHECK_INT(wstrand_connect_over(descriptor, url, NULL, NULL, &another, &error), WSTRAND_FORKED);
    CHECK(error == NULL);
    CHECK(another == connection); /* not written */
    CHECK_INT(close(descriptor), 0); /* not taken over */
    CHECK_INT(wstrand_set_log(NULL, WSTRAND_LOG_OFF, NULL, NULL), WSTRAND_FORKED);
    handler = wstrand_handler_new(NULL, NULL);
    CHECK(handler == NULL);
    CHECK_TEXT(wstrand_strerror(WSTRAND_FORKED), "not after fork");
    wstrand_connection_free(connection);
    wstrand_server_free(server);
    _exit(atomic_load(&failures) > 0);
}

int main(int argc, char **argv)
{
    const int before = descriptors_after_exec();
    char url[URL_SIZE];
    wstrand_server *server = serve_echo(url);
    wstrand_connection *connection = open_connection(url, NULL, NULL);
    const int rounds = is_light(argc, argv) ? 2 : 20;
    const void *data;
    size_t size;
    int i, kind, status;

    CHECK_INT(descriptors_after_exec(), before);
    for (i = 0; i < rounds; i++) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0)
            in_child(connection, server, url);
        REQUIRE(waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        CHECK_OK(wstrand_connection_send_text(connection, "still here", 10, NULL));
        if (!CHECK_OK(wstrand_connection_receive(connection, PATIENCE_MS, &kind, &data, &size, NULL)))
            break;
        CHECK_INT(size, 10);
    }
    CHECK_OK(wstrand_connection_close(connection, 1000, NULL, NULL));
    CHECK_OK(wstrand_connection_wait_closed(connection, PATIENCE_MS, NULL));
    CHECK(wstrand_connection_was_clean(connection));
    wstrand_connection_free(connection);
    end_server(server);
    return finish();
}
