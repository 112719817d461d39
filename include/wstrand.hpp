/**
 * @file wstrand.hpp
 * wstrand for C++17: WebSocket (RFC 6455, RFC 7692) for programs that block. Header-only, over wstrand.h.
 *
 * Hello world:
 *
 *     #include <iostream>
 *     #include <wstrand.hpp>
 *
 *     int main()
 *     {
 *         wstrand::connection ws = wstrand::connect("ws://127.0.0.1:9001/");
 *         ws.send("hello");
 *         std::cout << ws.receive().value().text() << '\n';
 *     }
 *
 *     c++ -std=c++17 hello.cpp $(pkg-config --cflags --libs wstrand) -o hello
 *
 * What wstrand.h says of the C functions holds here: what blocks and until when, deadlines and defaults,
 * threads, the order of events. This header adds:
 *
 * - Objects that own are moved, not copied, and free what they own. A moved-from one may be assigned to
 *   and destroyed; to its other functions, and to those that are given it, it is a NULL handle: what can fail fails
 *   with WSTRAND_INVALID_ARGUMENT. So do `connect`, `reconnect` and `listen` with moved-from options, which are
 *   not the defaults.
 * - A function that can fail throws wstrand::error. Each has a noexcept overload with a last parameter
 *   `error &`, which is set to what went wrong, or cleared. Only those exist under -fno-exceptions.
 * - A program may have sources with and without exceptions. The classes of the one kind are not those of the other,
 *   and what takes an object of them does not link. Classes and inline functions of the program's own that use them
 *   are not told apart: hand over what is of wstrand.h, and keep the rest in sources of one kind. To declare a class,
 *   include this.
 * - Callbacks may throw, and may own what cannot be copied: see wstrand::handler.
 * - A callback may begin before `connect` has returned, and so before the variable that takes the result is
 *   set: it uses the `connection_ref` that it gets.
 * - `for (auto &message : ws)` receives until the connection is closed.
 * - Durations are std::chrono's; a timeout that is negative is over, as in std. To wait for ever, leave it
 *   out.
 * - Text goes in as std::string_view and comes out as one that lives as long as the C text that it shows.
 *   Where the C function takes text that ends in a NUL, text with a NUL inside is refused.
 * - `get()` tells the C handle, for what is missing here.
 *
 * What cannot be allocated in these few lines themselves (a copy of a URL) ends the process where the
 * function is noexcept.
 */

#ifndef WSTRAND_HPP
#define WSTRAND_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "wstrand.h"

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
# define WSTRAND_EXCEPTIONS 1
#else
# define WSTRAND_EXCEPTIONS 0
#endif

