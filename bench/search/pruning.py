#!/usr/bin/env python3
"""What the rules of pruning save, and what they lose: the best loss after some hours, by simulated searches of two made-up tables.

    bench/search/run.py --setup; bench/search/pruning.py     a Python with numpy, then minutes

Every network is trained for 27 epochs; networks of more than 250 seconds are left out. In `parallel-curves` an early loss tells the last one
well; in `curves` large networks start slower, so that the best one is in the middle of all after nine epochs.
"""

import bisect
import csv
import json
import pathlib
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))

import peer_python  # noqa: E402

VENV = ROOT / "build/bench/search/venv"
SECONDS = 250
HOURS = (0.5, 1, 2, 4)
RULES = {"none": 90, "halving": 500, "median": 500, "forecast": 300}  # evaluations; they last for about four hours
SEEDS = 10


def simulate(table, rule, proposer):
    command = [ROOT / "build/lathe", "--quiet", "--json", "simulate", table, "--objective", "loss", "--curve", "loss_", "--cost", "seconds",
               "--constraint", f"seconds<={SECONDS}", "--params", ",".join(f"x{i}" for i in range(8)), "--proposer", proposer,
               "--pruning", rule, "--budget", RULES[rule], "--seeds", SEEDS]
    return json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout)["seeds"]


def best_after(seed, hours):
    ended = bisect.bisect_right(seed["ends_s"], 3600 * hours)
    return seed["best_after"][ended - 1] if ended and seed["best_after"][ended - 1] is not None else float("inf")


def main():
    tables = peer_python.import_or_restart("tables", VENV)
    for name in ("parallel-curves", "curves"):
        path = tables.FOLDER / f"{name}.csv"
        tables.MAKERS[name](path)
        with open(path, newline="") as file:
            losses = sorted(float(row["loss"]) for row in csv.DictReader(file) if float(row["seconds"]) <= SECONDS)
        for proposer in ("bayes", "random"):
            print(f"{name}, {proposer}: median rank of the best after hours, of {len(losses)}; * all rows that the budget allows are tried")
            for rule in RULES:
                seeds = simulate(path, rule, proposer)
                ranks = [statistics.median(bisect.bisect_left(losses, best_after(seed, hours)) + 1 for seed in seeds) for hours in HOURS]
                over = [hours > min(seed["simulated_seconds"] for seed in seeds) / 3600 for hours in HOURS]
                print(f"  {rule:10}", "  ".join(f"{hours:g} h: {rank:g}{'*' * end}" for hours, rank, end in zip(HOURS, ranks, over)), flush=True)


if __name__ == "__main__":
    main()
