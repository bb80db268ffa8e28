#!/usr/bin/python3
"""The live page of `pqbudget serve` in a real browser: what it shows of a ledger that fills, empties and goes
away, that odd names stay text, that it asks nobody else for anything, and what it looks like.

    page.py FOLDER      (screenshots go there)

scripts/check-page runs it. The last line is `N passed, N failed`.
"""
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import traceback

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 60
BUILD = pathlib.Path(os.environ["PQB_TEST_BUILD"])
SERVER = "localhost:5432"
ODD = "<img src=x onerror=alert(1)>\x1b[2J\u202ecba</script>"


class Scene:
    """A ledger of its own, programs that hold something in it, the server of the page, and a browser."""

    def __init__(self, number):
        self.name = f"test.{os.getpid()}.{number}"
        self.environment = {**os.environ, "PQBUDGET_LEDGER": self.name, "LC_ALL": "C.UTF-8"}
        self.clients, self.serving, self.address = [], None, "127.0.0.1:0"

    def tool(self, *arguments):
        subprocess.run([BUILD / "pqbudget", *arguments], env=self.environment, check=True,
                       timeout=PATIENCE, stdout=subprocess.DEVNULL)

    def hold(self, count, *options):
        """A client that holds so many when this returns."""
        client = subprocess.Popen(
            [BUILD / "helpers/client", "--quiet", "--count", str(count), *options], env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.clients.append(client)
        if "--wait" not in options:
            assert client.stdout.readline() == f"holding {count}\n"
        return client

    def serve(self):
        """On the port that it had before, if it had one."""
        self.serving = subprocess.Popen([BUILD / "pqbudget", "serve", "--listen", self.address],
                                        env=self.environment, stderr=subprocess.PIPE, text=True)
        said = self.serving.stderr.readline()
        self.address = re.fullmatch(r"pqbudget: listening on http://(.*)/\n", said)[1]

    def stop(self):
        self.serving.terminate()
        assert self.serving.wait(PATIENCE) == 0
        self.serving.stderr.close()
        self.serving = None

    def end(self):
        for process in filter(None, [*self.clients, self.serving]):
            process.kill()
            process.wait()
        with contextlib.suppress(FileNotFoundError):
            subprocess.run([BUILD / "pqbudget", "reset", "--force"], env=self.environment, check=False, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)


def open_browser():
    options = webdriver.ChromeOptions()
    # As root there is no sandbox to be had; in a container /dev/shm may be small.
    for argument in ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
                     "--no-proxy-server", "--disable-background-networking", "--hide-scrollbars"]:
        options.add_argument(argument)
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    service = webdriver.chrome.service.Service("/usr/bin/chromedriver")
    return webdriver.Chrome(service=service, options=options)


class Page:
    """The page as somebody sees it."""

    def __init__(self, browser, scene):
        self.browser, self.scene = browser, scene
        self.set_size(1280, 900, "light")
        browser.get(f"http://{scene.address}/")

    def text(self, selector):
        return [node.text for node in self.browser.find_elements(By.CSS_SELECTOR, selector)]

    def inside(self, selector):
        """Also of what is not visible."""
        return self.browser.execute_script(
            "return [...document.querySelectorAll(arguments[0])].map(n => n.textContent)", selector)

    def until(self, what, condition):
        WebDriverWait(self.browser, PATIENCE, 0.05, ignored_exceptions=[Exception]).until(
            lambda _: condition(), f"never happened: {what}: {self.inside('main')}")

    def until_state(self, state):
        self.until(state, lambda: self.text("#state") == [state])

    def rows(self, caption):
        """Of the first table of that name."""
        return self.browser.execute_script(
            """const table = [...document.querySelectorAll('table')].find(t => t.caption.textContent === arguments[0]
                   && t.checkVisibility());
               return table ? [...table.tBodies[0].rows].map(row => [...row.cells].map(c => c.textContent)) : []""",
            caption)

    def press(self, title):
        self.browser.find_element(By.XPATH, f"//button[contains(., '{title}')]").click()

    def type(self, text):
        field = self.browser.find_element(By.CSS_SELECTOR, "input")
        field.clear()
        field.send_keys(text)

    def set_size(self, width, height, scheme):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
            "features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def overflow(self):
        return self.browser.execute_script("return document.documentElement.scrollWidth - innerWidth")

    def shoot(self, file):
        height = self.browser.execute_script("return document.documentElement.scrollHeight")
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": self.browser.execute_script("return innerWidth"), "height": height, "deviceScaleFactor": 1,
            "mobile": False})
        self.browser.save_screenshot(str(file))


