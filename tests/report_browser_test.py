"""report.html in a browser: `report_browser_test.py LATHE [STUDY_FOLDER]`; without a folder, a small search makes one.

With LATHE_SCREENSHOTS set to a folder, pictures of the page are left there.
"""

import os
import pathlib
import shutil
import sqlite3
import sys
import tempfile
import time
import unittest

import browser_testing
import lathe_testing as testing
import study_testing

FOLDER = sys.argv[2] if len(sys.argv) > 2 else ""
SCREENSHOTS = os.environ.get("LATHE_SCREENSHOTS")
PHONE, DESKTOP = 390, 1280
KNOWN_TRIALS = 20  # more than a share of explained variance needs
HOSTILE = "</title><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
PLOTS = {"front", "progress", "effects", "trial-curves", "curves", "latency", "subspaces"}

DRAWN = """
[...document.querySelectorAll("canvas")].map((canvas) => [canvas.id, canvas.width > 0 &&
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0)])
"""

# Ratio of luminances of every text and what is behind it, as WCAG 2.1 defines them; those under AA.
CONTRAST = """
(() => {
  const parse = (text) => { const [r, g, b, a] = text.match(/[\\d.]+/g).map(Number); return [r, g, b, a ?? 1]; };
  const over = ([r, g, b, a], under) => [r, g, b].map((value, i) => value * a + under[i] * (1 - a)).concat(1);
  const behind = (element) => {
    if (!element) return [255, 255, 255, 1];
    const own = parse(getComputedStyle(element).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(element.parentElement));
  };
  const luminance = (colour) => {
    const [r, g, b] = colour.map((value) => value / 255).map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  let count = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.getClientRects().length) continue;
    const style = getComputedStyle(element), back = behind(element);
    const [a, b] = [luminance(over(parse(style.color), back)), luminance(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    ++count;
    if (ratio < 4.5) faint.push(`${ratio.toFixed(2)}: ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  return [count, faint];
})()
"""

# What a reader does, and how long each takes until the next picture, in milliseconds.
TIMES = """
(async () => {
  const painted = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const times = {};
  const time = async (name, act) => {
    await painted();
    const start = performance.now();
    act();
    await painted();
    times[name] = performance.now() - start;
  };
  const buttons = document.querySelectorAll("#trials th button"), filter = document.getElementById("filter");
  const type = (text) => { filter.value = text; filter.dispatchEvent(new Event("input")); };
  await time("sort by accuracy", () => buttons[2].click());
  await time("sort by state", () => buttons[1].click());
  await time("find a gene", () => type("stage2.kernel=5"));
  await time("find better", () => type("accuracy>60 latency<0.3"));
  await time("find a word", () => type("fail"));
  await time("find all", () => type(""));
  await time("scroll", () => { document.getElementById("rows").scrollTop = 1e5; });
  await time("show a trial", () => document.querySelector("#trials tbody button").click());
  const canvas = document.getElementById("front"), box = canvas.getBoundingClientRect();
  await time("point at the front", () => canvas.dispatchEvent(new MouseEvent("mousemove",
    { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true })));
  return times;
})()
"""
FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"


