"""Uses the chat's page as people would, two of them, in Chromium, and reads what their pages show.

usage: chat_page.py CHROMIUM SCENARIO URL [FOLDER]

Exit status 0 says that the pages showed what they should; anything else is told on stderr. Where the test must do
something to a server, a line on stdout asks for it. Screenshots go into FOLDER.
"""

import json
import os
import sys

from chromium import Chromium, Failure

WAIT_S = 30


class ChatPage:
    """One person's page."""

    def __init__(self, browser, url, name, room="lobby"):
        self.browser = browser
        self.name = name
        self.session = browser.session
        browser.open(f"{url}#{room}")
        # Without the mouse: the dialog is there, and the name has the focus.
        self.type_into_focus("name", name)
        self.enter_key()
        self.expect("!document.getElementById('enter').open", "one is in")
        self.expect_state("open")
        self.expect("document.activeElement.id === 'text'", "the focus is where one types")

    def evaluate(self, expression):
        self.browser.session = self.session
        return self.browser.evaluate(expression)

    def expect(self, condition, what):
        self.browser.session = self.session
        if not self.browser.wait_until(condition, WAIT_S):
            shown = self.browser.evaluate("document.body.innerText")
            raise Failure(f"{self.name}'s page never said that {what}; it shows\n{shown}")

    def expect_state(self, *states):
        self.expect(f"{json.dumps(states)}.includes(document.getElementById('state').dataset.state)", f"it is {states}")

    def expect_text(self, text, count=1):
        """Demands a message, that many times."""
        found = f"[...document.querySelectorAll('#log .text')].filter(text => text.textContent === {json.dumps(text)})"
        self.expect(f"{found}.length === {count}", f"somebody says {text!r}, {count} times")

    def expect_here(self, *names):
        shown = "[...document.querySelectorAll('#here bdi')].map(bdi => bdi.textContent)"
        self.expect(f"JSON.stringify({shown}) === JSON.stringify({json.dumps(sorted(names))})", f"{names} are here")

    def texts(self):
        return self.evaluate("[...document.querySelectorAll('#log .text')].map(text => text.textContent)")

    def server(self):
        return self.evaluate("document.getElementById('server').textContent")

    def type_into_focus(self, element, text):
        self.expect(f"document.activeElement.id === '{element}'", f"the focus is on #{element}")
        self.evaluate(f"document.getElementById('{element}').select()")
        self.browser.call("Input.insertText", text=text)

    def enter_key(self):
        self.browser.session = self.session
        self.browser.press("Enter", 13, "\r")

    def say(self, text):
        """Types a message and presses Enter."""
        self.evaluate("document.getElementById('text').focus()")
        self.type_into_focus("text", text)
        self.enter_key()

    def expect_nothing_unsaid(self):
        self.expect("document.querySelectorAll('#unsaid li').length === 0", "all is said")


def ask(line):
    print(line, flush=True)


def two_people(browser, url):
    ada = ChatPage(browser, url, "Ada")
    browser.new_page()
    bob = ChatPage(browser, url, "Bob")
    return ada, bob


def expect_the_same(ada, bob):
    """Both show the same messages in the same order, none of them twice."""
    texts = ada.texts()
    if bob.texts() != texts:
        raise Failure(f"Ada reads\n{texts}\nBob reads\n{bob.texts()}")
    twice = {text for text in texts if texts.count(text) > 1}
    if twice:
        raise Failure(f"said twice: {twice}")
    return texts


def expect_all_of(texts, senders, count):
    """What each sender has said is there in the order in which it was said."""
    for sender in senders:
        said = [text for text in texts if text.startswith(f"{sender} ")]
        wanted = [f"{sender} {number}" for number in range(count)]
        if said != wanted:
            raise Failure(f"{sender} is shown with {said}")


