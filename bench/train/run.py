#!/usr/bin/env python3
"""Trainings and loaders by Lathe and by PyTorch with torchvision and timm, in turns; prints medians, ranges and ratios run by run.

    bench/train/run.py --setup                   once: a Python with the peers, in build/bench/train/venv (needs make's torch)
    bench/train/run.py [--tasks speed-memory,speed-jpeg,loader,accuracy,memory] [--rounds 3] [--cases mobilenet_v2]
    bench/train/run.py --refresh lathe           Lathe again, the peers from their results
    bench/train/run.py --no-run                  only the tables of what is there

Results lie in build/bench/train/results, one file per task, case, tool and round; what is there is not run again. Rates are medians over
the epochs after the first, without evaluation. Ratios are Lathe's over the peer's, of the same round.

eager   PyTorch as a careful user runs it: channels-last, fused optimisers, no waiting for values, flushed denormals, evaluation in
        inference mode; data in memory, or a DataLoader with persistent workers
tuned   the same with glibc told to keep freed memory, which Lathe tells it itself
compile the same as tuned with torch.compile
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import peer_python  # noqa: E402

ROOT = HERE.parent.parent
WORK = ROOT / "build/bench/train"
VENV = WORK / "venv"
FLOWERS = ROOT.parent / "shared/data/flowers"
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}

# --- The peers' Python ----------------------------------------------------------------------------------------------

WHEELS = """
torchvision==0.26.0 timm==1.0.31 pillow==13.0.0 numpy==2.4.6 filelock==4.3.1 sympy==1.14.0 mpmath==1.3.0 networkx==3.6.1 jinja2==3.1.6
markupsafe==3.0.4 fsspec==2026.9.0 typing-extensions==4.16.0 setuptools==65.5.0 pyyaml==6.0.4 huggingface-hub==2.4.0 safetensors==0.8.0
tqdm==4.70.1 packaging==26.4 httpx2==2.16.2 httpcore2==2.16.2 anyio==4.16.0 h11==0.16.0 idna==3.20 truststore==0.10.5 click==8.5.1
hf-xet==1.8.0 pytest==9.2.0 pluggy==1.7.0 iniconfig==2.3.1 pygments==2.21.0
""".split()


# --- Processes and their memory -------------------------------------------------------------------------------------


class MemorySampler(threading.Thread):
    """The largest sum of the proportional memory of a process and its descendants, in MiB, looked at every second."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0.0, threading.Event()

    def run(self):
        while not self.done.wait(1):
            self.peak = max(self.peak, sum(self.pss(pid) for pid in self.tree(self.pid)) / 1024)

    @staticmethod
    def pss(pid):
        try:
            text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration):
            return 0

    def tree(self, pid):
        try:
            children = " ".join(path.read_text() for path in pathlib.Path(f"/proc/{pid}/task").glob("*/children")).split()
        except OSError:
            children = []
        return [pid, *(deeper for child in children for deeper in self.tree(int(child)))]


def call(command, environment):
    """The last line of stdout as JSON, with seconds and peaks of memory; None if it failed."""
    errors = WORK / "stderr.txt"
    with open(errors, "w") as log:
        began = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        sampler = MemorySampler(process.pid)
        sampler.start()
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.done.set()
        sampler.join()
    if process.returncode != 0:
        print(f"run.py: exit {process.returncode}: {' '.join(map(str, command))}\n{errors.read_text()[-2000:]}", file=sys.stderr)
        return None
    return {**json.loads(output[output.index("{"):]), "wall_s": round(time.perf_counter() - began, 2), "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
            "peak_rss_mib": usage.ru_maxrss / 1024, "peak_pss_mib": sampler.peak}


# --- Trainings ------------------------------------------------------------------------------------------------------


def synthetic_cifar():
    """Noise in CIFAR-10's format: 6,400 and 256 images of 32 px. How fast a network learns does not depend on what."""
    folder = WORK / "cifar"
    if not (folder / "test_batch.bin").exists():
        folder.mkdir(parents=True, exist_ok=True)
        noise = random.Random(1)
        for name, count in (("data_batch_1.bin", 6400), ("test_batch.bin", 256)):
            (folder / name).write_bytes(b"".join(bytes([i % 10]) + noise.randbytes(3072) for i in range(count)))
    return folder


