"""lathe net train: folders of pictures, several processes, SIGTERM and SIGKILL, teachers, and what can be wrong with data."""

import csv
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import time

import lathe_testing as testing
import pictures_testing

NETWORK = {
    "format": "lathe-network", "version": 1, "name": "small", "input": [3, 32, 32], "layers": [
        {"op": "conv", "in": [3, 32, 32], "out_channels": 8, "kernel": 3, "stride": 2, "act": "swish"},
        {"op": "fused_irb", "in": [8, 16, 16], "out_channels": 16, "mid_channels": 24, "kernel": 3, "stride": 2, "act": "swish"},
        {"op": "irb", "in": [16, 8, 8], "out_channels": 16, "mid_channels": 32, "se_channels": 8, "kernel": 3, "stride": 1,
         "act": "swish", "residual": True},
        {"op": "tail", "in": [16, 8, 8], "out_channels": 3, "mid_channels": 32, "act": "swish"}]}
RECIPE = """epochs = 3
batch = 16
learning_rate = 0.1
dropout = 0.1
drop_connect = 0.1
ema = 0.9
augmentation = { flip = true, random_resized_crop = true, rand_augment = 1, random_erasing = 0.2, mixup = 0.2 }
"""


def checksum(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class TrainTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        self.network = self.folder / "network.json"
        self.network.write_text(json.dumps(NETWORK))
        self.recipe = self.folder / "recipe.toml"
        self.recipe.write_text(RECIPE)
        self.data = self.folder / "pictures"
        pictures_testing.striped(self.data, {"train": 32, "val": 8})

    def arguments(self, out, *more):
        return ["net", "train", self.network, "--data", self.data, "--recipe", self.recipe, "--out", self.folder / out,
                "--threads", "1", *more]

    def train(self, out, *more, **options):
        options.setdefault("env", {"XDG_CACHE_HOME": str(self.folder / "cache")})
        return testing.run(*self.arguments(out, *more), **options)

    def start(self, out, *more):
        return subprocess.Popen([testing.LATHE, *map(str, self.arguments(out, *more))], cwd=testing.ROOT, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")})

    def epochs(self, out):
        return [json.loads(line) for line in (self.folder / out / "metrics.jsonl").read_text().splitlines()]

    def test_leaves_everything_a_user_looks_for(self):
        result = json.loads(self.train("out", "--json", check=0).stdout)
        self.assertEqual([epoch["epoch"] for epoch in result["epochs"]], [1, 2, 3])
        out = self.folder / "out"
        self.assertEqual([line["step"] for line in self.epochs("out")], [1, 2, 3])
        with open(out / "metrics.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([int(row["epoch"]) for row in rows], [1, 2, 3])
        self.assertEqual(float(rows[-1]["accuracy"]), result["epochs"][-1]["accuracy"])
        self.assertGreater((out / "events.out.tfevents.lathe").stat().st_size, 3 * 100)
        for name in ("weights.safetensors", "best.safetensors", "network.json", "checkpoint"):
            self.assertTrue((out / name).exists(), name)
        again = self.train("out", check=0)  # nothing left to do, and nothing is written twice
        self.assertIn("test accuracy", again.stdout)
        self.assertEqual(len(self.epochs("out")), 3)

    def test_sigterm_and_sigkill_lose_nothing(self):
        self.train("whole", "--set", "epochs=40", check=0)
        for signals, out in (((signal.SIGTERM,) * 3, "asked"), ((signal.SIGKILL,) * 3, "killed")):
            for how in signals:
                process = self.start(out, "--set", "epochs=40")
                time.sleep(0.7)
                process.send_signal(how)
                _, errors = process.communicate(timeout=60)
                if process.returncode == 0:
                    break  # faster than we are
                self.assertEqual(process.returncode, 130 if how == signal.SIGTERM else -how, errors)
                if how == signal.SIGTERM:
                    self.assertIn("run the same command again", errors)
            self.train(out, "--set", "epochs=40", check=0)
            self.assertEqual(checksum(self.folder / out / "weights.safetensors"),
                             checksum(self.folder / "whole" / "weights.safetensors"), out)
            self.assertEqual([line["step"] for line in self.epochs(out)], list(range(1, 41)))

    def test_processes_and_threads_train_the_same_bits(self):
        """Of a deep network, in the steep steps that turn any rounding into another training."""
        def train(name, threads, *flags):
            arguments = self.arguments(name, "--epochs", "4", *flags)
            arguments[2] = "mobilenet_v2@32"
            arguments[arguments.index("--threads") + 1] = threads
            testing.run(*arguments, check=0)
            return [line["train_loss"] for line in self.epochs(name)], checksum(self.folder / name / "weights.safetensors")

        one = train("one", 2)
        self.assertEqual(train("two", 1, "--processes", "2"), one)
        self.assertEqual(train("turns", 1, "--set", "lanes=2"), one)
        self.assertNotEqual(train("other", 1), one)
        self.assertEqual([path.name for path in (self.folder / "two").glob("meeting*")], [])

    def test_a_dead_process_ends_the_others(self):
        process = self.start("out", "--processes", "2", "--set", "epochs=2000")
        deadline = time.monotonic() + 60
        while not (self.folder / "out" / "metrics.jsonl").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        children = children_of(process.pid)
        self.assertEqual(len(children), 1)
        os.kill(children[0], signal.SIGKILL)
        _, errors = process.communicate(timeout=30)
        self.assertNotEqual(process.returncode, 0)
        self.assertIn("process", errors)
        self.assertIn("died", errors)
        steps = len(self.epochs("out"))
        self.train("out", "--processes", "2", "--set", f"epochs={2000}", "--set", "early_stop=1", check=2)  # another recipe
        process = self.start("out", "--processes", "2", "--set", "epochs=2000")
        time.sleep(3)
        process.terminate()
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130)
        lines = self.epochs("out")
        self.assertGreater(len(lines), steps)
        self.assertEqual([line["step"] for line in lines], list(range(1, len(lines) + 1)))

    def test_teachers_of_both_kinds(self):
        self.train("teacher", "--epochs", "8", check=0)
        weights = self.folder / "teacher/weights.safetensors"
        onnx = self.folder / "teacher.onnx"
        testing.run("net", "export", self.folder / "teacher/network.json", "--weights", weights, "-o", onnx, check=0)
        losses = []
        for name, teacher in (("torch", {"teacher": str(self.folder / "teacher/network.json"), "weights": str(weights)}),
                              ("engine", {"teacher": str(onnx)})):
            settings = [part for key, value in {**teacher, "weight": 1, "temperature": 2}.items()
                        for part in ("--set", f"distillation.{key}={value}")]
            result = json.loads(self.train(name, *settings, "--epochs", "2", "--json", check=0).stdout)
            losses.append(result["epochs"][-1]["train_loss"])
        self.assertAlmostEqual(losses[0], losses[1], delta=1e-3 * abs(losses[0]))

    def test_what_is_wrong_is_named(self):
        def message(*settings):
            return self.train("bad", *settings, check=2).stderr

        self.assertIn("did you mean 'learning_rate'", message("--set", "learning_rat=1"))
        self.assertIn("there is no teacher", message("--set", "distillation.teacher=/nowhere.onnx"))
        oblong = self.folder / "oblong.json"
        oblong.write_text(json.dumps({**NETWORK, "input": [3, 32, 16], "layers": [
            {**layer, "in": [layer["in"][0], layer["in"][1], layer["in"][2] // 2]} for layer in NETWORK["layers"]]}))
        self.assertIn("takes images of 32 x 16; a teacher must take square ones",
                      message("--set", f"distillation.teacher={oblong}", "--set", "distillation.weights=none"))
        self.assertIn("a batch of 16 cannot be shared equally by 3", message("--processes", "3"))
        diverged = message("--set", "learning_rate=1000", "--set", "weight_decay=10", "--set", "warmup=0")
        self.assertRegex(diverged, r"diverged.*step \d+ of 18.*lower learning_rate")
        victims = {"cut.png": (self.data / "train/class 0/0.png").read_bytes()[:200], "empty.jpg": b"", "text.jpg": b"hello"}
        for name, content in victims.items():
            (self.data / "train/class 1" / name).write_bytes(content)
        errors = message()
        for name in victims:
            self.assertIn(name, errors)
        described = self.folder / "data.toml"
        described.write_text('kind = "image-folder"\npath = "pictures"\nunreadable = "skip"\n')
        arguments = self.arguments("skipped", "--epochs", "1")
        arguments[arguments.index("--data") + 1] = described
        skipped = testing.run(*arguments, check=0)
        for name in victims:
            self.assertIn(name, skipped.stderr)
        shutil.rmtree(self.data / "val/class 2")
        self.assertIn("class 2", testing.run(*arguments, check=2).stderr)

    def test_too_little_memory(self):
        arguments = self.arguments("out", "--set", "batch=96")
        arguments[2] = "mobilenet_v2@224"
        done = subprocess.run([testing.LATHE, *map(str, arguments)], cwd=testing.ROOT, capture_output=True, text=True, timeout=120,
                              env={**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")},
                              preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30)))
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertRegex(done.stderr, "out of memory at step 1 of .*lower batch or raise accumulate")

    def test_full_disk_keeps_the_last_checkpoint(self):
        room = self.folder / "room"
        room.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", room]).returncode != 0:
            self.skipTest("SKIPPED: cannot mount a small file system here")
        self.addCleanup(subprocess.run, ["umount", str(room)])
        result = self.train(room / "out", "--epochs", "4", check=(0, 2))
        used = sum(path.stat().st_size for path in (room / "out").iterdir())
        self.assertEqual(result.returncode, 0, result.stderr)
        shutil.rmtree(room / "out")
        (room / "filler").write_bytes(b"\0" * (600 * 1024 - used - 8192))
        before = self.train(room / "out", "--epochs", "4", check=(0, 2))
        if before.returncode == 0:
            self.skipTest("SKIPPED: the room left was enough")
        self.assertIn("No space left on device", before.stderr)
        os.remove(room / "filler")
        self.train(room / "out", "--epochs", "4", check=0)
        self.assertEqual([line["step"] for line in self.epochs(room / "out")], [1, 2, 3, 4])


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


if __name__ == "__main__":
    testing.main()