def alone(browser, url, folder):
    ada, bob = two_people(browser, url)
    ask("two people are here")
    for page in (ada, bob):
        page.expect_here("Ada", "Bob", "Rust", "C++")

    ada.say("hello from a page")
    for page in (ada, bob):
        page.expect_text("hello from a page")
        page.expect_text("hello from Rust")
        page.expect_text("hello from C++")
    ada.expect("document.querySelector('#log .own .text')?.textContent === 'hello from a page'", "it is her own")
    bob.expect("document.querySelectorAll('#log .own').length === 0", "none of these is his own")

    trick = "<img src=x onerror=\"document.title='tricked'\"> & <b>bold</b>"
    bob.say(trick)
    ada.expect_text(trick)
    if ada.evaluate("document.querySelectorAll('#log img, #log b').length") or "tricked" in ada.evaluate("document.title"):
        raise Failure("a message is taken for HTML")
    blocked = ada.evaluate(
        """new Promise((done) => {
            addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective));
            const script = document.createElement('script');
            script.textContent = "document.title = 'tricked'";
            document.body.append(script);
            setTimeout(() => done('nothing'), 10000);
        })"""
    )
    if blocked != "script-src-elem":
        raise Failure(f"the content security policy blocks {blocked}")

    # A taken name is told, and another one helps.
    browser.new_page()
    browser.open(f"{url}#lobby")
    browser.evaluate("document.getElementById('name').value = 'Ada'")
    browser.click("enter-go")
    if not browser.wait_until("document.getElementById('enter-error').textContent.includes('has that name')", WAIT_S):
        raise Failure("a taken name is not told")

    # Rooms are apart.
    bob.evaluate("location.hash = '#garden'")
    bob.expect("document.getElementById('room-name').textContent === 'garden'", "he is in the garden")
    bob.expect_here("Bob")
    ada.expect_here("Ada", "Rust", "C++")
    bob.say("nobody hears me")
    bob.expect_text("nobody hears me")
    if bob.texts() != ["nobody hears me"] or "nobody hears me" in ada.texts():
        raise Failure("a room is not apart from the other")
    bob.evaluate("location.hash = '#lobby'")
    bob.expect_text(trick)

    # Who types faster than the server takes is asked to wait, and loses nothing.
    for number in range(14):
        bob.say(f"fast {number}")
    bob.expect_nothing_unsaid()
    ada.expect_text("fast 13")
    expect_all_of(expect_the_same(ada, bob), ["fast"], 14)
    ada.expect("document.getElementById('latency-text').textContent.endsWith(' ms')", "the latency is shown")
    ask("done")


def two_servers(browser, url, folder):
    ada, bob = two_people(browser, url)
    # The page's own files are connections too, so the two may have come to the same server.
    attempts = 1
    while bob.server() == ada.server():
        if attempts == 20:
            raise Failure(f"all come to {ada.server()}")
        attempts += 1
        browser.session = bob.session
        browser.open("about:blank")  # or what follows could find the page as it was
        browser.open(f"{url}#lobby")
        bob.expect("document.getElementById('server')?.textContent", "he is in again")
    home, other = ada.server(), bob.server()
    ask(f"Bob is on {other}")
    for page in (ada, bob):
        page.expect_here("Ada", "Bob", "Rust", "C++")
    ask("talk")
    ada.say("from one server")
    bob.say("from the other server")
    for page in (ada, bob):
        page.expect_text("from one server")
        page.expect_text("from the other server")
        page.expect_text("Rust 39")
        page.expect_text("C++ 39")
    expect_all_of(expect_the_same(ada, bob), ["Rust", "C++"], 40)

    bob.evaluate(
        """window.wentAway = false;
        new MutationObserver(() => { if (document.getElementById('state').dataset.state !== 'open') window.wentAway = true; })
            .observe(document.getElementById('state'), { attributes: true });"""
    )
    ask("kill that server")
    bob.expect("window.wentAway", "the connection is lost")
    for number in range(4):
        ada.say(f"Ada {number}")
        bob.say(f"Bob {number}")
    bob.expect_state("open")
    bob.expect_nothing_unsaid()
    ada.expect_nothing_unsaid()
    for page in (ada, bob):
        page.expect_text("Ada 3")
        page.expect_text("Bob 3")
    if bob.server() != home:
        raise Failure(f"Bob is on {bob.server()}")
    texts = expect_the_same(ada, bob)
    expect_all_of(texts, ["Ada", "Bob"], 4)
    expect_all_of(texts, ["Rust", "C++"], 40)

    # Whoever was on the killed server and does not come back is no longer shown after a while.
    for page in (ada, bob):
        page.expect_here("Ada", "Bob", "Rust")
    ask("done")