def data_file(kind, folder):
    path = WORK / f"{kind}.toml"
    path.write_text(f'kind = "{kind}"\npath = "{folder}"\n')
    return path


def network_file(name, channels, classes, flags):
    """Of the zoo, or SPACE:ENCODING; as Lathe itself would fit it to the data."""
    path = WORK / f"{name.split(':')[0]}-{channels}-{classes}.json"
    if ":" in name:
        space, encoding = name.split(":")
        command = ["space", "decode", "--space", ROOT / f"configs/spaces/{space}.toml", "-o", path, encoding]
    else:
        command = ["zoo", "export", "-o", path, name]
    subprocess.run([str(part) for part in [flags.lathe, "--quiet", *command]], stdout=subprocess.DEVNULL, check=True)
    network = json.loads(path.read_text())
    network["input"][0] = network["layers"][0]["in"][0] = channels
    network["layers"][-1]["out_channels"] = classes
    path.write_text(json.dumps(network))
    return path


def recipe_file(name, text):
    path = WORK / f"{name}.toml"
    path.write_text(text)
    return path


SPEED = """
epochs = 4
batch = 128
images_per_epoch = 2560
optimizer = "sgd"
learning_rate = 0.05
momentum = 0.9
weight_decay = 5e-4
schedule = "one-cycle"
warmup = 0.25
label_smoothing = 0.1
augmentation = { flip = true, pad_crop = 4 }
"""
JPEG = """
epochs = 5
batch = 64
optimizer = "sgd"
learning_rate = 0.02
schedule = "cosine"
warmup = 0.2
label_smoothing = 0.1
augmentation = { flip = true, random_resized_crop = true, rand_augment = 2, random_erasing = 0.2 }
"""
ACCURACY = """
epochs = 3
batch = 128
optimizer = "sgd"
learning_rate = 0.2
momentum = 0.9
weight_decay = 5e-4
schedule = "one-cycle"
warmup = 0.25
augmentation = { flip = true }
"""
# Name to Lathe's network and the peer's model.
NETWORKS = {"mobilenet_v2": ("mobilenet_v2", "torchvision:mobilenet_v2"), "efficientnet_b0": ("efficientnet_b0", "torchvision:efficientnet_b0"),
            "gpunet_0": ("gpunet_0", "lathe")}

def small_network(flags):
    """One of the small-images space for 28 px."""
    lines = subprocess.run([flags.lathe, "--quiet", "--seed", "7", "space", "sample", "--space", ROOT / "configs/spaces/small-images.toml",
                            "--channels", "1", "--classes", "10", "--count", "20"], capture_output=True, text=True, check=True).stdout.split()
    return "small-images:" + next(line for line in lines if line.startswith("28,"))


def training_cases(task, flags):
    """Name of case -> (what Lathe is called with, what the peer is called with, its tools)."""
    cases = {}
    if task in ("speed-memory", "memory"):
        folder = synthetic_cifar()
        recipe, data = recipe_file("speed", SPEED), data_file("cifar", folder)
        for name, (ours, model) in NETWORKS.items():
            network = network_file(f"{ours}@32", 3, 10, flags)
            for precision in ("f32", "bf16"):
                common = ["--recipe", recipe, "--set", f'precision="{precision}"', "--threads", flags.threads]
                cases[f"{name}-{precision}"] = ([network, "--data", data, *common], [network, "--data", folder, "--model", model, *common])
    elif task == "speed-jpeg" and FLOWERS.exists():
        recipe = recipe_file("jpeg", JPEG)
        network = network_file("mobilenet_v2@96", 3, 5, flags)
        for precision in ("f32", "bf16"):
            common = ["--data", FLOWERS, "--recipe", recipe, "--set", f'precision="{precision}"', "--threads", flags.threads]
            cases[f"mobilenet_v2-{precision}"] = ([network, *common], [network, *common, "--model", "torchvision:mobilenet_v2"])
    elif task == "accuracy":
        recipe, network = recipe_file("accuracy", ACCURACY), network_file(small_network(flags), 1, 10, flags)
        common = [network, "--recipe", recipe, "--threads", flags.threads, "--set"]
        for precision in ("f32", "bf16"):
            cases[f"fashion-mnist-{precision}"] = ([*common, f'precision="{precision}"'], [*common, f'precision="{precision}"'])
    return cases


