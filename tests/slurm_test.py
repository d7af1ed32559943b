"""A search on a real Slurm cluster while the cluster misbehaves: every trial is counted once and continued, not restarted."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import lathe_testing as testing
import slurm_testing

STUDY = """
[executor]
kind = "slurm"
slots = {jobs}
threads_per_slot = {processes}
processes_per_trial = {processes}

[slurm]
poll_seconds = 0.5
save_seconds = 30
nodes = {processes}
{more}
"""


class SlurmTestCase(testing.TestCase):
    CLUSTER = {}

    def setUp(self):
        super().setUp()
        self.cluster = slurm_testing.Cluster(**self.CLUSTER)
        self.addCleanup(self.cluster.__exit__)
        self.cluster.__enter__()
        self.out = self.folder / "it's \"out\" $(touch hacked)\n%j"

    def slurm_study(self, trials, epochs, images, jobs=4, processes=1, more=""):
        text = testing.TINY_STUDY.format(root=testing.ROOT, trials=trials, images=images, finalist_images=256)
        text = text.split("[executor]")[0].replace("build_seconds = 6", "build_seconds = 2")
        text = text.replace("epochs = 1", f"epochs = {epochs}", 1)
        file = self.folder / "study.toml"
        file.write_text(testing.on_few_images(text, self.folder / "data") + STUDY.format(jobs=jobs, processes=processes, more=more))
        return file

    def start(self, study, *more):
        command = [testing.LATHE, "search", str(study), "--dir", str(self.out), *more]
        with open(self.folder / "search.log", "a") as log:
            self.search = subprocess.Popen(command, cwd=testing.ROOT, env=self.cluster.env, stdout=log, stderr=log)
        self.addCleanup(self.search.wait)
        self.addCleanup(self.search.kill)
        return self.search

    def log(self):
        return (self.folder / "search.log").read_text()

    def wait_for(self, what, condition, seconds=120):
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline or self.search.poll() not in (None, -signal.SIGKILL):
                self.fail(f"waited for {what}; {self.cluster.run('squeue', '--states=all', '--array', check=False)}\n{self.log()[-3000:]}")
            self.cluster.hurry()
            time.sleep(0.1)

    def epochs(self, trial):
        file = self.out / f"trials/{trial:06}/metrics.jsonl"
        return [json.loads(line)["step"] for line in file.read_text().splitlines()] if file.exists() else []

    def jobs(self):
        """The running trials' jobs: trial -> (job, node)."""
        found = {}
        for row in self.cluster.run("squeue", "--noheader", "--array", "--states=RUNNING", "--format=%i %N %K %j").splitlines():
            job, node, index, name = row.split()
            if name.startswith("lathe-tiny-"):
                found[int(name.rsplit("-", 1)[1]) + (int(index) if index != "N/A" else 0)] = (job, node)
        return found

    def trial_in_progress(self, but):
        """A running trial that has something to lose, with its job and node."""
        def look():
            for trial, (job, node) in self.jobs().items():
                if trial not in but and 2 <= len(self.epochs(trial)) <= 4:  # so it has a checkpoint
                    return trial, job, node
            return None
        return self.wait_for("a trial in progress", look)