namespace wstrand {

/* The same code with and without exceptions is two things: under one name the linker would take either for both. */
/** @cond */
#if WSTRAND_EXCEPTIONS
inline namespace with_exceptions {
#else
inline namespace without_exceptions {
#endif
/** @endcond */

static_assert(WSTRAND_VERSION_MAJOR == 0 && WSTRAND_VERSION_MINOR == 1,
              "wstrand.hpp and wstrand.h come from different versions");

/** Tells the version of the library that the program runs with, such as "0.1.0". */
inline std::string_view version() noexcept { return wstrand_version(); }

/** What a message is made of. */
enum class message_kind : int {
    text = WSTRAND_TEXT,
    binary = WSTRAND_BINARY,
};

/** How far a connection has come, as the W3C WebSocket API's `readyState`. */
enum class ready_state : int {
    connecting = WSTRAND_CONNECTING,
    open = WSTRAND_OPEN,
    closing = WSTRAND_CLOSING,
    ended = WSTRAND_ENDED,
};

/** A version of TLS. */
enum class tls_version : int {
    tls_1_2 = WSTRAND_TLS_1_2,
    tls_1_3 = WSTRAND_TLS_1_3,
};

class connection;
class error;
class reconnecting;
struct handler;

namespace detail {

template <typename T, void (*Free)(T *)>
struct deleter {
    void operator()(T *handle) const noexcept { Free(handle); }
};

template <typename T, void (*Free)(T *)>
using owned = std::unique_ptr<T, deleter<T, Free>>;

inline std::string_view view(const char *text) noexcept
{
    return text != nullptr ? std::string_view(text) : std::string_view();
}

inline std::optional<std::string_view> optional_view(const char *text) noexcept
{
    if (text == nullptr)
        return std::nullopt;
    return std::string_view(text);
}

/* Text for a C function. A NUL inside would cut it short: what has one becomes what is not UTF-8, which no
   function takes. */
inline std::string c_text(std::string_view text)
{
    return text.find('\0') == std::string_view::npos ? std::string(text) : std::string("\xff");
}

/* A duration as the C functions take it, to which a negative one means to wait for ever. */
inline std::int64_t count(std::chrono::milliseconds timeout) noexcept
{
    return timeout.count() < 0 ? 0 : static_cast<std::int64_t>(timeout.count());
}

class state;

} // namespace detail

/**
 * Why a call failed, or that it did not. Copies share what they tell. To move one is to copy it.
 */
class error : public std::exception {
public:
    /** No error. */
    error() noexcept = default;

    /* Without these one that was moved from would still point to what is another's. */
    error(const error &) noexcept = default;
    error &operator=(const error &) noexcept = default;

    /** What a C function returned and, if there is such a thing, the object that it made, which is taken over. */
    explicit error(int code, wstrand_error *details = nullptr) noexcept : code_(code), handle_(details)
    {
        if (details == nullptr)
            return;
        owner_ = std::shared_ptr<wstrand_error>(details, wstrand_error_free);
        phase_ = wstrand_error_phase(details);
        os_code_ = wstrand_error_os_code(details);
        close_code_ = wstrand_error_close_code(details);
        text_ = wstrand_error_text(details);
    }

    /** Copies an object that somebody else owns. */
    static error copy(const wstrand_error *lent)
    {
        return error(wstrand_error_code(lent), wstrand_error_copy(lent));
    }

    /** Tells whether something failed. */
    explicit operator bool() const noexcept { return code_ != WSTRAND_OK; }

    /** Tells the code, such as WSTRAND_TIMEOUT; WSTRAND_OK for none. */
    int code() const noexcept { return code_; }

    /** Tells everything in words, such as "connect: Connection refused (os error 111)". */
    const char *what() const noexcept override
    {
        return text_ != nullptr ? text_ : wstrand_strerror(code_);
    }

    /** Tells what was being done, such as "opening handshake"; "" if there is nothing to tell. */
    std::string_view phase() const noexcept { return phase_; }

    /** Tells the operating system's error number; 0 if there is none. */
    int os_code() const noexcept { return os_code_; }

    /** Tells the close code that the connection ended with or that the peer was sent; 0 if there is none. */
    std::uint16_t close_code() const noexcept { return close_code_; }

    /** Tells the HTTP status of a server or proxy that refused; 0 if none answered with one. */
    int http_status() const noexcept { return wstrand_error_http_status(get()); }

    /** Tells a header field of the answer that refused. */
    std::optional<std::string_view> http_header(std::string_view name, std::size_t index = 0) const
    {
        return detail::optional_view(
            wstrand_error_http_header(get(), detail::c_text(name).c_str(), index));
    }

    /** Tells the body of the answer that refused, its first 4 KiB. */
    std::string_view http_body() const noexcept
    {
        std::size_t size = 0;
        const void *body = wstrand_error_http_body(get(), &size);
        return body != nullptr ? std::string_view(static_cast<const char *>(body), size)
                               : std::string_view();
    }

    /** The C object, which lives as long as any copy of this; NULL if there is none. */
    const wstrand_error *get() const noexcept { return handle_; }

private:
    int code_ = WSTRAND_OK;
    int os_code_ = 0;
    std::uint16_t close_code_ = 0;
    const char *phase_ = "";
    const char *text_ = nullptr;
    const wstrand_error *handle_ = nullptr;
    std::shared_ptr<wstrand_error> owner_; // of the text and the object
};

namespace detail {

#if WSTRAND_EXCEPTIONS
/* Calls what takes a last `error &`, and throws what that came to. */
template <typename Call>
auto throwing(Call call)
{
    error failure;
    if constexpr (std::is_void_v<decltype(call(failure))>) {
        call(failure);
        if (failure)
            throw failure;
    } else {
        auto result = call(failure);
        if (failure)
            throw failure;
        return result;
    }
}
#endif

/* Calls a C function with its last parameter; tells whether it worked. */
template <typename Call>
bool succeeds(error &failure, Call call)
{
    wstrand_error *details = nullptr;
    const int code = call(&details);
    failure = error(code, details);
    return code == WSTRAND_OK;
}

} // namespace detail

/** Bytes that somebody else owns: of a pointer and a size, or of whatever holds bytes in a row. */
class byte_view {
public:
    byte_view() noexcept = default;
    byte_view(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}

    /** Of a container: std::vector, std::array, std::string, std::span, a message, an array. */
    template <typename Container, typename Element = decltype(*std::data(std::declval<const Container &>())),
              typename = std::enable_if_t<sizeof(Element) == 1>>
    byte_view(const Container &bytes) noexcept : byte_view(std::data(bytes), std::size(bytes))
    {
    }

    /** Whether the NUL at the end of "text" belongs to it is not for the library to guess: say std::string_view("text"),
        or the size. */
    template <std::size_t Size>
    byte_view(const char (&characters)[Size]) = delete;

    const void *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    const void *data_ = nullptr;
    std::size_t size_ = 0;
};

/**
 * A message that was received, lent: until the callback returns that got it, or until the connection is
 * received from again, waited for or freed. A copy of it is lent for as long; copy `text()` or the bytes.
 */
class message {
public:
    message(message_kind kind, const void *data, std::size_t size) noexcept
        : kind_(kind), data_(static_cast<const std::byte *>(data)), size_(size)
    {
    }

    message_kind kind() const noexcept { return kind_; }
    bool is_text() const noexcept { return kind_ == message_kind::text; }

    /** Tells the content as text: UTF-8 if the message is text, else any bytes. */
    std::string_view text() const noexcept
    {
        return {reinterpret_cast<const char *>(data_), size_};
    }

    const std::byte *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    const std::byte *begin() const noexcept { return data_; }
    const std::byte *end() const noexcept { return data_ + size_; }

private:
    message_kind kind_;
    const std::byte *data_;
    std::size_t size_;
};

/** What `receive` with a timeout came to: a message, or the time was over, or the connection is closed. */
class received {
public:
    /** No message: the connection was closed cleanly, or the call failed. */
    received() noexcept = default;
    received(const message &got) noexcept : message_(got) {}

    /** No message yet. */
    static received timeout() noexcept
    {
        received nothing;
        nothing.timed_out_ = true;
        return nothing;
    }

    /** Tells whether there is a message. */
    explicit operator bool() const noexcept { return message_.has_value(); }
    bool has_value() const noexcept { return message_.has_value(); }

    /** Tells whether no message became whole in time: call again. */
    bool timed_out() const noexcept { return timed_out_; }

    /** The message; there must be one. */
    const message &operator*() const noexcept { return *message_; }
    const message *operator->() const noexcept { return &*message_; }

#if WSTRAND_EXCEPTIONS
    /** The message; throws std::bad_optional_access if there is none. */
    const message &value() const { return message_.value(); }
#endif

private:
    std::optional<message> message_;
    bool timed_out_ = false;
};

/** How `dispatch` ended. */
enum class dispatched {
    /** There were events, and more may come. */
    events,
    /** None came in time. */
    timed_out,
    /** The connection has ended, and nothing follows. */
    closed,
};

/**
 * A function that is called back. It is moved, not copied, and so may be a lambda that owns what cannot be copied. A
 * moved-from one is none.
 */
template <typename... Arguments>
class callback {
public:
    /** None. */
    callback() noexcept = default;
    callback(std::nullptr_t) noexcept {}

    /** Of whatever can be called; of an empty std::function or a null pointer, none. */
    template <typename Function, typename = std::enable_if_t<
                                     !std::is_same_v<std::decay_t<Function>, callback>
                                     && std::is_invocable_v<std::decay_t<Function> &, Arguments...>>>
    callback(Function &&function)
    {
        if (!is_none(function))
            held_ = std::make_unique<held<std::decay_t<Function>>>(std::forward<Function>(function));
    }

    explicit operator bool() const noexcept { return held_ != nullptr; }

    /** Calls it; there must be one. */
    void operator()(Arguments... arguments) const { held_->call(std::forward<Arguments>(arguments)...); }

private:
    struct anything {
        anything() = default;
        anything(const anything &) = delete;
        anything &operator=(const anything &) = delete;
        virtual ~anything() = default;
        virtual void call(Arguments... arguments) = 0;
    };

    template <typename Function>
    struct held final : anything {
        template <typename From>
        explicit held(From &&from) : function(std::forward<From>(from))
        {
        }
        void call(Arguments... arguments) override { function(std::forward<Arguments>(arguments)...); }
        Function function;
    };

    template <typename Function>
    static bool is_none(const Function &) noexcept
    {
        return false;
    }
    template <typename Signature>
    static bool is_none(const std::function<Signature> &function) noexcept
    {
        return !function;
    }
    template <typename Result, typename... Parameters>
    static bool is_none(Result (*const &function)(Parameters...)) noexcept
    {
        return function == nullptr;
    }

    std::unique_ptr<anything> held_;
};

/** Gives up connecting from another thread: `options::cancel` says what it is for. See wstrand_cancel. */
class cancel {
public:
    explicit cancel(error &failure) noexcept
    {
        wstrand_cancel *handle = nullptr;
        detail::succeeds(failure,
                         [&](wstrand_error **details) { return wstrand_cancel_new(&handle, details); });
        handle_.reset(handle);
    }

#if WSTRAND_EXCEPTIONS
    cancel()
    {
        detail::throwing([&](error &failure) { *this = cancel(failure); });
    }
#endif

    /** Makes every connect that was told of it fail with WSTRAND_CANCELLED, those to come too. */
    void trigger() noexcept { wstrand_cancel_trigger(get()); }

    /** Tells whether it was triggered. */
    bool is_triggered() const noexcept { return wstrand_cancel_is_triggered(get()); }

    wstrand_cancel *get() const noexcept { return handle_.get(); }

private:
    detail::owned<wstrand_cancel, wstrand_cancel_free> handle_;
};

/**
 * Limits, deadlines, subprotocols, header fields, TLS and how to reach a peer, for clients and servers alike; see
 * wstrand_options.
 *
 * The setters do not fail: `connect` and `listen` say which value cannot be used, with the code that the C
 * function returns for it. Each returns the object: `options().subprotocol("a").ping_interval(5s)`.
 */
class options {
public:
    options() noexcept : handle_(wstrand_options_new()) {}

    options &add_subprotocol(std::string_view subprotocol)
    {
        wstrand_options_add_subprotocol(get(), detail::c_text(subprotocol).c_str());
        return *this;
    }
    options &add_header(std::string_view name, std::string_view value)
    {
        wstrand_options_add_header(get(), detail::c_text(name).c_str(), detail::c_text(value).c_str());
        return *this;
    }
    options &connect_timeout(std::chrono::milliseconds timeout) noexcept
    {
        wstrand_options_set_connect_timeout_ms(get(), timeout.count());
        return *this;
    }
    options &max_message_bytes(std::size_t bytes) noexcept
    {
        wstrand_options_set_max_message_bytes(get(), bytes);
        return *this;
    }
    options &max_fragments(std::size_t fragments) noexcept
    {
        wstrand_options_set_max_fragments(get(), fragments);
        return *this;
    }
    options &max_head_bytes(std::size_t bytes) noexcept
    {
        wstrand_options_set_max_head_bytes(get(), bytes);
        return *this;
    }
    options &max_buffered_bytes(std::size_t bytes) noexcept
    {
        wstrand_options_set_max_buffered_bytes(get(), bytes);
        return *this;
    }
    options &send_timeout(std::chrono::milliseconds timeout) noexcept
    {
        wstrand_options_set_send_timeout_ms(get(), timeout.count());
        return *this;
    }
    options &close_timeout(std::chrono::milliseconds timeout) noexcept
    {
        wstrand_options_set_close_timeout_ms(get(), timeout.count());
        return *this;
    }
    /** 0 turns pings off. */
    options &ping_interval(std::chrono::milliseconds interval) noexcept
    {
        wstrand_options_set_ping_interval_ms(get(), interval.count());
        return *this;
    }
    options &pong_timeout(std::chrono::milliseconds timeout) noexcept
    {
        wstrand_options_set_pong_timeout_ms(get(), timeout.count());
        return *this;
    }
    /** Compresses messages with peers that do so too (RFC 7692). Off by default; what follows is kept while it is off. */
    options &deflate(bool on) noexcept
    {
        wstrand_options_set_deflate(get(), on);
        return *this;
    }
    /** How hard to compress: 0, which only stores, to 9; 1 by default. */
    options &deflate_level(int level) noexcept
    {
        wstrand_options_set_deflate_level(get(), level);
        return *this;
    }
    /** Messages below this go as they are, but for those that are streamed; 64 by default. */
    options &deflate_threshold_bytes(std::size_t bytes) noexcept
    {
        wstrand_options_set_deflate_threshold_bytes(get(), bytes);
        return *this;
    }
    /** Whether the server compresses each message on its own, which takes memory only meanwhile, and compresses less. A
        client asks for it. Off by default: a server does it for clients that ask. */
    options &deflate_server_no_context_takeover(bool on) noexcept
    {
        wstrand_options_set_deflate_server_no_context_takeover(get(), on);
        return *this;
    }
    /** Whether the client compresses each message on its own. A server demands it. Off by default: a client does it for
        servers that demand it. */
    options &deflate_client_no_context_takeover(bool on) noexcept
    {
        wstrand_options_set_deflate_client_no_context_takeover(get(), on);
        return *this;
    }
    /** The server's window is 2 to the power of this many bytes at the most: 8 to 15, 15 by default. A client asks for
        it. */
    options &deflate_server_max_window_bits(int bits) noexcept
    {
        wstrand_options_set_deflate_server_max_window_bits(get(), bits);
        return *this;
    }
    /** The client's window is 2 to the power of this many bytes at the most: 8 to 15, 15 by default. A server demands it
        of clients that can. */
    options &deflate_client_max_window_bits(int bits) noexcept
    {
        wstrand_options_set_deflate_client_max_window_bits(get(), bits);
        return *this;
    }
    options &tcp_nodelay(bool nodelay) noexcept
    {
        wstrand_options_set_tcp_nodelay(get(), nodelay);
        return *this;
    }
    options &tcp_keepalive(bool keepalive) noexcept
    {
        wstrand_options_set_tcp_keepalive(get(), keepalive);
        return *this;
    }
    /** The certificate chain and private key of this end, in PEM: with it a server speaks TLS. */
    options &tls_identity(std::string_view chain, std::string_view key) noexcept
    {
        wstrand_options_set_tls_identity(get(), chain.data(), chain.size(), key.data(), key.size());
        return *this;
    }
    /** The same out of a PKCS#12 archive. */
    options &tls_identity_pkcs12(byte_view archive, std::string_view password)
    {
        wstrand_options_set_tls_identity_pkcs12(get(), archive.data(), archive.size(),
                                                detail::c_text(password).c_str());
        return *this;
    }
    /** Clients only, as what follows. */
    options &add_tls_roots(std::string_view pem) noexcept
    {
        wstrand_options_add_tls_roots(get(), pem.data(), pem.size());
        return *this;
    }
    options &tls_only_added_roots(bool only) noexcept
    {
        wstrand_options_set_tls_only_added_roots(get(), only);
        return *this;
    }
    options &tls_min_version(tls_version version) noexcept
    {
        wstrand_options_set_tls_min_version(get(), static_cast<int>(version));
        return *this;
    }
    options &tls_sni(bool sni) noexcept
    {
        wstrand_options_set_tls_sni(get(), sni);
        return *this;
    }
    /** The 32 bytes of a SHA-256 digest, not their digits. */
    options &add_tls_pin(byte_view sha256) noexcept
    {
        wstrand_options_add_tls_pin(get(), sha256.data(), sha256.size());
        return *this;
    }
    options &danger_accept_invalid_certs(bool accept) noexcept
    {
        wstrand_options_danger_accept_invalid_certs(get(), accept);
        return *this;
    }
    options &danger_accept_invalid_hostnames(bool accept) noexcept
    {
        wstrand_options_danger_accept_invalid_hostnames(get(), accept);
        return *this;
    }
    options &proxy(std::string_view url)
    {
        wstrand_options_set_proxy(get(), detail::c_text(url).c_str());
        return *this;
    }
    options &use_proxy_of_environment() noexcept
    {
        wstrand_options_use_proxy_of_environment(get());
        return *this;
    }
    options &max_redirects(std::size_t redirects) noexcept
    {
        wstrand_options_set_max_redirects(get(), redirects);
        return *this;
    }
    options &local_address(std::string_view address)
    {
        wstrand_options_set_local_address(get(), detail::c_text(address).c_str());
        return *this;
    }
    options &cancel(const wstrand::cancel &through) noexcept
    {
        wstrand_options_set_cancel(get(), through.get());
        return *this;
    }
    /** `reconnect` only, as what follows. */
    options &reconnect_first_delay(std::chrono::milliseconds delay) noexcept
    {
        wstrand_options_set_reconnect_first_delay_ms(get(), delay.count());
        return *this;
    }
    options &reconnect_max_delay(std::chrono::milliseconds delay) noexcept
    {
        wstrand_options_set_reconnect_max_delay_ms(get(), delay.count());
        return *this;
    }
    options &reconnect_stable_after(std::chrono::milliseconds uptime) noexcept
    {
        wstrand_options_set_reconnect_stable_after_ms(get(), uptime.count());
        return *this;
    }
    /** 0 for no limit. */
    options &reconnect_max_attempts(std::size_t attempts) noexcept
    {
        wstrand_options_set_reconnect_max_attempts(get(), attempts);
        return *this;
    }
    /** 0 for no limit. */
    options &reconnect_give_up_after(std::chrono::milliseconds time) noexcept
    {
        wstrand_options_set_reconnect_give_up_after_ms(get(), time.count());
        return *this;
    }
    /** An HTTP status or a close code. */
    options &add_reconnect_retry_on(int answer) noexcept
    {
        wstrand_options_add_reconnect_retry_on(get(), answer);
        return *this;
    }
    /** An HTTP status or a close code. */
    options &add_reconnect_stop_on(int answer) noexcept
    {
        wstrand_options_add_reconnect_stop_on(get(), answer);
        return *this;
    }
    options &reconnect_queue_bytes(std::size_t bytes) noexcept
    {
        wstrand_options_set_reconnect_queue_bytes(get(), bytes);
        return *this;
    }
    /** Servers only, as what follows. */
    options &add_allowed_origin(std::string_view origin)
    {
        wstrand_options_add_allowed_origin(get(), detail::c_text(origin).c_str());
        return *this;
    }
    options &allow_any_origin() noexcept
    {
        wstrand_options_allow_any_origin(get());
        return *this;
    }
    options &max_connections(std::size_t connections) noexcept
    {
        wstrand_options_set_max_connections(get(), connections);
        return *this;
    }
    options &max_handshakes(std::size_t clients) noexcept
    {
        wstrand_options_set_max_handshakes(get(), clients);
        return *this;
    }
    options &handshake_timeout(std::chrono::milliseconds timeout) noexcept
    {
        wstrand_options_set_handshake_timeout_ms(get(), timeout.count());
        return *this;
    }
    options &stack_bytes(std::size_t bytes) noexcept
    {
        wstrand_options_set_stack_bytes(get(), bytes);
        return *this;
    }

    wstrand_options *get() const noexcept { return handle_.get(); }

private:
    detail::owned<wstrand_options, wstrand_options_free> handle_;
};

namespace detail {

/* Calls a C function with its last two parameters: where what it makes goes, and the error. NULL for options would be
   the defaults to it, without pins, proxy or certificate. Moved-from ones are none: then it gets nowhere to put what it
   makes, and fails as it does with any NULL, a descriptor taken over. */
template <typename Made, typename Call>
void makes(Made *&made, const options &settings, error &failure, Call call)
{
    if (settings.get() != nullptr)
        succeeds(failure, [&](wstrand_error **details) { return call(&made, details); });
    else
        failure = error(call(nullptr, nullptr));
}

} // namespace detail

/** What a client asked for, lent to `on_request`; see wstrand_request. */
class request {
public:
    explicit request(const wstrand_request *handle) noexcept : handle_(handle) {}

    std::string_view method() const noexcept { return detail::view(wstrand_request_method(handle_)); }
    /** With percent encoding as it came; so is `query`, what follows the first "?". */
    std::string_view path() const noexcept { return detail::view(wstrand_request_path(handle_)); }
    std::optional<std::string_view> query() const noexcept
    {
        return detail::optional_view(wstrand_request_query(handle_));
    }
    std::optional<std::string_view> origin() const noexcept
    {
        return detail::optional_view(wstrand_request_origin(handle_));
    }
    std::string_view peer_address() const noexcept
    {
        return detail::view(wstrand_request_peer_address(handle_));
    }
    std::optional<std::string_view> header(std::string_view name, std::size_t index = 0) const
    {
        return detail::optional_view(
            wstrand_request_header(handle_, detail::c_text(name).c_str(), index));
    }
    /** Tells a subprotocol that the client offers, in its order of preference. */
    std::optional<std::string_view> subprotocol(std::size_t index) const noexcept
    {
        return detail::optional_view(wstrand_request_subprotocol(handle_, index));
    }
    /** Tells whether this is an opening handshake, rather than plain HTTP. */
    bool is_upgrade() const noexcept { return wstrand_request_is_upgrade(handle_); }

    const wstrand_request *get() const noexcept { return handle_; }

private:
    const wstrand_request *handle_;
};

/** What a server answers, lent to `on_request`; see wstrand_response. */
class response {
public:
    explicit response(wstrand_response *handle) noexcept : handle_(handle) {}

    /** Accepts, with the first of the server's own subprotocols that the client offers. */
    void accept(error &failure) noexcept { failure = error(wstrand_response_accept(handle_, nullptr)); }
    /** Accepts with this subprotocol, which the client offers. */
    void accept(std::string_view subprotocol, error &failure) noexcept
    {
        failure = error(wstrand_response_accept(handle_, detail::c_text(subprotocol).c_str()));
    }
    /** Answers with plain HTTP of this status, 200 to 599. */
    void set_status(int status, error &failure) noexcept
    {
        failure = error(wstrand_response_set_status(handle_, status));
    }
    void add_header(std::string_view name, std::string_view value, error &failure) noexcept
    {
        failure = error(wstrand_response_add_header(handle_, detail::c_text(name).c_str(),
                                                    detail::c_text(value).c_str()));
    }
    /** Sets the body of a plain answer, whose status is 200 if none was set. */
    void set_body(std::string_view content_type, byte_view body, error &failure) noexcept
    {
        failure = error(wstrand_response_set_body(handle_, detail::c_text(content_type).c_str(),
                                                  body.data(), body.size()));
    }

#if WSTRAND_EXCEPTIONS
    void accept()
    {
        detail::throwing([&](error &failure) { accept(failure); });
    }
    void accept(std::string_view subprotocol)
    {
        detail::throwing([&](error &failure) { accept(subprotocol, failure); });
    }
    void set_status(int status)
    {
        detail::throwing([&](error &failure) { set_status(status, failure); });
    }
    void add_header(std::string_view name, std::string_view value)
    {
        detail::throwing([&](error &failure) { add_header(name, value, failure); });
    }
    void set_body(std::string_view content_type, byte_view body)
    {
        detail::throwing([&](error &failure) { set_body(content_type, body, failure); });
    }
#endif

    wstrand_response *get() const noexcept { return handle_; }

private:
    wstrand_response *handle_;
};

/** An attempt of `reconnect` to connect, lent to `on_attempt`; what is set lasts. See wstrand_attempt. */
class attempt {
public:
    explicit attempt(wstrand_attempt *handle) noexcept : handle_(handle) {}

    /** Tells which attempt in a row this is, from 1 on. */
    std::size_t number() const noexcept { return wstrand_attempt_number(handle_); }
    /** Tells which session it would bring, from 1 on. */
    std::uint64_t session() const noexcept { return wstrand_attempt_session(handle_); }
    /** Tells the URL to connect to; it lives until another is set. */
    std::string_view url() const noexcept { return detail::view(wstrand_attempt_url(handle_)); }

    /** Connects to another URL. */
    void set_url(std::string_view url, error &failure) noexcept
    {
        failure = error(wstrand_attempt_set_url(handle_, detail::c_text(url).c_str()));
    }
    /** Sends this header field in place of those of that name. */
    void set_header(std::string_view name, std::string_view value, error &failure) noexcept
    {
        failure = error(wstrand_attempt_set_header(handle_, detail::c_text(name).c_str(),
                                                   detail::c_text(value).c_str()));
    }
    /** Does not connect, not later either. */
    void give_up() noexcept { wstrand_attempt_give_up(handle_); }

#if WSTRAND_EXCEPTIONS
    void set_url(std::string_view url)
    {
        detail::throwing([&](error &failure) { set_url(url, failure); });
    }
    void set_header(std::string_view name, std::string_view value)
    {
        detail::throwing([&](error &failure) { set_header(name, value, failure); });
    }
#endif

    wstrand_attempt *get() const noexcept { return handle_; }

private:
    wstrand_attempt *handle_;
};

/** Whether `reconnect` tries again, and why not. */
enum class stop : int {
    /** It does. */
    no = WSTRAND_STOP_NOT,
    closed = WSTRAND_STOP_CLOSED,
    given_up = WSTRAND_STOP_GIVEN_UP,
    answer = WSTRAND_STOP_ANSWER,
    misuse = WSTRAND_STOP_MISUSE,
    attempts = WSTRAND_STOP_ATTEMPTS,
    time = WSTRAND_STOP_TIME,
    panic = WSTRAND_STOP_PANIC,
};

/** That `reconnect` has no connection, why, and what comes next; lent to `on_down`. See wstrand_down. */
class down {
public:
    explicit down(const wstrand_down *handle) noexcept : handle_(handle) {}

    /** Tells everything in words. */
    std::string_view text() const noexcept { return detail::view(wstrand_down_text(handle_)); }
    /** Tells why. */
    error why() const { return error::copy(wstrand_down_error(handle_)); }
    /** Tells what comes next: another attempt, or why there is none. */
    wstrand::stop stop() const noexcept { return static_cast<wstrand::stop>(wstrand_down_stop(handle_)); }
    /** Tells how long the pause before the next attempt is; at most as long as a duration can be. */
    std::chrono::milliseconds delay() const noexcept
    {
        const std::uint64_t longest = static_cast<std::uint64_t>(std::chrono::milliseconds::max().count());
        const std::uint64_t delay = wstrand_down_delay_ms(handle_);
        return std::chrono::milliseconds(
            static_cast<std::chrono::milliseconds::rep>(delay < longest ? delay : longest));
    }
    /** Tells the last session that there was; 0 if there was none. */
    std::uint64_t session() const noexcept { return wstrand_down_session(handle_); }
    /** Tells how many attempts in a row have brought no connection that stayed up. */
    std::size_t attempts() const noexcept { return wstrand_down_attempts(handle_); }
    /** Tells how many messages that waited will not be sent any more. */
    std::size_t lost_messages() const noexcept { return wstrand_down_lost_messages(handle_); }

    const wstrand_down *get() const noexcept { return handle_; }

private:
    const wstrand_down *handle_;
};

/** A message to send to many connections: framed and compressed once. Any number of threads may send it. */
class prepared {
public:
    /** Of text. */
    prepared(std::string_view text, error &failure) noexcept
        : prepared(message_kind::text, byte_view(text.data(), text.size()), failure)
    {
    }
    prepared(message_kind kind, byte_view bytes, error &failure) noexcept
    {
        wstrand_prepared *handle = nullptr;
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_prepared_new(static_cast<int>(kind), bytes.data(), bytes.size(), &handle, details);
        });
        handle_.reset(handle);
    }

    /** One that goes as it is, even where messages are compressed: for one that mixes a secret with what an attacker may
        choose. */
    static prepared uncompressed(std::string_view text, error &failure) noexcept
    {
        return uncompressed(message_kind::text, byte_view(text.data(), text.size()), failure);
    }
    static prepared uncompressed(message_kind kind, byte_view bytes, error &failure) noexcept
    {
        wstrand_prepared *handle = nullptr;
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_prepared_new_uncompressed(static_cast<int>(kind), bytes.data(), bytes.size(), &handle,
                                                     details);
        });
        return prepared(handle);
    }

