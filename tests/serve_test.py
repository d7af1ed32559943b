"""`lathe serve`: the live page of a search from before its start until it was killed, who may see it, and what it costs."""

import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

import browser_testing
import lathe_testing as testing
import study_testing

SCREENSHOTS = os.environ.get("LATHE_SCREENSHOTS")
TABS = 20
RUNNING = 1000
TOKEN = "correct-horse-battery"


class Serving:
    """`lathe serve ARGUMENTS --port 0` as a context; requests go out as they are given, unlike a browser's."""

    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen([testing.LATHE, "serve", *map(str, arguments), "--port", "0", "--json"], text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **(env or {})})
        lines = []
        while not lines or lines[-1] != "}\n":
            lines.append(self.process.stdout.readline())
            if not lines[-1]:
                raise AssertionError(self.process.communicate()[1])
        self.url = json.loads("".join(lines))["url"]
        self.port = urllib.parse.urlsplit(self.url).port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(10) == 0, self.process.stderr.read()
        self.process.stdout.close()
        self.process.stderr.close()

    def get(self, path, method="GET", **headers):
        """Status, headers and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        result = response.status, dict(response.getheaders()), response.read().decode(errors="replace")
        connection.close()
        return result

    def post(self, path, body, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("POST", path, json.dumps(body), headers)
            with connection.getresponse() as response:
                return response.status, dict(response.getheaders()), response.read().decode()

    def events(self, path="/1/events", **headers):
        """Yields (event, data) for ever."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            with connection.getresponse() as response:
                assert response.status == 200, response.read()
                event = ""
                for line in response:
                    name, _, value = line.decode().rstrip("\n").partition(": ")
                    if name == "event":
                        event = value
                    elif name == "data":
                        yield event, value

    def status(self):
        with contextlib.closing(self.events()) as events:
            return next(json.loads(data) for event, data in events if event == "status")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        time.sleep(0.1)
    return found


