"""Studies that start from earlier results and from given networks."""

import csv
import json

import lathe_testing as testing


class WarmStartTest(testing.TestCase):
    def search(self, out, *settings, resume=False, check=testing.SEARCHED):
        sets = [word for setting in settings for word in ("--set", setting)]
        return testing.run("search", self.quick_study(trials=3, images=256, finalist_images=128), "--dir", out, *sets,
                           *(["--resume"] if resume else []), check=check)

    def test_warm_start(self):
        first = self.folder / "first"
        self.search(first)
        earlier = testing.run_json("study", "trials", first)
        self.assertEqual([trial["state"] for trial in earlier], ["COMPLETE"] * 3)

        # The same training: taken over, weighed anew, not trained again. The LUT is the same to save time.
        second = self.folder / "second"
        given = f"latency.file={first / 'lut.json'}"
        chosen, latency_us = self.outside(earlier, first)
        settings = [given, "search.trials=2", "search.alpha=0.5", f'search.warm_start="{first}"', f'search.enqueue="{chosen}"']
        self.search(second, *settings)
        trials = testing.run_json("study", "trials", second)
        self.assertEqual([trial["state"] for trial in trials], ["COMPLETE"] * 5)
        for ours, theirs in zip(trials[:3], earlier):
            self.assertEqual(ours["params"], theirs["params"])
            self.assertEqual(ours["metrics"]["loss"], theirs["metrics"]["loss"])
            self.assertAlmostEqual(ours["value"], theirs["metrics"]["loss"] + 0.5 * theirs["latency_us"] / 1000, places=9)
            self.assertEqual(ours["imported_from"], f"trial {theirs['number']} of {first}")
            self.assertEqual(ours["starts"], 0)
        self.assertEqual(",".join(map(str, trials[3]["params"].values())), chosen, "enqueued networks come first")
        self.assertEqual(sorted(path.name for path in (second / "trials").iterdir()), ["000003", "000004"])
        self.assertEqual(testing.run_json("study", "status", second)["imported"], 3)
        self.assertEqual(testing.run("study", "replay", second, check=0).stdout, "1 proposals, all the same\n")
        # The finalist is the best of all, wherever it was trained; it is a network like any other.
        best = testing.run_json("study", "best", second)[0]
        finalist = json.loads((second / "finalists.json").read_text())["networks"][0]
        self.assertEqual(finalist["origin"], f"trial {best['number']}")
        self.assertTrue((second / finalist["training"] / "network.json").exists())

        # Continued, it takes nothing twice; a table is something new.
        table = self.folder / "results.csv"
        with open(table, "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*earlier[0]["params"], "loss", "accuracy"])
            writer.writerow([*earlier[0]["params"].values(), 1.5, 0.5])
        result = self.search(second, *settings[:-2], f'search.warm_start=["{first}", "{table}"]', "search.trials=3", resume=True)
        self.assertIn("0 results imported; left out: 1 known already", result.stderr)
        self.assertNotIn("3 results imported", result.stderr)
        self.assertEqual(len(testing.run_json("study", "trials", second)), 6)

        # Another training: its best networks are trained again, first.
        third = self.folder / "third"
        result = self.search(third, given, f'search.warm_start="{first}"', "search.warm_start_best=2", "trial.batch=64")
        self.assertIn("cannot be compared ([trial] batch = 128 there, batch = 64 here)", result.stderr)
        trials = testing.run_json("study", "trials", third)
        self.assertEqual(len(trials), 3)
        ranked = sorted(earlier, key=lambda trial: trial["value"])
        self.assertEqual([trial["params"] for trial in trials[:2]], [trial["params"] for trial in ranked[:2]])
        self.assertTrue(all(trial["starts"] == 1 and "imported_from" not in trial for trial in trials))

        # What cannot be tried is refused before anything is trained.
        for setting, *fragments in (
                ('search.enqueue="mobilenet_v2"', "[search] enqueue: 'mobilenet_v2'", "is not in space", "nearest encoding"),
                ('search.enqueue="28,1"', "an encoding of space 'small-images' has"),
                (f'search.enqueue="{self.folder}/none.json"', "none.json: no such network file"),
                ('search.warm_start="nothing"', "nothing: neither the folder of a study")):
            result = self.search(self.folder / "refused", given, setting, check=2)
            for fragment in fragments:
                self.assertIn(fragment, result.stderr)
        below = f"stage1.subspace_ms=[0, {0.999 * latency_us / 1000}]"
        result = self.search(self.folder / "refused", given, below, f'search.enqueue="{chosen}"', resume=True, check=2)
        self.assertIn("outside the sub-space", result.stderr)
        result = self.search(self.folder / "refused", given, "stage1.subspace_ms=[0, 0.0001]", resume=True, check=2)
        self.assertIn("the sub-space 0-0.0001 ms is empty: the fastest network", result.stderr)

    def outside(self, trials, folder):
        """A network of the first study's sub-space that it has not tried and that others are faster than: as text, and its latency."""
        tried = {",".join(map(str, trial["params"].values())) for trial in trials}
        with open(folder / "subspace.csv", newline="") as file:
            rows = {",".join(row[gene] for gene in trials[0]["params"]): float(row["latency_us"]) for row in csv.DictReader(file)}
        ordered = sorted(((latency, text) for text, latency in rows.items() if text not in tried))
        latency, text = ordered[len(ordered) // 10]
        return text, latency


if __name__ == "__main__":
    testing.main()
