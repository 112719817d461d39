/*
 * The C++ wrapper: what owns is moved, errors are thrown or told, callbacks may throw, both styles, a server, and
 * the ways to a peer. Under -fno-exceptions only what is left then. TLS if there is a directory of certificates,
 * which tests/c/certs.h tells of.
 */
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>
#include <sys/socket.h>
#include <unistd.h>
#include <wstrand.hpp>

#if WSTRAND_EXCEPTIONS
# include <stdexcept>
#endif

using namespace std::chrono_literals;

static std::atomic<int> failures;

static bool check(bool holds, const char *what, int line)
{
    if (!holds) {
        ++failures;
        std::fprintf(stderr, "wrapper.cpp:%d: not so: %s\n", line, what);
    }
    return holds;
}

#define CHECK(...) check((__VA_ARGS__), #__VA_ARGS__, __LINE__)

static const auto patience = 100s;

static_assert(std::is_nothrow_move_constructible_v<wstrand::connection>);
static_assert(std::is_nothrow_move_assignable_v<wstrand::connection>);
static_assert(!std::is_copy_constructible_v<wstrand::connection>);
static_assert(!std::is_copy_assignable_v<wstrand::connection>);
static_assert(!std::is_copy_constructible_v<wstrand::server>);
static_assert(!std::is_copy_constructible_v<wstrand::reconnecting>);
static_assert(std::is_nothrow_move_constructible_v<wstrand::reconnecting>);
static_assert(!std::is_copy_constructible_v<wstrand::options>);
static_assert(!std::is_copy_constructible_v<wstrand::cancel>);
static_assert(std::is_nothrow_move_constructible_v<wstrand::cancel>);
static_assert(std::is_nothrow_move_constructible_v<wstrand::options>);
static_assert(std::is_nothrow_copy_constructible_v<wstrand::error>); // as of what is thrown
static_assert(std::is_nothrow_copy_assignable_v<wstrand::error> && std::is_nothrow_move_assignable_v<wstrand::error>);
static_assert(std::is_base_of_v<std::exception, wstrand::error>);
static_assert(std::is_trivially_copyable_v<wstrand::connection_ref>);
static_assert(std::is_trivially_copyable_v<wstrand::message>);
static_assert(sizeof(wstrand::options) == sizeof(void *)); // a stateless deleter
static_assert(!std::is_convertible_v<std::vector<int>, wstrand::byte_view>);
static_assert(std::is_convertible_v<std::array<unsigned char, 3>, wstrand::byte_view>);
static_assert(std::is_convertible_v<wstrand::message, wstrand::byte_view>);

// All of these are noexcept, whoever forgets it.
using wstrand::connection;
using wstrand::error;
static_assert(noexcept(wstrand::connect("", std::declval<error &>())));
static_assert(noexcept(wstrand::connect_unix("", "", {}, std::declval<error &>())));
static_assert(noexcept(wstrand::connect_over(-1, "", {}, std::declval<error &>())));
static_assert(noexcept(wstrand::reconnect("", {}, std::declval<error &>())));
static_assert(noexcept(wstrand::cancel(std::declval<error &>())));
static_assert(noexcept(std::declval<connection &>().send("", std::declval<error &>())));
static_assert(noexcept(std::declval<connection &>().receive(std::declval<error &>())));
static_assert(noexcept(std::declval<connection &>().receive(std::declval<std::chrono::milliseconds>(), std::declval<error &>())));
static_assert(noexcept(std::declval<connection &>().wait_closed(std::declval<error &>())));
static_assert(noexcept(std::declval<connection &>().dispatch(std::declval<error &>())));
static_assert(noexcept(std::declval<connection &>().try_send("", std::declval<error &>())));
static_assert(noexcept(std::declval<connection &>().begin_message({}, std::declval<error &>())));
static_assert(noexcept(wstrand::set_log({}, {}, std::declval<error &>())));
static_assert(!std::is_copy_constructible_v<wstrand::handler>);
static_assert(!std::is_copy_constructible_v<wstrand::group> && std::is_nothrow_move_constructible_v<wstrand::group>);
static_assert(std::is_nothrow_move_constructible_v<wstrand::handler>);
static_assert(!std::is_copy_constructible_v<wstrand::writer> && !std::is_copy_constructible_v<wstrand::prepared>);
static_assert(!std::is_constructible_v<wstrand::callback<int>, int>);
static_assert(!std::is_constructible_v<wstrand::callback<int>, void (*)(std::string)>);

struct echo_server {
    wstrand::server server;
    std::string url;

    explicit echo_server(const wstrand::options &options = {})
    {
        wstrand::handler handler;
        handler.on_message = [](wstrand::connection_ref ws, const wstrand::message &message) {
            error failure;
            if (message.text() == "close me")
                ws.close(4001, "as told", failure);
            else if (message.text() == "cut me")
                ws.shutdown();
            else
                ws.send(message, failure);
        };
        handler.on_request = [](wstrand::request request, wstrand::response response) {
            error failure;
            if (request.path() == "/forbidden") {
                response.set_status(403, failure);
                response.add_header("X-Why", "because", failure);
                response.set_body("text/plain", std::string("go away"), failure);
            }
            CHECK(!failure);
        };
        error failure;
        server = wstrand::listen("0", options, std::move(handler), failure);
        CHECK(!failure && server);
        server.start(failure);
        CHECK(!failure);
        CHECK(server.port() != 0);
        url = "ws://" + std::string(server.address()) + "/";
    }
};

