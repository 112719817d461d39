/*
 * Says hello to an echo server: sends a text, a binary and a 1 MiB message, prints what comes back, and
 * closes.
 *
 *     hello URL [SUBPROTOCOL]
 *
 * Exits with 0 only after a clean close.
 */
#include <cstdlib>
#include <iostream>
#include <vector>
#include <wstrand.hpp>

int main(int argc, char **argv)
try {
    if (argc != 2 && argc != 3) {
        std::cerr << "usage: hello URL [SUBPROTOCOL]\n";
        return EXIT_FAILURE;
    }
    wstrand::options options;
    if (argc == 3)
        options.add_subprotocol(argv[2]);

    wstrand::connection ws = wstrand::connect(argv[1], options);
    std::cout << "open subprotocol=" << ws.subprotocol() << '\n';

    const std::vector<char> large(1024 * 1024);
    ws.send("Hello, world!");
    ws.send_binary({"\0\1\2\3", 4});
    ws.send_binary(large);

    while (auto message = ws.receive()) {
        std::cout << "message " << (message->is_text() ? "text " : "binary ") << message->size() << " bytes";
        if (message->is_text())
            std::cout << ": " << message->text().substr(0, 40);
        std::cout << '\n';
        if (!message->is_text() && message->size() == large.size()) // the last of ours
            ws.close(WSTRAND_CLOSE_NORMAL, "bye");
    }
    std::cout << "close " << ws.close_code() << ' ' << ws.close_reason() << " clean\n";
    return EXIT_SUCCESS;
} catch (const wstrand::error &error) {
    std::cerr << "hello: " << error.what() << '\n';
    return EXIT_FAILURE;
}
