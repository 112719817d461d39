/*
 * One program of sources with and without exceptions: this is compiled both ways and linked to itself. Each half has
 * callbacks of its own, and those that may throw are caught.
 */
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <wstrand.hpp>

/* The half that has no exceptions says hello and goes; tells whether it was answered. */
bool without_exceptions(const std::string &url);

#if !WSTRAND_EXCEPTIONS

bool without_exceptions(const std::string &url)
{
    wstrand::error failure;
    bool was_answered = false;
    wstrand::handler handler;
    handler.on_open = [](wstrand::connection_ref ws) {
        wstrand::error ignored;
        ws.send("hello", ignored);
    };
    handler.on_message = [&](wstrand::connection_ref ws, const wstrand::message &message) {
        wstrand::error ignored;
        was_answered = message.text() == "hello";
        ws.close(WSTRAND_CLOSE_NORMAL, "", ignored);
    };
    wstrand::connection ws = wstrand::connect(url, std::move(handler), failure);
    ws.wait_closed(failure);
    return was_answered && !failure;
}

#else
# include <stdexcept>

int main()
{
    wstrand::handler echo;
    echo.on_message = [](wstrand::connection_ref ws, const wstrand::message &message) { ws.send(message); };
    wstrand::server server = wstrand::listen("0", std::move(echo));
    server.start();
    const std::string url = "ws://" + std::string(server.address());
    if (!without_exceptions(url)) {
        std::fprintf(stderr, "the half without exceptions was not answered\n");
        return EXIT_FAILURE;
    }
    wstrand::handler handler;
    handler.on_open = [](wstrand::connection_ref ws) { ws.send("hello"); };
    handler.on_message = [](wstrand::connection_ref, const wstrand::message &) { throw std::runtime_error("mine"); };
    wstrand::connection ws = wstrand::connect(url, std::move(handler));
    try {
        ws.wait_closed();
    } catch (const std::runtime_error &caught) {
        server.stop(std::chrono::seconds(100));
        return caught.what() == std::string("mine") ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    std::fprintf(stderr, "nothing was thrown\n");
    return EXIT_FAILURE;
}

#endif