#if WSTRAND_EXCEPTIONS
    explicit prepared(std::string_view text)
    {
        detail::throwing([&](error &failure) { *this = prepared(text, failure); });
    }
    prepared(message_kind kind, byte_view bytes)
    {
        detail::throwing([&](error &failure) { *this = prepared(kind, bytes, failure); });
    }
    static prepared uncompressed(std::string_view text)
    {
        return detail::throwing([&](error &failure) { return uncompressed(text, failure); });
    }
    static prepared uncompressed(message_kind kind, byte_view bytes)
    {
        return detail::throwing([&](error &failure) { return uncompressed(kind, bytes, failure); });
    }
#endif

    const wstrand_prepared *get() const noexcept { return handle_.get(); }

private:
    explicit prepared(wstrand_prepared *handle) noexcept : handle_(handle) {}

    detail::owned<wstrand_prepared, wstrand_prepared_free> handle_;
};

/**
 * A message that is sent as it is written, made by `connection_ref::begin_message`; see wstrand_writer.
 *
 * Destroyed unfinished, when some of it has been sent, it closes its connection with code 1011.
 */
class writer {
public:
    /** None. */
    writer() noexcept = default;

    /** Takes over what a C function gave. */
    explicit writer(wstrand_writer *owned) noexcept : handle_(owned) {}

