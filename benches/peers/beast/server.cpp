// An echo server over Boost.Beast, blocking, one thread a connection.
//
//     beast_server PORT [--tls CERT.pem KEY.pem] [--deflate]
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/ssl.hpp>
#include <boost/beast/websocket.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <pthread.h>

namespace beast = boost::beast;
namespace net = boost::asio;
namespace websocket = beast::websocket;
using tcp = net::ip::tcp;

static bool has_deflate;
static std::optional<net::ssl::context> tls;

template <class Stream> static void echo(Stream &ws)
{
    beast::error_code error;
    beast::flat_buffer buffer;
    websocket::permessage_deflate deflate;
    deflate.server_enable = has_deflate;
    ws.set_option(deflate);
    ws.read_message_max(256u << 20);
    ws.auto_fragment(false);
    ws.write_buffer_bytes(64 * 1024);
    ws.accept(error);
    while (!error) {
        ws.read(buffer, error);
        if (error)
            return;
        ws.text(ws.got_text());
        ws.write(buffer.data(), error);
        buffer.consume(buffer.size());
    }
}

static void *serve(void *argument)
{
    std::unique_ptr<tcp::socket> socket(static_cast<tcp::socket *>(argument));
    if (!tls) {
        websocket::stream<tcp::socket> ws(std::move(*socket));
        echo(ws);
        return nullptr;
    }
    beast::error_code error;
    websocket::stream<beast::ssl_stream<tcp::socket>> ws(std::move(*socket), *tls);
    ws.next_layer().handshake(net::ssl::stream_base::server, error);
    if (!error)
        echo(ws);
    return nullptr;
}

int main(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (std::strcmp(argv[i], "--deflate") == 0) {
            has_deflate = true;
        } else if (std::strcmp(argv[i], "--tls") == 0 && i + 2 < argc) {
            tls.emplace(net::ssl::context::tls_server);
            tls->use_certificate_chain_file(argv[++i]);
            tls->use_private_key_file(argv[++i], net::ssl::context::pem);
        }
    }
    if (argc < 2)
        return 2;
    const auto port = static_cast<unsigned short>(std::atoi(argv[1]));
    net::io_context context(1);
    tcp::acceptor acceptor(context, {net::ip::make_address("127.0.0.1"), port});
    acceptor.listen(4096);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 * 1024);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        auto socket = std::make_unique<tcp::socket>(context);
        beast::error_code error;
        acceptor.accept(*socket, error);
        if (error)
            continue;
        socket->set_option(tcp::no_delay(true), error);
        pthread_t thread;
        if (pthread_create(&thread, &small, serve, socket.get()) == 0)
            socket.release();
    }
}