def tools_of(task, flags):
    peers = [peer for peer in flags.peers.split(",") if peer]
    if task == "speed-jpeg":
        return ["lathe", *(f"{peer}-{workers}w" for peer in peers for workers in (1, 2))]
    return ["lathe", *(peers[:1] if task == "accuracy" else peers)]


def run_training(tool, ours, theirs, round_, flags):
    if tool == "lathe":
        folder = WORK / "scratch"
        shutil.rmtree(folder, ignore_errors=True)
        # A cache kept from an earlier round would decode nothing.
        environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
        return call([flags.lathe, "--json", "--quiet", "--seed", round_, "net", "train", *ours, "-o", folder / "out"], environment)
    peer, _, workers = tool.partition("-")
    environment = peer_python.environment(VENV) | (KEEP_MEMORY if peer in ("tuned", "compile") else {})
    more = ["--workers", workers[:-1]] if workers else []
    more += ["--compile"] if peer == "compile" else []
    return call([VENV / "bin/python", HERE / "pytorch_train.py", *theirs, "--seed", round_, *more], environment)


# --- Loaders --------------------------------------------------------------------------------------------------------

LOADER_CASES = {"full": ([], "full"), "crop-flip": (["--plain"], "light"), "evaluation": (["--evaluation"], "none")}


def loader_tools():
    return [f"lathe-{t}t" for t in (1, 2)] + [f"lathe-cached-{t}t" for t in (1, 2)] + [
        f"{backend}-{workers}w" for backend in ("pil", "tensor") for workers in (1, 2)]


def run_loader(tool, case, flags):
    theirs, augment = LOADER_CASES[case]
    kind, _, count = tool.rpartition("-")
    if kind.startswith("lathe"):
        cache = WORK / "scratch/cache"
        shutil.rmtree(cache, ignore_errors=True)
        program = flags.lathe.parent / "bench/loader_bench"
        return call([program, "--data", FLOWERS / "train", "--side", 96, "--batch", 64, "--threads", count[:-1], "--augment", augment,
                     "--epochs", 9, "--cache", cache if "cached" in kind else "none"], dict(os.environ))
    return call([VENV / "bin/python", HERE / "loader_peer.py", FLOWERS / "train", "--resolution", 96, "--batch", 64, "--workers", count[:-1],
                 "--backend", kind, *theirs], peer_python.environment(VENV))


# --- Rounds and results ---------------------------------------------------------------------------------------------


def result_path(task, case, tool, round_):
    task = "speed-memory" if task == "memory" else task  # the same runs
    return WORK / "results" / f"{task}--{case}--{tool}--r{round_}.json"


def keep(path, result):
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(result))
    aside.rename(path)


def rates(result):
    """Images per second: of the epochs after the first, and of the first."""
    epochs = result.get("epochs")
    if not epochs:
        return result["images_per_second"], None
    values = [epoch["images_per_second"] for epoch in epochs]
    return statistics.median(values[1:] or values), values[0]


