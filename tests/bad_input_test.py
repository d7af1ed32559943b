"""Bad input is half the product: exit code 2 (3 where a target can't be reached) and one message that says what and where."""

import json
import os
import shutil
import subprocess

import lathe_testing as testing


class BadInputTest(testing.TestCase):
    def fails(self, code, *fragments, arguments):
        result = testing.run(*arguments)
        message = result.stderr
        self.assertEqual(result.returncode, code, f"{arguments}: {result.stdout}{message}")
        for fragment in fragments:
            self.assertIn(fragment, message, f"{arguments}")
        self.assertNotIn("terminate called", message)
        return message

    def edited_study(self, old, new):
        study = self.study()
        text = study.read_text()
        self.assertIn(old, text)
        study.write_text(text.replace(old, new))
        line = next(i for i, line in enumerate(study.read_text().split("\n"), 1) if new.split("\n")[0] in line)
        return study, f"study.toml:{line}"

    def search_fails(self, code, old, new, *fragments, line=True):
        study, where = self.edited_study(old, new)
        fragments = (*fragments, where) if line else fragments
        return self.fails(code, *fragments, arguments=["search", study, "--dir", self.folder / "out", "--quiet"])

    def test_misspelt_key(self):
        self.search_fails(2, "latency_ms = 2.0", "latency_mss = 2.0", "latency_mss", "latency_ms")
        self.search_fails(2, "trials = 4", "trails = 4", "trails", "trials")

    def test_misspelt_table(self):
        self.search_fails(2, "[search]", "[serach]", "serach", "search")

    def test_out_of_range(self):
        self.search_fails(2, "latency_ms = 2.0", "latency_ms = -1.0", "latency_ms")
        self.search_fails(2, "trials = 4", "trials = 0", "trials")
        self.search_fails(2, "validation = 1000", "validation = 60000", "validation", line=False)

    def test_wrong_type(self):
        self.search_fails(2, "trials = 4", 'trials = "many"', "trials", "integer")

    def test_syntax_error(self):
        self.search_fails(2, "[search]", "[search")

    def test_unknown_names(self):
        self.search_fails(2, 'engine = "openvino"', 'engine = "openvin"', "openvin", "openvino", line=False)
        self.search_fails(2, 'recipe = "quick"', 'recipe = "quik"', "quik", "quick")
        self.search_fails(2, '"mobilenet_v3_small"', '"mobilenet_v3_smal"', "mobilenet_v3_small", line=False)
        self.search_fails(2, "resolution = [28]", "resolutoin = [28]", "resolutoin", "resolution", line=False)

    def test_a_program_without_its_recipes(self):
        study = self.study()
        away = shutil.copy(testing.LATHE, self.folder / "lathe")
        result = subprocess.run([away, "search", study, "--dir", self.folder / "out"], capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(f"there is no recipe 'quick' in {study.parent}", result.stderr)
        self.assertIn(".toml", result.stderr)

    def test_missing_study_and_space(self):
        self.fails(2, "nothing.toml", arguments=["search", self.folder / "nothing.toml"])
        self.search_fails(2, "small-images.toml", "no-such-space.toml", "no-such-space.toml", line=False)

    def test_budget_no_network_meets(self):
        study, _ = self.edited_study("latency_ms = 2.0", "latency_ms = 0.001")
        study.write_text(study.read_text().replace("subspace_ms = [0.02, 2.0]\n", ""))
        message = self.fails(3, "latency_ms", "fastest", arguments=["search", study, "--dir", self.folder / "out", "--quiet"])
        self.assertIn("0.001", message)

    def test_empty_sub_space(self):
        # Out of reach of any network of the space on whatever machine.
        self.search_fails(2, "subspace_ms = [0.02, 2.0]", "subspace_ms = [1e-6, 2e-6]", "sub-space", "empty", "fastest", line=False)
        study, _ = self.edited_study("latency_ms = 2.0", "latency_ms = 1e6")
        study.write_text(study.read_text().replace("[0.02, 2.0]", "[9e5, 1e6]"))
        self.fails(2, "sub-space", "empty", "slowest", arguments=["search", study, "--dir", self.folder / "other", "--quiet"])
        self.search_fails(2, "subspace_ms = [0.02, 2.0]", "subspace_ms = [0.5, 0.1]", "subspace_ms")

    def test_no_trial_is_complete(self):
        study, _ = self.edited_study("build_seconds = 6", "build_seconds = 1")
        message = self.fails(3, "none of the 0 trials is complete", "study trials", arguments=[
            "search", study, "--dir", self.folder / "out", "--quiet", "--set", "search.max_minutes=1e-9"])
        self.assertIn("max_minutes", message)

    def test_goals_and_pruning(self):
        self.search_fails(2, "trials = 4", 'goal = "pareto"', "goal", "front")
        self.search_fails(2, "trials = 4", 'goal = "accuracy"\nalpha = 0.5', "alpha", "leave it out", line=False)
        self.search_fails(2, "[finalists]", '[pruning]\nrule = "halving"\n[finalists]', "trained for 1 epochs", line=False)

    def test_missing_data(self):
        self.search_fails(2, 'kind = "fashion-mnist"', f'kind = "fashion-mnist"\npath = "{self.folder}/none"', f"{self.folder}/none",
                          line=False)

    def test_truncated_data(self):
        folder = self.folder / "data"
        source = os.path.dirname(subprocess.run(["dpkg", "-L", "dataset-fashion-mnist"], capture_output=True, text=True).stdout
                                 .split("train-images")[0].split("\n")[-1] + "x")
        shutil.copytree(source, folder)
        victim = next(path for path in folder.iterdir() if path.name.startswith("train-images"))
        victim.write_bytes(victim.read_bytes()[: victim.stat().st_size // 2])
        self.search_fails(2, 'kind = "fashion-mnist"', f'kind = "fashion-mnist"\npath = "{folder}"', victim.name, line=False)

    def test_damaged_lut(self):
        lut = self.folder / "lut.json"
        for content in ("", "{", '{"format": "lathe-lut", "version": 99}', "[1, 2]", '{"format": "other"}'):
            lut.write_text(content)
            self.fails(2, "lut.json", arguments=["lut", "show", lut])
            study, _ = self.edited_study("build_seconds = 6", f'file = "{lut}"')
            self.fails(2, "lut.json", arguments=["search", study, "--dir", self.folder / "out", "--quiet"])
            self.assertFalse((self.folder / "out").exists(), "nothing is begun with a damaged table")

    def test_damaged_network(self):
        good = testing.run_json("zoo", "show", "mobilenet_v2@64x0.25")
        network = self.folder / "network.json"
        cases = [("", "network.json"), ("{}", "network.json"), ("[]", "network.json")]
        broken = json.loads(json.dumps(good))
        broken["layers"][2]["op"] = "irbb"
        cases.append((json.dumps(broken, indent=1), "irb"))
        broken = json.loads(json.dumps(good))
        broken["layers"][1]["stride"] = 0
        cases.append((json.dumps(broken, indent=1), "stride"))
        broken = json.loads(json.dumps(good))
        del broken["layers"][1]["out_channels"]
        cases.append((json.dumps(broken, indent=1), "out_channels"))
        broken = json.loads(json.dumps(good))
        broken["version"] = 99
        cases.append((json.dumps(broken), "version"))
        cases.append((json.dumps(good)[:-40], "network.json"))
        for text, fragment in cases:
            network.write_text(text)
            self.fails(2, "network.json", fragment, arguments=["net", "show", network])

    def test_command_line(self):
        self.fails(2, arguments=["serch"])
        self.fails(2, arguments=["search"])
        self.fails(2, "mobilenet_v2", arguments=["zoo", "show", "mobilnet_v2"])
        self.fails(2, "no-study-here", arguments=["study", "status", "no-study-here"])

    def test_full_disk(self):
        """A study on a full disk says so, and goes on when there is room again."""
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: needs root to mount a small file system")
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)], capture_output=True, text=True)
        if mounted.returncode != 0:
            self.skipTest(f"SKIPPED: cannot mount a small file system: {mounted.stderr.strip()}")
        try:
            study = self.quick_study(trials=2, images=256)
            filler = disk / "filler"
            filler.write_bytes(b"x" * (64 * 1024 * 1024 - 300 * 1024))
            result = testing.run("search", study, "--dir", disk / "out", "--quiet")
            self.assertEqual(result.returncode, 2, result.stderr)
            self.assertIn("No space left", result.stderr)
            filler.unlink()
            testing.run("search", study, "--dir", disk / "out", "--resume", "--quiet", check=0)
            trials = testing.run_json("study", "trials", disk / "out")
            self.assertEqual([trial["state"] for trial in trials], ["COMPLETE"] * 2)
        finally:
            subprocess.run(["umount", str(disk)], check=True)


if __name__ == "__main__":
    testing.main()
