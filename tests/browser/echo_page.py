"""Uses the echo server's page as a person would, in Chromium, and reads what the page shows.

usage: echo_page.py CHROMIUM SCENARIO URL

Exit status 0 says that the page showed exactly what it should, in that order; anything else is told on stderr.
Where the test must do something to the server, a line on stdout asks for it.
"""

import json
import os
import sys
import tempfile

from chromium import Chromium, Failure


class EchoPage:
    """The page, and how far its list of events has been read."""

    def __init__(self, browser, url):
        self.browser = browser
        self.read = 0
        browser.open(url)
        self.expect("open", "subprotocol=")
        self.expect_state("open")

    def events(self):
        return self.browser.evaluate(
            "[...document.querySelectorAll('#log > li')].map(li => [li.dataset.kind, li.querySelector('.what').textContent])"
        )

    def expect(self, kind, what):
        """Demands the next event to be this one."""
        entry = f"document.querySelectorAll('#log > li')[{self.read}]"
        came = self.browser.wait_until(
            f"{entry}?.dataset.kind === {json.dumps(kind)} && {entry}.querySelector('.what').textContent === {json.dumps(what)}",
            seconds=30,
        )
        if not came:
            raise Failure(f"event {self.read + 1} should be {[kind, what]}; the page shows {json.dumps(self.events(), indent=1, ensure_ascii=False)}")
        self.read += 1

    def expect_close(self, code, reason, was_clean):
        self.expect("close", f"code={code} reason={json.dumps(reason, ensure_ascii=False)} wasClean={json.dumps(was_clean)}")
        self.expect_state("closed")

    def expect_state(self, state):
        if not self.browser.wait_until(f"document.getElementById('state').textContent === '{state}'", seconds=30):
            raise Failure(f"the page does not say {state!r}")

    def expect_no_more(self):
        events = self.events()
        if len(events) != self.read:
            raise Failure(f"more than expected: {events[self.read:]}")

    def say(self, text):
        """Types a message and presses Enter."""
        self.browser.type("message", text)
        self.browser.press("Enter", 13, "\r")
        self.expect("sent", f"text {size(text)}: {text}")

    def connect(self, subprotocols=""):
        self.browser.type("subprotocols", subprotocols)
        self.browser.click("connect")

    def close(self, code, reason=""):
        self.browser.type("close-code", code)
        self.browser.type("close-reason", reason)
        self.browser.click("close")

    def arrive_as(self, binary_type):
        self.browser.evaluate(
            f"""(() => {{
                const select = document.getElementById('binary-type');
                select.value = '{binary_type}';
                select.dispatchEvent(new Event('change'));
            }})()"""
        )


def size(text):
    length = len(text.encode())
    return f"{length} byte{'' if length == 1 else 's'}"


def messages(page):
    for text in ("hello", "x", "aé漢🦀", ""):
        page.say(text)
        page.expect("message", f"text {size(text)}: {text}")

    # A text too long to type.
    page.browser.evaluate("document.getElementById('message').value = 'é'.repeat(600000)")
    page.browser.click("send")
    for kind in ("sent", "message"):
        page.expect(kind, "text 1200000 bytes: " + "é" * 200 + "…")

    for binary_type, name in (("blob", "Blob"), ("arraybuffer", "ArrayBuffer")):
        page.arrive_as(binary_type)
        page.browser.type("message", "é!")
        page.browser.click("send-binary")
        page.expect("sent", "binary 3 bytes: c3 a9 21")
        page.expect("message", f"{name} 3 bytes: c3 a9 21")

        page.browser.type("message", "")
        page.browser.click("send-binary")
        page.expect("sent", "binary 0 bytes: ")
        page.expect("message", f"{name} 0 bytes: ")

        with tempfile.NamedTemporaryFile(prefix="wstrand-") as file:
            file.write(bytes(range(256)) * 4096 + b"\xff")
            file.flush()
            page.browser.choose_file("file", file.name)
            page.browser.click("send-file")
            for kind, shown in (("sent", "binary"), ("message", name)):
                page.expect(kind, f"{shown} 1048577 bytes: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f …")


