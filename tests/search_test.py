"""A whole search on Fashion-MNIST, small: every file it promises is there and agrees with the others."""

import csv
import gzip
import json
import pathlib
import subprocess
import sys
import tomllib

import lathe_testing as testing

PYTHON = testing.ROOT / "build/deps/python"  # openvino
STB = pathlib.Path("/usr/include/stb/stb_image.h")


class SearchTest(testing.TestCase):
    def test_whole_job(self):
        study = self.study(trials=5, images=1024, finalist_images=8192)
        out = self.folder / "out"
        table = json.loads(testing.run("search", study, "--dir", out, "--json", "--set", "int8.finalists=true", check=0).stdout)

        finalist = table["networks"][0]
        self.assertEqual(finalist["kind"], "finalist")
        self.assertTrue(finalist["meets_target"], finalist)
        self.assertLessEqual(finalist["measured_us"], 2000)
        self.assertGreater(finalist["accuracy_exported"], 0.3, "a trained network beats guessing")
        self.assertEqual(finalist["images"], 10000)
        self.assertLessEqual(finalist["disagreements"], 5)
        self.assertIn("baseline", [network["kind"] for network in table["networks"]])
        package = out / finalist["path"]
        for name in ("network.json", "weights.safetensors", "model.onnx", "model-int8.onnx", "card.md"):
            self.assertGreater((package / name).stat().st_size, 100, name)
        precisions = {one["precision"]: one for one in finalist["precisions"]}
        self.assertLessEqual({"f32", "int8"}, set(precisions))
        self.assertGreater(precisions["int8"]["accuracy"], precisions["f32"]["accuracy"] - 0.01)
        self.check_examples(package)

        # The files of the study agree with each other.
        lut = json.loads((out / "lut.json").read_text())
        self.assertGreater(len(lut["entries"]), 20)
        with open(out / "subspace.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertGreater(len(rows), 300)
        self.assertTrue(all(float(row["latency_us"]) > 0 for row in rows))
        trials = testing.run_json("study", "trials", out)
        self.assertEqual([trial["number"] for trial in trials], [0, 1, 2, 3, 4])
        self.assertEqual({trial["state"] for trial in trials}, {"COMPLETE"})
        encodings = {tuple(trial["params"].values()) for trial in trials}
        self.assertEqual(len(encodings), 5, "no network is trained twice")
        for trial in trials:
            result = json.loads((out / "trials" / f"{trial['number']:06}" / "result.json").read_text())
            self.assertEqual(result["metrics"]["loss"], trial["metrics"]["loss"])
            objective = trial["metrics"]["loss"] + 0.1 * trial["latency_us"] / 1000
            self.assertAlmostEqual(trial["value"], objective, places=9)
        report = (out / "report.html").read_text()
        self.assertIn("tiny", report)
        self.assertNotIn("src=\"http", report)

        # Other commands read the same study.
        best = testing.run_json("study", "best", out)
        self.assertEqual(best[0]["metrics"]["accuracy"], max(t["metrics"]["accuracy"] for t in trials))
        verified = testing.run_json("net", "verify", package / "network.json", "--weights", package / "weights.safetensors",
                                    "--onnx", package / "model.onnx", "--images", "500")
        self.assertTrue(verified["ok"], verified)
        # A finished study resumes to the same end without training anything.
        again = json.loads(testing.run("search", study, "--dir", out, "--resume", "--json", check=0, timeout=120).stdout)
        self.assertEqual(len(testing.run_json("study", "trials", out)), 5)
        self.assertEqual(again["networks"][0]["accuracy"], finalist["accuracy"])
        refused = testing.run("search", study, "--dir", out, check=2)
        self.assertIn("--resume", refused.stderr)
        self.check_more(study, out, finalist)

    def check_more(self, study, out, finalist):
        """A finished study goes on: with more trials and finalists these are chosen anew, and what was trained is not trained again."""
        weights = out / finalist["training"] / "weights.safetensors"
        trained_at = weights.stat().st_mtime_ns
        (out / "finalists/03").mkdir()  # of a choice that had more
        sets = [word for one in ("int8.finalists=false", "search.trials=6", "finalists.count=2") for word in ("--set", one)]
        table = json.loads(testing.run("search", study, "--dir", out, "--resume", "--json", *sets, check=testing.SEARCHED).stdout)
        both = {n["training"]: n for n in table["networks"] if n["kind"] == "finalist"}
        self.assertEqual(len(testing.run_json("study", "trials", out)), 6)
        self.assertEqual(len(both), 2)
        self.assertEqual(sorted(n["path"] for n in both.values()), ["finalists/01", "finalists/02"])
        self.assertEqual(sorted(path.name for path in (out / "finalists").iterdir()), ["01", "02"])
        self.assertIn(finalist["training"], both)
        self.assertEqual(weights.stat().st_mtime_ns, trained_at)

    def test_dry_run(self):
        study, out = self.quick_study(), self.folder / "out"
        text = testing.run("search", study, "--dir", out, "--dry-run", "--set", "int8.finalists=true", "--set", "int8.ranges=min-max",
                           "--set", "baselines.networks=[]", check=0).stdout
        self.assertEqual(tomllib.loads(text)["search"]["trials"], 4)
        for line in (r"time +about [\dhms]+ ?s?: measuring 6 s, 4 trials ", r"rehearsal +a candidate was trained .*exported as model-int8.onnx and model.onnx, verified"):
            self.assertRegex(text, rf"(?m)^# {line}")
        elsewhere = testing.run("search", study, "--dir", out, "--dry-run", "--set", "evaluator.kind=command", "--set", 'evaluator.command=["true"]',
                              check=0).stdout
        self.assertIn("\n# No candidate was tried", elsewhere)
        quick = testing.run("search", study, "--dir", out, "--dry-run", "--no-estimate", check=0).stdout
        self.assertNotRegex(quick, "rehearsal|No candidate")
        both = testing.run_json("search", study, "--dir", out, "--dry-run", "--no-estimate")
        self.assertEqual(both, {"study": quick[:-1], "estimate": None})
        self.assertFalse(out.exists())

    def check_examples(self, package):
        """Both programs of a package name the same class of real pictures, with the same certainty."""
        try:
            sys.path.append(str(PYTHON))
            import numpy
            import openvino  # noqa: F401
            from PIL import Image
        except ImportError as error:
            print(f"SKIPPED: examples: {error}; scripts/setup --tests installs it", file=sys.stderr)
            return
        with gzip.open(testing.FASHION_MNIST / "t10k-images-idx3-ubyte.gz") as file:
            file.read(16)
            pixels = numpy.frombuffer(file.read(2 * 784), dtype=numpy.uint8).reshape(2, 28, 28)
        pictures = [self.folder / "shirt.png", self.folder / "wide.png"]
        Image.fromarray(pixels[0]).save(pictures[0])
        Image.fromarray(pixels[1]).resize((90, 60), Image.Resampling.BICUBIC).convert("RGB").save(pictures[1])  # shrunk and cut again
        path = f"{PYTHON}:{testing.ROOT / 'build/deps/testing'}"
        python = subprocess.run([sys.executable, package / "examples/classify.py", *pictures], capture_output=True, text=True, check=True,
                                env={"PYTHONPATH": path}).stdout
        self.assertRegex(python, r"(?m)\A.*shirt.png: .+ 0\.\d{4}\n.*wide.png: .+ 0\.\d{4}\n\Z")
        # Lathe resizes to within one level of Pillow, which a network may feel: with Pillow's pixels both say the same.
        Image.open(pictures[1]).convert("L").resize((42, 28), Image.Resampling.BILINEAR).save(self.folder / "small.png")
        *ours, own_pixels = testing.run_json("net", "classify", package, pictures[0], self.folder / "small.png", pictures[1])
        for picture, answer, line in zip(pictures, ours, python.splitlines(), strict=True):
            name, share = line.rsplit(" ", 1)
            self.assertEqual(f"{picture}: {answer['classes'][0]['class']}", name)
            self.assertAlmostEqual(answer["classes"][0]["probability"], float(share), delta=0.001)
        self.assertEqual(own_pixels["classes"][0]["class"], ours[1]["classes"][0]["class"])
        self.assertAlmostEqual(own_pixels["classes"][0]["probability"], ours[1]["classes"][0]["probability"], delta=0.02)
        if not STB.exists():
            print("SKIPPED: the C++ example: no stb_image.h; scripts/setup --tests installs it", file=sys.stderr)
            return
        build = self.folder / "build"
        for command in (["cmake", "-B", build, "-S", package / "examples", f"-DOpenVINO_DIR={PYTHON / 'openvino/cmake'}"],
                        ["cmake", "--build", build]):
            done = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        cpp = subprocess.run([build / "classify", package / "model.onnx", *pictures], capture_output=True, text=True, check=True).stdout
        for ours, theirs in zip(cpp.splitlines(), python.splitlines(), strict=True):
            (name, share), (other_name, other_share) = ours.rsplit(" ", 1), theirs.rsplit(" ", 1)
            self.assertEqual(name, other_name)
            self.assertAlmostEqual(float(share), float(other_share), delta=0.02)  # pixels may be rounded the other way

    def test_int8_target(self):
        """Latencies of the table, the measured ones and the accuracy that ranks are all of int8."""
        study, out = self.study(trials=2, images=256, finalist_images=4096), self.folder / "out"
        table = json.loads(testing.run("search", study, "--dir", out, "--json", "--set", "target.precision=int8", "--set",
                                       "baselines.networks=[]", "--set", "int8.max_drop=0.02", check=0).stdout)
        self.assertEqual(json.loads((out / "lut.json").read_text())["target"]["precision"], "int8")
        finalist = table["networks"][0]
        self.assertEqual(finalist["precisions"][0]["precision"], "int8")
        self.assertEqual(finalist["accuracy_exported"], finalist["precisions"][0]["accuracy"])
        self.assertGreater(finalist["disagreements"], 0, "computed in int8")
        package = out / finalist["path"]
        self.assertIn(b"QuantizeLinear", (package / "model-int8.onnx").read_bytes())
        self.assertIn('"model-int8.onnx"', (package / "examples/classify.py").read_text())
        deployed = next((package / "triton").glob("*/1/model.onnx")).read_bytes()
        self.assertIn(b"QuantizeLinear", deployed)

    def test_an_engine_that_loads_no_files(self):
        """Latencies are torch's; what the file computes, another engine tells."""
        study, out = self.quick_study(trials=2, images=256, finalist_images=1024), self.folder / "out"
        precision = "bf16" if "avx512bw" in pathlib.Path("/proc/cpuinfo").read_text() else "f32"  # what torch is fast with
        table = json.loads(testing.run("search", study, "--dir", out, "--json", "--set", "target.engine=torch",
                                       "--set", f"target.precision={precision}", "--set", "baselines.networks=[]",
                                       "--set", "target.latency_ms=50", "--set", "stage1.subspace_ms=[0.02,50.0]", check=0).stdout)
        self.assertEqual(json.loads((out / "lut.json").read_text())["target"]["engine"], "torch")
        finalist = table["networks"][0]
        self.assertEqual([p["precision"] for p in finalist["precisions"]], [precision])
        self.assertGreater(finalist["measured_us"], 0)
        self.assertLessEqual(finalist["disagreements"], 5)
        card = (out / finalist["path"] / "card.md").read_text()
        self.assertRegex(card, r"in openvino on .*the target's engine, torch, reads no files")
        self.assertIn("| model.onnx | f32 |", card)
        self.assertIn(f"- precision: {precision}", card)


if __name__ == "__main__":
    testing.main()