    explicit operator bool() const noexcept { return handle_ != nullptr; }

    /** Has the message go as it is where messages are compressed; before anything is written. */
    void set_uncompressed(error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_writer_set_uncompressed(get(), details);
        });
    }

    /** Adds text. Blocks as `connection_ref::send`, for each 16 KiB that fill up. */
    void write(std::string_view text, error &failure) noexcept
    {
        write_binary(byte_view(text.data(), text.size()), failure);
    }

    /** Adds bytes. */
    void write_binary(byte_view bytes, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_writer_write(get(), bytes.data(), bytes.size(), details);
        });
    }

    /** Sends what was written so far. */
    void flush(error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) { return wstrand_writer_flush(get(), details); });
    }

    /** Sends what was written and ends the message. */
    void finish(error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) { return wstrand_writer_finish(get(), details); });
    }

#if WSTRAND_EXCEPTIONS
    void set_uncompressed()
    {
        detail::throwing([&](error &failure) { set_uncompressed(failure); });
    }
    void write(std::string_view text)
    {
        detail::throwing([&](error &failure) { write(text, failure); });
    }
    void write_binary(byte_view bytes)
    {
        detail::throwing([&](error &failure) { write_binary(bytes, failure); });
    }
    void flush()
    {
        detail::throwing([&](error &failure) { flush(failure); });
    }
    void finish()
    {
        detail::throwing([&](error &failure) { finish(failure); });
    }
#endif

    wstrand_writer *get() const noexcept { return handle_.get(); }

private:
    detail::owned<wstrand_writer, wstrand_writer_free> handle_;
};

/**
 * A connection that somebody else owns, as callbacks get it: it is to `connection` what std::string_view
 * is to std::string. `share()` makes one that owns.
 *
 * Any number of threads use a connection at once; one of them receives.
 */
class connection_ref {
public:
    /** The messages that follow, for a range-based `for`; see `messages`. */
    class message_iterator;
    class message_range;

    explicit connection_ref(wstrand_connection *handle) noexcept : handle_(handle) {}

    /** Sends a text message. Blocks while there is no room, for the send timeout at the most. */
    void send(std::string_view text, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_send_text(handle_, text.data(), text.size(), details);
        });
    }

    /** Sends a binary message: `send_binary(container)` or `send_binary({data, size})`. As `send`. */
    void send_binary(byte_view bytes, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_send_binary(handle_, bytes.data(), bytes.size(), details);
        });
    }

    /** Sends what was received, as the kind that it is. */
    void send(const message &copied, error &failure) noexcept
    {
        if (copied.is_text())
            send(copied.text(), failure);
        else
            send_binary(copied, failure);
    }

    /** Sends a message as it is, even where messages are compressed: for one that mixes a secret with what an
        attacker may choose. As `send`. One that must not wait, or goes to a group, is `prepared::uncompressed`. */
    void send_uncompressed(message_kind kind, byte_view bytes, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_send_uncompressed(handle_, static_cast<int>(kind), bytes.data(), bytes.size(),
                                                        details);
        });
    }

    /** Sends with those that follow, at the latest by `flush`: a burst of short messages in one system call. */
    void queue(message_kind kind, byte_view bytes, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_queue(handle_, static_cast<int>(kind), bytes.data(), bytes.size(), details);
        });
    }
    void queue(const prepared &message, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_queue_prepared(handle_, message.get(), details);
        });
    }

    /** Sends what is prepared for many connections. */
    void send(const prepared &message, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_send_prepared(handle_, message.get(), details);
        });
    }

    /** Sends if that needs no waiting: false, and no error, if there is no room. Never blocks. */
    bool try_send(std::string_view text, error &failure) noexcept
    {
        return tried(failure, [&](wstrand_error **details) {
            return wstrand_connection_try_send_text(handle_, text.data(), text.size(), details);
        });
    }
    bool try_send_binary(byte_view bytes, error &failure) noexcept
    {
        return tried(failure, [&](wstrand_error **details) {
            return wstrand_connection_try_send_binary(handle_, bytes.data(), bytes.size(), details);
        });
    }
    bool try_send(const prepared &message, error &failure) noexcept
    {
        return tried(failure, [&](wstrand_error **details) {
            return wstrand_connection_try_send_prepared(handle_, message.get(), details);
        });
    }

    /** Sends now what a callback has gathered. As `send`. */
    void flush(error &failure) noexcept
    {
        detail::succeeds(failure,
                         [&](wstrand_error **details) { return wstrand_connection_flush(handle_, details); });
    }

    /** Begins a message that is sent as it is written. Until it is finished, other messages wait. */
    writer begin_message(message_kind kind, error &failure) noexcept
    {
        wstrand_writer *made = nullptr;
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_begin_message(handle_, static_cast<int>(kind), &made, details);
        });
        return writer(made);
    }

    /** Sends a ping with up to 125 bytes; `on_pong` gets the answer. As `send`. */
    void ping(byte_view bytes, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_ping(handle_, bytes.data(), bytes.size(), details);
        });
    }

    /**
     * Receives the next message, of a connection without a handler or inside `on_connection`. Blocks until
     * there is one; nothing once the connection has been closed cleanly, or with `failure` set.
     */
    std::optional<message> receive(error &failure) noexcept
    {
        const received result = receive_ms(-1, failure);
        return result ? std::optional<message>(*result) : std::nullopt;
    }

    /** Receives as `receive` does, but waits no longer than this. That the time is over is no error. */
    received receive(std::chrono::milliseconds timeout, error &failure) noexcept
    {
        return receive_ms(detail::count(timeout), failure);
    }

    /** The messages that follow: `for (auto &message : ws.messages(failure))` ends when the connection has been
        closed cleanly, or with `failure` set. Each lives until the next. */
    message_range messages(error &failure) noexcept;

    /** Starts the closing handshake. Never blocks. `code` is 1000, 1001, 1003, 1007 to 1014, or 3000 to 4999. */
    void close(std::uint16_t code, std::string_view reason, error &failure) noexcept
    {
        if (reason.find('\0') != std::string_view::npos) {
            failure = error(WSTRAND_INVALID_ARGUMENT);
            return;
        }
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_close(handle_, code, std::string(reason).c_str(), details);
        });
    }

    /** Cuts the connection at once, without a closing handshake. */
    void shutdown() noexcept { wstrand_connection_shutdown(handle_); }

#if WSTRAND_EXCEPTIONS
    void send(std::string_view text)
    {
        detail::throwing([&](error &failure) { send(text, failure); });
    }
    void send(const message &copied)
    {
        detail::throwing([&](error &failure) { send(copied, failure); });
    }
    void send_binary(byte_view bytes)
    {
        detail::throwing([&](error &failure) { send_binary(bytes, failure); });
    }
    void send_uncompressed(message_kind kind, byte_view bytes)
    {
        detail::throwing([&](error &failure) { send_uncompressed(kind, bytes, failure); });
    }
    void queue(message_kind kind, byte_view bytes)
    {
        detail::throwing([&](error &failure) { queue(kind, bytes, failure); });
    }
    void queue(const prepared &message)
    {
        detail::throwing([&](error &failure) { queue(message, failure); });
    }
    void send(const prepared &message)
    {
        detail::throwing([&](error &failure) { send(message, failure); });
    }
    bool try_send(std::string_view text)
    {
        return detail::throwing([&](error &failure) { return try_send(text, failure); });
    }
    bool try_send_binary(byte_view bytes)
    {
        return detail::throwing([&](error &failure) { return try_send_binary(bytes, failure); });
    }
    bool try_send(const prepared &message)
    {
        return detail::throwing([&](error &failure) { return try_send(message, failure); });
    }
    void flush()
    {
        detail::throwing([&](error &failure) { flush(failure); });
    }
    writer begin_message(message_kind kind)
    {
        return detail::throwing([&](error &failure) { return begin_message(kind, failure); });
    }
    /** `for (auto &message : ws)` receives until the connection has been closed cleanly; throws where `receive` does. */
    message_iterator begin();
    message_iterator end() noexcept;
    void ping(byte_view bytes = {})
    {
        detail::throwing([&](error &failure) { ping(bytes, failure); });
    }
    std::optional<message> receive()
    {
        return detail::throwing([&](error &failure) { return receive(failure); });
    }
    received receive(std::chrono::milliseconds timeout)
    {
        return detail::throwing([&](error &failure) { return receive(timeout, failure); });
    }
    void close(std::uint16_t code = WSTRAND_CLOSE_NORMAL, std::string_view reason = {})
    {
        detail::throwing([&](error &failure) { close(code, reason, failure); });
    }
