"""A whole search on Fashion-MNIST, small: every file it promises is there and agrees with the others."""

import csv
import json

import lathe_testing as testing


class SearchTest(testing.TestCase):
    def test_whole_job(self):
        study = self.study(trials=5, images=1024, finalist_images=8192)
        out = self.folder / "out"
        table = json.loads(testing.run("search", study, "--dir", out, "--json", check=0).stdout)

        finalist = table["networks"][0]
        self.assertEqual(finalist["kind"], "finalist")
        self.assertTrue(finalist["meets_target"], finalist)
        self.assertLessEqual(finalist["measured_us"], 2000)
        self.assertGreater(finalist["accuracy_exported"], 0.3, "a trained network beats guessing")
        self.assertEqual(finalist["images"], 10000)
        self.assertLessEqual(finalist["disagreements"], 5)
        self.assertIn("baseline", [network["kind"] for network in table["networks"]])
        package = out / finalist["path"]
        for name in ("network.json", "weights.safetensors", "model.onnx", "card.md"):
            self.assertGreater((package / name).stat().st_size, 100, name)

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


if __name__ == "__main__":
    testing.main()
