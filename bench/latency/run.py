#!/usr/bin/env python3
"""Networks that a LUT never saw, timed by another program: OpenVINO's own Python, on exported files, some minutes later.

    bench/latency/run.py [--space SPACE.toml] [--minutes 45] [--pause 5] [--count 30] [--precision f32|int8] [--lut lut.json]
    bench/latency/run.py --again 10      lathe net time on the same networks twice, ten minutes apart
    bench/latency/run.py --drift 6       three networks in turns for six minutes: what of a figure another one of the same length repeats

Without --lut a table is built first. The random networks come at 96-256 px unless --space says otherwise. Everything
lies in build/bench/latency.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build/bench/latency"
LATHE = ROOT / "build/lathe"
VENV = WORK / "venv"


def lathe(*arguments, capture=True):
    done = subprocess.run([LATHE, *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE if capture else None, text=True, check=True)
    return done.stdout


def small_images(space):
    """The GPUNet space at 96-256 px."""
    text = space.read_text()
    line = next(line for line in text.splitlines() if line.startswith("resolution"))
    path = WORK / "space-96-256.toml"
    path.write_text(text.replace(line, "resolution = { from = 96, to = 256, step = 32 }"))
    return path


def random_networks(space, count, seed):
    table = lathe("space", "sample", "--space", space, "--count", count, "--seed", seed)
    for number, encoding in enumerate(table.split()):
        path = WORK / f"random-{number:02}.json"
        lathe("space", "decode", "--space", space, encoding, "--out", path)
        yield path


# Runs under the peers' Python: argv has threads and files, stdout gets their medians in us.
OUTSIDE = """
import json, statistics, sys, time
import numpy, openvino
threads, seconds, files = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
core, medians = openvino.Core(), []
for file in files:
    model = core.compile_model(file, "CPU", {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads,
                                             "INFERENCE_PRECISION_HINT": "f32"})  # or it computes in bf16 where the processor can
    request = model.create_infer_request()
    shape = request.get_input_tensor(0).shape
    request.get_input_tensor(0).data[:] = numpy.random.default_rng(1).standard_normal(list(shape)).astype(numpy.float32)
    for _ in range(10): request.infer()
    samples, start = [], time.perf_counter()
    while len(samples) < 30 or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        request.infer()
        samples.append(1e6 * (time.perf_counter() - begin))
    medians.append(statistics.median(samples))