class SlurmTest(SlurmTestCase):
    def test_nothing_is_lost_when_everything_fails(self):
        trials, epochs = 7, 7
        study = self.slurm_study(trials, epochs, images=1024)
        search = self.start(study)
        hit = {}

        trial, job, _ = self.trial_in_progress(but=hit)
        hit[trial] = "cancelled by somebody else"
        self.cluster.run("scancel", job)

        trial, job, node = self.trial_in_progress(but=hit)
        hit[trial] = None  # Slurm itself queues it again
        self.cluster.run("sbatch", "--partition=high", f"--nodelist={node}", "--output=/dev/null", "--wrap=sleep 1")
        self.wait_for("the preemption", lambda: trial not in self.jobs())

        trial, job, _ = self.trial_in_progress(but=hit)
        hit[trial] = None  # as before the time limit
        self.cluster.run("scancel", "--batch", "--signal=USR1", job)
        self.wait_for("the way back into the queue", lambda: trial not in self.jobs())

        trial, job, node = self.trial_in_progress(but=hit)
        hit[trial] = None
        self.cluster.kill_node(node)

        running = self.wait_for("running trials", lambda: set(self.jobs()) - set(hit))
        search.kill()
        search.wait()
        self.cluster.stop_controller()
        time.sleep(1)
        result = testing.run("search", study, "--dir", self.out, "--resume", env=self.cluster.env)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("cannot read Slurm's queue: Unable to contact slurm controller", result.stderr)
        self.cluster.start_controller()
        self.wait_for("Slurm", lambda: self.cluster.run("squeue", check=False).startswith(" "))
        search = self.start(study, "--resume", "--json")
        self.wait_for("the adoption", lambda: "already (" in self.log())
        self.cluster.stop_controller()
        self.wait_for("the warning", lambda: "Slurm does not answer" in self.log())
        self.cluster.start_controller()
        self.cluster.start_node(node)
        while search.poll() is None:
            self.cluster.hurry()
            time.sleep(0.2)
        self.assertIn(search.returncode, testing.SEARCHED, self.log()[-3000:])
        self.assertIn("Slurm answers again", self.log())

        found = testing.run_json("study", "trials", self.out)
        self.assertEqual([trial["number"] for trial in found], list(range(trials)))
        self.assertEqual({trial["state"] for trial in found}, {"COMPLETE"}, found)
        self.assertEqual(len({tuple(trial["params"].values()) for trial in found}), trials)
        for trial in range(trials):
            self.assertEqual(self.epochs(trial), list(range(1, epochs + 1)), f"trial {trial}: each epoch once")
        for trial in hit:
            log = (self.out / f"trials/{trial:06}/log.txt").read_text()
            self.assertRegex(log, r"continues after step [1-9]", f"trial {trial}")
        events = testing.run("study", "status", self.out, check=0).stdout
        self.assertIn("adopted", events)
        for trial, reason in hit.items():
            if reason:
                self.assertRegex(events, rf"trial {trial} restarted: Slurm job \S+ on n\d: {reason}")
        untouched = [trial for trial in range(trials) if trial not in hit and trial not in running]
        for trial in untouched:
            self.assertEqual(found[trial]["starts"], 1)
        self.assertEqual(testing.run("study", "replay", self.out, check=0).stdout, f"{trials} proposals, all the same\n")
        self.assertEqual(self.cluster.jobs(), [])
        self.assertEqual(list(self.folder.rglob("hacked")), [])

    def test_several_nodes_train_one_network(self):
        study = self.slurm_study(trials=1, epochs=6, images=1024, jobs=1, processes=2)
        search = self.start(study, "--json")
        trial, job, _ = self.trial_in_progress(but=())
        self.assertEqual(len(self.cluster.run("squeue", "--noheader", "--format=%D", f"--jobs={job}").split()), 1)
        self.cluster.run("scancel", "--batch", "--signal=USR1", job)
        self.wait_for("the way back into the queue", lambda: not self.jobs())
        while search.poll() is None:
            self.cluster.hurry()
            time.sleep(0.2)
        self.assertIn(search.returncode, testing.SEARCHED, self.log()[-3000:])
        self.assertEqual(self.epochs(0), list(range(1, 7)))
        log = (self.out / "trials/000000/log.txt").read_text()
        self.assertRegex(log, r"on n\[1-2\], start 1")
        self.assertRegex(log, r"continues after step [1-9]")

    def test_what_slurm_refuses_is_said_in_its_words(self):
        study = self.slurm_study(trials=2, epochs=1, images=256, more='partition = "no where"')
        result = testing.run("search", study, "--dir", self.out, env=self.cluster.env)
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn("invalid partition specified: no where", result.stderr)
        self.assertIn("Correct [slurm]", result.stderr)
        fixed = self.slurm_study(trials=2, epochs=1, images=256, more='setup = ["export NOTE=\\"set up\\"", "echo $NOTE"]')
        self.start(fixed, "--resume", "--json").wait(200)
        self.assertEqual({trial["state"] for trial in testing.run_json("study", "trials", self.out)}, {"COMPLETE"})
        self.assertIn("\nset up\n", (self.out / "trials/000000/log.txt").read_text())

    def test_a_held_job_says_why_it_waits_and_ctrl_c_ends_all(self):
        study = self.slurm_study(trials=4, epochs=50, images=4096, more='extra = ["--hold"]')
        search = self.start(study)
        self.wait_for("held jobs", lambda: self.cluster.jobs())
        self.wait_for("the reason", lambda: "JobHeldUser" in testing.run("study", "status", self.out).stdout)
        status = testing.run_json("study", "status", self.out)
        self.assertEqual({job["reason"] for job in status["jobs"]}, {"JobHeldUser"})
        self.cluster.run("scontrol", "release", self.cluster.jobs()[0][0])
        self.wait_for("a running trial", self.jobs)
        search.send_signal(signal.SIGINT)
        search.wait(60)
        self.assertEqual(search.returncode, 130, self.log())
        self.assertEqual([job for job in self.cluster.jobs() if job[2] != "COMPLETING"], [])
        self.assertEqual({trial["state"] for trial in testing.run_json("study", "trials", self.out)}, {"RUNNING"})


class AccountingTest(SlurmTestCase):
    CLUSTER = {"min_job_age": 2, "accounting": True}

    def test_the_accounts_know_what_the_queue_has_forgotten(self):
        search = self.start(self.slurm_study(trials=1, epochs=5, images=1024, jobs=1), "--json")
        trial, job, _ = self.trial_in_progress(but=())
        search.send_signal(signal.SIGSTOP)
        self.cluster.run("scancel", job)
        self.wait_for("Slurm to forget", lambda: job not in self.cluster.run("squeue", "--noheader", "--states=all", "--format=%A").split())
        search.send_signal(signal.SIGCONT)
        self.wait_for("the trial", lambda: testing.run_json("study", "trials", self.out)[trial]["state"] == "COMPLETE")
        search.send_signal(signal.SIGINT)  # finalists are not what this is about
        search.wait(60)
        events = testing.run("study", "status", self.out, check=0).stdout
        self.assertRegex(events, rf"trial {trial} restarted: Slurm job {job} on n\d: cancelled by somebody else")
        self.assertEqual(self.epochs(trial), list(range(1, 6)), "each epoch once")


if __name__ == "__main__":
    reason = slurm_testing.missing()
    if reason:
        print(f"SKIPPED: {reason}")
        sys.exit(77)
    testing.main()