#endif

    /** Tells which connection of `reconnect` this is, from 1 on; 1 for all others. */
    std::uint64_t session() const noexcept { return wstrand_connection_session(handle_); }

    /** Tells how far the connection has come. */
    wstrand::ready_state ready_state() const noexcept
    {
        return static_cast<wstrand::ready_state>(wstrand_connection_ready_state(handle_));
    }

    /** Tells how many bytes wait to be handed to the operating system. */
    std::size_t buffered_amount() const noexcept
    {
        return wstrand_connection_buffered_amount(handle_);
    }

    /** Tells how long the peer took to answer the last keepalive ping; 0 if none was answered yet. */
    std::chrono::microseconds round_trip() const noexcept
    {
        return std::chrono::microseconds(
            static_cast<std::int64_t>(wstrand_connection_round_trip_us(handle_)));
    }

    /** Tells a counter, WSTRAND_STAT_MESSAGES_SENT or another of a connection's. */
    std::uint64_t stat(int which) const noexcept { return wstrand_connection_stat(handle_, which); }

    /** Tells the subprotocol that both sides have agreed on; "" for none. */
    std::string_view subprotocol() const noexcept
    {
        return detail::view(wstrand_connection_subprotocol(handle_));
    }

    /** Tells the extensions that both sides have agreed on; "" for none. */
    std::string_view extensions() const noexcept
    {
        return detail::view(wstrand_connection_extensions(handle_));
    }

    /** Tells a header field of the peer's half of the opening handshake. */
    std::optional<std::string_view> header(std::string_view name, std::size_t index = 0) const
    {
        return detail::optional_view(
            wstrand_connection_header(handle_, detail::c_text(name).c_str(), index));
    }

    /** Tells what the client asked for; only on a server's connection. */
    wstrand::request request() const noexcept
    {
        return wstrand::request(wstrand_connection_request(handle_));
    }

    /** Tells the peer's address, such as "192.0.2.1:51234"; "" if it is not known. */
    std::string_view peer_address() const noexcept
    {
        return detail::view(wstrand_connection_peer_address(handle_));
    }

    /** Tells the address of this end. */
    std::string_view local_address() const noexcept
    {
        return detail::view(wstrand_connection_local_address(handle_));
    }

    /** Tells the close code that the connection ended with; 0 as long as it has not ended. */
    std::uint16_t close_code() const noexcept { return wstrand_connection_close_code(handle_); }

    /** Tells the close reason that came with the close code. */
    std::string_view close_reason() const noexcept
    {
        std::size_t size = 0;
        const char *reason = wstrand_connection_close_reason(handle_, &size);
        return reason != nullptr ? std::string_view(reason, size) : std::string_view();
    }

    /** Tells whether the connection ended with both sides having sent Close. */
    bool was_clean() const noexcept { return wstrand_connection_was_clean(handle_); }

    /** Makes a connection that owns, for after the callback or for another thread. */
    connection share() const noexcept;

    wstrand_connection *get() const noexcept { return handle_; }

protected:
    wstrand_connection *handle_;

private:
    template <typename Call>
    static bool tried(error &failure, Call call) noexcept
    {
        const bool is_sent = detail::succeeds(failure, call);
        if (failure.code() == WSTRAND_FULL)
            failure = error();
        return is_sent;
    }

    received receive_ms(std::int64_t timeout, error &failure) noexcept
    {
        int kind = 0;
        const void *data = nullptr;
        std::size_t size = 0;
        if (detail::succeeds(failure, [&](wstrand_error **details) {
                return wstrand_connection_receive(handle_, timeout, &kind, &data, &size, details);
            }))
            return message(static_cast<message_kind>(kind), data, size);
        const int code = failure.code();
        if (code == WSTRAND_TIMEOUT || code == WSTRAND_CLOSED)
            failure = error();
        return code == WSTRAND_TIMEOUT ? received::timeout() : received();
    }
};

/** Where a range-based `for` is in the messages of a connection. */
class connection_ref::message_iterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = message;
    using difference_type = std::ptrdiff_t;
    using pointer = const message *;
    using reference = const message &;

    /** The end. */
    message_iterator() noexcept : ref_(nullptr) {}

    /** Receives the first message. Without a place for the error it is thrown. */
    message_iterator(connection_ref ref, error *failure) : ref_(ref), failure_(failure) { next(); }

    reference operator*() const noexcept { return *current_; }
    pointer operator->() const noexcept { return &*current_; }
    message_iterator &operator++()
    {
        next();
        return *this;
    }
    void operator++(int) { next(); }

    friend bool operator==(const message_iterator &left, const message_iterator &right) noexcept
    {
        return left.current_.has_value() == right.current_.has_value();
    }
    friend bool operator!=(const message_iterator &left, const message_iterator &right) noexcept
    {
        return !(left == right);
    }

private:
    void next()
    {
#if WSTRAND_EXCEPTIONS
        if (failure_ == nullptr) {
            current_ = ref_.receive();
            return;
        }
#endif
        current_ = ref_.receive(*failure_);
    }

    connection_ref ref_;
    error *failure_ = nullptr;
    std::optional<message> current_;
};

/** What `connection_ref::messages` returns. */
class connection_ref::message_range {
public:
    message_range(connection_ref ref, error &failure) noexcept : ref_(ref), failure_(&failure) {}

    message_iterator begin() const noexcept { return {ref_, failure_}; }
    message_iterator end() const noexcept { return {}; }

private:
    connection_ref ref_;
    error *failure_;
};

inline connection_ref::message_range connection_ref::messages(error &failure) noexcept
{
    failure = error();
    return {*this, failure};
}

#if WSTRAND_EXCEPTIONS
inline connection_ref::message_iterator connection_ref::begin() { return {*this, nullptr}; }
inline connection_ref::message_iterator connection_ref::end() noexcept { return {}; }
#endif

/**
 * A connection, made by `connect` or `share`; what it can do is in `connection_ref`.
 *
 * Destroyed, it is given back: the last one of a client's connection closes it with code 1000, and waits
 * for the callback that is running: after that nothing that callbacks refer to is used any more. Inside
 * one of its own callbacks it does not wait; see wstrand_connection_free.
 */
class connection : public connection_ref {
public:
    /** None: what `connect` returns when it fails, and what a moved-from one is. */
    connection() noexcept : connection_ref(nullptr) {}

    /** Takes over a reference that a C function gave. */
    explicit connection(wstrand_connection *owned) noexcept : connection_ref(owned) {}

    connection(connection &&other) noexcept
        : connection_ref(std::exchange(other.handle_, nullptr)), state_(std::move(other.state_))
    {
    }
    connection &operator=(connection &&other) noexcept
    {
        connection former(std::move(*this));
        handle_ = std::exchange(other.handle_, nullptr);
        state_ = std::move(other.state_);
        return *this;
    }
    ~connection() { wstrand_connection_free(handle_); }

    explicit operator bool() const noexcept { return handle_ != nullptr; }

    /**
     * Waits until the connection has ended, in whatever way. It does not close. With a handler it waits until
     * `on_close` has returned; without one it receives, and throws away the messages that come, so that no other
     * thread may receive meanwhile. Not for the connection's own callbacks.
     */
    void wait_closed(error &failure) noexcept { wait_ms(-1, failure); }

    /** Waits as `wait_closed` does, but no longer than this; tells whether the connection has ended. */
    bool wait_closed(std::chrono::milliseconds timeout, error &failure) noexcept
    {
        return wait_ms(detail::count(timeout), failure);
    }

    /**
     * Calls back, on this thread, for the events that wait: of a connection whose handler has `queue_bytes`. Blocks
     * until there is one.
     */
    dispatched dispatch(error &failure) noexcept { return dispatch_ms(-1, failure); }

    /** Dispatches as `dispatch` does, but waits no longer than this for the first event. */
    dispatched dispatch(std::chrono::milliseconds timeout, error &failure) noexcept
    {
        return dispatch_ms(detail::count(timeout), failure);
    }

    /** Tells a descriptor that is readable while an event waits; -1 if there is none. It is the connection's. */
    int event_descriptor(error &failure) noexcept
    {
        int descriptor = -1;
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_event_descriptor(handle_, &descriptor, details);
        });
        return descriptor;
    }

#if WSTRAND_EXCEPTIONS
    /** Throws what a callback threw, if one did; so do all of these. */
    void wait_closed();
    bool wait_closed(std::chrono::milliseconds timeout);
    dispatched dispatch();
    dispatched dispatch(std::chrono::milliseconds timeout);
    int event_descriptor()
    {
        return detail::throwing([&](error &failure) { return event_descriptor(failure); });
    }
#endif

    /** Gives up the C handle, which the caller frees. Exceptions of its callbacks are lost. */
    [[nodiscard]] wstrand_connection *release() noexcept { return std::exchange(handle_, nullptr); }

private:
    friend class detail::state;

    bool wait_ms(std::int64_t timeout, error &failure) noexcept
    {
        const bool has_ended = detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_connection_wait_closed(handle_, timeout, details);
        });
        if (timeout >= 0 && failure.code() == WSTRAND_TIMEOUT)
            failure = error();
        return has_ended;
    }

    dispatched dispatch_ms(std::int64_t timeout, error &failure) noexcept
    {
        if (detail::succeeds(failure, [&](wstrand_error **details) {
                return wstrand_connection_dispatch(handle_, timeout, details);
            }))
            return dispatched::events;
        const int code = failure.code();
        if (code == WSTRAND_TIMEOUT || code == WSTRAND_CLOSED)
            failure = error();
        return code == WSTRAND_TIMEOUT ? dispatched::timed_out : dispatched::closed;
    }

    std::shared_ptr<detail::state> state_;
};

/** What becomes of a member of a group that does not keep up. */
enum class overflow {
    close = WSTRAND_OVERFLOW_CLOSE,
    drop = WSTRAND_OVERFLOW_DROP,
};

/**
 * Connections that are sent the same messages; see wstrand_group.
 *
 * Any number of threads use a group at once. No call blocks on a member. A connection leaves by itself when it closes;
 * a group that is destroyed closes none.
 */
class group {
public:
    group() noexcept : handle_(wstrand_group_new()) {}

    /** Sets what becomes of a member for which more than max_buffered_bytes would be waiting: it is closed with code
        1013 unless this says otherwise. */
    void set_overflow(overflow policy, error &failure) noexcept
    {
        failure = error(wstrand_group_set_overflow(get(), static_cast<int>(policy)));
    }

    /** Adds a connection: false if it is in the group already, or no longer open. */
    bool join(const connection_ref &member) noexcept { return wstrand_group_join(get(), member.get()); }

    /** Removes a connection: false if it was not in the group, as after it was closed. */
    bool leave(const connection_ref &member) noexcept { return wstrand_group_leave(get(), member.get()); }

    /** Tells whether a connection is in the group. */
    bool contains(const connection_ref &member) const noexcept
    {
        return wstrand_group_contains(get(), member.get());
    }

    /** Tells how many connections are in the group. */
    std::size_t size() const noexcept { return wstrand_group_count(get()); }

    /** Tells whether no connection is in the group. */
    bool empty() const noexcept { return size() == 0; }

    /** Tells how many messages members have missed under `overflow::drop`. */
    std::uint64_t dropped() const noexcept { return wstrand_group_dropped(get()); }