@unittest.skipIf(browser_testing.BROWSER is None, browser_testing.MISSING)
class ReportBrowserTest(testing.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="lathe-test-")
        cls.addClassCleanup(folder.cleanup)
        cls.out = pathlib.Path(folder.name) / "out"
        if FOLDER:
            shutil.copytree(FOLDER, cls.out)
        else:
            study = study_testing.quick_study(pathlib.Path(folder.name), trials=2)
            testing.run("search", study, "--dir", cls.out, check=testing.SEARCHED)
            study_testing.grow(cls.out, KNOWN_TRIALS)
        testing.run("study", "report", cls.out, check=0)
        cls.page = browser_testing.Page(pathlib.Path(folder.name) / "profile")
        cls.addClassCleanup(cls.page.__exit__)

    def open(self, folder=None):
        """Opens the report; it must say nothing and ask for nothing but itself."""
        url = ((folder or self.out) / "report.html").as_uri()
        self.page.open(url)
        self.assertEqual(self.page.requests, [url])
        self.assertEqual(self.page.console, [])

    def copy(self):
        folder = self.folder / "study"
        shutil.copytree(self.out, folder)
        return folder

    def rows(self):
        return self.page.run('[...document.querySelectorAll("#trials tbody tr:not(.spacer)")]'
                             '.map((row) => [...row.cells].map((cell) => cell.textContent))')

    def find(self, text):
        self.page.run(f'filter.value = {text!r}; filter.dispatchEvent(new Event("input"))')
        return [int(row[0]) for row in self.rows()]

    def sort(self, column):
        self.page.run(f'document.querySelectorAll("#trials th button")[{column}].click()')
        return [row[column] for row in self.rows()]

    def test_every_width_and_scheme(self):
        for width in (DESKTOP, PHONE):
            for dark in (False, True):
                with self.subTest(width=width, dark=dark):
                    self.page.look(width=width, dark=dark)
                    self.open()
                    self.assertLessEqual(self.page.run("document.documentElement.scrollWidth - innerWidth"), 0, "scrolls sideways")
                    drawn = dict(self.page.run(DRAWN))
                    self.assertLessEqual(set(drawn), PLOTS)
                    self.assertTrue(FOLDER or set(drawn) == PLOTS, drawn)
                    self.assertEqual([name for name, any_ink in drawn.items() if not any_ink], [])
                    count, faint = self.page.run(CONTRAST)
                    self.assertGreater(count, 100)
                    self.assertEqual(faint, [])
                    if SCREENSHOTS:
                        name = f"report-{'phone' if width == PHONE else 'desktop'}-{'dark' if dark else 'light'}.png"
                        self.page.screenshot(pathlib.Path(SCREENSHOTS) / name)

    def test_a_change_of_scheme_redraws(self):
        self.page.look(dark=False)
        self.open()
        picture = "document.getElementById('front').toDataURL()"
        light = self.page.run(picture)
        self.page.look(dark=True)
        self.page.wait(f"{picture} !== {light!r}")

    def test_print(self):
        self.page.look(dark=True)
        self.open()
        self.page.run('dispatchEvent(new Event("beforeprint"))')
        self.page.look(dark=True, media="print")
        self.assertEqual(self.page.run("getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")
        self.assertEqual(self.page.run(CONTRAST)[1], [])
        self.assertEqual(self.page.run("getComputedStyle(document.getElementById('rows')).overflowY"), "visible")
        self.page.look(media="")
        self.page.run('dispatchEvent(new Event("afterprint"))')

    def test_table(self):
        self.page.look()
        self.open()
        trials = {trial["number"]: trial for trial in testing.run_json("study", "trials", self.out)}
        numbers = [int(row[0]) for row in self.rows()]
        self.assertEqual(numbers, sorted(trials)[:len(numbers)])
        for down in (False, True):
            cells = self.sort(4)
            self.assertEqual(cells, sorted(cells, key=float, reverse=down))
        for down in (False, True):  # trials without a result come last both ways
            cells = self.sort(2)
            known = [value for value in cells if value != "–"]
            self.assertEqual(cells[:len(known)], sorted(known, key=float, reverse=down))
        self.sort(0)
        gene, choice = next(reversed(trials[0]["params"].items()))
        self.assertEqual(self.find(f"{gene}={choice}"), [n for n, trial in trials.items() if trial["params"][gene] == choice])
        self.assertEqual(self.find("latency<0.2 state=complete"),
                         [n for n, trial in trials.items() if trial["latency_us"] < 200 and trial["state"] == "COMPLETE"])
        self.assertEqual(self.find("trial=3"), [3])
        self.assertEqual(self.find("no-such-word"), [])

    def test_keyboard(self):
        self.page.look()
        self.open()
        reached = []
        for _ in range(60):
            self.page.press("Tab")
            reached.append(self.page.run("(({ id, tagName, textContent, dataset }) => id || dataset.trial || textContent)(document.activeElement)"))
            if reached[-1] == "0":  # the first trial
                break
        self.assertEqual(reached[-1], "0", reached)
        self.assertIn("filter", reached)
        self.assertIn("accuracy, %", reached)
        self.assertTrue(any("model.onnx" in name for name in reached), reached)
        self.page.run("lathe.fillTable(false)")  # as scrolling does
        self.assertEqual(self.page.run("document.activeElement.dataset.trial"), "0")
        outline = self.page.run("getComputedStyle(document.activeElement).outlineStyle")
        self.assertEqual(outline, "solid", "focus is seen")
        self.page.press("Enter", text="\r")
        self.assertEqual(self.page.run("document.querySelector('#trial h3').textContent"), "Trial 0")
        self.page.press("Enter", text="\r")  # the focus is on "close"
        self.assertTrue(self.page.run("document.getElementById('trial').hidden"))
        self.assertEqual(self.page.run("document.activeElement.dataset.trial"), "0")

    def assert_a_click_shows_the_first_trial(self):
        # In view, however much stands above it; and again if the page was laid out anew between looking and clicking.
        for _ in range(20):
            name, x, y, below = self.page.run("""(() => {
                const chart = Chart.getChart("front");
                chart.canvas.scrollIntoView({ block: "center" });
                const box = chart.canvas.getBoundingClientRect();
                const set = chart.data.datasets.findIndex((one) => one.label.startsWith("trials"));
                const point = chart.getDatasetMeta(set).data[0], x = box.left + point.x, y = box.top + point.y;
                return [chart.data.datasets[set].data[0].name, x, y, document.elementFromPoint(x, y)?.id];
            })()""")
            self.assertEqual(below, "front", f"{name} at {x}, {y}")
            for kind in ("mousePressed", "mouseReleased"):
                self.page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
            if not self.page.run("document.getElementById('trial').hidden"):
                break
            time.sleep(0.2)
        self.assertEqual(self.page.run("document.querySelector('#trial h3')?.textContent.toLowerCase()"), name)

    def test_a_click_on_a_point_shows_its_trial(self):
        self.page.look()
        self.open()
        self.assert_a_click_shows_the_first_trial()

    def test_a_click_on_a_finalist_shows_the_trial_below(self):
        self.page.look()
        self.open()
        self.page.run("""(() => {
            const chart = Chart.getChart("front"), set = (label) => chart.data.datasets.find((one) => one.label.startsWith(label)).data;
            const { x, y } = set("trials")[0];
            Object.assign(set("finalists")[0], { x, y });
            chart.update();
        })()""")
        self.assert_a_click_shows_the_first_trial()

    def test_hostile_names_stay_text(self):
        folder = self.copy()
        config = folder / "study.toml"
        config.write_text(config.read_text().replace('name = "', f'name = "{HOSTILE.replace("/", "")} ', 1))
        with sqlite3.connect(folder / "study.db") as database:
            database.execute("UPDATE lathe_trial SET reason = ?", (HOSTILE,))
        finalists = folder / "finalists.json"
        finalists.write_text(finalists.read_text().replace("mobilenet_v3_small", HOSTILE.replace("/", "\\/")))
        testing.run("study", "report", folder, check=0)
        self.open(folder)
        self.assertIn("onerror", self.page.run("document.querySelector('h1').textContent"))
        self.assertIn("onerror", self.rows()[0][9])
        self.page.run("document.querySelector('#trials tbody button').click()")
        self.assertIsNone(self.page.run("window.hacked"))
        self.assertEqual(self.page.run("document.images.length"), 0)

    def test_many_trials(self):
        folder = self.copy()
        self.page.look()
        for count, paint_ms, act_ms in ((10_000, 1000, 100), (100_000, 3000, 300)):
            study_testing.grow(folder, count)
            testing.run("study", "report", folder, check=0)
            self.open(folder)
            paint = self.page.run(FIRST_PAINT)
            ready = self.page.run("performance.now()")
            times = self.page.run(TIMES)
            for _ in range(7):  # others use this machine, too
                if max(times.values()) < act_ms:
                    break
                again = self.page.run(TIMES)
                times = {name: min(ms, again[name]) for name, ms in times.items()}
            size = (folder / "report.html").stat().st_size / 1e6
            print(f"{count} trials, {size:.1f} MB: first paint {paint:.0f} ms, ready {ready:.0f} ms; "
                  + ", ".join(f"{name} {ms:.0f} ms" for name, ms in times.items()))
            self.assertLess(paint, paint_ms)
            for name, ms in times.items():
                self.assertLess(ms, act_ms, name)
            # All of them are there, though only a screenful is in the document.
            self.assertLess(len(self.rows()), 200)
            self.page.run("document.getElementById('rows').scrollTop = 1e9")
            self.page.wait(f"document.querySelector('#trials tbody button[data-trial=\"{count - 1}\"]') !== null")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
