/*
 * The chat in a terminal: says each line of standard input, prints what is said.
 *
 *     chat URL ROOM NAME
 *
 * It comes back by itself when the connection is lost. At the end of the input it says what is left, and ends.
 * One thread reads the input, another receives; both send.
 */
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>
#include <wstrand.hpp>

using namespace std::chrono_literals;
using nlohmann::json;

namespace {

constexpr std::uint16_t elsewhere = 4001; // the same session has come back by another connection
constexpr const char *missed = "* some older messages are gone";
constexpr std::chrono::milliseconds shortest_pause = 250ms;
constexpr std::chrono::milliseconds longest_pause = 10s;

using clock = std::chrono::steady_clock;
constexpr auto never = clock::time_point::max();

/** Ends the program: it would be refused for ever. */
struct refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/** Text of others', with nothing in it that would steer the terminal. */
std::string shown(std::string text)
{
    const auto steers = [](unsigned char byte) { return std::iscntrl(byte) != 0; };
    std::replace_if(text.begin(), text.end(), steers, ' ');
    return text;
}

class chat {
public:
    chat(std::string room, std::string name) : room_(std::move(room)), name_(std::move(name))
    {
        std::random_device random;
        char text[33];
        std::snprintf(text, sizeof text, "%08x%08x%08x%08x", random(), random(), random(), random());
        session_ = text;
    }

    /** Takes the lines of the input, until its end. */
    void read_input()
    {
        for (std::string line; std::getline(std::cin, line);) {
            if (line.find_first_not_of(" \t\r") == std::string::npos)
                continue;
            const std::lock_guard<std::mutex> lock(mutex_);
            unsaid_.push_back(line);
            if (unsaid_.size() == 1)
                say();
        }
        const std::lock_guard<std::mutex> lock(mutex_);
        input_ended_ = true;
        close_if_done();
    }

    /** Talks until the connection is over. Returns whether everything is said. */
    bool talk(const char *url)
    {
        wstrand::error failure;
        wstrand::connection ws = wstrand::connect(url, failure);
        if (!failure)
            join(ws);
        auto again = never;
        while (!failure && ws.ready_state() != wstrand::ready_state::ended) {
            const auto now = clock::now();
            const auto patience = again == never ? 1h : std::max(again - now, clock::duration::zero());
            const auto message = ws.receive(std::chrono::ceil<std::chrono::milliseconds>(patience), failure);
            const std::lock_guard<std::mutex> lock(mutex_);
            if (message) {
                const auto pause = hear(ws, json::parse(message->text()));
                if (pause > 0ms)
                    again = clock::now() + pause;
            }
            if (clock::now() >= again) {
                again = never;
                if (joined_)
                    say();
                else
                    join(ws);
            }
        }
        const std::lock_guard<std::mutex> lock(mutex_);
        joined_ = {};
        if (ws && ws.close_code() == elsewhere)
            throw refused("this session is somewhere else now");
        if (failure)
            std::cout << "* " << failure.what() << std::endl;
        return input_ended_ && unsaid_.empty();
    }

private:
    // Whether something gets out is told by `receive`.

    void join(wstrand::connection_ref ws)
    {
        wstrand::error ignored;
        const json request = {
            {"type", "join"}, {"room", room_}, {"name", name_}, {"session", session_}, {"since", since_}};
        ws.send(request.dump(), ignored);
    }

    void say()
    {
        if (!joined_ || unsaid_.empty())
            return;
        wstrand::error ignored;
        const json request = {{"type", "say"}, {"id", id_}, {"text", unsaid_.front()}};
        // What is typed need not be UTF-8.
        joined_.send(request.dump(-1, ' ', false, json::error_handler_t::replace), ignored);
    }

    void close_if_done()
    {
        wstrand::error ignored;
        if (joined_ && input_ended_ && unsaid_.empty())
            joined_.close(WSTRAND_CLOSE_NORMAL, {}, ignored);
    }

    /** Returns after how long to send the same again; 0 for never. */
    std::chrono::milliseconds hear(const wstrand::connection &ws, const json &said)
    {
        const std::string type = said.at("type");
        if (type == "welcome") {
            std::cout << "* in " << room_ << " on " << shown(said.at("server")) << std::endl;
            if (said.at("missed"))
                std::cout << missed << std::endl;
            for (const json &message : said.at("history"))
                print(message);
            joined_ = ws.share();
            say();
        } else if (type == "message") {
            print(said);
        } else if (type == "missed") {
            std::cout << missed << std::endl;
        } else if (type == "here") {
            std::cout << "* " << said.at("count") << " here:";
            const char *separator = " ";
            for (const json &name : said.at("names"))
                std::cout << std::exchange(separator, ", ") << shown(name);
            std::cout << std::endl;
        } else if (type == "later") {
            std::cout << "* " << shown(said.at("why")) << std::endl;
            return std::chrono::milliseconds(said.at("after_ms").get<int>());
        } else if (type == "refused" && said.at("id").is_null()) {
            throw refused(shown(said.at("why")));
        } else if (type == "refused" || type == "said") {
            if (type == "refused")
                std::cout << "* " << shown(said.at("why")) << std::endl;
            unsaid_.pop_front();
            ++id_;
            say();
        }
        close_if_done();
        return 0ms;
    }

    void print(const json &message)
    {
        since_ = message.at("seq");
        std::cout << shown(message.at("name")) << ": " << shown(message.at("text")) << std::endl;
    }

    const std::string room_;
    const std::string name_;
    std::string session_;

    std::mutex mutex_; // of all that follows
    wstrand::connection joined_;
    std::uint64_t since_ = 0; // the last message that was printed
    std::uint64_t id_ = 0;    // of the first that is unsaid
    // The first may be under way. It goes again, with the same id, until the server says that it is said.
    std::deque<std::string> unsaid_;
    bool input_ended_ = false;
};

std::chrono::milliseconds jittered(std::chrono::milliseconds longest)
{
    static std::mt19937 random{std::random_device{}()};
    return std::chrono::milliseconds(std::uniform_int_distribution<long>(longest.count() / 2, longest.count())(random));
}

} // namespace

int main(int argc, char **argv)
try {
    if (argc != 4) {
        std::cerr << "usage: chat URL ROOM NAME\n";
        return EXIT_FAILURE;
    }
    // It may be waiting for input when the program ends, so it lives as long as the process.
    static chat talking(argv[2], argv[3]);
    std::thread([] { talking.read_input(); }).detach();

    auto longest = shortest_pause;
    for (;;) {
        const auto began = clock::now();
        if (talking.talk(argv[1]))
            break;
        // Who was there for a while is not part of a rush that has to be spread.
        longest = clock::now() - began > longest_pause ? shortest_pause : std::min(2 * longest, longest_pause);
        const auto pause = jittered(longest);
        std::cout << "* coming back in " << pause.count() << " ms" << std::endl;
        std::this_thread::sleep_for(pause);
    }
    std::_Exit(EXIT_SUCCESS);
} catch (const std::exception &error) {
    std::cerr << "chat: " << error.what() << std::endl;
    std::_Exit(EXIT_FAILURE);
}