def contrast(page):
    """The least contrast of a text with what is behind it."""
    return page.browser.execute_script(
        """const part = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
           const light = ([r, g, b]) => .2126 * part(r / 255) + .7152 * part(g / 255) + .0722 * part(b / 255);
           const colour = text => text.match(/[\\d.]+/g).map(Number);
           const behind = node => {
             for (; node; node = node.parentElement) {
               const c = colour(getComputedStyle(node).backgroundColor);
               if (c.length < 4 || c[3] > 0) return c;
             }
           };
           let least = [99, ''];
           for (const node of document.querySelectorAll('body *')) {
             if (!node.checkVisibility() || ![...node.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
             const one = light(colour(getComputedStyle(node).color)), other = light(behind(node));
             const ratio = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
             if (ratio < least[0]) least = [ratio, node.tagName + '.' + node.className + ': ' + node.textContent];
           }
           return least""")


def fill(scene):
    scene.tool("set", "--server", SERVER, "--new", "--limit", "40", "--reserve", "0", "--app", "web=20:5", "--new")
    scene.hold(16, "--app", "web", "--user", "ada", "--database", "shop", "--application-name", "web")
    scene.hold(9, "--app", "jobs", "--user", "queue", "--database", "shop", "--backend", "1")
    scene.hold(6, "--app", "reports", "--database", "warehouse")
    scene.hold(4, "--app", "bot", "--connecting", "--socket")
    scene.hold(5, "--app", "psql", "--user", "ada")
    for app in ["late", "web", "migrate"]:
        scene.hold(1, "--app", app, "--wait", "forever")


def look(browser, scene, folder):
    """A full house, in every size and colour; what can be pressed and typed."""
    scene.serve()
    fill(scene)
    page = Page(browser, scene)
    page.until("a full house", lambda: page.text(".used") == ["40 of 40 in use"])
    page.until("the queue", lambda: len(page.rows("Queue")) == 3)
    assert page.text("#state") == ["live"] and page.text("#notice") == [""]
    assert page.text("h2") == [SERVER] and page.text(".badge") == ["", "3 waiting"], page.text(".badge")
    assert [row[0:1] + row[2:] for row in page.rows("Applications")] == [
        ["web", "16", "20", "5", page.rows("Applications")[0][5]], ["jobs", "9", "none", "0", "0"],
        ["reports", "6", "none", "0", "0"], ["psql", "5", "none", "0", "0"], ["bot", "4", "none", "0", "0"],
        *[[app, "0", "none", "0", "1"] for app in ["late", "migrate"]]], page.rows("Applications")
    assert sorted(row[1] for row in page.rows("Queue")) == ["late", "migrate", "web"]
    assert [row[0] for row in page.rows("Queue")] == ["1", "2", "3"]
    assert len(page.rows("Holders")) == 25 and page.rows("Holders")[0][1] == "web"
    assert page.rows("Holders")[0][-1].startswith("client --quiet"), page.rows("Holders")[0]
    page.press("Show all 40")
    assert len(page.rows("Holders")) == 40
    assert browser.title == f"40/40 {SERVER} – pqbudget", browser.title
    page.until("a curve", lambda: browser.execute_script(
        "return document.querySelector('.curve').getAttribute('d')").count("L") >= 2)

    # What is selected stays so while the page goes on.
    pid, age = page.rows("Holders")[0][3], page.rows("Holders")[0][2]
    browser.execute_script("getSelection().selectAllChildren(document.querySelectorAll('table')[2].tBodies[0].rows[0].cells[3])")
    page.until("a later look", lambda: page.rows("Holders")[0][2] != age)
    assert browser.execute_script("return String(getSelection())") == pid

    page.press("Application")
    assert [row[1] for row in page.rows("Holders")][:5] == ["bot"] * 4 + ["jobs"]
    page.press("Application")
    assert page.rows("Holders")[0][1] == "web"
    assert page.inside("th[aria-sort=descending]") == ["Application"]
    page.type("WAREHOUSE")
    assert [row[1] for row in page.rows("Holders")] == ["reports"] * 6
    assert page.text("section .count")[-1] == "6 of 40"
    page.type("no such thing")
    assert page.rows("Holders") == [] and "None of them has that." in page.text(".nothing")
    page.type("a")
    browser.find_element(By.CSS_SELECTOR, "input").send_keys("\ue003")
    page.press("Age")

    for scheme in ["light", "dark"]:
        for width in [1280, 800, 375, 320]:
            page.set_size(width, 900, scheme)
            assert page.overflow() <= 0, f"{width} pixels are {page.overflow()} too few"
            page.shoot(folder / f"{scheme}-{width}.png")
        least, where = contrast(page)
        assert least >= 4.5, f"contrast {least:.2f} in {scheme}: {where}"


