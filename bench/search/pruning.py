#!/usr/bin/env python3
"""What the rules of pruning save, and what they lose, by simulated searches of tables with curves.

    bench/search/run.py --setup; bench/search/pruning.py     a Python with numpy, then minutes
    bench/search/pruning.py --to-best [--rules none,halving] [--seeds 10] [--tables curves]

First the best network after some hours, then (alone with --to-best) the hours until the very best was found and those that as many trials took.
Networks are trained for 27 epochs. In `parallel-curves` an early loss tells the last one well; in `curves` large networks start slower, so
that the best one is in the middle of all after nine epochs. `macro-curves` and `macro-noisy-curves` are NAS-Bench-Macro's accuracies with made-up
curves.
"""

import argparse
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
TABLES = {  # flags of simulate: what is searched; the objective's column and its curve's are named alike
    "parallel-curves": ["--objective", "loss", "--constraint", "seconds<=250"],
    "curves": ["--objective", "loss", "--constraint", "seconds<=250"],
    "macro-curves": ["--objective", "mean_acc", "--maximize", "--constraint", "flops<=55398912"],
    "macro-noisy-curves": ["--objective", "mean_acc", "--maximize", "--constraint", "flops<=55398912"],
}
HOURS = (0.5, 1, 2, 4)
RULES = {"none": 90, "halving": 500, "median": 500, "forecast": 300}  # evaluations; they last for about four hours
TRIALS = 250  # until the best is found, or not


def simulate(path, rule, proposer, budget, seeds):
    what = TABLES[path.stem]
    command = [ROOT / "build/lathe", "--quiet", "--json", "simulate", path, *what, "--curve", f"{what[1]}_", "--cost", "seconds",
               "--params", ",".join(parameters_of(path)), "--proposer", proposer, "--pruning", rule, "--budget", budget, "--seeds", seeds]
    return json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout)["seeds"]


def parameters_of(path):
    with open(path, newline="") as file:
        return [column for column in next(csv.reader(file)) if column[0] in "xo"]  # x0, op0


def feasible_results(path):
    """Ascending, as losses."""
    what = TABLES[path.stem]
    column, most = what[-1].split("<=")
    sign = -1 if "--maximize" in what else 1
    with open(path, newline="") as file:
        return sign, sorted(sign * float(row[what[1]]) for row in csv.DictReader(file) if float(row[column]) <= float(most))


def best_after(seed, hours):
    ended = bisect.bisect_right(seed["ends_s"], 3600 * hours)
    return seed["best_after"][ended - 1] if ended else None


def hours_to(seed, sign, value):
    return next((end / 3600 for best, end in zip(seed["best_after"], seed["ends_s"]) if best is not None and sign * best <= value), float("inf"))


def after_hours(path, flags):
    sign, losses = feasible_results(path)

    def rank(seed, hours):
        best = best_after(seed, hours)
        return len(losses) if best is None else bisect.bisect_left(losses, sign * best) + 1

    for proposer in ("bayes", "random"):
        print(f"{path.stem}, {proposer}: median rank of the best after hours, of {len(losses)}; * all rows that the budget allows are tried")
        for rule in flags.rules.split(","):
            seeds = simulate(path, rule, proposer, RULES[rule], flags.seeds)
            over = min(seed["simulated_seconds"] for seed in seeds) / 3600
            ranks = (f"{hours:g} h: {statistics.median(rank(seed, hours) for seed in seeds):g}{'*' * (hours > over)}" for hours in HOURS)
            print(f"  {rule:10}", "  ".join(ranks), flush=True)


def to_best(path, flags):
    sign, losses = feasible_results(path)
    print(f"{path.stem}, bayes, {TRIALS} trials of which the best of {len(losses)} may be one: hours until it was found; hours in all")
    for rule in flags.rules.split(","):
        seeds = simulate(path, rule, "bayes", TRIALS, flags.seeds)
        hours = sorted(hours_to(seed, sign, losses[0]) for seed in seeds)
        ranks = sorted(bisect.bisect_left(losses, sign * seed["best_after"][-1]) + 1 for seed in seeds)
        print(f"  {rule:10} {statistics.median(hours):.2f} ({hours[0]:.2f} to {hours[-1]:.2f}); "
              f"{statistics.median(seed['simulated_seconds'] for seed in seeds) / 3600:.1f}; ranks in the end {ranks}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to-best", action="store_true")
    parser.add_argument("--rules", default=",".join(RULES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tables", default=",".join(TABLES))
    flags = parser.parse_args()
    tables = peer_python.import_or_restart("tables", VENV)
    for name in flags.tables.split(","):
        path = tables.FOLDER / f"{name}.csv"
        tables.MAKERS[name](path)
        if not flags.to_best:
            after_hours(path, flags)
        to_best(path, flags)


if __name__ == "__main__":
    main()