def redis_lost(browser, url, folder):
    ada, bob = two_people(browser, url)
    ada.say("before")
    bob.expect_text("before")
    ask("kill Redis")
    for page in (ada, bob):
        page.expect_state("apart")
    ada.say("Ada 0")
    bob.say("Bob 0")
    for page in (ada, bob):
        page.expect("document.querySelectorAll('#unsaid li').length === 1", "what was typed waits")
    ask("start Redis")
    for page in (ada, bob):
        page.expect_state("open")
        page.expect_text("Ada 0")
        page.expect_text("Bob 0")
        page.expect_nothing_unsaid()
        page.expect_here("Ada", "Bob")
    ada.say("Ada 1")
    for page in (ada, bob):
        page.expect_text("Ada 1")
    expect_the_same(ada, bob)
    ask("done")


def looks(browser, url, folder):
    ada, bob = two_people(browser, url)
    for page, text in (
        (ada, "Morning! Did the night run finish?"),
        (bob, "It did, at four. All 517 cases, none failed."),
        (bob, "The machine was quiet, so I let the long ones run as well."),
        (ada, "Lovely."),
        (ada, "Then I take the second server out this afternoon. Whoever is on it comes back on the other one and misses nothing."),
        (bob, "بعد الظهر مناسب ✓"),
        (bob, "https://example.com/a/very/long/address/that/has/no/place/to/break/and/goes/on/and/on/and/on/for/ever"),
        (ada, "👍"),
    ):
        page.say(text)
        page.expect_nothing_unsaid()
        for reader in (ada, bob):
            reader.expect_text(text)
    for page in (ada, bob):
        # Every two seconds by itself: the pictures need not wait for that.
        page.evaluate(
            """(async () => {
                for (let count = samples.length; count < 12; count = samples.length) {
                    ping();
                    while (samples.length === count) await new Promise(requestAnimationFrame);
                }
            })()"""
        )
        page.expect("document.getElementById('latency-line').getAttribute('d')?.split('L').length > 4", "the latency is plotted")
    for width, height in ((390, 844), (1280, 800)):
        for scheme in ("light", "dark"):
            browser.session = ada.session
            browser.look_like(width, height, scheme)
            picture(ada, folder, f"chat-{width}x{height}-{scheme}.png")
    browser.look_like(390, 844, "light")
    browser.click("menu")
    picture(ada, folder, "menu-390x844-light.png")
    browser.new_page()
    browser.open(url)
    for width, height, scheme in ((390, 844, "dark"), (1280, 800, "light")):
        browser.look_like(width, height, scheme)
        browser.screenshot(os.path.join(folder, f"enter-{width}x{height}-{scheme}.png"))


def picture(page, folder, name):
    """A picture, and what can be said about it without looking."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.browser.screenshot(os.path.join(folder, name))
    if not page.evaluate("document.getElementById('down').hidden"):
        raise Failure(f"{name}: the page does not follow what is said")
    outside = page.evaluate(
        """[...document.querySelectorAll('header *, main *')].filter((element) => {
            const box = element.getBoundingClientRect();
            return box.width && !element.closest('.unseen, #log') && (box.left < 0 || box.right > innerWidth + 0.5 || box.bottom > innerHeight + 0.5);
        }).map((element) => element.id || element.tagName)"""
    )
    if outside or page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        raise Failure(f"{name}: {outside} out of the picture")
    small = page.evaluate(
        "[...document.querySelectorAll('#say, #text, #menu')].filter(e => e.offsetWidth && e.offsetHeight < 36).map(e => e.id)"
    )
    if small:
        raise Failure(f"{name}: {small} too small to touch")


SCENARIOS = {f.__name__: f for f in (alone, two_servers, redis_lost, looks)}


def main():
    chromium, scenario, url, folder = (sys.argv[1:] + [None])[:4]
    try:
        with Chromium(chromium) as browser:
            SCENARIOS[scenario](browser, url, folder)
    except Failure as failure:
        sys.exit(f"{os.path.basename(chromium)}, {scenario}: {failure}")


if __name__ == "__main__":
    main()