static void pull(const std::string &url)
{
    error failure(WSTRAND_PANIC);
    wstrand::options options;
    options.add_subprotocol("x").connect_timeout(patience).ping_interval(5s).max_message_bytes(1 << 20);
    connection ws = wstrand::connect(url, options, failure);
    CHECK(!failure && failure.code() == WSTRAND_OK && ws);
    CHECK(ws.subprotocol() == "x");
    CHECK(ws.ready_state() == wstrand::ready_state::open);
    CHECK(ws.close_code() == 0 && ws.close_reason().empty() && !ws.was_clean());
    CHECK(ws.header("upgrade") == "websocket" && !ws.header("x-none") && !ws.peer_address().empty());

    CHECK(ws.receive(0ms, failure).timed_out() && !failure);
    CHECK(ws.receive(-1h, failure).timed_out() && !failure);
    ws.send("hello", failure);
    auto message = ws.receive(failure);
    CHECK(message && message->is_text() && message->text() == "hello" && !failure);

    const std::vector<unsigned char> bytes{0, 1, 255};
    ws.send_binary(bytes, failure);
    const wstrand::received got = ws.receive(patience, failure);
    CHECK(got && !got.timed_out() && got->kind() == wstrand::message_kind::binary && got->size() == 3);
    CHECK(std::vector<std::byte>(got->begin(), got->end())[2] == std::byte{255});
    ws.send_binary({"\0\0", 2}, failure);
    CHECK((*ws.receive(patience, failure)).size() == 2);
    ws.send(std::string_view(), failure);
    CHECK(ws.receive(patience, failure)->text().empty());
    ws.ping({"abc", 3}, failure);
    CHECK(!failure);
    ws.ping(std::string(126, 'x'), failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT && failure.what()[0] != '\0' && failure.get() != nullptr);
    ws.send("\xff", failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    ws.close(999, "", failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    ws.close(1000, std::string_view("a\0b", 3), failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(!ws.wait_closed(0ms, failure) && !failure);
    CHECK(ws.buffered_amount() < 1000);

    ws.send("close me", failure);
    CHECK(!ws.receive(failure) && !failure);
    const wstrand::received none = ws.receive(1s, failure);
    CHECK(!none && !none.timed_out() && !failure);
    CHECK(ws.close_code() == 4001 && ws.close_reason() == "as told" && ws.was_clean());
    CHECK(ws.ready_state() == wstrand::ready_state::ended);
    ws.send("too late", failure);
    CHECK(failure.code() == WSTRAND_CLOSED);
    CHECK(ws.wait_closed(1s, failure) && !failure);

    connection lost = wstrand::connect(url, failure);
    lost.send("cut me", failure);
    CHECK(!lost.receive(failure) && failure.code() == WSTRAND_LOST && failure.close_code() == 1006);
    const error kept = failure; // outlives the next call
    lost.send("x", failure);
    failure = {};
    CHECK(!failure && kept && kept.what()[0] != '\0');
}

static void failing(const std::string &url)
{
    error failure;
    CHECK(!wstrand::connect("ws://127.0.0.1:1/", failure));
    CHECK(failure.code() == WSTRAND_IO && failure.phase() == "connect" && failure.os_code() != 0);
    CHECK(!wstrand::connect(std::string_view("ws://127.0.0.1:1/\0x", 19), failure));
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    wstrand::options options;
    options.add_header("X", std::string_view("a\0b", 3));
    CHECK(!wstrand::connect(url, options, failure) && failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(!wstrand::connect(url + "forbidden", failure));
    CHECK(failure.code() == WSTRAND_HANDSHAKE && failure.http_status() == 403);
    CHECK(failure.http_header("x-why") == "because" && !failure.http_header("x-why", 1));
    CHECK(failure.http_body() == "go away");
    CHECK(!wstrand::listen("nonsense", {}, failure) && failure.code() == WSTRAND_INVALID_ARGUMENT);

    // None at all: every call says so.
    connection none;
    CHECK(!none && none.get() == nullptr);
    none.send("x", failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(!none.receive(failure) && failure);
    none.wait_closed(failure);
    CHECK(failure && none.subprotocol().empty() && none.ready_state() == wstrand::ready_state::ended);
}

static void moving(const std::string &url)
{
    error failure;
    connection first = wstrand::connect(url, failure);
    wstrand_connection *const handle = first.get();
    connection second = std::move(first);
    CHECK(!first && second.get() == handle); // NOLINT: moved from on purpose
    first = std::move(second);
    CHECK(!second && first.get() == handle);
    first = wstrand::connect(url, failure); // the former one is closed
    CHECK(first && !failure);
    std::vector<connection> several;
    for (int i = 0; i < 5; ++i)
        several.push_back(wstrand::connect(url, failure));
    for (connection &each : several) {
        each.send("x", failure);
        CHECK(each.receive(failure) && !failure);
    }
    connection shared = several[0].share();
    several.clear();
    shared.send("x", failure);
    CHECK(shared.receive(failure) && !failure);
    wstrand_connection_free(shared.release());
    CHECK(!shared);
}

static void called_back(const std::string &url)
{
    error failure;
    std::string told;
    std::promise<void> ponged;
    wstrand::handler handler;
    handler.on_open = [&](wstrand::connection_ref ws) {
        error ignored;
        told += "open ";
        ws.ping({"pi", 2}, ignored);
    };
    handler.on_pong = [&](wstrand::connection_ref, wstrand::byte_view payload) {
        told += "pong" + std::to_string(payload.size()) + " ";
        ponged.set_value();
    };
    handler.on_message = [&](wstrand::connection_ref ws, const wstrand::message &message) {
        error ignored;
        told += std::string(message.text()) + " ";
        if (message.text() == "two")
            ws.close(3000, "done", ignored);
        CHECK(!ignored);
    };
    handler.on_close = [&](wstrand::connection_ref, std::uint16_t code, std::string_view reason, bool was_clean) {
        told += std::to_string(code) + " " + std::string(reason) + (was_clean ? " clean" : " unclean");
    };
    {
        connection ws = wstrand::connect(url, std::move(handler), failure);
        CHECK(!failure);
        ponged.get_future().wait();
        CHECK(!ws.receive(failure) && failure.code() == WSTRAND_INVALID_STATE);
        ws.send("one", failure);
        ws.send("two", failure);
        ws.wait_closed(failure);
        CHECK(!failure && ws.was_clean());
    }
    if (!CHECK(told == "open pong2 one two 3000 done clean"))
        std::fprintf(stderr, "%s\n", told.c_str());

    // The error of on_error may be kept.
    error kept;
    wstrand::handler other;
    other.on_error = [&](wstrand::connection_ref, const error &lost) { kept = lost; };
    connection ws = wstrand::connect(url, wstrand::options(), std::move(other), failure);
    ws.send("cut me", failure);
    ws.wait_closed(failure);
    CHECK(!failure && kept.code() == WSTRAND_LOST && std::string(kept.what()).size() > 3);
    CHECK(kept.close_code() == 1006);
}

/* What a handler owns lives until nothing can call it any more, and no longer. */
static void owning(const std::string &url)
{
    error failure;
    const auto token = std::make_shared<int>(0);
    for (int round = 0; round < 20; ++round) {
        wstrand::handler handler;
        handler.on_message = [token](wstrand::connection_ref, const wstrand::message &) { ++*token; };
        connection ws = wstrand::connect(url, std::move(handler), failure);
        ws.send("x", failure);
        CHECK(token.use_count() > 1);
        if (round % 2 == 0) {
            ws.close(1000, {}, failure);
            CHECK(ws.wait_closed(patience, failure));
        }
        ws = {};
        CHECK(token.use_count() == 1);
    }
    // Freed inside its own callback.
    std::promise<void> freed;
    auto own = std::make_shared<connection>();
    std::promise<void> ready;
    wstrand::handler handler;
    handler.on_message = [&, waiting = ready.get_future().share()](wstrand::connection_ref ws, const wstrand::message &) {
        error ignored;
        waiting.wait();
        own.reset();
        ws.send("x", ignored);
        CHECK(ignored.code() == WSTRAND_CLOSED);
        freed.set_value();
    };
    *own = wstrand::connect(url, std::move(handler), failure);
    own->share().send("x", failure);
    ready.set_value();
    freed.get_future().wait();
}

static void serving()
{
    error failure;
    std::promise<std::string> asked;
    wstrand::handler handler;
    handler.on_request = [&](wstrand::request request, wstrand::response response) {
        error ignored;
        if (request.is_upgrade() && request.subprotocol(1) == "b" && !request.origin())
            response.accept("b", ignored);
        response.add_header("X-Served", "yes", ignored);
        asked.set_value(std::string(request.path()) + " " + std::string(request.query().value_or("none")));
    };
    handler.on_connection = [](wstrand::connection_ref ws) {
        error ignored;
        while (auto message = ws.receive(ignored))
            ws.send(*message, ignored);
    };
    wstrand::server server = wstrand::listen("127.0.0.1:0", std::move(handler), failure);
    CHECK(!failure);
    wstrand::server moved = std::move(server);
    std::thread runner([&] {
        error stopped;
        moved.run(stopped);
        CHECK(!stopped);
    });
    wstrand::options options;
    options.add_subprotocol("a").add_subprotocol("b");
    connection ws = wstrand::connect("ws://" + std::string(moved.address()) + "/p?q", options, failure);
    CHECK(asked.get_future().get() == "/p q");
    CHECK(ws.subprotocol() == "b" && ws.header("x-served") == "yes");
    ws.send("in pull style", failure);
    CHECK(ws.receive(patience, failure)->text() == "in pull style");
    CHECK(moved.connection_count() == 1);
    CHECK(ws.stat(WSTRAND_STAT_MESSAGES_RECEIVED) == 1 && ws.stat(WSTRAND_STAT_PAYLOAD_BYTES_SENT) == 13);
    CHECK(ws.stat(WSTRAND_STAT_WIRE_BYTES_SENT) == 6 + 13 && ws.stat(WSTRAND_STAT_OPEN) == 0);
    CHECK(moved.stat(WSTRAND_STAT_OPEN) == 1 && moved.stat(WSTRAND_STAT_WIRE_BYTES_SENT) == 2 + 13);
    std::thread receiver([&] {
        error closed;
        CHECK(!ws.receive(closed) && !closed && ws.close_code() == WSTRAND_CLOSE_GOING_AWAY);
    });
    CHECK(moved.stop(patience, failure) == 0 && !failure);
    receiver.join();
    runner.join();
}

static wstrand::handler echoing()
{
    wstrand::handler handler;
    handler.on_message = [](wstrand::connection_ref ws, const wstrand::message &message) {
        error ignored;
        ws.send(message, ignored);
    };
    return handler;
}

static void goes_and_comes_back(connection ws, const error &failure)
{
    error ignored;
    if (!CHECK(ws && !failure))
        std::fprintf(stderr, "%s\n", failure.what());
    ws.send("there and back", ignored);
    const wstrand::received got = ws.receive(patience, ignored);
    CHECK(got && got->text() == "there and back");
}

static void ways(const std::string &url)
{
    error failure;
    const std::string path = "/tmp/wstrand-wrapper-" + std::to_string(getpid());
    wstrand::server server = wstrand::listen_unix(path, {}, echoing(), failure);
    CHECK(!failure && server.port() == 0 && server.address().empty());
    server.start(failure);
    goes_and_comes_back(wstrand::connect_unix(path, "ws://localhost/", {}, failure), failure);
    std::promise<void> opened;
    wstrand::handler handler;
    handler.on_open = [&](wstrand::connection_ref) { opened.set_value(); };
    connection ws = wstrand::connect_unix(path, "ws://localhost/", {}, std::move(handler), failure);
    opened.get_future().wait();
    ws = {};
    CHECK(server.stop(patience, failure) == 0);
    unlink(path.c_str());
    // A NUL inside cuts nothing short.
    CHECK(!wstrand::listen_unix(std::string_view("a\0b", 3), {}, {}, failure));
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(!wstrand::connect_unix(std::string_view("a\0b", 3), "ws://localhost/", {}, failure));
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);

    // A listening socket that the system has bound to whatever is free.
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(listen(listener, 1) == 0);
    server = wstrand::listen_over(listener, {}, echoing(), failure);
    CHECK(!failure && server.port() != 0);
    server.start(failure);
    const std::string other = "ws://127.0.0.1:" + std::to_string(server.port());
    goes_and_comes_back(wstrand::connect(other, failure), failure);
    server.stop(patience, failure);
    CHECK(!wstrand::listen_over(-1, {}, {}, failure) && failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(!wstrand::connect_over(-1, "ws://localhost/", {}, failure));
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(!wstrand::connect_over(-1, "ws://localhost/", {}, echoing(), failure) && failure);

    wstrand::options options;
    options.tcp_nodelay(false).tcp_keepalive(false).max_redirects(3).local_address("127.0.0.9");
    options.tls_sni(false).tls_min_version(wstrand::tls_version::tls_1_3).tls_only_added_roots(false);
    options.add_tls_pin(std::array<char, 32>()).danger_accept_invalid_certs(true);
    options.danger_accept_invalid_hostnames(true);
    ws = wstrand::connect(url, options, failure);
    CHECK(!failure && ws.local_address().substr(0, 10) == "127.0.0.9:");
    options.proxy("http://127.0.0.1:1");
    CHECK(!wstrand::connect(url, options, failure) && failure.code() == WSTRAND_IO);
    options.use_proxy_of_environment();
    goes_and_comes_back(wstrand::connect(url, options, failure), failure);

    const auto refused = [&](wstrand::options &setting, int code) {
        error why;
        CHECK(!wstrand::connect(url, setting, why) && why.code() == code);
    };
    refused(wstrand::options().add_tls_pin(std::array<char, 31>()), WSTRAND_INVALID_ARGUMENT);
    refused(wstrand::options().add_tls_roots("nonsense"), WSTRAND_TLS);
    refused(wstrand::options().tls_identity("nonsense", "too"), WSTRAND_TLS);
    refused(wstrand::options().tls_identity_pkcs12(std::string("nonsense"), "secret"), WSTRAND_TLS);
    refused(wstrand::options().proxy("nonsense"), WSTRAND_INVALID_ARGUMENT);
    refused(wstrand::options().local_address("nonsense"), WSTRAND_INVALID_ARGUMENT);

    wstrand::cancel cancel(failure);
    CHECK(!failure && !cancel.is_triggered());
    options.cancel(cancel);
    std::thread other_thread([&] { cancel.trigger(); });
    other_thread.join();
    CHECK(cancel.is_triggered());
    refused(options, WSTRAND_CANCELLED);
}

static void compressing()
{
    error failure;
    wstrand::options options;
    options.max_handshakes(16).deflate(true).deflate_level(6).deflate_threshold_bytes(1);
    wstrand::server server = wstrand::listen("0", options, echoing(), failure);
    server.start(failure);
    CHECK(!failure);
    options.deflate_server_no_context_takeover(true).deflate_client_no_context_takeover(true);
    options.deflate_server_max_window_bits(11).deflate_client_max_window_bits(12);
    connection ws = wstrand::connect("ws://" + std::string(server.address()), options, failure);
    CHECK(ws.extensions() == "permessage-deflate; server_no_context_takeover; server_max_window_bits=11; "
                             "client_no_context_takeover; client_max_window_bits=12");
    goes_and_comes_back(ws.share(), failure);
    const std::string text(10000, 'x');
    ws.send_uncompressed(wstrand::message_kind::text, text, failure);
    CHECK(ws.receive(patience, failure)->text() == text);
    ws.queue(wstrand::message_kind::text, std::string_view("gathered"), failure);
    CHECK(ws.buffered_amount() > 0);
    ws.flush(failure);
    CHECK(ws.receive(patience, failure)->text() == "gathered");
    const wstrand::prepared prepared(text, failure);
    ws.send(prepared, failure);
    CHECK(ws.receive(patience, failure)->text() == text);
    const wstrand::prepared none("\xff", failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT && none.get() == nullptr);
    const wstrand::prepared secret = wstrand::prepared::uncompressed(text, failure);
    CHECK(!failure);
    std::uint64_t sent = ws.stat(WSTRAND_STAT_WIRE_BYTES_SENT);
    ws.queue(secret, failure);
    CHECK(ws.stat(WSTRAND_STAT_WIRE_BYTES_SENT) - sent > text.size());
    ws.flush(failure);
    CHECK(ws.receive(patience, failure)->text() == text);
    wstrand::group group;
    CHECK(group.join(ws) && group.send_except(ws, secret, failure) == 0 && group.send(secret, failure) == 1);
    CHECK(ws.receive(patience, failure)->text() == text);
    CHECK(group.send(none, failure) == 0 && failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(group.send_except(ws, none, failure) == 0 && failure.code() == WSTRAND_INVALID_ARGUMENT);
    CHECK(wstrand::prepared::uncompressed("\xff", failure).get() == nullptr && failure);
    CHECK(wstrand::prepared::uncompressed(wstrand::message_kind::binary, text, failure).get() != nullptr && !failure);
#if WSTRAND_EXCEPTIONS
    ws.send(wstrand::prepared(wstrand::message_kind::binary, text));
    CHECK(!ws.receive().value().is_text());
    ws.queue(wstrand::message_kind::binary, std::string_view("a"));
    ws.flush();
    CHECK(ws.receive().value().size() == 1);
    ws.send_uncompressed(wstrand::message_kind::binary, text);
    CHECK(ws.receive().value().size() == text.size());
    sent = ws.stat(WSTRAND_STAT_WIRE_BYTES_SENT);
    ws.queue(wstrand::prepared::uncompressed(wstrand::message_kind::binary, text));
    ws.flush();
    CHECK(!ws.receive().value().is_text());
    CHECK(group.send(wstrand::prepared::uncompressed(text)) == 1 && group.send_except(ws, secret) == 0);
    CHECK(ws.receive().value().text() == text);
    CHECK(ws.stat(WSTRAND_STAT_WIRE_BYTES_SENT) - sent > 2 * text.size());
    ws.send(wstrand::prepared(text));
#endif
    CHECK(server.stop(patience, failure) == 0);
}

/* Level and threshold show in nothing but the bytes on the wire. */
static void choosing_how_to_compress()
{
    error failure;
    wstrand::options options;
    options.deflate(true);
    wstrand::server server = wstrand::listen("0", options, echoing(), failure);
    server.start(failure);
    CHECK(!failure);
    std::string text;
    for (int i = 0; i < 400; i++)
        text += "{\"number\":" + std::to_string(i * i) + ",\"name\":\"the quick brown fox\"}\n";
    const auto sent_for = [&](const wstrand::options &setting, std::string_view message) {
        connection ws = wstrand::connect("ws://" + std::string(server.address()), setting, failure);
        ws.send(message, failure);
        CHECK(!failure && ws.extensions() == "permessage-deflate");
        return ws.stat(WSTRAND_STAT_WIRE_BYTES_SENT);
    };
    const auto usual = sent_for(options, text);
    CHECK(sent_for(options.deflate_level(9), text) < usual && usual < text.size() / 2);
    CHECK(sent_for(options.deflate_level(0), text) > text.size());
    options.deflate_level(9).deflate_threshold_bytes(text.size() + 1);
    CHECK(sent_for(options, text) > text.size());
    CHECK(sent_for(options.deflate_threshold_bytes(text.size()), text) < usual);
    CHECK(server.stop(patience, failure) == 0);
}

/* What one says, a group hears. */
static void grouping()
{
    wstrand::group room;
    error failure;
    wstrand::handler handler;
    handler.on_open = [&](wstrand::connection_ref ws) { CHECK(room.join(ws) && !room.join(ws)); };
    handler.on_message = [&](wstrand::connection_ref ws, const wstrand::message &message) {
        error sending;
        if (message.text() == "to others")
            CHECK(room.send_except(ws, message, sending) == 1);
        else
            CHECK(room.send(message, sending) == 2);
        CHECK(!sending);
    };
    wstrand::server server = wstrand::listen("127.0.0.1:0", {}, std::move(handler), failure);
    server.start(failure);
    CHECK(!failure);
    const std::string url = "ws://" + std::string(server.address()) + "/";
    connection one = wstrand::connect(url, failure), two = wstrand::connect(url, failure);
    while (room.size() < 2)
        std::this_thread::yield();
    one.send("to all", failure);
    CHECK(one.receive(patience, failure)->text() == "to all");
    CHECK(two.receive(patience, failure)->text() == "to all");
    two.send("to others", failure);
    CHECK(one.receive(patience, failure)->text() == "to others");
    const std::array<char, 2> bytes{1, 2};
    CHECK(room.send_binary(bytes, failure) == 2 && room.send_binary_except(one, bytes, failure) == 2);
    CHECK(room.send("\xff", failure) == 0 && failure.code() == WSTRAND_INVALID_ARGUMENT);
    room.set_overflow(wstrand::overflow::drop, failure);
    CHECK(!failure && room.dropped() == 0);
    room.set_overflow(static_cast<wstrand::overflow>(0), failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    for (connection *ws : {&one, &two}) {
        CHECK(ws->receive(patience, failure)->size() == 2);
        CHECK(ws->receive(patience, failure)->size() == 2);
    }
    // Clients are members as well.
    wstrand::group clients;
    CHECK(clients.join(one) && clients.contains(one) && !clients.contains(two) && clients.send("\n", failure) == 1);
    CHECK(two.receive(patience, failure)->text() == "\n" && one.receive(patience, failure)->text() == "\n");
    CHECK(clients.leave(one) && !clients.leave(one) && clients.empty());
#if WSTRAND_EXCEPTIONS
    room.set_overflow(wstrand::overflow::close);
    CHECK(room.send("a") == 2 && room.send_binary(bytes) == 2);
    CHECK(room.send_except(one, "b") == 2 && room.send_binary_except(one, bytes) == 2);
    wstrand::message got = one.receive().value();
    CHECK(room.send(got) == 2 && room.send_except(two, got) == 2);
#endif
    wstrand::group moved = std::move(room);
    CHECK(moved.size() == 2 && room.get() == nullptr && room.send("nowhere", failure) == 0 && failure);
    one = connection();
    two.close(1000, "", failure);
    while (!moved.empty())
        std::this_thread::yield();
    two.wait_closed(failure);
    CHECK(server.stop(patience, failure) == 0);
}

/* Everything that sends, and the messages that come back in a loop. */
static void sending(const std::string &url)
{
    error failure;
    connection ws = wstrand::connect(url, failure);
    CHECK(ws.try_send("a", failure) && ws.try_send_binary(std::string("b"), failure));
    CHECK(ws.try_send(wstrand::prepared("c", failure), failure) && !failure);
    ws.flush(failure);
    wstrand::writer writer = ws.begin_message(wstrand::message_kind::text, failure);
    CHECK(writer && !failure);
    writer.set_uncompressed(failure);
    writer.write("d", failure);
    writer.flush(failure);
    writer.write_binary(std::array<char, 1>{'e'}, failure);
    CHECK(!failure);
    writer.set_uncompressed(failure);
    CHECK(failure.code() == WSTRAND_INVALID_STATE);
    writer.finish(failure);
    CHECK(!failure);
    writer.finish(failure);
    CHECK(failure.code() == WSTRAND_INVALID_STATE);
    ws.send("close me", failure);
    std::string told;
    for (auto &message : ws.messages(failure))
        told += message.text();
    CHECK(told == "abcde" && !failure && ws.close_code() == 4001);
    CHECK(!ws.try_send("x", failure) && failure.code() == WSTRAND_CLOSED);

    ws = wstrand::connect(url, failure);
    ws.send("cut me", failure);
    for (auto &message : ws.messages(failure))
        CHECK(message.size() == 0);
    CHECK(failure.code() == WSTRAND_LOST);

    // No room is no error.
    wstrand::options options;
    options.max_buffered_bytes(1);
    ws = wstrand::connect(url, options, failure);
    const std::vector<char> large(1 << 20);
    int sent = 0;
    while (sent < 1000 && ws.try_send_binary(large, failure))
        ++sent;
    CHECK(sent > 0 && sent < 1000 && !failure);
}

/* Callbacks come only where the program asks for them, and may own what cannot be copied. */
static void dispatching(const std::string &url)
{
    error failure;
    const auto here = std::this_thread::get_id();
    auto owned = std::make_unique<std::string>();
    std::string *const told = owned.get();
    std::string after;
    wstrand::handler handler;
    handler.queue_bytes = 1 << 20;
    handler.on_open = [&](wstrand::connection_ref) { CHECK(std::this_thread::get_id() == here); };
    handler.on_message = [owned = std::move(owned), &failure](wstrand::connection_ref ws, const wstrand::message &message) {
        *owned += message.text();
        ws.close(WSTRAND_CLOSE_GOING_AWAY, "", failure);
    };
    handler.on_close = [&after, told](wstrand::connection_ref, std::uint16_t code, std::string_view, bool) {
        after = *told + std::to_string(code);
    };
    connection ws = wstrand::connect(url, std::move(handler), failure);
    CHECK(ws.event_descriptor(failure) >= 0 && !failure);
    CHECK(ws.dispatch(patience, failure) == wstrand::dispatched::events);
    CHECK(ws.dispatch(0ms, failure) == wstrand::dispatched::timed_out && !failure);
    ws.send("x", failure);
    CHECK(told->empty());
    while (ws.dispatch(failure) == wstrand::dispatched::events)
        ;
    CHECK(!failure && after == "x1001");
    CHECK(ws.dispatch(failure) == wstrand::dispatched::closed && !failure);
    ws.wait_closed(failure);
    CHECK(!failure);
    ws = wstrand::connect(url, failure);
    CHECK(ws.dispatch(failure) == wstrand::dispatched::closed && failure.code() == WSTRAND_INVALID_STATE);
    CHECK(ws.event_descriptor(failure) == -1 && failure.code() == WSTRAND_INVALID_STATE);

#if WSTRAND_EXCEPTIONS
    wstrand::handler throwing;
    throwing.queue_bytes = 1;
    throwing.on_message = [](wstrand::connection_ref, const wstrand::message &) { throw std::runtime_error("mine"); };
    ws = wstrand::connect(url, std::move(throwing));
    ws.send("x");
    try {
        ws.dispatch();
        CHECK(false);
    } catch (const std::runtime_error &caught) {
        CHECK(caught.what() == std::string("mine"));
    }
    CHECK(ws.dispatch() == wstrand::dispatched::closed);
    CHECK(ws.close_code() == WSTRAND_CLOSE_INTERNAL_ERROR);
    CHECK(ws.event_descriptor() >= 0);
#endif
}

static void nothing_to_call(wstrand::connection_ref) {}

/* What is not there is not called, and an error that is kept tells all. */
static void small_things(const std::string &url)
{
    error failure;
    const wstrand::callback<wstrand::connection_ref> none, null(nullptr);
    const wstrand::callback<wstrand::connection_ref> empty(std::function<void(wstrand::connection_ref)>{});
    void (*pointer)(wstrand::connection_ref) = nullptr;
    CHECK(!none && !null && !empty && !wstrand::callback<wstrand::connection_ref>(pointer));
    wstrand::callback<wstrand::connection_ref> one(nothing_to_call), taken = std::move(one);
    CHECK(!one && taken); // NOLINT: moved from on purpose

    wstrand::connect(url + "forbidden", failure);
    const error copied = error::copy(failure.get());
    const std::string what = failure.what();
    {
        error moved = std::move(failure), assigned;
        assigned = std::move(moved);
        CHECK(assigned.http_status() == 403 && moved.http_status() == 403); // NOLINT: moved from on purpose
    }
    CHECK(failure.what() == what && failure.http_status() == 403); // NOLINT: the same
    failure = {};
    CHECK(copied.http_status() == 403 && copied.http_header("x-why") == "because" && copied.http_body() == "go away");
    CHECK(!error::copy(nullptr));

    auto lines = std::make_shared<std::atomic<int>>(0);
    wstrand::set_log(
        wstrand::log_level::trace,
        [lines](wstrand::log_level, std::string_view target, std::string_view text) {
            CHECK(!target.empty() && !text.empty());
            ++*lines;
#if WSTRAND_EXCEPTIONS
            throw 42;
#endif
        },
        failure);
    CHECK(!failure);
    // The server's thread logs a refusal after it has told the client.
    for (int tries = 0; *lines == 0 && tries < 10000; ++tries)
        wstrand::connect(url + "forbidden", failure);
    wstrand::set_log(wstrand::log_level::off, {}, failure);
    CHECK(!failure && *lines > 0);
}

static std::string content(const std::string &path)
{
    std::ifstream file(path, std::ios::binary);
    CHECK(file.is_open());
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

static void secure(const std::string &certs)
{
    error failure;
    wstrand::options settings;
    settings.tls_identity(content(certs + "/server.pem"), content(certs + "/server.key"));
    wstrand::server server = wstrand::listen("0", settings, echoing(), failure);
    CHECK(!failure);
    server.start(failure);
    const std::string url = "wss://localhost:" + std::to_string(server.port());
    CHECK(!wstrand::connect(url, failure) && failure.code() == WSTRAND_TLS);
    CHECK(failure.phase() == "TLS handshake");
    wstrand::options trusting;
    trusting.add_tls_roots(content(certs + "/ca.pem"));
    goes_and_comes_back(wstrand::connect(url, trusting, failure), failure);
    trusting.add_tls_pin(content(certs + "/other.sha256"));
    CHECK(!wstrand::connect(url, trusting, failure) && failure.code() == WSTRAND_TLS);

    wstrand::options renewed;
    server.renew_tls(renewed, failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);
    renewed.tls_identity_pkcs12(content(certs + "/other.p12"), "secret");
    server.renew_tls(renewed, failure);
    goes_and_comes_back(wstrand::connect(url, trusting, failure), failure);
#if WSTRAND_EXCEPTIONS
    server.renew_tls(settings);
#endif
    server.stop(patience, failure);
}

#if WSTRAND_EXCEPTIONS

template <typename Thrown, typename Call>
static std::string thrown(Call call)
{
    try {
        call();
    } catch (const Thrown &caught) {
        return caught.what();
    }
    return {};
}

static void throwing(const std::string &url)
{
    try {
        wstrand::connect(url + "forbidden");
        CHECK(false);
    } catch (const std::exception &caught) {
        CHECK(dynamic_cast<const error &>(caught).http_status() == 403);
    }
    connection ws = wstrand::connect(url, wstrand::options());
    ws.send("hello");
    CHECK(ws.receive().value().text() == "hello");
    ws.send_binary(std::vector<char>(10));
    CHECK(ws.receive(patience).value().size() == 10);
    CHECK(ws.receive(1ms).timed_out());
    CHECK(!thrown<std::bad_optional_access>([&] { (void)ws.receive(1ms).value(); }).empty());
    ws.ping();
    CHECK(!thrown<error>([&] { ws.close(1, "x"); }).empty());
    CHECK(!thrown<error>([&] { ws.send("\xff"); }).empty());
    CHECK(!ws.wait_closed(0ms));
    ws.close();
    CHECK(!ws.receive());
    ws.wait_closed();
    CHECK(ws.was_clean());
    CHECK(!thrown<error>([&] { ws.send("x"); }).empty());
    CHECK(!thrown<error>([] { wstrand::listen("nonsense", {}); }).empty());
    CHECK(!thrown<error>([] { wstrand::listen_unix("/", {}, {}); }).empty());
    CHECK(!thrown<error>([] { wstrand::listen_over(-1, {}, {}); }).empty());
    CHECK(!thrown<error>([] { wstrand::connect_unix("/", "ws://localhost/"); }).empty());
    CHECK(!thrown<error>([] { wstrand::connect_unix("/", "ws://localhost/", {}, wstrand::handler()); }).empty());
    CHECK(!thrown<error>([] { wstrand::connect_over(-1, "ws://localhost/"); }).empty());
    CHECK(!thrown<error>([] { wstrand::connect_over(-1, "ws://localhost/", {}, wstrand::handler()); }).empty());
    CHECK(!thrown<error>([] { wstrand::server().renew_tls({}); }).empty());
    CHECK(!wstrand::cancel().is_triggered());
    CHECK(!thrown<error>([] { wstrand::group().send("\xff"); }).empty());
    CHECK(!thrown<error>([] { connection().wait_closed(); }).empty());
    CHECK(!thrown<error>([] { connection().dispatch(); }).empty());
    CHECK(!thrown<error>([] { wstrand::set_log(static_cast<wstrand::log_level>(6), [](auto...) {}); }).empty());

    ws = wstrand::connect(url);
    CHECK(ws.try_send("a") && ws.try_send_binary(std::string("b")) && ws.try_send(wstrand::prepared("c")));
    wstrand::writer writer = ws.begin_message(wstrand::message_kind::binary);
    writer.set_uncompressed();
    writer.write("d");
    writer.flush();
    writer.write_binary(std::string("e"));
    writer.finish();
    CHECK(!thrown<error>([&] { writer.finish(); }).empty());
    ws.flush();
    ws.send("close me");
    std::string told;
    for (auto &message : ws)
        told += message.text();
    CHECK(told == "abcde");
    ws = wstrand::connect(url);
    ws.send("cut me");
    CHECK(!thrown<error>([&] {
               for (auto &message : ws)
                   CHECK(message.size() == 0);
           }).empty());
}

/* What leaves a callback comes back from wait_closed, once, and the peer is told 1011. */
static void thrown_in_callbacks()
{
    std::promise<int> seen;
    wstrand::handler handler;
    handler.on_open = [](wstrand::connection_ref ws) { ws.send("hello"); };
    handler.on_close = [&](wstrand::connection_ref, std::uint16_t code, std::string_view, bool was_clean) {
        CHECK(was_clean);
        seen.set_value(code);
    };
    wstrand::server server = wstrand::listen("0", std::move(handler));
    server.start();
    const std::string url = "ws://" + std::string(server.address());

    for (int round = 0; round < 3; ++round) {
        seen = {};
        wstrand::handler client;
        if (round == 0)
            client.on_open = [](wstrand::connection_ref) { throw std::runtime_error("mine"); };
        else
            client.on_message = [](wstrand::connection_ref, const wstrand::message &) {
                throw std::runtime_error("mine");
            };
        if (round == 2)
            client.on_close = [](wstrand::connection_ref, std::uint16_t, std::string_view, bool) {
                throw std::runtime_error("a second one, which is dropped");
            };
        connection ws = wstrand::connect(url, std::move(client));
        CHECK(thrown<std::runtime_error>([&] { ws.wait_closed(); }) == "mine");
        CHECK(seen.get_future().get() == WSTRAND_CLOSE_INTERNAL_ERROR);
        ws.wait_closed();
        CHECK(ws.wait_closed(0ms));
    }
    // An exception that nobody asks for does no harm.
    seen = {};
    {
        wstrand::handler client;
        std::promise<void> now;
        client.on_message = [&](wstrand::connection_ref, const wstrand::message &) {
            now.set_value();
            throw 42;
        };
        connection ws = wstrand::connect(url, std::move(client));
        now.get_future().wait();
    }
    seen.get_future().wait();
    server.stop(patience);

    // A server's: status 500 for a request, 1011 for a connection; the first comes back from stop.
    wstrand::handler served;
    served.on_request = [](wstrand::request request, wstrand::response) {
        if (request.path() == "/throws")
            throw std::runtime_error("in on_request");
    };
    served.on_message = [](wstrand::connection_ref, const wstrand::message &) {
        throw std::runtime_error("in on_message");
    };
    server = wstrand::listen("0", std::move(served));
    server.start();
    error failure;
    wstrand::connect("ws://" + std::string(server.address()) + "/throws", failure);
    CHECK(failure.http_status() == 500);
    connection ws = wstrand::connect("ws://" + std::string(server.address()));
    ws.send("x");
    CHECK(!ws.receive() && ws.close_code() == WSTRAND_CLOSE_INTERNAL_ERROR);
    CHECK(thrown<std::runtime_error>([&] { server.stop(patience); }) == "in on_request");
    CHECK(server.stop(patience) == 0);

    // That a client has gone is no failure of a server's.
    for (const int code : {WSTRAND_CLOSED, WSTRAND_LOST, WSTRAND_IO, WSTRAND_TIMEOUT}) {
        wstrand::handler answering;
        answering.on_message = [code](wstrand::connection_ref, const wstrand::message &) { throw error(code); };
        server = wstrand::listen("0", std::move(answering));
        server.start();
        ws = wstrand::connect("ws://" + std::string(server.address()));
        ws.send("x");
        CHECK(!ws.receive() && ws.close_code() == WSTRAND_CLOSE_INTERNAL_ERROR);
        CHECK(thrown<error>([&] { server.stop(patience); }).empty() == (code != WSTRAND_TIMEOUT));
    }
}

/* A server may be destroyed while another thread runs it: what a callback threw comes out of `run` all the same. */
static void destroyed_while_it_runs()
{
    for (int round = 0; round < 10; ++round) {
        wstrand::handler handler;
        handler.on_message = [](wstrand::connection_ref, const wstrand::message &) { throw std::runtime_error("mine"); };
        auto server = std::make_unique<wstrand::server>(wstrand::listen("0", std::move(handler)));
        std::thread runner([running = server.get()] {
            CHECK(thrown<std::runtime_error>([&] { running->run(); }) == "mine");
        });
        connection ws = wstrand::connect("ws://" + std::string(server->address()));
        ws.send("x");
        CHECK(!ws.receive() && ws.close_code() == WSTRAND_CLOSE_INTERNAL_ERROR);
        server.reset();
        runner.join();
    }
}

/* An exception ends it for good, wherever it is thrown, and comes back from wait_closed. */
static void reconnecting_throws(const std::string &url)
{
    for (int where = 0; where < 4; ++where) {
        const auto at = [where](int here) {
            if (where == here)
                throw std::runtime_error("mine");
        };
        wstrand::handler handler;
        handler.on_attempt = [=](wstrand::attempt) { at(0); };
        handler.on_open = [=](wstrand::connection_ref ws) {
            at(1);
            ws.send("hello");
        };
        handler.on_message = [=](wstrand::connection_ref ws, const wstrand::message &) {
            at(2);
            ws.close(4000);
        };
        handler.on_down = [=](wstrand::down) { at(3); };
        wstrand::options options;
        options.reconnect_first_delay(1ms).reconnect_max_delay(2ms);
        wstrand::reconnecting client = wstrand::reconnect(url, options, std::move(handler));
        CHECK(thrown<std::runtime_error>([&] { client.wait_closed(); }) == "mine");
        CHECK(client.wait_closed(0ms));
        CHECK(!thrown<error>([&] { client.send("late"); }).empty());
        CHECK(!thrown<error>([&] { client.close(1002); }).empty());
    }
    CHECK(!thrown<error>([] { wstrand::reconnect("nonsense", {}); }).empty());
}

#endif

/* What was moved from is NULL to all that takes it, which is refused: without options a server would speak no TLS. */
static void moved_from(const std::string &url)
{
    error failure;
    const auto is_refused = [&](bool done) {
        const int code = std::exchange(failure, error()).code();
        return !done && code == WSTRAND_INVALID_ARGUMENT;
    };
    wstrand::options options, own_options = std::move(options);
    options.ping_interval(5s);
    int sockets[2][2];
    for (auto &pair : sockets)
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(is_refused(!!wstrand::connect(url, options, failure)));
    CHECK(is_refused(!!wstrand::connect(url, options, echoing(), failure)));
    CHECK(is_refused(!!wstrand::connect_unix("/", url, options, failure)));
    CHECK(is_refused(!!wstrand::connect_over(sockets[0][0], url, options, failure)));
    CHECK(is_refused(!!wstrand::reconnect(url, options, echoing(), failure)));
    CHECK(is_refused(!!wstrand::listen("0", options, echoing(), failure)));
    CHECK(is_refused(!!wstrand::listen_unix("/tmp", options, echoing(), failure)));
    CHECK(is_refused(!!wstrand::listen_over(sockets[1][0], options, echoing(), failure)));
    for (auto &pair : sockets) {
        char nothing;
        CHECK(read(pair[1], &nothing, 1) == 0); // a descriptor is the library's all the same
        close(pair[1]);
    }
    wstrand::cancel cancel(failure), own_cancel = std::move(cancel);
    cancel.trigger();
    CHECK(!cancel.is_triggered());
    CHECK(is_refused(!!wstrand::connect(url, own_options.cancel(cancel), failure)));

    connection ws = wstrand::connect(url, failure), own = std::move(ws);
    ws.send("x", failure);
    CHECK(is_refused(false));
    CHECK(is_refused(ws.try_send("x", failure)));
    CHECK(is_refused(ws.receive(0ms, failure).timed_out()));
    CHECK(is_refused(!!ws.begin_message(wstrand::message_kind::text, failure)));
    ws.close(1000, "", failure);
    CHECK(is_refused(!!ws.share()));
    CHECK(is_refused(ws.wait_closed(0ms, failure)));
    CHECK(is_refused(ws.dispatch(0ms, failure) == wstrand::dispatched::events));
    CHECK(is_refused(ws.event_descriptor(failure) >= 0));
    CHECK(ws.ready_state() == wstrand::ready_state::ended && ws.peer_address().empty());

    wstrand::prepared prepared("x", failure), own_prepared = std::move(prepared);
    own.send(prepared, failure);
    CHECK(is_refused(false));
    wstrand::group group;
    CHECK(!group.join(ws) && group.join(own));
    CHECK(is_refused(group.send_except(ws, "x", failure) != 0));
    wstrand::writer writer = own.begin_message(wstrand::message_kind::text, failure), own_writer = std::move(writer);
    writer.write("x", failure);
    CHECK(is_refused(!!writer));
    writer.finish(failure);
    CHECK(is_refused(!own_writer));

    wstrand::server server = wstrand::listen("0", echoing(), failure), own_server = std::move(server);
    server.start(failure);
    CHECK(is_refused(!own_server));
    server.run(failure);
    CHECK(is_refused(server.port() != 0 || !server.address().empty()));
    CHECK(is_refused(server.stop(0ms, failure) != 0));
    wstrand::reconnecting client = wstrand::reconnect(url, {}, failure), own_client = std::move(client);
    client.send("x", failure);
    CHECK(is_refused(!own_client));
    client.close(1000, "", failure);
    CHECK(is_refused(client.session() != 0));
    CHECK(is_refused(client.wait_closed(0ms, failure)));
#if WSTRAND_EXCEPTIONS
    const auto throws = [&](auto call) {
        try {
            call();
        } catch (const error &caught) {
            return caught.code() == WSTRAND_INVALID_ARGUMENT && caught.what()[0] != '\0';
        }
        return false;
    };
    CHECK(throws([&] { wstrand::connect(url, options); }));
    CHECK(throws([&] { wstrand::reconnect(url, options, {}); }));
    CHECK(throws([&] { wstrand::listen("0", options, {}); }));
    CHECK(throws([&] { ws.wait_closed(); }));
    CHECK(throws([&] { server.run(); }));
    CHECK(throws([&] { server.stop(0ms); }));
    CHECK(throws([&] { client.wait_closed(); }));
#endif
}

/* One session after another; the sessions' own callbacks, and those around them. */
static void reconnecting(const std::string &url)
{
    error failure;
    std::promise<std::string> told;
    std::atomic<bool> was_told{false};
    std::promise<wstrand::stop> stopped;
    wstrand::handler handler;
    handler.on_attempt = [](wstrand::attempt attempt) {
        error refused;
        CHECK(!attempt.url().empty());
        attempt.set_header("X-Session", std::to_string(attempt.session()), refused);
        CHECK(!refused);
        attempt.set_url(std::string(attempt.url()), refused);
        CHECK(!refused);
        attempt.set_url(std::string_view("a\0b", 3), refused);
        CHECK(refused.code() == WSTRAND_INVALID_ARGUMENT && attempt.number() >= 1);
    };
    handler.on_open = [](wstrand::connection_ref ws) {
        error unsent;
        if (ws.session() < 3)
            ws.send("cut me", unsent);
    };
    handler.on_message = [&](wstrand::connection_ref ws, const wstrand::message &message) {
        if (ws.session() == 3 && !was_told.exchange(true))
            told.set_value(std::string(message.text()));
    };
    handler.on_down = [&](wstrand::down down) {
        CHECK(down.text().find(down.why().what()) == 0);
        // One may have been in the hand when a session was cut.
        CHECK(down.session() <= 3 && down.attempts() <= 3 && down.lost_messages() <= 1);
        CHECK(down.delay() <= 2ms);
        if (down.stop() != wstrand::stop::no)
            stopped.set_value(down.stop());
        else
            CHECK(down.why().code() == WSTRAND_LOST || down.why().code() == WSTRAND_IO);
    };
    wstrand::options options;
    options.reconnect_first_delay(1ms)
        .reconnect_max_delay(2ms)
        .reconnect_stable_after(1h)
        .reconnect_max_attempts(4)
        .reconnect_give_up_after(0ms)
        .add_reconnect_retry_on(1000)
        .add_reconnect_stop_on(4001)
        .reconnect_queue_bytes(1000);
    wstrand::reconnecting client = wstrand::reconnect(url, options, std::move(handler), failure);
    CHECK(!failure && client);
    wstrand::reconnecting moved = std::move(client);
    CHECK(!client && moved);
    CHECK(!moved.wait_closed(0ms, failure) && !failure);
    auto echo = told.get_future();
    // What one of the first two sessions took along is lost.
    do {
        moved.send("hello", failure);
    } while (echo.wait_for(10ms) != std::future_status::ready);
    CHECK(echo.get() == "hello" && moved.session() == 3);
    CHECK(moved.try_send(wstrand::message_kind::text, std::string("close me"), failure) && !failure);
    CHECK(stopped.get_future().get() == wstrand::stop::answer);
    moved.wait_closed(failure);
    CHECK(!failure);
    moved.send(wstrand::message_kind::binary, std::string("late"), failure);
    CHECK(failure.code() == WSTRAND_LOST);
    moved.close(WSTRAND_CLOSE_NORMAL, std::string_view("a\0b", 3), failure);
    CHECK(failure.code() == WSTRAND_INVALID_ARGUMENT);

    // Without a connection and without room.
    moved = wstrand::reconnect("ws://127.0.0.1:1/", {}, failure);
    CHECK(!failure);
    CHECK(!moved.try_send(wstrand::message_kind::text, std::string("x"), failure) && !failure);
    moved.send("x", failure);
    CHECK(failure.code() == WSTRAND_FULL);
    moved.close(WSTRAND_CLOSE_NORMAL, {}, failure);
    CHECK(!failure && moved.wait_closed(patience, failure));
    moved = wstrand::reconnect("nonsense", {}, failure);
    CHECK(!moved && failure.code() == WSTRAND_INVALID_ARGUMENT);
}

int main(int argc, char **argv)
{
    static_assert(WSTRAND_VERSION_MAJOR == 0);
    CHECK(!wstrand::version().empty());
    wstrand::options options;
    options.add_subprotocol("x");
    echo_server server(options);
    pull(server.url);
    failing(server.url);
    moving(server.url);
    called_back(server.url);
    owning(server.url);
    serving();
    ways(server.url);
    compressing();
    choosing_how_to_compress();
    grouping();
    sending(server.url);
    dispatching(server.url);
    small_things(server.url);
    reconnecting(server.url);
    moved_from(server.url);
    if (argc > 1 && std::string(argv[1]) != "light")
        secure(argv[1]);
#if WSTRAND_EXCEPTIONS
    throwing(server.url);
    thrown_in_callbacks();
    destroyed_while_it_runs();
    reconnecting_throws(server.url);
#endif
    error failure;
    CHECK(server.server.stop(patience, failure) == 0 && !failure);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