def subprotocol(page):
    page.close("1000")
    page.expect_close(1000, "", True)
    page.connect("nope, demo")
    page.expect("open", "subprotocol=demo")
    page.say("agreed")
    page.expect("message", "text 6 bytes: agreed")


def close_by_page(page):
    page.close("4002", "enough ✓")
    page.expect_close(4002, "enough ✓", True)
    page.connect()
    page.expect("open", "subprotocol=")
    page.close("")
    page.expect_close(1005, "", True)


def close_by_server(page):
    page.say("/close 4001 the server is done ✓")
    page.expect_close(4001, "the server is done ✓", True)


def compression(page):
    agreed = page.browser.evaluate("socket.extensions")
    print("agreed", agreed, flush=True)
    # The page shows only how a message begins, so this compares them to the byte.
    outcome = page.browser.evaluate(
        """new Promise((done) => {
            const text = 'window, ';
            const noise = new Uint8Array(1 << 20);
            for (let at = 0; at < noise.length; at += 1 << 16) crypto.getRandomValues(noise.subarray(at, at + (1 << 16)));
            const sent = ['', 'x', new Uint8Array(0), text.repeat(8), 'é漢🦀'.repeat(1 << 17), noise,
                new TextEncoder().encode(text.repeat(1 << 17))];
            // Half a megabyte each that a full window makes next to nothing of: where it is kept between messages, within
            // one message, and where any window is kept.
            for (let n = 0; n < 1000; n++) sent.push(n % 2 ? `{"number":${n},"text":"${text.repeat(n % 30)}"}` : noise.slice(n, 3 * n));
            const far = new Uint8Array(500000);
            for (let at = 0; at < far.length; at += 1000) far.set(noise.subarray(0, 1000), at);
            sent.push(far);
            for (let n = 0; n < 4000; n++) sent.push(noise.slice(0, 128));
            const same = (a, b) => {
                if (typeof a === 'string' || typeof b === 'string') return a === b;
                a = new Uint8Array(a);
                return a.length === b.length && a.every((byte, at) => byte === b[at]);
            };
            const echo = new WebSocket(socket.url);
            echo.binaryType = 'arraybuffer';
            let count = 0;
            echo.onopen = () => sent.forEach((message) => echo.send(message));
            echo.onmessage = ({ data }) => {
                if (!same(data, sent[count])) done(`message ${count} differs`);
                if (++count === sent.length) done(`all of ${count} are the same, ${echo.extensions}`);
            };
            echo.onclose = () => done(`closed after ${count}`);
        })"""
    )
    if outcome != f"all of 5008 are the same, {agreed}":
        raise Failure(f"{outcome}")


def server_stopped(page):
    print("stop the server", flush=True)
    page.expect_state("closed")
    [kind, what] = page.events()[page.read]
    page.read += 1
    # Whether there is a reason is the server's own affair.
    if kind != "close" or not what.startswith("code=1001 ") or not what.endswith(" wasClean=true"):
        raise Failure(f"a clean close with 1001 should follow, not {kind} {what}")


def server_killed(page):
    page.say("still here")
    page.expect("message", "text 10 bytes: still here")
    print("kill the server", flush=True)
    page.expect_close(1006, "", False)
    page.connect()
    page.expect("error", "")
    page.expect_close(1006, "", False)


SCENARIOS = {f.__name__: f for f in (messages, subprotocol, close_by_page, close_by_server, compression, server_stopped, server_killed)}


def main():
    chromium, scenario, url = sys.argv[1:]
    try:
        with Chromium(chromium) as browser:
            page = EchoPage(browser, url)
            SCENARIOS[scenario](page)
            page.expect_no_more()
    except Failure as failure:
        sys.exit(f"{os.path.basename(chromium)}, {scenario}: {failure}")


if __name__ == "__main__":
    main()