    /** Sends a text message to all; returns for how many members it was written or queued. */
    std::size_t send(std::string_view text, error &failure) noexcept
    {
        return counted(failure, [&](std::size_t *queued, wstrand_error **details) {
            return wstrand_group_send_text(get(), text.data(), text.size(), queued, details);
        });
    }

    /** Sends a binary message to all: `send_binary(container)` or `send_binary({data, size})`. As `send`. */
    std::size_t send_binary(byte_view bytes, error &failure) noexcept
    {
        return counted(failure, [&](std::size_t *queued, wstrand_error **details) {
            return wstrand_group_send_binary(get(), bytes.data(), bytes.size(), queued, details);
        });
    }

    /** Sends what was received, as the kind that it is. As `send`. */
    std::size_t send(const message &copied, error &failure) noexcept
    {
        return copied.is_text() ? send(copied.text(), failure) : send_binary(copied, failure);
    }

    /** Sends a text message to all but one, which need not be a member. As `send`. */
    std::size_t send_except(const connection_ref &except, std::string_view text, error &failure) noexcept
    {
        return counted(failure, [&](std::size_t *queued, wstrand_error **details) {
            return wstrand_group_send_text_except(get(), except.get(), text.data(), text.size(), queued, details);
        });
    }
    std::size_t send_binary_except(const connection_ref &except, byte_view bytes, error &failure) noexcept
    {
        return counted(failure, [&](std::size_t *queued, wstrand_error **details) {
            return wstrand_group_send_binary_except(get(), except.get(), bytes.data(), bytes.size(), queued, details);
        });
    }
    std::size_t send_except(const connection_ref &except, const message &copied, error &failure) noexcept
    {
        return copied.is_text() ? send_except(except, copied.text(), failure)
                                : send_binary_except(except, copied, failure);
    }

    /** Sends what is prepared: for several groups, or to go uncompressed. As `send`. */
    std::size_t send(const prepared &message, error &failure) noexcept
    {
        return counted(failure, [&](std::size_t *queued, wstrand_error **details) {
            return wstrand_group_send_prepared(get(), message.get(), queued, details);
        });
    }
    std::size_t send_except(const connection_ref &except, const prepared &message, error &failure) noexcept
    {
        return counted(failure, [&](std::size_t *queued, wstrand_error **details) {
            return wstrand_group_send_prepared_except(get(), except.get(), message.get(), queued, details);
        });
    }

#if WSTRAND_EXCEPTIONS
    void set_overflow(overflow policy)
    {
        detail::throwing([&](error &failure) { set_overflow(policy, failure); });
    }
    std::size_t send(std::string_view text)
    {
        return detail::throwing([&](error &failure) { return send(text, failure); });
    }
    std::size_t send_binary(byte_view bytes)
    {
        return detail::throwing([&](error &failure) { return send_binary(bytes, failure); });
    }
    std::size_t send(const message &copied)
    {
        return detail::throwing([&](error &failure) { return send(copied, failure); });
    }
    std::size_t send_except(const connection_ref &except, std::string_view text)
    {
        return detail::throwing([&](error &failure) { return send_except(except, text, failure); });
    }
    std::size_t send_binary_except(const connection_ref &except, byte_view bytes)
    {
        return detail::throwing([&](error &failure) { return send_binary_except(except, bytes, failure); });
    }
    std::size_t send_except(const connection_ref &except, const message &copied)
    {
        return detail::throwing([&](error &failure) { return send_except(except, copied, failure); });
    }
    std::size_t send(const prepared &message)
    {
        return detail::throwing([&](error &failure) { return send(message, failure); });
    }
    std::size_t send_except(const connection_ref &except, const prepared &message)
    {
        return detail::throwing([&](error &failure) { return send_except(except, message, failure); });
    }
#endif

    wstrand_group *get() const noexcept { return handle_.get(); }

private:
    template <typename Call>
    static std::size_t counted(error &failure, Call call) noexcept
    {
        std::size_t queued = 0;
        detail::succeeds(failure, [&](wstrand_error **details) { return call(&queued, details); });
        return queued;
    }

    detail::owned<wstrand_group, wstrand_group_free> handle_;
};

inline connection connection_ref::share() const noexcept
{
    return connection(wstrand_connection_retain(handle_));
}

/**
 * What is called back; leave out what does not matter. See wstrand_handler for what callbacks may rely on:
 * those of one connection come one at a time, from a thread that is the connection's own.
 *
 * A callback may throw. Its connection is then closed with code 1011, events that come until it has closed
 * are still told, and the first exception is thrown again by `connection::wait_closed` or `connection::dispatch`,
 * for a server by `server::run` or `server::stop`. A server does not keep an `error` that says that a connection
 * has gone (WSTRAND_CLOSED, WSTRAND_LOST or WSTRAND_IO): clients go as they like, also while they are being answered.
 * A client that connects again is closed for good, and `reconnecting::wait_closed` throws.
 *
 * What the functions refer to must outlive the connection or the server. `on_open` may begin before `connect`
 * has returned.
 */
struct handler {
    callback<connection_ref> on_open;
    callback<connection_ref, const message &> on_message;
    callback<connection_ref, byte_view> on_ping;
    callback<connection_ref, byte_view> on_pong;
    callback<connection_ref, const error &> on_error;
    /** Gets the close code, the reason, and whether both sides have sent Close. */
    callback<connection_ref, std::uint16_t, std::string_view, bool> on_close;

    /** Has a client's events wait until `connection::dispatch`, up to so many bytes of them; 0 for no queue. */
    std::size_t queue_bytes = 0;

    /** Decides over requests to a server. If it throws, the answer is status 500. It may be all that comes of a
        client, if that is refused or goes: what `on_close` gives back is to be taken in `on_open`. */
    callback<request, response> on_request;
    /** Gets every connection to a server first of all, and may receive from it. */
    callback<connection_ref> on_connection;

    /** May change what the next attempt of `reconnect` asks for, or give up. */
    callback<attempt> on_attempt;
    /** Gets why `reconnect` has no connection, and what comes next. */
    callback<down> on_down;
};

namespace detail {

/* A handler's functions, and the first exception that left one of them. */
class state {
public:
    explicit state(handler functions, bool is_server = false) noexcept
        : functions_(std::move(functions)), is_server_(is_server)
    {
    }

    /* A C handler that calls these functions, and holds on to them. */
    static owned<wstrand_handler, wstrand_handler_free> c_handler(const std::shared_ptr<state> &shared)
    {
        owned<wstrand_handler, wstrand_handler_free> made(wstrand_handler_new(
            new std::shared_ptr<state>(shared),
            [](void *userdata) { delete static_cast<std::shared_ptr<state> *>(userdata); }));
        const handler &set = shared->functions_;
        wstrand_handler *const to = made.get();
        if (set.on_open)
            wstrand_handler_set_on_open(to, on_open);
        if (set.on_message)
            wstrand_handler_set_on_message(to, on_message);
        if (set.on_ping)
            wstrand_handler_set_on_ping(to, on_ping);
        if (set.on_pong)
            wstrand_handler_set_on_pong(to, on_pong);
        if (set.on_error)
            wstrand_handler_set_on_error(to, on_error);
        if (set.on_close)
            wstrand_handler_set_on_close(to, on_close);
        if (set.on_request)
            wstrand_handler_set_on_request(to, on_request);
        if (set.on_connection)
            wstrand_handler_set_on_connection(to, on_connection);
        if (set.on_attempt)
            wstrand_handler_set_on_attempt(to, on_attempt);
        if (set.on_down)
            wstrand_handler_set_on_down(to, on_down);
        wstrand_handler_set_queue_bytes(to, set.queue_bytes);
        return made;
    }

    /* Connects as `call` does, which gets the C function's last three parameters. */
    template <typename Call>
    static connection open(const options &settings, handler *functions, error &failure, Call call) noexcept
    {
        std::shared_ptr<state> shared;
        owned<wstrand_handler, wstrand_handler_free> called_back;
        if (functions != nullptr) {
            shared = std::make_shared<state>(std::move(*functions));
            called_back = c_handler(shared);
        }
        wstrand_connection *handle = nullptr;
        makes(handle, settings, failure, [&](wstrand_connection **made, wstrand_error **details) {
            return call(called_back.get(), made, details);
        });
        connection made(handle);
        made.state_ = std::move(shared);
        return made;
    }

    static connection connect(std::string_view url, const options &settings, handler *functions,
                              error &failure) noexcept
    {
        return open(settings, functions, failure,
                    [&](wstrand_handler *called_back, wstrand_connection **made, wstrand_error **details) {
                        return wstrand_connect(c_text(url).c_str(), settings.get(), called_back, made, details);
                    });
    }

    static connection connect_unix(std::string_view path, std::string_view url, const options &settings,
                                   handler *functions, error &failure) noexcept
    {
        return open(settings, functions, failure,
                    [&](wstrand_handler *called_back, wstrand_connection **made, wstrand_error **details) {
                        return wstrand_connect_unix(c_text(path).c_str(), c_text(url).c_str(),
                                                    settings.get(), called_back, made, details);
                    });
    }

    static connection connect_over(int descriptor, std::string_view url, const options &settings,
                                   handler *functions, error &failure) noexcept
    {
        return open(settings, functions, failure,
                    [&](wstrand_handler *called_back, wstrand_connection **made, wstrand_error **details) {
                        return wstrand_connect_over(descriptor, c_text(url).c_str(), settings.get(),
                                                    called_back, made, details);
                    });
    }

#if WSTRAND_EXCEPTIONS
    /* Calls what takes a last `error &`, and throws what a callback threw, once, or else what the call came to. By
       value: the object that has this state may be gone when the call returns. */
    template <typename Call>
    static auto rethrowing(std::shared_ptr<state> shared, Call call)
    {
        error failure;
        const auto result = call(failure);
        if (shared)
            shared->rethrow();
        if (failure)
            throw failure;
        return result;
    }
#endif

private:
    static const handler &functions(void *userdata) noexcept
    {
        return (*static_cast<std::shared_ptr<state> *>(userdata))->functions_;
    }

#if WSTRAND_EXCEPTIONS
    void rethrow()
    {
        std::exception_ptr thrown;
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            thrown = std::exchange(parked_, nullptr);
        }
        if (thrown)
            std::rethrow_exception(thrown);
    }

    /* Keeps what is being caught, if it is the first. */
    void park() noexcept
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!parked_)
            parked_ = std::current_exception();
    }
