"""[evaluator] kind = "command": trials trained by a program of the user's own, well behaved and not, and the PyTorch example."""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import time

import lathe_testing as testing

sys.path.insert(0, str(testing.ROOT / "bench"))
import peer_python  # noqa: E402

NASTY = "it's a \"test\" $(touch pwned) `x`\nof {out} & co"
NETWORK = "mobilenet_v2@28x0.25"

# A training program without any training: MODE says how it behaves, by default by the trial's number.
PROGRAM = r'''
import json, os, pathlib, signal, subprocess, sys, time

job = json.loads(pathlib.Path(sys.argv[1]).read_text())
out = pathlib.Path(job["out"])
mode = os.environ.get("MODE", "")
if mode == "" and job["kind"] == "search":
    modes = json.loads(os.environ["MODES"])
    mode = modes[job["number"]] if job["number"] < len(modes) else "good"
starts = len(list(out.glob("start-*")))
(out / f"start-{starts}").write_text(str(os.getpid()))
state = out / "state"
epoch = int(state.read_text()) if state.exists() else 0
loss = 0.2 + 0.1 * job["number"]


def on_term(*_):
    (out / "sigterm").touch()
    if mode != "deaf":
        sys.exit(0)


signal.signal(signal.SIGTERM, on_term)


def say(text):
    with open(out / "metrics.jsonl", "a") as file:
        file.write(text)


def finish(text):
    (out / "result.json").write_text(text)
    sys.exit(0)


def train_weights():
    """What this program is too simple for: weights for the network, trained by Lathe for a moment."""
    data = out / "data.toml"
    data.write_text('kind = "idx"\npath = ' + json.dumps(job["data"]))
    subprocess.run([os.environ["LATHE"], "net", "train", job["network"], "--data", data, "--recipe", "quick", "--threads", "1", "--quiet",
                    "--set", "images_per_epoch=0", "--set", "batch=32", "--set", "learning_rate=0.05", "--epochs", "1", "--out", out / "lathe"], check=True)
    (out / "lathe/weights.safetensors").rename(out / "weights.safetensors")
    return json.loads((out / "lathe/metrics.jsonl").read_text().splitlines()[-1])["accuracy"]


print(f"{mode}: start {starts}, epoch {epoch}", flush=True)
if mode == "grandchild":
    child = subprocess.Popen(["sleep", "600"])
    (out / "child").write_text(str(child.pid))
    time.sleep(600)
if mode == "again" or mode == "again and again":
    say(json.dumps({"step": starts + 1 if mode == "again" else 1, "loss": loss}) + "\n")
    if starts < 2 or mode == "again and again":
        sys.exit(75)
if mode == "result of a death" and starts == 0:
    (out / "result.json").write_text('{"loss": 0.1, "accuracy": 0.9}')
    sys.exit(4)
if mode == "full disk":
    with open(out / "filler", "wb") as file:
        file.write(b"x" * (8 << 20))
pause = float(os.environ.get("PAUSE", "0.02"))
while epoch < job["epochs"]:
    time.sleep(pause)
    epoch += 1
    if mode in ("crash", "crash always") and epoch == 2 and (starts == 0 or mode == "crash always"):
        say('{"step": 2, "lo')
        print("epoch 2: 50 %\r\nValueError: a \"bad\" $(thing)\n\n", flush=True)
        sys.exit(3)
    if mode == "killed" and epoch == 2 and starts == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "junk":
        say("epoch done\n" + '{"loss": 0.1}\n')
    say(json.dumps({"step": epoch, "loss": loss, "accuracy": 1 / (1 + loss)}) + "\n")
    state.write_text(str(epoch))
if mode == "nan":
    finish(json.dumps({"loss": float("nan"), "accuracy": 0.1}))
if mode == "not json":
    finish("loss: 0.3")
if mode == "percent":
    finish('{"loss": 0.3, "accuracy": 91.2}')
if mode == "no loss":
    finish('{"accuracy": 0.5}')
if mode in ("nothing", "result of a death"):
    sys.exit(0)
if mode == "diverged":
    finish('{"error": "diverged\\nat epoch 4"}')
accuracy = 1 / (1 + loss)
if mode == "strange weights":
    (out / "weights.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
elif mode in ("weights alone", "weights for others"):
    header = json.loads(os.environ["HEADER"])
    metadata = header.pop("__metadata__")
    if mode == "weights for others":
        header["__metadata__"] = {"preprocessing": metadata["preprocessing"].replace("28", "32")}
    header = json.dumps(header).encode()
    (out / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"\0" * int(os.environ["BYTES"]))
elif job["kind"] != "search" and mode != "no weights":
    accuracy = train_weights()
finish(json.dumps({"loss": loss, "accuracy": accuracy + float(os.environ.get("BOAST", "0")), "starts": starts + 1}))
'''