print(json.dumps(medians))
"""


# argv has seconds and files; stdout gets, per file, the medians (us) of slices of 0.1 s, taken in turns with the others.
SLICES = """
import json, statistics, sys, time
import numpy, openvino
core, requests, slices, start = openvino.Core(), [], [[] for _ in sys.argv[2:]], time.perf_counter()
for file in sys.argv[2:]:
    model = core.compile_model(file, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"})
    requests.append(model.create_infer_request())
while time.perf_counter() - start < float(sys.argv[1]):
    for request, medians in zip(requests, slices):
        samples, begin = [], time.perf_counter()
        for _ in range(2): request.infer()
        while len(samples) < 3 or time.perf_counter() - begin < 0.1:
            now = time.perf_counter()
            request.infer()
            samples.append(1e6 * (time.perf_counter() - now))
        medians.append(statistics.median(samples))
    time.sleep(0.05)
print(json.dumps(slices))
"""


def outside(script, *arguments):
    """What a script for the peers' Python prints."""
    if not VENV.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
        subprocess.run([VENV / "bin/pip", "install", "--quiet", "numpy"], check=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "build/deps/python")}
    done = subprocess.run([VENV / "bin/python", "-c", script, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def ranks(values):
    order = sorted(range(len(values)), key=values.__getitem__)
    return [order.index(i) for i in range(len(values))]


def report(name, predicted, measured):
    errors = [p / m - 1 for p, m in zip(predicted, measured)]
    absolute = sorted(map(abs, errors))
    p95 = absolute[min(len(absolute) - 1, round(0.95 * (len(absolute) - 1)))]
    spearman = statistics.correlation(ranks(predicted), ranks(measured))
    print(f"{name}: {len(errors)} networks, MAPE {100 * statistics.mean(absolute):.1f} %, p95 {100 * p95:.1f} %, "
          f"bias {100 * statistics.mean(errors):+.1f} %, worst {100 * max(errors, key=abs):+.1f} %, Spearman {spearman:.4f}")


def predictions(networks, lut):
    return [json.loads(lathe("net", "show", network, "--lut", lut, "--json"))["predicted_us"] for network in networks]


def compare(name, networks, lut, precision):
    files = []
    for network in networks:
        file = WORK / f"{pathlib.Path(network).stem}-{precision}.onnx"
        lathe("net", "export", network, "--random", "--batch", 1, "--out", file, "--precision", precision)
        files.append(file)
    predicted, measured = predictions(networks, lut), outside(OUTSIDE, 1, 1.0, *files)
    for network, p, m in zip(networks, predicted, measured):
        print(f"  {pathlib.Path(network).stem:<20} predicted {p / 1000:8.3f} ms  measured {m / 1000:8.3f} ms  {100 * (p / m - 1):+6.1f} %")
    report(name, predicted, measured)
    for file in files:
        file.unlink()


def again(networks, minutes):
    def run():
        return [json.loads(lathe("net", "time", network, "--json"))["median_us"] for network in networks]
    first = run()
    time.sleep(60 * minutes)
    for network, a, b in zip(networks, first, run()):
        print(f"  {network:<20} {a / 1000:8.3f} ms, {minutes:g} minutes later {b / 1000:8.3f} ms: {100 * (b / a - 1):+.1f} %")


def drift(networks, minutes):
    files = []
    for network in networks:
        files.append(WORK / f"{network}.onnx")
        lathe("net", "export", network, "--random", "--out", files[-1])
    for network, slices in zip(networks, outside(SLICES, 60 * minutes, *files)):
        for seconds in (5, 10, 20, 40):
            each = round(len(slices) * seconds / (60 * minutes))
            figures = [statistics.median(slices[i:i + each]) for i in range(0, len(slices) - each + 1, each)]
            pairs = [abs(a / b - 1) for i, a in enumerate(figures) for b in figures[i + 2:]]
            if not pairs:  # too few minutes for figures of that length
                continue
            print(f"  {network:<22} {seconds:>2} s: spread {100 * statistics.stdev(figures) / statistics.mean(figures):.1f} %, "
                  f"{100 * statistics.mean(p < 0.03 for p in pairs):.0f} % of pairs within 3 %, worst {100 * max(pairs):.1f} %")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", type=pathlib.Path, default=ROOT / "configs/spaces/gpunet.toml", help="space that the table is built for")
    parser.add_argument("--minutes", type=float, default=45, help="of building the table")
    parser.add_argument("--pause", type=float, default=5, help="minutes between building and timing")
    parser.add_argument("--count", type=int, default=30, help="random networks")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--precision", default="f32", choices=["f32", "int8"])
    parser.add_argument("--lut", type=pathlib.Path, help="a table that is there already")
    parser.add_argument("--again", type=float, metavar="MINUTES", help="only time networks twice")
    parser.add_argument("--drift", type=float, metavar="MINUTES", help="only see how well figures repeat themselves")
    flags = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    if flags.again is not None:
        again(["mobilenet_v2", "gpunet_0", "efficientnet_b0@96"], flags.again)
        return
    if flags.drift is not None:
        drift(["mobilenet_v2@224", "mobilenet_v3_small@96", "gpunet_0"], flags.drift)
        return
    lut = flags.lut or WORK / f"lut-{flags.precision}.json"
    if not flags.lut:
        lathe("lut", "build", "--space", flags.space, "--minutes", flags.minutes, "--precision", flags.precision, "--out", lut, capture=False)
        time.sleep(60 * flags.pause)
    networks = list(random_networks(small_images(flags.space), flags.count, 1000 + flags.seed))
    compare("random, 96-256 px", networks, lut, flags.precision)
    zoo = [entry["name"] for entry in json.loads(lathe("zoo", "list", "--json"))]
    compare("zoo", zoo, lut, flags.precision)


if __name__ == "__main__":
    main()