def live(browser, scene, folder):
    """What changes is seen; the tool and the ledger go away and come back."""
    scene.serve()
    page = Page(browser, scene)
    page.until_state("no ledger")
    page.shoot(folder / "none.png")
    assert "Nothing to show: there is no ledger" in page.text("#notice")[0]
    scene.tool("set", "--server", SERVER, "--new", "--limit", "10")
    page.until("an empty server", lambda: page.text(".used") == ["0 of 10 in use"])
    assert page.text(".nothing")[:3] == ["None yet.", "Nobody waits.", "Nobody holds a connection."], page.text(".nothing")
    assert page.text("#notice") == [""]
    page.shoot(folder / "empty.png")
    client = scene.hold(3, "--app", "web")
    page.until("three", lambda: page.text(".used") == ["3 of 10 in use"])
    scene.tool("pause")
    page.until("paused", lambda: page.text(".badge")[0] == "paused")
    scene.tool("resume")
    scene.tool("set", "--limit", "none")
    page.until("no limit", lambda: page.text(".used") == ["3 in use, no limit"])
    scene.hold(1, "--server", "other:1", "--app", "cron")
    page.until("another server", lambda: page.text("h2") == [SERVER, "other:1"])

    scene.stop()
    page.until_state("gone")
    assert "does not answer. What stands here is from " in page.text("#notice")[0]
    assert page.text(".used")[0] == "3 in use, no limit"
    page.shoot(folder / "gone.png")
    client.send_signal(signal.SIGKILL)
    client.wait()
    scene.serve()
    page.until_state("live")
    page.until("none", lambda: page.text(".used")[0] == "0 in use, no limit")
    scene.tool("reset", "--force")
    page.until_state("no ledger")
    assert page.text("h2") == []


def sessions(browser, scene, folder):
    """What the sessions do that somebody follows."""
    scene.serve()
    scene.hold(2, "--app", "plain")
    page = Page(browser, scene)
    page.until("two", lambda: len(page.rows("Holders")) == 2)
    assert "Session" not in page.text("th"), page.text("th")
    doing = ["idle", "idle in transaction", "active", "LISTEN", "encrypted or not understood"]
    for session in doing:
        scene.hold(2, "--app", "web", "--yield", "60000", "--session", session)
    page.until("all of them", lambda: len({row[-2].rstrip("0123456789.ms") for row in page.rows("Holders")}) == 6)
    assert {row[-2].rstrip("0123456789.ms").strip() for row in page.rows("Holders")} == {"", *doing}, page.rows("Holders")
    assert "Session" in page.text("th") and "gave way" in page.text(".figures")[0], page.text("th")
    assert {title.partition("; ")[2] for title in browser.execute_script(
        "return [...document.querySelectorAll('td.session')].map(cell => cell.title)")} == {
            "", "never gives way", "may give way when idle for 60s"}
    page.press("Session")
    assert page.rows("Holders")[-1][-2] == "", page.rows("Holders")
    for width in [1280, 375]:
        page.set_size(width, 900, "light")
        assert page.overflow() <= 0, f"{width} pixels are {page.overflow()} too few"
        page.shoot(folder / f"sessions-{width}.png")


