"""Orders to a search that runs: a trial is pruned, a network enqueued, and in the end the search stopped and continued."""

import signal
import subprocess
import time

import lathe_testing as testing


class OrdersTest(testing.TestCase):
    def wait_for(self, what, condition, seconds=90):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or self.search.poll() is not None:
                self.fail(f"waited for {what}: {self.log.read_text()[-3000:]}")
            time.sleep(0.1)

    def trials(self):
        return testing.run_json("study", "trials", self.out) if (self.out / "study.db").exists() else []

    def epochs(self, trial):
        file = self.out / f"trials/{trial:06}/metrics.jsonl"
        return len(file.read_text().splitlines()) if file.exists() else 0

    def test_orders(self):
        text = testing.tiny_study(trials=4, images=256).replace("epochs = 1", "epochs = 400", 1).replace("build_seconds = 6", "build_seconds = 2")
        study = self.folder / "study.toml"
        study.write_text(testing.on_few_images(text, self.folder / "data"))
        self.out, self.log = self.folder / "out", self.folder / "log"
        with open(self.log, "w") as log:
            self.search = subprocess.Popen([testing.LATHE, "search", study, "--dir", self.out], cwd=testing.ROOT, stdout=log, stderr=log)
        self.addCleanup(self.search.wait)
        self.addCleanup(self.search.kill)
        self.wait_for("an epoch", lambda: self.epochs(0) > 0)

        wanted = testing.run("space", "sample", "--space", testing.ROOT / "configs/spaces/small-images.toml", "--restrict", "resolution=28",
                             "--seed", "5", "--count", "1", check=0).stdout.strip()
        self.assertIn("tried next", testing.run("study", "enqueue", self.out, wanted, check=0).stdout)
        self.assertEqual(testing.run("study", "prune", self.out, 0, check=0).stdout, "trial 0 will be pruned\n")
        self.wait_for("the pruning", lambda: self.trials()[0]["state"] == "PRUNED")
        self.assertRegex(self.trials()[0]["reason"], r"pruned by hand after epoch \d+")
        self.wait_for("the enqueued network", lambda: any(list(t["params"].values()) == [int(v) for v in wanted.split(",")] for t in self.trials()))
        self.wait_for("the end of the order", lambda: not list((self.out / "orders").iterdir()))

        self.assertIn("trial 0 has ended already (PRUNED)", testing.run("study", "prune", self.out, 0, check=2).stderr)
        self.assertIn("there is no trial 99", testing.run("study", "prune", self.out, 99, check=2).stderr)
        self.assertIn("is that network already", testing.run("study", "enqueue", self.out, wanted, check=2).stderr)
        self.assertIn("no_such", testing.run("study", "enqueue", self.out, "no_such" * 100, check=2).stderr)
        self.assertIn("no_such", testing.run("study", "enqueue", self.out, "no_such", check=2).stderr)

        self.wait_for("a trial with an epoch", lambda: any(self.epochs(n) > 0 for n in (1, 2)))
        testing.run("study", "stop", self.out, check=0)
        self.assertEqual(self.search.wait(60), 130, self.log.read_text()[-3000:])
        self.assertIn("there is an order to stop", self.log.read_text())
        states = [trial["state"] for trial in self.trials()]
        self.assertIn("RUNNING", states)
        self.assertIn("no search is running", testing.run("study", "stop", self.out, check=2).stderr)

        # Given while nobody listens, it is done when the search goes on.
        open_trial = states.index("RUNNING")
        self.assertIn("when it is continued", testing.run("study", "prune", self.out, open_trial, check=0).stdout)
        with open(self.log, "w") as log:
            self.search = subprocess.Popen([testing.LATHE, "search", study, "--dir", self.out, "--resume"], cwd=testing.ROOT, stdout=log, stderr=log)
        self.wait_for("the pruning", lambda: self.trials()[open_trial]["state"] == "PRUNED")
        self.search.send_signal(signal.SIGINT)
        self.search.wait(60)
        self.assertEqual(testing.run("study", "replay", self.out, check=0).stdout.split(",")[1], " all the same\n")


if __name__ == "__main__":
    testing.main()