#endif

    /* Calls the program; what that throws goes no further than here. */
    template <typename Call, typename Failed>
    static void guarded(void *userdata, Call call, Failed failed) noexcept
    {
#if WSTRAND_EXCEPTIONS
        state &self = **static_cast<std::shared_ptr<state> *>(userdata);
        try {
            call();
        } catch (const error &thrown) {
            const bool has_gone = thrown.code() == WSTRAND_CLOSED || thrown.code() == WSTRAND_LOST
                                  || thrown.code() == WSTRAND_IO;
            if (!(self.is_server_ && has_gone))
                self.park();
            failed();
        } catch (...) {
            self.park();
            failed();
        }
#else
        (void)(**static_cast<std::shared_ptr<state> *>(userdata)).is_server_, (void)failed;
        call();
#endif
    }

    template <typename Call>
    static void of_connection(wstrand_connection *handle, void *userdata, Call call) noexcept
    {
        guarded(userdata, call, [&] {
            wstrand_connection_close(handle, WSTRAND_CLOSE_INTERNAL_ERROR, nullptr, nullptr);
            stop_reconnecting(userdata);
        });
    }

    /* Else a callback that throws would throw again and again. Without a handle it does nothing. */
    static void stop_reconnecting(void *userdata) noexcept
    {
        wstrand_reconnecting_close((*static_cast<std::shared_ptr<state> *>(userdata))->reconnecting_,
                                   WSTRAND_CLOSE_INTERNAL_ERROR, nullptr, nullptr);
    }

    static void on_open(wstrand_connection *handle, void *userdata) noexcept
    {
        of_connection(handle, userdata, [&] { functions(userdata).on_open(connection_ref(handle)); });
    }
    static void on_message(wstrand_connection *handle, int kind, const void *data, std::size_t size,
                           void *userdata) noexcept
    {
        of_connection(handle, userdata, [&] {
            functions(userdata).on_message(connection_ref(handle),
                                           message(static_cast<message_kind>(kind), data, size));
        });
    }
    static void on_ping(wstrand_connection *handle, const void *data, std::size_t size,
                        void *userdata) noexcept
    {
        of_connection(handle, userdata, [&] {
            functions(userdata).on_ping(connection_ref(handle), byte_view(data, size));
        });
    }
    static void on_pong(wstrand_connection *handle, const void *data, std::size_t size,
                        void *userdata) noexcept
    {
        of_connection(handle, userdata, [&] {
            functions(userdata).on_pong(connection_ref(handle), byte_view(data, size));
        });
    }
    static void on_error(wstrand_connection *handle, const wstrand_error *lent, void *userdata) noexcept;
    static void on_close(wstrand_connection *handle, std::uint16_t code, const char *reason,
                         std::size_t reason_size, bool was_clean, void *userdata) noexcept
    {
        of_connection(handle, userdata, [&] {
            functions(userdata).on_close(connection_ref(handle), code,
                                         std::string_view(reason, reason_size), was_clean);
        });
    }
    static void on_request(const wstrand_request *asked, wstrand_response *answer,
                           void *userdata) noexcept
    {
        guarded(
            userdata, [&] { functions(userdata).on_request(request(asked), response(answer)); },
            [&] { wstrand_response_set_status(answer, 500); });
    }
    static void on_connection(wstrand_connection *handle, void *userdata) noexcept
    {
        of_connection(handle, userdata,
                      [&] { functions(userdata).on_connection(connection_ref(handle)); });
    }

    static void on_attempt(wstrand_attempt *lent, void *userdata) noexcept
    {
        guarded(
            userdata, [&] { functions(userdata).on_attempt(attempt(lent)); }, [&] { stop_reconnecting(userdata); });
    }
    static void on_down(const wstrand_down *lent, void *userdata) noexcept
    {
        guarded(
            userdata, [&] { functions(userdata).on_down(down(lent)); }, [&] { stop_reconnecting(userdata); });
    }

    friend class wstrand::reconnecting;

    const handler functions_;
    const bool is_server_;
    /* Set before the first callback, and alive until the last has returned. */
    wstrand_reconnecting *reconnecting_ = nullptr;
    std::mutex mutex_;
    std::exception_ptr parked_;
};

} // namespace detail

inline void detail::state::on_error(wstrand_connection *handle, const wstrand_error *lent,
                                    void *userdata) noexcept
{
    of_connection(handle, userdata,
                  [&] { functions(userdata).on_error(connection_ref(handle), error::copy(lent)); });
}

#if WSTRAND_EXCEPTIONS
inline void connection::wait_closed()
{
    detail::state::rethrowing(state_, [&](error &failure) { return wait_ms(-1, failure); });
}
inline bool connection::wait_closed(std::chrono::milliseconds timeout)
{
    return detail::state::rethrowing(state_, [&](error &failure) { return wait_closed(timeout, failure); });
}
inline dispatched connection::dispatch()
{
    return detail::state::rethrowing(state_, [&](error &failure) { return dispatch(failure); });
}
inline dispatched connection::dispatch(std::chrono::milliseconds timeout)
{
    return detail::state::rethrowing(state_, [&](error &failure) { return dispatch(timeout, failure); });
}
#endif

/**
 * Connects to a WebSocket server: `connect("ws://host:port/path")`, with options, with a handler that is
 * called back, or with both. Without a handler, the program receives with `receive`.
 *
 * Blocks until the connection is open, for the connect timeout at the most: 20 s by default.
 */
inline connection connect(std::string_view url, error &failure) noexcept
{
    return detail::state::connect(url, options(), nullptr, failure);
}
inline connection connect(std::string_view url, const options &settings, error &failure) noexcept
{
    return detail::state::connect(url, settings, nullptr, failure);
}
inline connection connect(std::string_view url, handler called_back, error &failure) noexcept
{
    return detail::state::connect(url, options(), &called_back, failure);
}
inline connection connect(std::string_view url, const options &settings, handler called_back,
                          error &failure) noexcept
{
    return detail::state::connect(url, settings, &called_back, failure);
}

#if WSTRAND_EXCEPTIONS
inline connection connect(std::string_view url)
{
    return detail::throwing([&](error &failure) { return connect(url, failure); });
}
inline connection connect(std::string_view url, const options &settings)
{
    return detail::throwing([&](error &failure) { return connect(url, settings, failure); });
}
inline connection connect(std::string_view url, handler called_back)
{
    return detail::throwing([&](error &failure) { return connect(url, std::move(called_back), failure); });
}
inline connection connect(std::string_view url, const options &settings, handler called_back)
{
    return detail::throwing(
        [&](error &failure) { return connect(url, settings, std::move(called_back), failure); });
}
#endif

/** Connects as `connect` does, to a Unix domain socket. The URL says what to ask for. */
inline connection connect_unix(std::string_view path, std::string_view url, const options &settings,
                               error &failure) noexcept
{
    return detail::state::connect_unix(path, url, settings, nullptr, failure);
}
inline connection connect_unix(std::string_view path, std::string_view url, const options &settings,
                               handler called_back, error &failure) noexcept
{
    return detail::state::connect_unix(path, url, settings, &called_back, failure);
}

/**
 * Connects as `connect` does, over a stream socket that is connected already. The descriptor belongs to the
 * library from this call on, also where it fails.
 */
inline connection connect_over(int descriptor, std::string_view url, const options &settings,
                               error &failure) noexcept
{
    return detail::state::connect_over(descriptor, url, settings, nullptr, failure);
}
inline connection connect_over(int descriptor, std::string_view url, const options &settings,
                               handler called_back, error &failure) noexcept
{
    return detail::state::connect_over(descriptor, url, settings, &called_back, failure);
}

#if WSTRAND_EXCEPTIONS
inline connection connect_unix(std::string_view path, std::string_view url,
                               const options &settings = options())
{
    return detail::throwing([&](error &failure) { return connect_unix(path, url, settings, failure); });
}
inline connection connect_unix(std::string_view path, std::string_view url, const options &settings,
                               handler called_back)
{
    return detail::throwing([&](error &failure) {
        return connect_unix(path, url, settings, std::move(called_back), failure);
    });
}
inline connection connect_over(int descriptor, std::string_view url, const options &settings = options())
{
    return detail::throwing(
        [&](error &failure) { return connect_over(descriptor, url, settings, failure); });
}
inline connection connect_over(int descriptor, std::string_view url, const options &settings,
                               handler called_back)
{
    return detail::throwing([&](error &failure) {
        return connect_over(descriptor, url, settings, std::move(called_back), failure);
    });
}
#endif

/**
 * A client that connects again, made by `reconnect`.
 *
 * Destroyed, it is closed with code 1000, and waits for the callback that is running: after that nothing that callbacks
 * refer to is used any more. Inside one of its own callbacks it does not wait; see wstrand_reconnecting_free.
 */
class reconnecting {
public:
    /** None: what `reconnect` returns when it fails. */
    reconnecting() noexcept = default;

    explicit operator bool() const noexcept { return handle_ != nullptr; }

    /** Sends a text message, or has it wait until there is a connection; see wstrand_reconnecting_send. */
    void send(std::string_view text, error &failure) noexcept
    {
        send(message_kind::text, byte_view(text.data(), text.size()), failure);
    }
    void send(message_kind kind, byte_view bytes, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_reconnecting_send(get(), static_cast<int>(kind), bytes.data(), bytes.size(), details);
        });
    }

    /** Sends if that needs no waiting, or has it wait: false, and no error, if there is no room. Never blocks. */
    bool try_send(message_kind kind, byte_view bytes, error &failure) noexcept
    {
        const bool has_room = detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_reconnecting_try_send(get(), static_cast<int>(kind), bytes.data(), bytes.size(),
                                                 details);
        });
        if (failure.code() == WSTRAND_FULL)
            failure = error();
        return has_room;
    }

    /** Tells the last session that there was, from 1 on; 0 if there was none yet. */
    std::uint64_t session() const noexcept { return wstrand_reconnecting_session(get()); }

    /** Connects no more, and closes the connection that there is. Never blocks. */
    void close(std::uint16_t code, std::string_view reason, error &failure) noexcept
    {
        if (reason.find('\0') != std::string_view::npos) {
            failure = error(WSTRAND_INVALID_ARGUMENT);
            return;
        }
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_reconnecting_close(get(), code, std::string(reason).c_str(), details);
        });
    }

    /** Waits until it has stopped, in whatever way. It does not close. Not for its own callbacks. */
    void wait_closed(error &failure) noexcept { wait_ms(-1, failure); }

    /** Waits as `wait_closed` does, but no longer than this; tells whether it has stopped. */
    bool wait_closed(std::chrono::milliseconds timeout, error &failure) noexcept
    {
        return wait_ms(detail::count(timeout), failure);
    }

