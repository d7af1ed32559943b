"""A search that ends trials early, killed on the way: what it leaves, and `lathe study replay`, which makes its proposals again."""

import shutil
import sqlite3
import subprocess
import time

import lathe_testing as testing

TRIALS = 11  # more than the first ones, which are proposed without a model
EPOCHS = 3


class ReplayTest(testing.TestCase):
    def test_replay(self):
        study = self.quick_study(trials=TRIALS, images=128, finalist_images=128)
        out = self.folder / "out"
        command = [testing.LATHE, "search", str(study), "--dir", str(out), "--quiet", "--set", f"trial.epochs={EPOCHS}",
                   "--set", "pruning.rule=halving", "--set", "pruning.reduction=2", "--set", "pruning.startup=1"]
        controller = subprocess.Popen(command, cwd=testing.ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and controller.poll() is None and self.count(out) < TRIALS // 2:
            time.sleep(0.05)
        controller.kill()
        controller.wait()
        self.assertLess(self.count(out), TRIALS, "it was killed on the way")
        early = testing.run("study", "replay", out, check=0).stdout
        self.assertRegex(early, r"^\d+ proposals, all the same\n$")
        testing.run(*command[1:], "--resume", check=testing.SEARCHED)

        self.assertEqual(testing.run("study", "replay", out, check=0).stdout, f"{TRIALS} proposals, all the same\n")
        self.assertEqual(testing.run_json("study", "replay", out), {"proposals": TRIALS, "same": True})
        with sqlite3.connect(out / "study.db") as database:
            calls = database.execute("select kind, trial, step from lathe_call order by seq").fetchall()
        self.assertEqual([trial for kind, trial, _ in calls if kind == "ask"], list(range(TRIALS)))
        trials = testing.run_json("study", "trials", out)
        states = [trial["state"] for trial in trials]
        self.assertEqual(set(states), {"COMPLETE", "PRUNED"})
        for trial in trials:
            reports = [step for kind, number, step in calls if kind == "report" and number == trial["number"]]
            self.assertEqual([(kind, step) for kind, number, step in calls if number == trial["number"]],
                             [("ask", None), *(("report", step) for step in reports), ("tell", None)])
            self.assertEqual(reports, list(range(1, len(reports) + 1)), "every epoch once, in order")
            pruned = trial["state"] == "PRUNED"
            self.assertEqual(len(reports) < EPOCHS, pruned)
            self.assertEqual(f"pruned after epoch {len(reports)}: " in trial["reason"], pruned, trial)
            self.assertTrue((out / "trials" / f"{trial['number']:06}" / "metrics.jsonl").exists())
            self.assertTrue(pruned or (out / "trials" / f"{trial['number']:06}" / "result.json").exists())
        ranked = testing.run_json("study", "rank", out, "--top", TRIALS)
        self.assertEqual({trial["number"] for trial in ranked}, {i for i, state in enumerate(states) if state == "COMPLETE"})
        self.assertEqual(testing.run_json("study", "status", out)["states"],
                         {state: states.count(state) for state in sorted(set(states))})
        self.assertIn(f"of {TRIALS} trials complete, {states.count('PRUNED')} pruned", (out / "report.html").read_text())

        proxy = testing.run_json("study", "proxy", out)
        complete = states.count("COMPLETE")
        self.assertEqual([(epoch["epoch"], epoch["networks"]) for epoch in proxy["epochs"]], [(1, complete), (2, complete)])
        for epoch in proxy["epochs"]:
            self.assertEqual(epoch["spearman"] is None, complete < 5)
        self.assertEqual(proxy["full_training"], {"networks": 1, "spearman": None})
        self.assertIn("too few, 5 are needed", testing.run("study", "proxy", out, check=0).stdout)

        # Another seed is another search.
        changed = self.folder / "changed"
        shutil.copytree(out, changed)
        text = (changed / "study.toml").read_text()
        (changed / "study.toml").write_text(text.replace("\nseed = 3\n", "\nseed = 4\n"))
        result = testing.run("study", "replay", changed, check=1)
        self.assertRegex(result.stdout, r"^0 proposals are the same; that of trial 0 differs: now it has ")
        self.assertFalse(result.stderr, result.stderr)

    def count(self, out):
        try:
            with sqlite3.connect(f"file:{out / 'study.db'}?mode=ro", uri=True) as database:
                return database.execute("select count(*) from trials").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


if __name__ == "__main__":
    testing.main()
