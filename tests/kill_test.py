"""SIGKILL at any moment, to the controller or to a trial: a resumed search counts every trial exactly once."""

import json
import os
import pathlib
import random
import signal
import subprocess
import time

import lathe_testing as testing

TRIALS = 6


def trial_processes(folder):
    """Process ids of `lathe trial` children working under `folder`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"trial" in command and any(part.startswith(str(folder).encode()) for part in command):
            found.append(int(entry.name))
    return found


class KillTest(testing.TestCase):
    def test_every_trial_is_counted_once(self):
        study = self.quick_study(trials=TRIALS, images=2048)
        out = self.folder / "out"
        chance = random.Random(11)
        # Controllers killed at moments spread over the whole job: while measuring, searching, training finalists.
        for round_number, seconds in enumerate((1.5, 8.0, 5.0, 4.0)):
            command = [testing.LATHE, "search", str(study), "--dir", str(out), "--resume", "--quiet"]
            controller = subprocess.Popen(command, cwd=testing.ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            deadline = time.monotonic() + seconds + chance.random() * 2
            while time.monotonic() < deadline and controller.poll() is None:
                victims = trial_processes(out)
                if round_number == 2 and victims:  # a trial dies alone; the controller starts it again
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    time.sleep(1)
                time.sleep(0.05)
            controller.kill()
            controller.wait()
            time.sleep(0.3)
            self.assertEqual(trial_processes(out), [], "trials die with their controller")
        table = json.loads(testing.run("search", study, "--dir", out, "--resume", "--json", check=0).stdout)
        self.assertTrue(table["networks"][0]["meets_target"])
        trials = testing.run_json("study", "trials", out)
        self.assertEqual([trial["number"] for trial in trials], list(range(TRIALS)))
        self.assertEqual({trial["state"] for trial in trials}, {"COMPLETE"}, trials)
        self.assertEqual(len({tuple(trial["params"].values()) for trial in trials}), TRIALS)
        self.assertEqual(testing.run("study", "replay", out, check=0).stdout, f"{TRIALS} proposals, all the same\n")
        self.assertEqual(sorted(p.name for p in (out / "trials").iterdir()), [f"{n:06}" for n in range(TRIALS)])


if __name__ == "__main__":
    testing.main()
