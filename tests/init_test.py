"""`lathe init`: from a folder of pictures to a study file that explains itself, and to a search that works with it."""

import csv
import io
import json
import re
import shutil
import tomllib

import lathe_testing as testing
import pictures_testing

PAGE = testing.ROOT / "docs/own-pictures.md"
HOSTILE = "<script>alert(1)<"
# What makes the search of the page short enough for a test.
SHORT = ["search.trials=2", "latency.build_seconds=2", "trial.epochs=1", "finalists.epochs=1", "finalists.count=1",
         'baselines.networks=["mobilenet_v3_small"]', "stage1.points=256", "search.max_retries=20",
         "stage1.subspace_ms=[0.02, 2.0]"]


class InitTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        self.env = {"XDG_CACHE_HOME": str(self.folder / "cache")}
        self.pictures = self.folder / "pictures"
        self.file = self.folder / "pictures.toml"

    def init(self, *more, check=0):
        return testing.run("init", "--data", self.pictures, "--latency", "2ms", "--out", self.file, *more, check=check, env=self.env)

    def test_the_page_about_own_pictures(self):
        """Its commands as they stand there, in its order."""
        pictures_testing.striped(self.pictures, {"train": 40, "val": 10}, names=("cat", "dog", HOSTILE))
        commands = [line.split()[1:] for line in re.findall(r"^    (build/lathe .*)$", PAGE.read_text(), re.MULTILINE)]
        self.assertEqual([words[0] for words in commands], ["init", "search", "serve", "net"])
        picture = self.pictures / "val/cat/7.png"
        places = {"pictures": self.pictures, "pictures.toml": self.file, "runs/pictures": self.folder / "out",
                  "runs/pictures/finalists/01": self.folder / "out/finalists/01", "pictures/val/cat/1.jpg": picture}
        init, search, _, classify = [[places.get(word, word) for word in words] for words in commands]
        said = testing.run(*init, check=0, env=self.env).stdout
        self.assertRegex(said, r"3 classes, 120 pictures to train and 30 to test")
        self.assertRegex(said, r"(?m)^time +about [\dhms]+: measuring 1m00s, 32 trials ")
        self.assertRegex(said, r"(?m)^budget +2\.000 ms: \d+ of 12 networks")
        estimate = testing.run_json("search", self.file, "--estimate", *[word for one in SHORT for word in ("--set", one)], env=self.env)
        self.assertAlmostEqual(estimate["seconds"], sum(estimate[f"{part}_seconds"] for part in ("measuring", "trials", "finalists")))
        self.assertEqual(estimate["latencies_us"], sorted(estimate["latencies_us"]))

        testing.run(*search, *[word for one in SHORT for word in ("--set", one)], check=testing.SEARCHED, env=self.env)
        out = self.folder / "out"
        self.assertTrue((out / "finalists/01/model.onnx").exists())
        self.assertIn("finalists/01/model.onnx", (out / "report.html").read_text())
        said = testing.run(*classify, check=0).stdout
        self.assertRegex(said, rf"(?m)^{picture} +(cat|dog|{HOSTILE}) +\d+\.\d\d %$".replace("(1)", r"\(1\)"))
        self.check_export(out)

    def check_export(self, out):
        trials = testing.run_json("study", "trials", out)
        document = testing.run_json("study", "export", out)
        self.assertEqual([trial["number"] for trial in document["trials"]], [0, 1])
        self.assertEqual([trial["params"] for trial in document["trials"]], [trial["params"] for trial in trials])
        self.assertEqual([report["step"] for report in document["trials"][0]["reports"]], [1])
        self.assertEqual(document["finalists"], json.loads((out / "finalists.json").read_text()))
        rows = list(csv.DictReader(io.StringIO(testing.run("study", "export", out, "--csv", check=0).stdout)))
        for row, trial in zip(rows, trials, strict=True):
            self.assertEqual(float(row["objective"]), trial["value"])
            self.assertEqual(float(row["accuracy"]), trial["metrics"]["accuracy"])
            self.assertEqual({name: int(row[name]) for name in trial["params"]}, trial["params"])
        file = self.folder / "trials.csv"
        testing.run("study", "export", out, "--out", file, check=0)
        self.assertEqual(len(file.read_text().splitlines()), 3)
        self.assertIn("choose one", testing.run("study", "export", out, "--csv", "--json", check=2).stderr)

    def test_the_file_explains_every_key(self):
        pictures_testing.striped(self.pictures, {".": 20})
        self.init("--no-estimate")
        text = self.file.read_text()
        resolved = tomllib.loads(testing.run("search", self.file, "--dry-run", "--no-estimate", check=0, env=self.env).stdout)
        self.assertEqual(tomllib.loads(text), resolved, "every default is in the file")
        lines = text.splitlines()
        for before, line in zip(lines, lines[1:]):
            if re.match(r"[a-z_]+ = ", line):
                self.assertTrue(before.startswith("# "), f"{line!r} has no comment above it")
        self.assertNotIn("see below", text)
        self.assertIn("# the budget: what a finalist may take", text)
        self.assertEqual(resolved["space"]["restrict"]["resolution"], [40])
        self.assertEqual(resolved["study"]["name"], "pictures")
        self.assertLessEqual(resolved["trial"]["batch"], 54 // 2)
        refused = self.init("--no-estimate", check=2)
        self.assertIn("exists already", refused.stderr)

    def test_broken_pictures_are_skipped(self):
        pictures_testing.striped(self.pictures, {"train": 20, "val": 5})
        (self.pictures / "train/class 0/broken.png").write_bytes(b"no picture")
        said = self.init("--no-estimate")
        self.assertIn("broken.png", said.stderr)
        self.assertEqual(tomllib.loads(self.file.read_text())["data"]["unreadable"], "skip")

    def test_sizes_and_units(self):
        pictures_testing.striped(self.pictures, {"train": 16, "val": 4})
        for asked, space, resolution in ((32, "small-images", 32), (33, "small-images", 32), (224, "gpunet", 224), (300, "gpunet", 288)):
            seen = json.loads(self.init("--no-estimate", "--image-size", asked, "--json").stdout)
            self.assertEqual((seen["space"], seen["resolution"]), (space, resolution))
            self.file.unlink()
        for text, ms in (("500us", 0.5), ("0.5", 0.5), ("1.5 ms", 1.5), ("0.01s", 10)):
            testing.run("init", "--data", self.pictures, "--latency", text, "--out", self.file, "--no-estimate", check=0, env=self.env)
            self.assertAlmostEqual(tomllib.loads(self.file.read_text())["target"]["latency_ms"], ms)
            self.file.unlink()

    def test_bad_input(self):
        def refused(*arguments):
            message = testing.run("init", "--out", self.file, *arguments, check=2, env=self.env).stderr
            self.assertFalse(self.file.exists())
            self.assertFalse(list(self.folder.glob("*.draft")))
            return message

        self.assertIn("there is no such folder", refused("--data", self.folder / "nothing", "--latency", "2ms"))
        pictures_testing.striped(self.pictures, {"train": 16, "val": 4})
        for latency in ("fast", "-1ms", "0", "2 hours", "ms", "nan", "inf"):
            self.assertIn("give a time such as", refused("--data", self.pictures, f"--latency={latency}"), latency)
        self.assertIn("did you mean 'openvino'", refused("--data", self.pictures, "--latency", "2ms", "--engine", "openvin"))
        shutil.rmtree(self.pictures / "train/class 0")
        shutil.rmtree(self.pictures / "train/class 1")
        refused("--data", self.pictures, "--latency", "2ms")
        (self.folder / "empty").mkdir()
        refused("--data", self.folder / "empty", "--latency", "2ms")


if __name__ == "__main__":
    testing.main()
