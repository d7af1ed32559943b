#!/usr/bin/env python3
"""Stage 1 over the whole GPUNet space, ours and SciPy + NumPy in turns, one thread each; then the exact counts.

    bench/space/run.py [BUILD]      needs scipy in the Python that runs it

Prints a table of medians with the range in brackets, and the ratio.
"""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PROGRAM = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "build") / "bench/space_bench"
ROUNDS = 7
OURS, THEIRS = 1 << 25, 1 << 20  # points
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def call(*command):
    result = subprocess.run([str(part) for part in command], cwd=ROOT, env=ONE_THREAD, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def spread(values, digits=3):
    return f"{statistics.median(values):.{digits}g} ({min(values):.{digits}g}-{max(values):.{digits}g})"


def main():
    with tempfile.TemporaryDirectory() as tables:
        call(PROGRAM, "dump", tables)
        same = [call(PROGRAM, "sobol", THEIRS)["counts"], call(sys.executable, HERE / "sobol_peer.py", tables, THEIRS)["counts"]]
        print("same counts:", "yes" if same[0] == same[1] else f"NO: {same}")
        peers = {"SciPy + NumPy, encodings": ["--values"], "SciPy + NumPy, indices only": []}
        ours, theirs = [], {name: [] for name in peers}
        for _ in range(ROUNDS):
            ours.append(call(PROGRAM, "sobol", OURS)["per_second"])
            for name, flags in peers.items():
                theirs[name].append(call(sys.executable, HERE / "sobol_peer.py", tables, THEIRS, *flags)["per_second"])
        print("candidates per second, Lathe:", spread(ours))
        for name, rates in theirs.items():
            print(f"candidates per second, {name}: {spread(rates)}; ratio {spread([a / b for a, b in zip(ours, rates)])}")
    counts = [call(PROGRAM, "count") for _ in range(3)]
    for name in ("table_seconds", "count_seconds", "prepare_seconds", "draw_seconds", "peak_gib"):
        print(f"{name}:", spread([count[name] for count in counts]))
    big = call(PROGRAM, "sobol", 10**9)
    print(f"1e9 candidates: {big['seconds']:.1f} s, {big['peak_gib']:.3f} GiB")


if __name__ == "__main__":
    main()