class ServeTest(testing.TestCase):
    @classmethod
    def setUpClass(cls):
        """A search watched from its first moment and killed in its midst."""
        folder = tempfile.TemporaryDirectory(prefix="lathe-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.out = pathlib.Path(folder.name) / "out"
        study = study_testing.quick_study(pathlib.Path(folder.name), trials=500)
        cls.missing = testing.run("serve", cls.out)
        cls.out.mkdir()
        with Serving(cls.out) as server:
            cls.early_page = server.get("/1/")
            search = subprocess.Popen([testing.LATHE, "search", study, "--dir", cls.out, "--resume", "--set", "trial.epochs=40"],
                                      stderr=subprocess.DEVNULL)  # long enough for every trial to tell how far it is
            cls.summaries, cls.jobs, pages = [], [], 0
            with contextlib.closing(server.events()) as events:
                for event, data in events:
                    pages += event == "page"
                    if event == "status":
                        status = json.loads(data)
                        cls.summaries.append(status["summary"])
                        cls.jobs += [job for job in status["running"] if job["steps"]]
                        done = re.match(r"Searching: (\d+) of 500", status["summary"])
                        if cls.jobs and pages and done and int(done[1]) >= 2:
                            break
                    if search.poll() is not None:
                        raise AssertionError("the search has ended")
            cls.live_page = server.get("/1/")
            search.kill()
            search.wait()
            cls.after = wait(lambda: (status := server.status())["summary"].startswith("Not running") and status)

    def copy(self, name="study"):
        folder = self.folder / name
        shutil.copytree(self.out, folder)
        return folder

    def test_from_before_the_start_to_after_the_end(self):
        self.assertEqual(self.missing.returncode, 2)
        self.assertIn("there is no such folder", self.missing.stderr)
        self.assertIn("there is no study here yet", self.early_page[2])
        self.assertTrue(any("no trial yet" in one for one in self.summaries), self.summaries)
        self.assertRegex(self.summaries[-1], r"Searching: \d+ of 500 trials done, [12] running")
        for job in self.jobs:
            self.assertRegex(job["name"], r"trial \d+")
            self.assertLessEqual(job["step"], job["steps"])
        self.assertIn("<canvas id=\"front\"", self.live_page[2])
        self.assertRegex(self.after["summary"], r"Not running: \d+ of 500 .* --resume")
        self.assertEqual(self.after["running"], [])
        self.assertTrue(any("they go on when it is continued" in one for one in self.after["waiting"]))

    def test_downloads(self):
        with Serving(self.out) as server:
            self.assertGreater(len(self.after["best"]), 0)
            for best in self.after["best"]:
                for file in best["files"]:
                    status, headers, body = server.get("/1/" + file)
                    self.assertEqual((status, headers["Content-Disposition"]), (200, "attachment"))
                    self.assertEqual(len((self.out / file).read_bytes()), int(headers["Content-Length"]))
            network = json.loads(server.get("/1/" + self.after["best"][0]["files"][0])[2])
            self.assertEqual(network["format"], "lathe-network")

    def test_nothing_outside_the_folder(self):
        folder = self.copy()
        (self.folder / "secret").write_text("secret")
        (folder / "link").symlink_to(self.folder / "secret")
        with Serving(folder) as server:
            self.assertEqual(server.get("/1/study.toml")[0], 200)
            for path in ("/1/../secret", "/1/%2e%2e/secret", "/1/..%2fsecret", "/1/%2e%2e%2fsecret", "/1/trials/../../secret",
                         "/1//etc/passwd", "/1/%2fetc%2fpasswd", "/1/link", "/1/.lock", "/1/trials", "/1/trials/", "/1/study.toml%00.txt",
                         "/1/..%5csecret", "/0/study.toml", "/2/", "/2/study.toml", "/-1/", "/99999999999999999999/", "/study.toml",
                         "/etc/passwd", "/../../../../etc/passwd", "/1"):
                status, _, body = server.get(path)
                self.assertIn(status, (400, 404), path)
                self.assertNotIn("secret", body, path)
                self.assertNotIn("root:", body, path)
            for method in ("POST", "PUT", "DELETE"):
                self.assertIn(server.get("/1/study.toml", method=method)[0], (400, 404, 405), method)
            self.assertTrue((folder / "study.toml").exists())

    def test_only_this_machine_without_a_token(self):
        with Serving(self.out) as server:
            for host in ("evil.example", "192.168.0.1", "localhost.evil.example", ""):
                self.assertEqual(server.get("/1/", Host=host)[0], 403, host)
            for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]"):
                self.assertEqual(server.get("/1/", Host=host)[0], 200, host)
            for header in ("X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy"):
                self.assertIn(header, server.get("/1/")[1])
        refused = testing.run("serve", self.out, "--host", "0.0.0.0", "--port", "0", check=2)
        self.assertIn("--token", refused.stderr)

    def test_token(self):
        with Serving(self.out, "--host", "0.0.0.0", env={"LATHE_TOKEN": TOKEN}) as server:
            self.assertIn(TOKEN, server.url)
            for path in ("/1/", "/1/?token=", "/1/?token=wrong", f"/1/?token={TOKEN}x", "/1/study.toml", "/1/events"):
                status, _, body = server.get(path)
                self.assertEqual(status, 401, path)
                self.assertNotIn("tiny", body)
            self.assertEqual(server.get("/1/", Cookie=f"lathe-{server.port}=wrong")[0], 401)
            status, headers, _ = server.get(f"/1/?token={TOKEN}")
            self.assertEqual((status, headers["Location"]), (303, "/1/"))
            self.assertIn("HttpOnly", headers["Set-Cookie"])
            cookie = headers["Set-Cookie"].partition(";")[0]
            self.assertEqual(server.get("/1/", Cookie=cookie)[0], 200)
            self.assertEqual(server.get("/1/", Authorization="Bearer ")[0], 401)
            self.assertEqual(server.get("/1/", Authorization=f"Bearer {TOKEN}", Host="any.example")[0], 200)

        self.assertIn("at least 8", testing.run("serve", self.out, "--token", "a;b", check=2).stderr)

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            refused = testing.run("serve", self.out, "--port", port, check=2)
        self.assertIn(f"port {port} of 127.0.0.1 is in use", refused.stderr)
        self.assertIn("--port", refused.stderr)
        with Serving(self.out) as server:  # two servers do not share one, either
            testing.run("serve", self.out, "--port", server.port, check=2)
        self.assertIn("cannot listen on 203.0.113.1", testing.run("serve", self.out, "--host", "203.0.113.1", "--token", TOKEN, check=2).stderr)

    def test_bad_folders(self):
        newer = self.copy("newer")
        with sqlite3.connect(newer / "study.db") as database:
            database.execute("UPDATE lathe_info SET version = 99")
        self.assertIn("written by a newer Lathe", testing.run("serve", newer, check=2).stderr)
        self.assertIn("is no folder", testing.run("serve", newer / "study.toml", check=2).stderr)
        damaged = self.copy("damaged")
        (damaged / "study.db").write_bytes(b"no database" * 100)
        testing.run("serve", damaged, check=2)
        half = self.copy("half")
        (half / "study.toml").unlink()
        with self.subTest("spoilt while it is shown"), Serving(self.copy("spoilt")) as server:
            (self.folder / "spoilt" / "study.db").write_bytes(b"no database" * 100)
            (self.folder / "spoilt" / "finalists.json").write_text("{")
            status, _, page = server.get("/1/")
            self.assertEqual(status, 200)
            self.assertIn("study.db", page)
            shutil.rmtree(self.folder / "spoilt")
            self.assertIn("no such folder", server.status()["summary"])

    def test_several_studies(self):
        runs = self.folder / "runs"
        for name in ("one", "two"):
            shutil.copytree(self.out, runs / name)
        (runs / "empty").mkdir()
        with Serving(runs, self.out) as server:
            page = server.get("/")[2]
            self.assertEqual(re.findall(r'<a href="(\d+)/">', page), ["1", "2", "3"])
            self.assertIn("Not running", page)
            for number in (1, 2, 3):
                self.assertEqual(server.get(f"/{number}/")[0], 200)

    @unittest.skipIf(browser_testing.BROWSER is None, browser_testing.MISSING)
    def test_several_studies_in_a_browser(self):
        other = self.copy("other")
        study_testing.grow(other, 30)
        with Serving(self.out, other) as server, browser_testing.Page(self.folder / "profile") as page:
            page.look()
            page.open(server.url)
            fronts = page.run("Chart.getChart('studies').data.datasets.map((one) => one.data)")
            for folder, front in zip((self.out, other), fronts, strict=True):
                complete = [trial for trial in testing.run_json("study", "trials", folder) if trial["state"] == "COMPLETE"]
                self.assertEqual(front[-1]["y"], max(100 * trial["metrics"]["accuracy"] for trial in complete))
                self.assertEqual([point["y"] for point in front], sorted(point["y"] for point in front))
            self.assertEqual(page.console, [])
            self.assertLessEqual(page.run("document.documentElement.scrollWidth - innerWidth"), 0)

    def test_cost(self):
        """1,000 running trials that tell their progress, 20 open tabs, a change of the study every second: 2 % of a core."""
        folder = self.copy()
        study_testing.grow(folder, RUNNING, state="RUNNING")
        for number in range(RUNNING):
            trial = folder / "trials" / f"{number:06}"
            trial.mkdir(parents=True, exist_ok=True)
            (trial / "progress.json").write_text(json.dumps({"step": number, "steps": 2000, "seconds_left": 60}))
        with open(folder / ".lock", "w") as lock, Serving(folder) as server:
            fcntl.flock(lock, fcntl.LOCK_EX)
            received = [0] * TABS

            def listen(tab):
                with contextlib.closing(server.events()) as events, contextlib.suppress(OSError, http.client.HTTPException):
                    for event, _ in events:
                        received[tab] += event == "status"
                        if event == "page":
                            server.get("/1/")

            for tab in range(TABS):
                threading.Thread(target=listen, args=(tab,), daemon=True).start()
            wait(lambda: min(received) > 0)
            seconds, before = 8, server.cpu_seconds()
            for second in range(seconds):
                with sqlite3.connect(folder / "study.db") as database:
                    database.execute("INSERT INTO lathe_event (time_s, text) VALUES (unixepoch(), ?)", (f"event {second}",))
                time.sleep(1)
            share = (server.cpu_seconds() - before) / seconds
            status = server.status()
            print(f"{100 * share:.2f} % of a core; {min(received)} events per tab in {seconds} s")
            self.assertGreaterEqual(min(received), seconds / 4)
            self.assertEqual(len(status["running"]), 100)
            self.assertGreater(status["running_count"], 900)
            self.assertLess(share, 0.02)

    def orders(self, folder):
        return [json.loads(file.read_text()) for file in sorted((folder / "orders").glob("*.json"))]

    def test_orders(self):
        folder = self.copy()
        study_testing.grow(folder, 40, state="RUNNING")
        order = {"X-Lathe-Order": "1"}
        with open(folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with Serving(folder) as server:
                self.assertFalse(server.status()["orders"])
                status, _, answer = server.post("/1/orders", {"order": "stop"}, **order)
                self.assertEqual((status, answer), (403, "this server only shows studies; start it with --orders\n"))
            with Serving(folder, "--orders") as server:
                self.assertTrue(server.status()["orders"])
                self.assertEqual(server.post("/1/orders", {"order": "stop"})[0], 403, "as from another site's page")
                self.assertEqual(server.post("/2/orders", {"order": "stop"}, **order)[0], 404)
                self.assertEqual(self.orders(folder), [])
                for refused, why in (({"order": "dance"}, "unknown order 'dance'"), ({}, "this is no order"),
                                     ({"order": "prune", "trial": 99}, "there is no trial 99"), ({"order": "prune", "trial": 0}, "has ended already"),
                                     ({"order": "enqueue", "network": "/etc/passwd"}, "zoo list"), ({"order": "enqueue", "network": "1,2"}, "39 integers, not 2")):
                    status, _, answer = server.post("/1/orders", refused, **order)
                    self.assertEqual(status, 400)
                    self.assertIn(why, answer)
                self.assertEqual(self.orders(folder), [])
                trial = server.status()["running"][0]["trial"]
                status, _, answer = server.post("/1/orders", {"order": "prune", "trial": trial}, **order)
                self.assertEqual((status, answer), (200, f"trial {trial} will be pruned\n"))
                self.assertEqual(server.post("/1/orders", {"order": "stop"}, **order)[0], 200)
                self.assertEqual([(one["order"], one.get("trial")) for one in self.orders(folder)], [("prune", trial), ("stop", None)])
        with Serving(folder, "--orders") as server:
            self.assertFalse(server.status()["orders"], "no search is running")
            status, _, answer = server.post("/1/orders", {"order": "stop"}, **order)
            self.assertEqual(status, 400)
            self.assertIn("no search is running", answer)

    @unittest.skipIf(browser_testing.BROWSER is None, browser_testing.MISSING)
    def test_orders_in_a_browser(self):
        folder = self.copy()
        study_testing.grow(folder, 40, state="RUNNING")
        with open(folder / ".lock", "w") as lock, Serving(folder, "--orders") as server, browser_testing.Page(self.folder / "profile") as page:
            fcntl.flock(lock, fcntl.LOCK_EX)
            page.look()
            page.open(server.url)
            page.wait("document.querySelectorAll('#live td button').length > 10")
            page.run("globalThis.confirm = (text) => { globalThis.asked = text; return true; }")
            page.run("document.querySelector('#live td button').click()")
            page.wait("document.querySelector('.orders [role=status]').textContent.includes('will be pruned')")
            self.assertRegex(page.run("globalThis.asked"), r"Prune trial \d+\?")
            page.run("document.querySelector('.orders input').value = 'no such network'; document.querySelector('.orders').requestSubmit()")
            page.wait("document.querySelector('.orders [role=status]').textContent.includes('no such network')")
            page.run("document.querySelector('.orders input').focus()")
            rows = page.run("document.querySelectorAll('#live td button').length")
            study_testing.grow(folder, 42, state="RUNNING")  # the panel is made anew around what the reader types
            page.wait(f"document.querySelectorAll('#live td button').length === {rows} + 2", 30)
            self.assertEqual(page.run("[document.activeElement.tagName, document.activeElement.value]"), ["INPUT", "no such network"])
            self.assertLessEqual(page.run("document.documentElement.scrollWidth - innerWidth"), 0)
            page.run("document.querySelector('.orders button').click()")
            page.wait("document.querySelector('.orders [role=status]').textContent.includes('will stop')")
            self.assertEqual([one["order"] for one in self.orders(folder)], ["prune", "stop"])
            if SCREENSHOTS:
                page.screenshot(pathlib.Path(SCREENSHOTS) / "orders.png")

    @unittest.skipIf(browser_testing.BROWSER is None, browser_testing.MISSING)
    def test_browser(self):
        folder = self.copy()
        study_testing.grow(folder, 40, state="RUNNING")
        with open(folder / ".lock", "w") as lock, Serving(folder) as server, browser_testing.Page(self.folder / "profile") as page:
            fcntl.flock(lock, fcntl.LOCK_EX)
            page.look()
            page.open(server.url)
            page.wait("document.querySelectorAll('#live tbody tr').length > 10")
            self.assertIn("Searching", page.run("document.querySelector('#live [role=status]').textContent"))
            self.assertLessEqual(page.run("document.documentElement.scrollWidth - innerWidth"), 0)
            if SCREENSHOTS:
                page.screenshot(pathlib.Path(SCREENSHOTS) / "live.png")
            page.run("filter.focus(); filter.value = 'running'; filter.dispatchEvent(new Event('input'))")
            shown = page.run("document.getElementById('shown').textContent")
            study_testing.grow(folder, 50, state="RUNNING")  # the page comes again, with what the reader typed
            page.wait(f"document.getElementById('shown').textContent !== '{shown}'", 30)
            self.assertIn("of 50 trials", page.run("document.getElementById('shown').textContent"))
            self.assertEqual(page.run("[filter.value, document.activeElement.id]"), ["running", "filter"])
            self.assertGreater(page.run("document.querySelectorAll('canvas').length"), 2)
            self.assertEqual(page.console, [])
            self.assertEqual({urllib.parse.urlsplit(url).netloc for url in page.requests} - {""}, {f"127.0.0.1:{server.port}"})


if __name__ == "__main__":
    testing.main()