#if WSTRAND_EXCEPTIONS
    void send(std::string_view text)
    {
        detail::throwing([&](error &failure) { send(text, failure); });
    }
    void send(message_kind kind, byte_view bytes)
    {
        detail::throwing([&](error &failure) { send(kind, bytes, failure); });
    }
    bool try_send(message_kind kind, byte_view bytes)
    {
        return detail::throwing([&](error &failure) { return try_send(kind, bytes, failure); });
    }
    void close(std::uint16_t code = WSTRAND_CLOSE_NORMAL, std::string_view reason = {})
    {
        detail::throwing([&](error &failure) { close(code, reason, failure); });
    }
    /** Throws what a callback threw, if one did; so does the other. */
    void wait_closed()
    {
        detail::state::rethrowing(state_, [&](error &failure) { return wait_ms(-1, failure); });
    }
    bool wait_closed(std::chrono::milliseconds timeout)
    {
        return detail::state::rethrowing(state_, [&](error &failure) { return wait_closed(timeout, failure); });
    }
#endif

    wstrand_reconnecting *get() const noexcept { return handle_.get(); }

private:
    friend reconnecting reconnect(std::string_view url, const options &settings, handler called_back,
                                  error &failure) noexcept;

    static reconnecting make(std::string_view url, const options &settings, handler called_back,
                             error &failure) noexcept
    {
        reconnecting made;
        made.state_ = std::make_shared<detail::state>(std::move(called_back));
        const auto c_handler = detail::state::c_handler(made.state_);
        wstrand_reconnecting *&handle = made.state_->reconnecting_;
        detail::makes(handle, settings, failure, [&](wstrand_reconnecting **place, wstrand_error **details) {
            return wstrand_reconnect(detail::c_text(url).c_str(), settings.get(), c_handler.get(), place, details);
        });
        made.handle_.reset(handle);
        return made;
    }

    bool wait_ms(std::int64_t timeout, error &failure) noexcept
    {
        const bool has_stopped = detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_reconnecting_wait_closed(get(), timeout, details);
        });
        if (timeout >= 0 && failure.code() == WSTRAND_TIMEOUT)
            failure = error();
        return has_stopped;
    }

    std::shared_ptr<detail::state> state_;
    detail::owned<wstrand_reconnecting, wstrand_reconnecting_free> handle_; // goes first
};

/**
 * Connects to a WebSocket server, and again when the connection is lost, until there is a reason to stop; see
 * wstrand_reconnect. Does not block. The callbacks are those of one connection after another.
 */
inline reconnecting reconnect(std::string_view url, const options &settings, handler called_back,
                              error &failure) noexcept
{
    return reconnecting::make(url, settings, std::move(called_back), failure);
}
inline reconnecting reconnect(std::string_view url, handler called_back, error &failure) noexcept
{
    return reconnect(url, options(), std::move(called_back), failure);
}

#if WSTRAND_EXCEPTIONS
inline reconnecting reconnect(std::string_view url, const options &settings, handler called_back)
{
    return detail::throwing(
        [&](error &failure) { return reconnect(url, settings, std::move(called_back), failure); });
}
inline reconnecting reconnect(std::string_view url, handler called_back)
{
    return detail::throwing(
        [&](error &failure) { return reconnect(url, std::move(called_back), failure); });
}
#endif

/**
 * A server, made by `listen`, which runs each connection on its own thread.
 *
 * Destroyed, it is stopped the hard way, and waits until all callbacks have returned; see
 * wstrand_server_free. Call `stop` before for an orderly end.
 */
class server {
public:
    /** None: what `listen` returns when it fails. */
    server() noexcept = default;

    explicit operator bool() const noexcept { return handle_ != nullptr; }

    /** Tells the address that the server is bound to, with the port that was found for port 0; "" if it is none of
        the Internet's. */
    std::string_view address() const noexcept { return detail::view(wstrand_server_address(get())); }
    std::uint16_t port() const noexcept { return wstrand_server_port(get()); }
    std::size_t connection_count() const noexcept { return wstrand_server_connection_count(get()); }

    /** Tells a counter, WSTRAND_STAT_OPEN or another of a server's. */
    std::uint64_t stat(int which) const noexcept { return wstrand_server_stat(get(), which); }

    /** Shows the certificate of these options to those who connect from now on. */
    void renew_tls(const options &settings, error &failure) noexcept
    {
        detail::succeeds(failure, [&](wstrand_error **details) {
            return wstrand_server_renew_tls(get(), settings.get(), details);
        });
    }

    /** Serves in the background. */
    void start(error &failure) noexcept
    {
        detail::succeeds(failure,
                         [&](wstrand_error **details) { return wstrand_server_start(get(), details); });
    }

    /** Serves, until `stop` has done its work on another thread, or the object is destroyed there. */
    void run(error &failure) noexcept
    {
        detail::succeeds(failure,
                         [&](wstrand_error **details) { return wstrand_server_run(get(), details); });
    }

    /**
     * Closes every connection with code 1001, waits until all have ended, and after this time cuts those
     * that are left. Tells how many of them are in callbacks that have not returned yet.
     */
    std::size_t stop(std::chrono::milliseconds drain, error &failure) noexcept
    {
        std::size_t busy = 0;
        failure = error(wstrand_server_stop(get(), detail::count(drain), &busy));
        return busy;
    }

#if WSTRAND_EXCEPTIONS
    void renew_tls(const options &settings)
    {
        detail::throwing([&](error &failure) { renew_tls(settings, failure); });
    }
    void start()
    {
        detail::throwing([&](error &failure) { start(failure); });
    }
    /** Throws the first thing that a callback threw, if one did; so does `stop`, after it has stopped the server.
        The overloads with an `error &` do not. */
    void run()
    {
        detail::state::rethrowing(state_, [&](error &failure) {
            run(failure);
            return true;
        });
    }
    std::size_t stop(std::chrono::milliseconds drain)
    {
        return detail::state::rethrowing(state_, [&](error &failure) { return stop(drain, failure); });
    }
#endif

    wstrand_server *get() const noexcept { return handle_.get(); }

private:
    friend server listen(std::string_view address, const options &settings, handler called_back,
                         error &failure) noexcept;
    friend server listen_unix(std::string_view path, const options &settings, handler called_back,
                              error &failure) noexcept;
    friend server listen_over(int descriptor, const options &settings, handler called_back,
                              error &failure) noexcept;

    /* Makes one as `call` does, which gets the C function's last three parameters. */
    template <typename Call>
    static server make(const options &settings, handler called_back, error &failure, Call call) noexcept
    {
        server made;
        made.state_ = std::make_shared<detail::state>(std::move(called_back), true);
        const auto c_handler = detail::state::c_handler(made.state_);
        wstrand_server *handle = nullptr;
        detail::makes(handle, settings, failure, [&](wstrand_server **place, wstrand_error **details) {
            return call(c_handler.get(), place, details);
        });
        made.handle_.reset(handle);
        return made;
    }

    std::shared_ptr<detail::state> state_;
    detail::owned<wstrand_server, wstrand_server_free> handle_; // goes first
};

/**
 * Makes a server and binds its address, "HOST:PORT" or a bare port on 127.0.0.1; port 0 takes any free
 * one. Clients can connect from now on, and wait until it is started.
 */
inline server listen(std::string_view address, const options &settings, handler called_back,
                     error &failure) noexcept
{
    return server::make(
        settings, std::move(called_back), failure,
        [&](wstrand_handler *c_handler, wstrand_server **made, wstrand_error **details) {
            return wstrand_server_new(detail::c_text(address).c_str(), settings.get(), c_handler, made,
                                      details);
        });
}
inline server listen(std::string_view address, handler called_back, error &failure) noexcept
{
    return listen(address, options(), std::move(called_back), failure);
}

/** Makes a server as `listen` does, and binds a Unix domain socket. */
inline server listen_unix(std::string_view path, const options &settings, handler called_back,
                          error &failure) noexcept
{
    return server::make(
        settings, std::move(called_back), failure,
        [&](wstrand_handler *c_handler, wstrand_server **made, wstrand_error **details) {
            return wstrand_server_new_unix(detail::c_text(path).c_str(), settings.get(), c_handler, made,
                                           details);
        });
}

/**
 * Makes a server as `listen` does, of a stream socket that is listening already. The descriptor belongs to the
 * library from this call on, also where it fails.
 */
inline server listen_over(int descriptor, const options &settings, handler called_back,
                          error &failure) noexcept
{
    return server::make(
        settings, std::move(called_back), failure,
        [&](wstrand_handler *c_handler, wstrand_server **made, wstrand_error **details) {
            return wstrand_server_new_over(descriptor, settings.get(), c_handler, made, details);
        });
}

#if WSTRAND_EXCEPTIONS
inline server listen(std::string_view address, const options &settings, handler called_back)
{
    return detail::throwing(
        [&](error &failure) { return listen(address, settings, std::move(called_back), failure); });
}
inline server listen(std::string_view address, handler called_back)
{
    return detail::throwing(
        [&](error &failure) { return listen(address, std::move(called_back), failure); });
}
inline server listen_unix(std::string_view path, const options &settings, handler called_back)
{
    return detail::throwing(
        [&](error &failure) { return listen_unix(path, settings, std::move(called_back), failure); });
}
inline server listen_over(int descriptor, const options &settings, handler called_back)
{
    return detail::throwing([&](error &failure) {
        return listen_over(descriptor, settings, std::move(called_back), failure);
    });
}
#endif

/** How much the log tells. */
enum class log_level : int {
    off = WSTRAND_LOG_OFF,
    error = WSTRAND_LOG_ERROR,
    warn = WSTRAND_LOG_WARN,
    info = WSTRAND_LOG_INFO,
    debug = WSTRAND_LOG_DEBUG,
    trace = WSTRAND_LOG_TRACE,
};

/** What gets a line of the log: its level, the part of the library that speaks, and what it says. */
using log_function = callback<log_level, std::string_view, std::string_view>;

/**
 * Has the log told to a function, up to this level; see wstrand_set_log. It is called from several threads at once.
 * What it throws goes nowhere.
 */
inline void set_log(log_level max_level, log_function log, error &failure) noexcept
{
    if (!log) {
        failure = error(wstrand_set_log(nullptr, static_cast<int>(max_level), nullptr, nullptr));
        return;
    }
    auto held = std::make_unique<log_function>(std::move(log));
    const int code = wstrand_set_log(
        [](int level, const char *target, const char *text, void *userdata) noexcept {
#if WSTRAND_EXCEPTIONS
            try {
                (*static_cast<log_function *>(userdata))(static_cast<log_level>(level), target, text);
            } catch (...) {
            }
#else
            (*static_cast<log_function *>(userdata))(static_cast<log_level>(level), target, text);
#endif
        },
        static_cast<int>(max_level), held.get(),
        [](void *userdata) { delete static_cast<log_function *>(userdata); });
    if (code == WSTRAND_OK)
        (void)held.release();
    failure = error(code);
}

#if WSTRAND_EXCEPTIONS
inline void set_log(log_level max_level, log_function log)
{
    detail::throwing([&](error &failure) { set_log(max_level, std::move(log), failure); });
}
#endif

/** @cond */
} // namespace with_exceptions, or without_exceptions
/** @endcond */
} // namespace wstrand

#endif /* WSTRAND_HPP */
