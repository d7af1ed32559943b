"""`lathe study replay`: the proposals of a finished search, killed on the way, come out again."""

import shutil
import sqlite3
import subprocess
import time

import lathe_testing as testing

TRIALS = 11  # more than the first ones, which are proposed without a model


class ReplayTest(testing.TestCase):
    def test_replay(self):
        study = self.study(trials=TRIALS, images=128, finalist_images=128)
        out = self.folder / "out"
        command = [testing.LATHE, "search", str(study), "--dir", str(out), "--set", "trial.epochs=2", "--quiet"]
        controller = subprocess.Popen(command, cwd=testing.ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and controller.poll() is None and self.count(out) < TRIALS // 2:
            time.sleep(0.05)
        controller.kill()
        controller.wait()
        self.assertLess(self.count(out), TRIALS, "it was killed on the way")
        early = testing.run("study", "replay", out, check=0).stdout
        self.assertRegex(early, r"^\d+ proposals, all the same\n$")
        testing.run(*command[1:], "--resume", check=0)

        self.assertEqual(testing.run("study", "replay", out, check=0).stdout, f"{TRIALS} proposals, all the same\n")
        self.assertEqual(testing.run_json("study", "replay", out), {"proposals": TRIALS, "same": True})
        with sqlite3.connect(out / "study.db") as database:
            calls = database.execute("select kind, trial, step from lathe_call order by seq").fetchall()
        self.assertEqual([trial for kind, trial, _ in calls if kind == "ask"], list(range(TRIALS)))
        for trial in range(TRIALS):
            self.assertEqual([(kind, step) for kind, number, step in calls if number == trial],
                             [("ask", None), ("report", 1), ("report", 2), ("tell", None)], "of every trial, in this order")

        # Told something else, the proposer goes another way: the log is what decides.
        changed = self.folder / "changed"
        shutil.copytree(out, changed)
        with sqlite3.connect(changed / "study.db") as database:
            database.execute("update lathe_call set value = 9 where kind = 'tell' and trial = 0")
        result = testing.run("study", "replay", changed, check=1)
        self.assertRegex(result.stdout, r"^\d+ proposals are the same; that of trial \d+ differs: now it has ")
        self.assertFalse(result.stderr, result.stderr)

    def count(self, out):
        try:
            with sqlite3.connect(f"file:{out / 'study.db'}?mode=ro", uri=True) as database:
                return database.execute("select count(*) from trials").fetchone()[0]
        except sqlite3.OperationalError:
            return 0


if __name__ == "__main__":
    testing.main()