def odd(browser, scene, _):
    """Names are text, whatever is in them."""
    scene.serve()
    scene.hold(1, "--app", ODD, "--user", ODD, "--database", ODD, "--application-name", ODD, "--server", ODD + ":1")
    page = Page(browser, scene)
    page.until("it", lambda: len(page.rows("Holders")) == 1)
    assert not browser.find_elements(By.CSS_SELECTOR, "main img") and "\x1b" not in browser.page_source
    assert "\u202e" not in browser.page_source and "\ufffd[2J\ufffdcba" in page.rows("Holders")[0][1]
    assert page.text("h2") == ["<img src=x onerror=alert(1)>\ufffd[2J\ufffdcba</script>:1"], page.text("h2")
    # Even if something got in: it does not run, and reaches nobody.
    browser.execute_script("""const script = document.createElement('script');
        script.textContent = 'window.ran = 1'; document.body.append(script);""")
    assert browser.execute_script("return window.ran === undefined")


def many(browser, scene, folder):
    """4,096 claims: the first ones, or all of them if somebody wants to."""
    scene.serve()
    for _ in range(8):
        scene.hold(512, "--limit", "4090", "--reserve", "0") if _ < 7 else scene.hold(
            506, "--limit", "4090", "--reserve", "0")
    scene.hold(6, "--wait", "forever")
    page = Page(browser, scene)
    page.until("all of them", lambda: page.text(".used") == ["4090 of 4090 in use"])
    assert len(page.rows("Holders")) == 25
    page.press("Show all 4090")
    assert len(page.rows("Holders")) == 4090
    page.press("Show the first 25")
    page.until("fewer", lambda: len(page.rows("Holders")) == 25)
    page.shoot(folder / "many.png")


def crowd(browser, scene, folder):
    """Twenty applications, some with long names in many scripts."""
    scene.serve()
    scene.tool("set", "--server", SERVER, "--new", "--limit", "100", "--reserve", "4")
    names = ["größe-und-maß-abrechnungsdienst-nachtlauf", "請求書の夜間バッチ処理サービス", "خدمة-الفواتير-الليلية", "🐘-elephants",
             "ночной-пересчёт-складских-остатков"] + [f"service-{n:02}" for n in range(15)]
    for n, app in enumerate(names):
        scene.hold(7 - n // 3, "--app", app, "--database", "warehouse-" + app, "--user", app)
    page = Page(browser, scene)
    page.until("all of them", lambda: len(page.rows("Applications")) == 20)
    assert set(names[:4]) <= {row[0] for row in page.rows("Applications")}, page.rows("Applications")
    assert page.inside(".used.warn") == ["83 of 100 in use"], page.inside(".used")
    for scheme in ["light", "dark"]:
        for width in [1280, 375]:
            page.set_size(width, 900, scheme)
            assert page.overflow() <= 0, f"{width} pixels are {page.overflow()} too few"
            page.shoot(folder / f"crowd-{scheme}-{width}.png")


def is_alone(browser, scene):
    """Nothing was asked of anybody else, and nobody complained."""
    asked = {json.loads(entry["message"])["message"]["params"]["request"]["url"]
             for entry in browser.get_log("performance")
             if '"Network.requestWillBeSent"' in entry["message"]}
    foreign = {url for url in asked if not url.startswith((f"http://{scene.address}/", "data:"))}
    assert asked and not foreign, foreign
    # Of the browser itself: what did not answer, and the script that we put in.
    wrong = [entry["message"] for entry in browser.get_log("browser") if not re.search(
        r"net::ERR_CONNECTION_REFUSED|status of 503|Content Security Policy|AbortError|TimeoutError", entry["message"])]
    assert not wrong, wrong


def main():
    folder = pathlib.Path(sys.argv[1])
    # Whoever ends us early ends with us what we have started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    passed = failed = 0
    browser = open_browser()
    try:
        for number, test in enumerate([look, live, sessions, odd, many, crowd]):
            scene = Scene(number)
            try:
                test(browser, scene, folder)
                is_alone(browser, scene)
                passed += 1
                print(f"  ok    page: {test.__name__}", flush=True)
            except Exception:
                failed += 1
                print(f"  FAIL  page: {test.__name__}\n{traceback.format_exc()}", flush=True)
            finally:
                scene.end()
            # The next one finds nothing of this one.
            browser.get("about:blank")
            browser.get_log("performance")
            browser.get_log("browser")
    finally:
        browser.quit()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


sys.exit(main())
