"""report.html in a browser: `report_browser_test.py LATHE [STUDY_FOLDER]`; without a folder, a small search makes one."""

import html
import json
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

import lathe_testing as testing

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FOLDER = sys.argv[2] if len(sys.argv) > 2 else ""

# Clicks and types like a reader, then leaves what it saw in the page.
PROBE = """
<pre id="probe"></pre>
<script>
const texts = (row) => [...row.cells].map((cell) => cell.textContent);
const rows = () => [...document.querySelectorAll("#trials tbody tr")].map(texts);
const buttons = document.querySelectorAll("#trials th button");
const filter = document.getElementById("filter");
const find = (text) => {
  filter.value = text;
  filter.dispatchEvent(new Event("input"));
  return rows().map((row) => Number(row[0]));
};
const seen = { first: rows() };
buttons[4].click();
seen.fastest = rows().map((row) => row[4]);
buttons[4].click();
seen.slowest = rows().map((row) => row[4]);
buttons[2].click();
seen.accuracy = rows().map((row) => row[2]);
buttons[2].click();
seen.accuracy_down = rows().map((row) => row[2]);
const data = JSON.parse(document.getElementById("data").textContent);
const gene = data.genes[data.genes.length - 1];
const choice = data.trials[0].encoding[data.genes.length - 1];
seen.found = find(gene + "=" + choice);
seen.expected = data.trials.filter((trial) => trial.encoding[data.genes.length - 1] === choice).map((trial) => trial.number);
seen.nothing = find("no-such-word");
const drawn = (canvas) => canvas.width > 0 &&
  canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0);
seen.plots = [...document.querySelectorAll("canvas")].map((canvas) => [canvas.id, drawn(canvas)]);
seen.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
document.getElementById("probe").textContent = JSON.stringify(seen);
</script>
"""


@unittest.skipIf(BROWSER is None, "SKIPPED: no browser (apt-get install chromium)")
class ReportBrowserTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        out = self.folder / "out"
        if FOLDER:
            shutil.copytree(FOLDER, out)
        else:
            testing.run("search", self.study(trials=3, images=256), "--dir", out, check=0)
        testing.run("study", "report", out, check=0)
        self.page = pathlib.Path(out / "report.html").read_text()

    def open(self, width):
        """What the probe saw, and the console's lines."""
        probed = self.folder / "probed.html"
        probed.write_text(self.page.replace("</body>", PROBE + "</body>"))
        result = subprocess.run(
            [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
             f"--user-data-dir={self.folder}/profile", f"--window-size={width},900", "--virtual-time-budget=4000",
             "--dump-dom", probed.as_uri()],
            capture_output=True, text=True, timeout=120)
        found = re.search(r'<pre id="probe">(.*?)</pre>', result.stdout, re.S)
        self.assertTrue(found and found.group(1), result.stderr[-2000:])
        return json.loads(html.unescape(found.group(1))), [line for line in result.stderr.splitlines() if "CONSOLE" in line]

    def test_page(self):
        for width in (1280, 500):
            with self.subTest(width=width):
                seen, console = self.open(width)
                self.assertEqual(console, [])
                self.assertLessEqual(seen["overflow"], 0, "the page scrolls sideways")
                self.assertIn("front", [name for name, _ in seen["plots"]])
                for name, drawn in seen["plots"]:
                    self.assertTrue(drawn, f"the plot {name} is blank")
                self.check_table(seen)

    def check_table(self, seen):
        self.assertGreater(len(seen["first"]), 0)
        numbers = [int(row[0]) for row in seen["first"]]
        self.assertEqual(numbers, sorted(numbers))
        self.assertEqual(seen["fastest"], sorted(seen["fastest"], key=float))
        self.assertEqual(seen["slowest"], sorted(seen["slowest"], key=float, reverse=True))
        for key, down in (("accuracy", False), ("accuracy_down", True)):  # trials without a result come last both ways
            known = [value for value in seen[key] if value != "–"]
            self.assertEqual(seen[key][:len(known)], sorted(known, key=float, reverse=down))
        self.assertLessEqual(set(seen["found"]), set(seen["expected"]))
        self.assertEqual(len(seen["found"]), min(len(seen["expected"]), 200))  # the table shows a page of them
        self.assertEqual(seen["nothing"], [])


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0]], verbosity=2)
