"""`lathe lut build|show|check` and `lathe net time|show --lut` on OpenVINO: killed builds continue, targets are never mixed."""

import json
import signal
import subprocess
import sys
import time

import lathe_testing as testing

SPACE = testing.ROOT / "configs/spaces/small-images.toml"
SMALL = ["--space", SPACE, "--restrict", "resolution=28", "--channels", "1", "--classes", "10"]


class LutTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        self.lut = self.folder / "lut.json"
        self.log = self.folder / "lut.json.log"

    def build(self, *arguments, check=0):
        return testing.run("lut", "build", *SMALL, "--out", self.lut, *arguments, check=check)

    def check_while_as_fast(self, *arguments):
        """`lut check` while the machine is about as fast as while the table was built, and stays so, if it ever does: its neighbours
        may halve its speed."""
        for _ in range(5):
            result = json.loads(testing.run("lut", "check", self.lut, *SMALL, *arguments, "--json", check=0).stdout)
            least, most = result["least_slowdown"], result["most_slowdown"]
            self.assertTrue(least <= result["slowdown"] <= most)
            if 0.8 < result["slowdown"] < 1.25 and most < 1.25 * least:
                break
            print(f"checked on a machine that is {least:.2f} to {most:.2f} times as slow as before", file=sys.stderr)
        return result

    def networks_in_log(self):
        if not self.log.exists():
            return 0
        return sum('"layer_us"' in line for line in self.log.read_text().split("\n")[:-1])

    def test_a_killed_build_continues_and_the_table_predicts(self):
        minutes = "0.8"  # enough for the zoo to be measured beside the space, on a slow machine too
        command = [testing.LATHE, "lut", "build", *map(str, SMALL), "--out", str(self.lut), "--minutes", minutes, "--quiet"]
        for wanted in (3, 8):
            builder = subprocess.Popen(command, cwd=testing.ROOT)
            while self.networks_in_log() < wanted and builder.poll() is None:
                time.sleep(0.05)
            builder.kill()
            builder.wait()
            self.assertGreaterEqual(self.networks_in_log(), wanted)
            self.assertFalse(self.lut.exists(), "the table is written when it is complete")
        before = self.networks_in_log()

        start = time.monotonic()
        built = json.loads(self.build("--minutes", minutes, "--json").stdout)
        self.assertLess(time.monotonic() - start, 54, "the killed sessions' time counts")
        self.assertFalse(self.log.exists())
        self.assertGreater(built["keys"], 50)
        self.assertGreater(built["parts"], 50)
        self.assertGreater(before, 7)
        table = json.loads(self.lut.read_text())
        self.assertEqual(table["target"]["engine"], "openvino")
        for entry in table["entries"] + table["parts"]:
            self.assertGreater(entry["latency_us"], 0)
            self.assertGreaterEqual(entry["samples"], 1)
        self.assertIn("pool_i", testing.run("lut", "show", self.lut, "--parts", check=0).stdout)
        self.assertNotIn("pool_i", testing.run("lut", "show", self.lut, check=0).stdout)

        picture = self.folder / "check.svg"
        result = self.check_while_as_fast("--count", "20", "mobilenet_v3_small@28x0.5", "--picture", picture)
        self.assertEqual(len(result["networks"]), 21)
        # Seconds of measuring on a machine that may be busy: sums of layers, not accurate ones.
        self.assertLess(result["band"]["mape"], 0.4, result)
        self.assertGreater(result["band"]["spearman"], 0.8, result)
        svg = picture.read_text()
        self.assertEqual(svg.count("<circle"), 21)
        self.assertIn("predicted", testing.run("lut", "check", self.lut, "mobilenet_v3_small@28x0.5", check=0).stdout)

        network = self.folder / "network.json"
        encoding = testing.run("space", "sample", *SMALL[:4], "--count", "1", "--seed", "7", check=0).stdout.strip()
        testing.run("space", "decode", *SMALL, encoding, "--out", network, check=0)
        timed = testing.run_json("net", "time", network, "--lut", self.lut)
        self.assertEqual(len(timed["predicted_layers"]), len(timed["layers_us"]))
        self.assertLess(abs(timed["predicted_us"] / timed["median_us"] - 1), 0.4)
        shown = testing.run_json("net", "show", network, "--lut", self.lut)
        self.assertEqual(shown["predicted_us"], timed["predicted_us"])
        # The zoo was measured with the space, so none of its layers has to be estimated.
        zoo = testing.run_json("net", "show", "mobilenet_v3_small@28", "--lut", self.lut)["predicted_layers"]
        # But for the first and the last, which have other channels and classes here.
        self.assertEqual([layer["measured"] for layer in zoo[1:-1]], [True] * (len(zoo) - 2))

        # Another target: refused, with the difference named, for the table and for its log.
        refused = testing.run("lut", "check", self.lut, *SMALL, "--threads", "2", check=2).stderr
        self.assertIn("threads is '1', here it is '2'", refused)
        self.assertIn("threads is '1', here it is '2'", self.build("--threads", "2", check=2).stderr)

    def test_ctrl_c_keeps_what_was_measured(self):
        command = [testing.LATHE, "lut", "build", *map(str, SMALL), "--out", str(self.lut), "--minutes", "2"]
        builder = subprocess.Popen(command, cwd=testing.ROOT, stderr=subprocess.PIPE, text=True)
        while self.networks_in_log() < 2 and builder.poll() is None:
            time.sleep(0.05)
        builder.send_signal(signal.SIGINT)
        message = builder.communicate(timeout=60)[1]
        self.assertIn("run again to continue", message)
        self.assertGreaterEqual(self.networks_in_log(), 2)
        other = self.build("--precision", "int8", check=2).stderr
        self.assertIn("precision is 'f32', here it is 'int8'", other)
        text = self.log.read_text()
        self.log.write_text(text.replace('"layer_us":[', '"layer_us":[-', 1))
        broken = self.build(check=2).stderr
        self.assertRegex(broken, r"lut\.json\.log:\d+: ")

    def test_bad_tables_are_named(self):
        self.lut.write_text("{")
        self.assertIn("cut short", testing.run("lut", "show", self.lut, check=2).stderr)
        self.assertIn("nothing to check", testing.run("lut", "check", self.minimal(), check=2).stderr)
        for latency in ("0", "-3", "null", "1e999"):
            stderr = testing.run("lut", "show", self.minimal(latency), check=2).stderr
            self.assertIn("conv_i3x28x28_o8_k3_s2_relu" if latency in ("0", "-3") else "lut.json", stderr)

    def minimal(self, latency="3"):
        self.lut.write_text(
            '{"format": "lathe-lut", "version": 2, "target": {"engine": "fake", "engine_version": "1", "device": "CPU", '
            '"device_name": "x", "threads": 1, "batch": 1, "precision": "f32"},\n"entries": [\n'
            f'{{"key": "conv_i3x28x28_o8_k3_s2_relu", "latency_us": {latency}}}\n]\n}}\n')
        return self.lut


if __name__ == "__main__":
    testing.main()