STUDY = """
study.name = "own"
data = {{ kind = "idx", path = {data}, validation = 200 }}
space = {{ file = {space}, restrict.resolution = [28] }}
target.latency_ms = 20.0
latency.build_seconds = 3
stage1 = {{ points = 256, subspace_ms = [0.02, 1.0] }}
search = {{ proposer = "random", trials = {trials} }}
trial.epochs = 4
finalists = {{ count = 1, epochs = 2 }}
executor = {{ slots = 2 }}

[evaluator]
kind = "command"
command = {command}
environment = {{ LATHE = {lathe}, MODES = {modes} }}
"""


def alive(pid):
    """Dead, or a zombie that nobody has waited for yet."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


class ProgramTest(testing.TestCase):
    def setUp(self):
        super().setUp()
        self.home = self.folder / NASTY
        self.home.mkdir()
        (self.home / "my program.py").write_text(PROGRAM)
        self.command = [sys.executable, "my program.py", "{job}"]
        self.data = self.home / "data"
        testing.write_few_images(self.data, train=2000, test=500)

    def tearDown(self):
        self.assertFalse(list(self.folder.rglob("pwned")) + list(testing.ROOT.glob("pwned")), "a name was taken for a command")

    def steps(self, folder):
        return [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


class SearchTest(ProgramTest):
    def write_study(self, trials, modes, command=None):
        study = self.home / "study.toml"
        study.write_text(STUDY.format(trials=trials, space=json.dumps(f"{testing.ROOT}/configs/spaces/small-images.toml"), data=json.dumps(str(self.data)),
                                      command=json.dumps(command or self.command), lathe=json.dumps(testing.LATHE),
                                      modes=json.dumps(json.dumps(modes))))
        return study

    def test_whole_search(self):
        """One trial of each kind, side by side: what fails leaves its reason, what dies goes on, the rest becomes finalists."""
        expected = {
            "good": "", "crash": "", "killed": "", "junk": "", "again": "",
            "nan": "result.json: 'loss' is not finite", "not json": "result.json: not JSON",
            "percent": "'accuracy' is 91.2, expected a share from 0 to 1", "no loss": "its result has no metric 'loss'",
            "nothing": "result.json: the program ended without it", "result of a death": "result.json: the program ended without it",
            "diverged": "diverged at epoch 4",
            "crash always": "died 3 times, last: the program ended with exit code 3; it said last: ValueError: a \"bad\" $(thing)",
        }
        study, out = self.write_study(len(expected), list(expected)), self.home / "out"
        table = json.loads(testing.run("search", study, "--dir", out, "--json", check=0).stdout)
        trials = testing.run_json("study", "trials", out)
        self.assertEqual([trial["number"] for trial in trials], list(range(len(expected))))
        for trial, (mode, reason) in zip(trials, expected.items(), strict=True):
            folder = out / "trials" / f"{trial['number']:06}"
            self.assertEqual(trial["state"], "FAIL" if reason else "COMPLETE", f"{mode}: {trial}")
            self.assertIn(reason, trial["reason"], mode)
            self.assertEqual(self.steps(folder), [1] if mode == "crash always" else [1, 2, 3, 4], mode)
            if not reason:
                self.assertAlmostEqual(trial["metrics"]["loss"], 0.2 + 0.1 * trial["number"])
                self.assertEqual(trial["metrics"]["starts"], {"crash": 2, "killed": 2, "again": 3}.get(mode, 1), mode)
                self.assertAlmostEqual(trial["value"], trial["metrics"]["loss"] + 0.1 * trial["latency_us"] / 1000)
        self.assertIn("junk: start 0, epoch 0", (out / "trials/000003/log.txt").read_text())
        self.assertIn("metrics.jsonl:1: passed over: not JSON", (out / "trials/000003/log.txt").read_text())

        split = json.loads((out / "split.json").read_text())
        self.assertEqual((len(split["classes"]), len(set(split["validation"])), len(split["test"])), (10, 200, 500))
        finalist = table["networks"][0]
        self.assertTrue(finalist["meets_target"], finalist)
        self.assertEqual(finalist["origin"], "trial 0")
        self.assertGreater(finalist["accuracy_exported"], 0.15, "a network hardly trained beats guessing")
        for name in ("network.json", "weights.safetensors", "model.onnx", "card.md"):
            self.assertGreater((out / finalist["path"] / name).stat().st_size, 100, name)
        self.assertIn("my program.py", (out / finalist["path"] / "card.md").read_text())
        # What the study says of itself reads back, wherever it is; weights that came to harm are that network's end alone.
        for weights in out.glob("training/*/weights.safetensors"):
            weights.write_bytes(weights.read_bytes()[:-4] + struct.pack("<f", float("nan")))
        again = testing.run("search", out / "study.toml", "--dir", out, "--resume", "--json", check=3)
        self.assertIn("is not finite", json.loads(again.stdout)["networks"][0]["problem"])
        self.assertIn("is not finite", again.stderr)

    def test_pruned_trials_are_told(self):
        study = self.write_study(5, [])
        settings = ["pruning={rule=\"halving\",reduction=2,startup=1}", "executor.slots=1", "evaluator.environment.PAUSE='0.3'",
                    "evaluator.environment.BOAST='0.125'"]
        done = testing.run("search", study, "--dir", self.home / "out", *(part for setting in settings for part in ("--set", setting)), check=0)
        self.assertRegex(done.stderr, "finalist 01: its training reported an accuracy of .* do both mean the same images")
        trials = testing.run_json("study", "trials", self.home / "out")
        pruned = [trial for trial in trials if trial["state"] == "PRUNED"]
        self.assertEqual(trials[0]["state"], "COMPLETE")
        self.assertGreaterEqual(len(pruned), 2, trials)
        for trial in pruned:
            folder = self.home / "out/trials" / f"{trial['number']:06}"
            self.assertTrue((folder / "out/sigterm").exists(), trial)
            self.assertFalse((folder / "out/result.json").exists(), trial)

    def test_what_cannot_work_is_refused_before_anything_is_measured(self):
        for command, message in {
            "python3 train.py {netwrok}": "did you mean {network}?", "python3 train.py > log": "no shell runs this",
            "pyhton3-of-mine train.py": "there is no program 'pyhton3-of-mine' on PATH", "./train.sh {out}": "there is no program './train.sh' in",
            "python3 train.py {onnx}": "{onnx} needs onnx = true", "X=1 python3": "which is no program",
        }.items():
            study = self.write_study(1, [], command)
            result = testing.run("search", study, "--dir", self.home / "out", check=2)
            self.assertIn(message, result.stderr)
            self.assertIn("command", result.stderr)
            self.assertFalse((self.home / "out").exists())
        result = testing.run("search", study, "--dir", self.home / "out", "--set", "evaluator.folder=/no/such/folder",
                             "--set", "evaluator.command=python3", check=2)
        self.assertIn("/no/such/folder is no folder", result.stderr)


class TrialTest(ProgramTest):
    """lathe trial on folders made here, without a search around it."""

    def trial(self, mode="good", kind="search", command=None, epochs=4, folder="trial", evaluator="", **environment):
        folder = self.home / folder
        folder.mkdir(parents=True)
        network = testing.run_json("zoo", "show", NETWORK, "--channels", "1", "--classes", "10")
        (folder / "network.json").write_text(json.dumps(network))
        (self.home / "split.json").write_text(json.dumps({"format": "lathe-split", "version": 1, "validation": ["1"], "test": []}))
        variables = {"MODE": mode, "LATHE": testing.LATHE, **environment}
        config = f"""
            split_seed = 1
            split_file = {json.dumps(str(self.home / "split.json"))}
            data = {{ kind = "idx", path = {json.dumps(str(self.data))} }}
            recipe = {{ epochs = {epochs}, batch = 7, augmentation = {{ flip = true }} }}
            [evaluator]
            kind = "command"
            command = {json.dumps(command or self.command)}
            folder = {json.dumps(str(self.home))}
            environment = {{ {", ".join(f"{name} = {json.dumps(str(value))}" for name, value in variables.items())} }}
            {evaluator}"""
        (folder / "trial.json").write_text(json.dumps({
            "format": "lathe-trial", "version": 1, "number": 7, "study": "own", "kind": kind, "seed": 2**63, "processes": 1, "threads": 1,
            "config": config}))
        return folder

    def result(self, folder):
        return json.loads((folder / "result.json").read_text())

    def start(self, folder):
        return subprocess.Popen([testing.LATHE, "trial", str(folder)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def test_what_the_program_is_told(self):
        show = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ['OMP_NUM_THREADS'], sys.stdin.read()])); sys.exit(3)"
        command = [sys.executable, "-c", show, "{network}|{out}|{onnx}", "{job}", "{kind} {number} {seed} {epochs} {threads} {processes}",
                   "{data}", "{split}", "$(touch pwned) {{out}}", ""]
        folder = self.trial(command=command, evaluator="onnx = true")
        done = testing.run("trial", folder, check=1)
        self.assertIn("the program ended with exit code 3; it said last: [[", done.stderr)
        arguments, cwd, threads, typed = json.loads((folder / "log.txt").read_text())
        self.assertEqual(arguments, [f"{folder}/network.json|{folder}/out|{folder}/network.onnx", f"{folder}/job.json",
                                     "search 7 0 4 1 1", str(self.data), f"{self.home}/split.json", "$(touch pwned) {out}", ""])
        self.assertEqual((cwd, threads, typed), (str(self.home), "1", ""))
        job = json.loads((folder / "job.json").read_text())
        self.assertEqual({key: job[key] for key in ("study", "epochs", "judged_on", "data_kind")},
                         {"study": "own", "epochs": 4, "judged_on": "validation", "data_kind": "idx"})
        self.assertEqual(job["recipe"], {"epochs": 4, "batch": 7, "augmentation": {"flip": True}})
        self.assertGreater((folder / "network.onnx").stat().st_size, 1000)
        self.assertIn("exit code 3", (folder / "crash.txt").read_text())

    def test_stops_and_goes_on(self):
        folder = self.trial(epochs=20, PAUSE=0.1)
        for start in range(2):
            process = self.start(folder)
            wait_for(lambda: (folder / f"out/start-{start}").exists() and (folder / "metrics.jsonl").exists(), "an epoch")
            process.terminate()
            self.assertEqual(process.wait(30), 75, process.stderr.read())
            process.stderr.close()
            self.assertTrue((folder / "out/sigterm").exists())
            self.assertFalse((folder / "result.json").exists())
        testing.run("trial", folder, check=0)
        self.assertEqual(self.steps(folder), list(range(1, 21)))
        self.assertEqual(self.result(folder)["metrics"]["starts"], 3)
        progress = json.loads((folder / "progress.json").read_text())
        self.assertEqual(progress["steps"], 20)
        self.assertIn("has its result already", testing.run("trial", folder, check=0).stderr)

    def test_all_processes_die_with_the_trial(self):
        folder = self.trial("grandchild")
        process = self.start(folder)
        child = folder / "out/child"
        wait_for(lambda: child.exists() and child.read_text(), "the program's child")
        pids = [int(child.read_text()), int((folder / "out/start-0").read_text())]
        self.assertEqual([alive(pid) for pid in pids], [True, True])
        process.kill()
        process.communicate(timeout=30)
        wait_for(lambda: not any(alive(pid) for pid in pids), "the processes to die")
        # What is left behind by a program that ends does not stay either.
        folder = self.trial(command=["sh", "-c", "sleep 600 & echo $! >\"$1/child\"; echo '{\"accuracy\": 0.5}' >\"$1/result.json\"", "sh", "{out}"],
                            folder="left")
        testing.run("trial", folder, check=0)
        wait_for(lambda: not alive(int((folder / "out/child").read_text())), "the child to die")

    def test_signs_of_life(self):
        folder = self.trial(command=["sh", "-c", "for i in 1 2 3 4; do sleep 1.2; echo $i; done; sleep 3"])
        process = self.start(folder)
        progress, seen = folder / "progress.json", set()
        wait_for(lambda: seen.add(progress.stat().st_mtime_ns if progress.exists() else 0) or len(seen) >= 4, "signs of life", 30)
        process.kill()
        process.communicate()

    def test_asks_for_a_restart(self):
        folder = self.trial("again and again")
        testing.run("trial", folder, check=75)
        message = testing.run("trial", folder, check=1).stderr
        self.assertIn("asked to be started again (exit code 75), but had reported nothing new", message)

    def test_tasks_of_srun_run_the_program_together(self):
        """The second task waits until the first has said what there is to do, and writes nothing of its own."""
        command = ["sh", "-c", "echo task $SLURM_PROCID; [ $SLURM_PROCID = 1 ] || echo '{\"accuracy\": 0.5}' >\"$1/result.json\"", "sh", "{out}"]
        folder = self.trial(command=command)
        tasks = []
        for number in "1", "0":
            environment = {**os.environ, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": number}
            tasks.append(subprocess.Popen([testing.LATHE, "trial", folder], env=environment, stderr=subprocess.DEVNULL))
            time.sleep(0.5)
            if number == "1":
                self.assertFalse((folder / "log.txt").exists(), "the second task should wait")
        self.assertEqual([task.wait(60) for task in tasks], [0, 0])
        self.assertEqual(sorted((folder / "log.txt").read_text().split("\n")), ["", "task 0", "task 1"])
        self.assertEqual(self.result(folder)["metrics"], {"accuracy": 0.5})

    def test_the_program_of_the_documentation(self):
        script = re.search(r"```bash\n(.*?)```", (testing.ROOT / "docs/own-trainer.md").read_text(), re.DOTALL)[1]
        (self.home / "train.sh").write_text(script)
        trainer = self.home / "bin/my-trainer"
        trainer.parent.mkdir()
        trainer.write_text("#!/bin/sh\necho x >>trained\n[ \"$(wc -l <trained)\" != 3 ] || exit 1\necho '{\"loss\": 0.5, \"accuracy\": 0.75}'\n")
        trainer.chmod(0o755)
        folder = self.trial(command=["bash", "train.sh", "{network}", "{out}", "{epochs}"], PATH=f"{trainer.parent}:{os.environ['PATH']}")
        testing.run("trial", folder, check=1)  # dies in the third epoch, and goes on with it
        testing.run("trial", folder, check=0)
        self.assertEqual(self.steps(folder), [1, 2, 3, 4])
        self.assertEqual(len((folder / "out/trained").read_text().split()), 5)
        self.assertEqual(self.result(folder)["metrics"]["accuracy"], 0.75)

    def test_programs_that_do_not_start(self):
        for command, message in ((["no-such-program"], "is it installed"), (["./my program.py"], "Permission denied")):
            folder = self.trial(command=command, folder=f"trial of {message}")
            testing.run("trial", folder, check=2)
            self.assertIn(message, (folder / "crash.txt").read_text())

    def test_weights_of_finalists(self):
        network = json.loads(testing.run("zoo", "show", NETWORK, "--channels", "1", "--classes", "10", "--json", check=0).stdout)
        self.assertEqual(network["input"], [1, 28, 28])
        good = self.trial("good", "finalist", folder="good")
        testing.run("trial", good, check=0)
        self.assertTrue(self.result(good)["ok"], self.result(good))
        content = (good / "weights.safetensors").read_bytes()
        size = int.from_bytes(content[:8], "little")
        bare = {"HEADER": content[8:8 + size].decode(), "BYTES": len(content) - 8 - size}
        for mode, message, environment in (("no weights", "weights.safetensors: the program ended without it", {}),
                                           ("strange weights", "weights.safetensors", {}),
                                           ("weights alone", "its metadata has no 'preprocessing'", bare),
                                           ("weights for others", "makes 1 channels of 32 px, the network takes 1 of 28 px", bare)):
            folder = self.trial(mode, "baseline", folder=mode, **environment)
            testing.run("trial", folder, check=0)
            self.assertFalse(self.result(folder)["ok"], mode)
            self.assertIn(message, self.result(folder)["error"])
            self.assertFalse((folder / "weights.safetensors").exists(), mode)

    def test_a_full_disk_is_not_the_trials_fault(self):
        room = self.folder / "room"
        room.mkdir()
        if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", room]).returncode != 0:
            self.skipTest("SKIPPED: cannot mount a small file system here")
        self.addCleanup(subprocess.run, ["umount", str(room)])
        folder = self.trial("full disk", folder=str(room / "trial"))
        self.assertIn("there is no room left on the disk", testing.run("trial", folder, check=74).stderr)


class PyTorchTest(testing.TestCase):
    """examples/pytorch for real, in the Python that bench/train/run.py --setup makes."""

    VENV = testing.ROOT / "build/bench/train/venv"

    def setUp(self):
        super().setUp()
        self.environment = peer_python.environment(self.VENV)
        python = self.VENV / "bin/python"
        if not python.exists() or subprocess.run([python, "-c", "import torch"], env=self.environment, capture_output=True).returncode != 0:
            self.skipTest("SKIPPED: no Python with torch; bench/train/run.py --setup makes one")
        path = f"{testing.ROOT}/python:{self.environment['PYTHONPATH']}"
        self.settings = [f"evaluator.command={json.dumps([str(python), 'train.py', '{job}'])}",
                         f"evaluator.environment.PYTHONPATH={path}",
                         f"evaluator.environment.LD_LIBRARY_PATH={self.environment['LD_LIBRARY_PATH']}"]

    def search(self, *settings, **options):
        every = [part for setting in (*self.settings, *settings) for part in ("--set", setting)]
        return testing.run("search", testing.ROOT / "examples/pytorch/study.toml", "--dir", self.folder / "out", *every, **options)

    def test_example(self):
        testing.write_few_images(self.folder / "data", train=2000, test=500)
        done = self.search("data.kind=idx", f"data.path={self.folder / 'data'}", "data.validation=200", "target.latency_ms=20",
                           "stage1.subspace_ms=[0.02, 1.0]", "latency.build_seconds=3", "search.trials=1", "trial.images_per_epoch=0",
                           "trial.batch=64", "trial.learning_rate=0.05", "trial.epochs=3", "finalists.batch=64",
                           "finalists.learning_rate=0.05", "finalists.count=1", "finalists.epochs=2", "baselines.networks=[]", check=0)
        trial = testing.run_json("study", "trials", self.folder / "out")[0]
        self.assertEqual(trial["state"], "COMPLETE")
        finalist = json.loads((self.folder / "out/finalists.json").read_text())["networks"][0]
        self.assertGreater(finalist["accuracy_exported"], 0.3, "what PyTorch has learnt is in the exported file")
        self.assertNotIn("reported an accuracy", done.stderr, "Lathe and the program see the same pixels")
        self.assertIn("epoch 2: {'loss': ", (self.folder / "out" / finalist["training"] / "log.txt").read_text())
        self.continues_to_the_same(self.folder / "out/trials/000000")

    def continues_to_the_same(self, folder):
        """A trial that is stopped on the way gives the result of one that was not."""
        before = json.loads((folder / "result.json").read_text())["metrics"]
        for name in ("out/checkpoint.pt", "out/metrics.jsonl", "metrics.jsonl", "result.json"):
            (folder / name).unlink()
        process = subprocess.Popen([testing.LATHE, "trial", str(folder)], stderr=subprocess.DEVNULL)
        wait_for(lambda: (folder / "metrics.jsonl").exists(), "an epoch")
        process.terminate()
        self.assertEqual(process.wait(60), 75)
        testing.run("trial", folder, check=0)
        self.assertIn("continuing from step", (folder / "log.txt").read_text())
        after = json.loads((folder / "result.json").read_text())["metrics"]
        self.assertAlmostEqual(after["loss"], before["loss"], places=6)
        steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        self.assertEqual(steps, [1, 2, 3])


if __name__ == "__main__":
    testing.main()