def run_all(task, flags):
    cases = {name: None for name in LOADER_CASES} if task == "loader" else training_cases(task, flags)
    cases = {name: value for name, value in cases.items() if flags.cases in name}
    tools = loader_tools() if task == "loader" else tools_of(task, flags)
    if task == "loader" and not (flags.lathe.parent / "bench/loader_bench").exists():
        tools = [tool for tool in tools if not tool.startswith("lathe")]
        print("run.py: no loader_bench beside lathe, so only the peers run", file=sys.stderr)
    for round_ in range(1, flags.rounds + 1):
        for case, commands in cases.items():
            for tool in tools:
                path = result_path(task, case, tool, round_)
                if path.exists() or flags.no_run:
                    continue
                result = run_loader(tool, case, flags) if task == "loader" else run_training(tool, *commands, round_, flags)
                if result is None:
                    continue
                keep(path, result | {"load": os.getloadavg()[0]})
                print(f"{time.strftime('%H:%M:%S')} {task} {case} {tool} round {round_}: {rates(result)[0]:.1f} images/s, "
                      f"accuracy {result.get('accuracy')}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    return cases, tools


# --- Tables ---------------------------------------------------------------------------------------------------------


def spread(values, digits=3):
    return f"{statistics.median(values):.{digits}g} ({min(values):.{digits}g}-{max(values):.{digits}g})" if values else ""


MEASURES = {
    "speed-memory": [("images/s", lambda r: rates(r)[0])],
    "speed-jpeg": [("images/s", lambda r: rates(r)[0]), ("first epoch", lambda r: rates(r)[1]), ("PSS MiB", lambda r: r["peak_pss_mib"])],
    "loader": [("images/s", lambda r: rates(r)[0])],
    "accuracy": [("accuracy %", lambda r: 100 * r["accuracy"]), ("loss", lambda r: r["loss"]), ("images/s", lambda r: rates(r)[0])],
    "memory": [("RSS MiB", lambda r: r["peak_rss_mib"]), ("PSS MiB", lambda r: r["peak_pss_mib"])],
}


def lines_of(task, cases, tools, flags):
    for case in cases:
        found = {}
        for tool in tools:
            paths = {r: result_path(task, case, tool, r) for r in range(1, flags.rounds + 1)}
            found[tool] = {r: json.loads(path.read_text()) for r, path in paths.items() if path.exists()}
        for tool, results in found.items():
            if not results:
                continue
            line = [case, tool, str(len(results))]
            for _, measure in MEASURES[task]:
                line.append(spread([measure(result) for result in results.values()], 4))
            _, measure = MEASURES[task][0]
            base = found.get("lathe") or found.get("lathe-2t", {})
            ratios = [measure(base[r]) / measure(results[r]) for r in results if r in base]
            yield [*line, spread(ratios) if ratios and not tool.startswith("lathe") and task != "accuracy" else ""]


def print_table(task, lines):
    head = ["case", "tool", "rounds", *(name for name, _ in MEASURES[task]), "Lathe / it"]
    widths = [max(len(line[c]) for line in [head, *lines]) for c in range(len(head))]
    print(f"\n{task}")
    for line in [head, ["-" * width for width in widths], *lines]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="make the peers' Python and stop")
    parser.add_argument("--tasks", default="speed-memory,speed-jpeg,loader,accuracy,memory")
    parser.add_argument("--cases", default="", help="only those with this in their name")
    parser.add_argument("--rounds", type=int, default=3, help="also the seeds")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", default="eager,tuned", help="of eager, tuned, compile")
    parser.add_argument("--refresh", default="", help="tools whose results are forgotten first, by the start of their name")
    parser.add_argument("--lathe", type=pathlib.Path, default=ROOT / "build/lathe")
    parser.add_argument("--no-run", action="store_true", help="only what is there")
    flags = parser.parse_args()
    if flags.setup:
        return peer_python.make(VENV, WHEELS, "timm, torchvision")
    unknown = [task for task in flags.tasks.split(",") if task not in MEASURES]
    if unknown or set(flags.peers.split(",")) - {"eager", "tuned", "compile", ""}:
        sys.exit(f"run.py: tasks: {', '.join(MEASURES)}; peers: eager, tuned, compile")
    if not (VENV / "bin/python").exists():
        sys.exit("run.py: the peers are not there; 'run.py --setup' gets them")
    WORK.mkdir(parents=True, exist_ok=True)
    for name in filter(None, flags.refresh.split(",")):
        for task in flags.tasks.split(","):
            for path in (WORK / "results").glob(f"{'speed-memory' if task == 'memory' else task}--*--{name}*--r*.json"):
                if flags.cases in path.name.split("--")[1]:
                    path.unlink()
    for task in flags.tasks.split(","):
        print_table(task, list(lines_of(task, *run_all(task, flags), flags)))


if __name__ == "__main__":
    main()
