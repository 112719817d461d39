/* The library is loaded, used and unloaded a hundred times; its threads go on in code that is still there. The
   argument is the library's path. */
#include "check.h"
#include <dlfcn.h>

/* What dlsym finds is a function, which ISO C has no cast for. */
#define FIND(library, name)                                                                         \
    union {                                                                                         \
        void *symbol;                                                                               \
        __typeof__(&name) function;                                                                 \
    } name##_here = {dlsym(library, #name)};                                                        \
    REQUIRE(name##_here.symbol != NULL)

static void use(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    wstrand_connection *connection = NULL;
    wstrand_server *server = NULL;
    char url[URL_SIZE];
    wstrand_handler *handler;
    if (library == NULL)
        fprintf(stderr, "%s\n", dlerror());
    REQUIRE(library != NULL);
    FIND(library, wstrand_handler_new);
    FIND(library, wstrand_handler_free);
    FIND(library, wstrand_server_new);
    FIND(library, wstrand_server_start);
    FIND(library, wstrand_server_address);
    FIND(library, wstrand_server_free);
    FIND(library, wstrand_connect);
    FIND(library, wstrand_connection_send_text);
    FIND(library, wstrand_connection_free);

    handler = wstrand_handler_new_here.function(NULL, NULL);
    CHECK_OK(wstrand_server_new_here.function("127.0.0.1:0", NULL, handler, &server, NULL));
    CHECK_OK(wstrand_server_start_here.function(server, NULL));
    snprintf(url, sizeof url, "ws://%s/", wstrand_server_address_here.function(server));
    CHECK_OK(wstrand_connect_here.function(url, NULL, handler, &connection, NULL));
    CHECK_OK(wstrand_connection_send_text_here.function(connection, "x", 1, NULL));
    wstrand_connection_free_here.function(connection);
    wstrand_server_free_here.function(server);
    wstrand_handler_free_here.function(handler);
    CHECK_INT(dlclose(library), 0);
}

int main(int argc, char **argv)
{
    int i;
    REQUIRE(argc == 2);
    for (i = 0; i < 100; i++)
        use(argv[1]);
    return finish();
}
