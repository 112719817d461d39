// The counterpart of bench_client over Boost.Beast: sends N messages of SIZE bytes and prints "X msgs/s".
//
//     beast_client URL N SIZE [pipeline]
//
// With "pipeline" 64 messages are written, then their answers read; Beast cannot write them together.
#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace beast = boost::beast;
namespace net = boost::asio;
namespace websocket = beast::websocket;
using tcp = net::ip::tcp;

int main(int argc, char **argv)
{
    char host[64];
    int port;
    if (argc < 4 || std::sscanf(argv[1], "ws://%63[^:/]:%d", host, &port) != 2)
        return 2;
    const long n = std::atol(argv[2]), burst = argc > 4 ? 64 : 1;
    const std::string payload(static_cast<std::size_t>(std::atol(argv[3])), 'x');
    net::io_context context(1);
    websocket::stream<tcp::socket> ws(context);
    ws.next_layer().connect({net::ip::make_address(host), static_cast<unsigned short>(port)});
    ws.next_layer().set_option(tcp::no_delay(true));
    ws.read_message_max(256u << 20);
    ws.auto_fragment(false);
    ws.write_buffer_bytes(64 * 1024);
    ws.handshake(std::string(host) + ":" + std::to_string(port), "/");
    ws.binary(true);
    beast::flat_buffer buffer;

    const auto start = std::chrono::steady_clock::now();
    for (long left = n; left > 0;) {
        const long count = std::min(left, burst);
        for (long i = 0; i < count; i++)
            ws.write(net::buffer(payload));
        for (long i = 0; i < count; i++) {
            ws.read(buffer);
            if (buffer.size() != payload.size())
                return 1;
            buffer.consume(buffer.size());
        }
        left -= count;
    }
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
    std::printf("%.0f msgs/s\n", static_cast<double>(n) / time.count());
}
