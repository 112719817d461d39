"""Drives headless Chromium through the DevTools protocol, over a pair of pipes (standard library only).

When the pipes close, Chromium ends by itself, so none is left behind even if this process is killed.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

PATIENCE_S = 60
FLAGS = [
    "--headless",
    "--no-sandbox",  # Root has none, and the only page is our own.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
]


class Failure(Exception):
    pass


class Chromium:
    """A running browser with one page. Use in a `with` statement."""

    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="wstrand-chromium-")
        self.log = open(os.path.join(self.profile, "stderr.log"), "w+b")
        commands, self.to_browser = pipe()
        self.from_browser, answers = pipe()

        def place_pipes():
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        self.process = subprocess.Popen(
            [program, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            preexec_fn=place_pipes,
            pass_fds=(3, 4),
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self.received = b""
        self.last_id = 0
        self.session = None
        self.events = []

    def __enter__(self):
        try:
            targets = self.call("Target.getTargets")["targetInfos"]
            page = next(target for target in targets if target["type"] == "page")
            self.attach(page["targetId"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def attach(self, target):
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        self.call("Page.enable")
        self.call("Runtime.enable")

    def new_page(self):
        """Opens another page, as from a person of their own. What is called from now on is meant for it; set `session`
        to what it was, or is now, to go from one page to the other."""
        self.session = None
        context = self.call("Target.createBrowserContext")["browserContextId"]
        self.attach(self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"])

    def look_like(self, width, height, scheme):
        """Gives the page the size of a screen, in pixels of CSS, and the scheme `light` or `dark`."""
        is_phone = width < 600
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def __exit__(self, *_):
        os.close(self.to_browser)
        os.close(self.from_browser)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)  # The group that it was started as.
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.profile, ignore_errors=True)

    def call(self, method, **parameters):
        """Sends a command and returns its result."""
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to_browser, data) :]
        wanted = self.last_id
        answer = self.receive_until(lambda message: message.get("id") == wanted, method)
        if "error" in answer:
            raise Failure(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def receive_until(self, wanted, what):
        deadline = time.monotonic() + PATIENCE_S
        while True:
            message = self.receive(deadline, what)
            if wanted(message):
                return message
            if message.get("method") == "Runtime.exceptionThrown":
                details = message["params"]["exceptionDetails"]
                raise Failure(f"the page threw: {details.get('exception', details).get('description', details)}")

    def receive(self, deadline, what):
        while b"\0" not in self.received:
            ready, _, _ = select.select([self.from_browser], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise Failure(f"no answer from Chromium within {PATIENCE_S} s: {what}")
            data = os.read(self.from_browser, 1 << 20)
            if not data:
                self.log.seek(0)
                raise Failure(f"Chromium ended: {what}\n{self.log.read().decode(errors='replace')}")
            self.received += data
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)

    def open(self, url):
        """Loads a page and waits until it is there."""
        result = self.call("Page.navigate", url=url)
        if result.get("errorText"):
            raise Failure(f"{url}: {result['errorText']}")
        self.evaluate(
            "new Promise(done => document.readyState === 'complete' ? done() : addEventListener('load', () => done()))"
        )

    def evaluate(self, expression):
        """The value of a JavaScript expression, waited for if it is a promise."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise Failure(f"{expression}: {details.get('exception', details).get('description', details)}")
        return result["result"].get("value")

    def wait_until(self, condition, seconds):
        """Whether a JavaScript condition becomes true in time; looked at whenever the page changes."""
        return self.evaluate(
            f"""new Promise(resolve => {{
                const holds = () => {{ if ({condition}) finish(true); }};
                const finish = value => {{ observer.disconnect(); clearTimeout(timer); resolve(value); }};
                const observer = new MutationObserver(holds);
                const timer = setTimeout(() => finish(false), {seconds * 1000});
                observer.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                holds();
            }})"""
        )

    def click(self, element):
        """Clicks in the middle of the element with the given id, where a person would."""
        place = self.evaluate(
            f"""(() => {{
                const element = document.getElementById('{element}');
                element.scrollIntoView({{ block: 'center', behavior: 'instant' }});
                const box = element.getBoundingClientRect();
                const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
                return {{ x, y, hit: element.contains(document.elementFromPoint(x, y)), disabled: element.disabled }};
            }})()"""
        )
        if not place["hit"] or place["disabled"]:
            raise Failure(f"#{element} cannot be clicked: {place}")
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place["x"], y=place["y"], button="left", clickCount=1)

    def type(self, element, text):
        """Types into the element, over what is there."""
        self.click(element)
        self.evaluate(f"document.getElementById('{element}').select()")
        if not text:
            self.press("Backspace", 8)
        for character in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", key=character, text=character)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    def press(self, key, code, text=None):
        text = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, windowsVirtualKeyCode=code, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key, windowsVirtualKeyCode=code)

    def choose_file(self, element, path):
        found = self.call("Runtime.evaluate", expression=f"document.getElementById('{element}')")["result"]
        self.call("DOM.setFileInputFiles", files=[path], objectId=found["objectId"])


def pipe():
    """A pipe whose ends stay clear of the numbers that Chromium wants its own at."""
    ends = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return high
