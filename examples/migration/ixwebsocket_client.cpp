/*
 * What IXWebSocket's hello world does: connects, prints what comes from a thread in the background, and sends each
 * line of its input. See docs/migration.md.
 *
 *     ixwebsocket_client [URL]
 */
#include <iostream>
#include <string>
#include <utility>
#include <wstrand.hpp>

int main(int argc, char **argv)
try {
    const std::string url = argc > 1 ? argv[1] : "ws://localhost:8080/";
    wstrand::handler handler;
    handler.on_open = [](wstrand::connection_ref) { std::cout << "connection established" << std::endl; };
    handler.on_message = [](wstrand::connection_ref, const wstrand::message &message) {
        std::cout << "received: " << message.text() << std::endl;
    };
    handler.on_error = [](wstrand::connection_ref, const wstrand::error &error) {
        std::cout << "error: " << error.what() << std::endl;
    };
    wstrand::connection ws = wstrand::connect(url, std::move(handler));
    for (std::string line; std::getline(std::cin, line);)
        ws.send(line);
    ws.close(); // and what the server still sends is received until it has answered
    ws.wait_closed();
    std::cout << "closed " << ws.close_code() << std::endl;
} catch (const wstrand::error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
