/*
 * What websocketpp's example echo_server does: prints each message, sends it back as the kind that it was, and stops
 * listening on the message "stop-listening". See docs/migration.md.
 *
 *     websocketpp_echo_server [PORT]
 */
#include <future>
#include <iostream>
#include <string>
#include <utility>
#include <wstrand.hpp>

int main(int argc, char **argv)
try {
    std::promise<void> stop;
    wstrand::handler handler;
    handler.on_message = [&](wstrand::connection_ref ws, const wstrand::message &message) {
        std::cout << "message from " << ws.peer_address() << ": " << message.text() << std::endl;
        if (message.text() == "stop-listening")
            stop.set_value(); // a second one throws, which ends that connection alone
        else
            ws.send(message);
    };
    wstrand::server server = wstrand::listen(argc > 1 ? argv[1] : "9002", std::move(handler));
    server.start();
    std::cout << "listening on ws://" << server.address() << '/' << std::endl;
    stop.get_future().wait();
    server.stop(std::chrono::seconds(5));
} catch (const wstrand::error &error) {
    std::cerr << error.what() << '\n';
    return 1;
}
