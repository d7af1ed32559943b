#!/usr/bin/env python3
"""The tables that bench/search searches, as CSV files; the same bytes for the same SEED. Needs numpy.

    bench/search/tables.py [FOLDER]      default: build/bench/search/tables

A table has one row per network. `macro` is NAS-Bench-Macro, recorded trainings of all 6,561 networks. The others are made up:
accuracies that behave as those of mobile networks do (concave in every gene, saturating in log FLOPs, a few interactions, noise of a
training), for a random part of a space that nobody could record.
"""

import csv
import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FOLDER = ROOT / "build/bench/search/tables"
MACRO = ROOT.parent / "shared/data/nas-bench-macro/nas-bench-macro_cifar10.json"
SEED = 20


def write(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    with open(aside, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    aside.rename(path)


def macro(path):
    if not MACRO.exists():
        sys.exit(f"tables.py: no {MACRO}: NAS-Bench-Macro's table for CIFAR-10; without it, leave out the macro tasks")
    table = json.loads(MACRO.read_text())
    rows = [[*name, repr(one["mean_acc"]), one["params"], one["flops"]] for name, one in sorted(table.items())]
    write(path, [f"op{i}" for i in range(8)] + ["mean_acc", "params", "flops"], rows)


def accuracy(random, genes, flops, noise, interactions=40):
    """Of rows of genes in 0..1: percent."""
    count = genes.shape[1]
    log = np.log(flops)
    size = (log - log.min()) / (log.max() - log.min())
    # Concave, each with a peak of its own, most of them near the larger end.
    peak, weight = random.uniform(0.5, 1.2, count), random.gamma(1.0, 0.25, count)
    result = 68 + 10 * (1 - np.exp(-2.5 * size)) / (1 - np.exp(-2.5)) - (weight * (genes - peak) ** 2).sum(1)
    for _ in range(interactions):
        a, b = random.choice(count, 2, replace=False)
        result += random.normal(0, 0.25) * (genes[:, a] - 0.5) * (genes[:, b] - 0.5)
    return result + random.normal(0, noise, len(genes))


def unique(rows, wanted):
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)][:wanted]


def mobile(path, rows=20000):
    """Five stages of 2-4 inverted residuals, kernel and expansion per layer, resolution; genes of absent layers at their lowest."""
    random = np.random.default_rng([SEED, 1])
    widths, strides, layers = [24, 40, 80, 112, 160], [2, 2, 2, 1, 2], 4
    columns = [f"depth{s}" for s in range(5)]
    columns += [f"{what}{s}{i}" for s in range(5) for i in range(layers) for what in ("k", "e")] + ["resolution"]
    made = 2 * rows
    depth = random.integers(2, 5, (made, 5))
    kernel, expansion = random.choice([3, 5, 7], (made, 5, layers)), random.choice([3, 4, 6], (made, 5, layers))
    present = np.arange(layers) < depth[:, :, None]
    kernel, expansion = np.where(present, kernel, 3), np.where(present, expansion, 3)
    resolution = random.choice(np.arange(160, 225, 16), made)
    values = unique(np.hstack([depth, np.stack([kernel, expansion], 3).reshape(made, -1), resolution[:, None]]), rows)
    depth, resolution = values[:, :5], values[:, -1].astype(float)
    ke = values[:, 5:-1].reshape(-1, 5, layers, 2)
    flops, params = (resolution / 2) ** 2 * 27 * 16, np.full(len(values), 2.5e6)
    side, before = resolution / 2, 16
    for s in range(5):
        for i in range(layers):
            inside = before * ke[:, s, i, 1]
            there = i < depth[:, s]
            output = side / (strides[s] if i == 0 else 1)
            flops += there * (side**2 * before * inside + output**2 * inside * (ke[:, s, i, 0] ** 2 + widths[s]))
            params += there * inside * (before + ke[:, s, i, 0] ** 2 + widths[s])
            side, before = output, widths[s]
    low, high = values.min(0), values.max(0)
    acc = accuracy(random, (values - low) / (high - low), flops, noise=0.1)
    write(path, columns + ["accuracy", "params", "flops"],
          [[*map(int, v), f"{a:.4f}", int(p), int(f)] for v, a, p, f in zip(values, acc, params, flops)])


def gpunet(path, rows=20000):
    """Six stages of filters, kernel, expansion, layers, squeeze-and-excitation and activation, the last two words; resolution."""
    random = np.random.default_rng([SEED, 2])
    filters = [(32, 80, 16), (48, 112, 16), (96, 192, 16), (112, 224, 16), (128, 416, 32), (256, 832, 64)]
    strides = [2, 2, 2, 1, 2, 1]
    columns, choices = ["resolution"], [np.arange(224, 513, 32)]
    for s, (low, high, step) in enumerate(filters):
        columns += [f"{name}{s}" for name in ("filters", "kernel", "expansion", "layers", "se", "act")]
        choices += [np.arange(low, high + 1, step), [3, 5], np.arange(2, 7), np.arange(1, 7), [0, 1], [0, 1]]
    values = unique(np.stack([random.choice(c, 2 * rows) for c in choices], 1), rows)
    side, before = values[:, 0] / 4.0, 32
    flops, params = side**2 * 4 * 27 * 32, np.full(len(values), 1.5e6)
    for s in range(6):
        width, kernel, expansion, layers, se, _ = values[:, 1 + 6 * s : 7 + 6 * s].T
        side = side / strides[s]
        for i in range(6):
            inside = before * expansion
            mixing = inside * kernel**2 * (before if s < 2 else 1)  # fused in the first two stages
            one = (0 if s < 2 else inside * before) + mixing + inside * width
            flops += (i < layers) * one * side**2
            params += (i < layers) * (one + se * inside**2 / 8)
            before = width
    genes = np.stack([(values[:, c] - min(choice)) / (max(choice) - min(choice)) for c, choice in enumerate(choices)], 1)
    acc = accuracy(random, genes, flops, noise=0.1)
    words = {"se": ["no", "yes"], "act": ["relu", "swish"]}
    text = [[words[c[:-1]][v] if c[:-1] in words else int(v) for c, v in zip(columns, row)] for row in values]
    write(path, columns + ["accuracy", "params", "flops"],
          [[*t, f"{a:.4f}", int(p), int(f)] for t, a, p, f in zip(text, acc, params, flops)])


def curves(path, rows=2000, epochs=27, crossing=1.0):
    """Loss after each epoch, for searches that stop trials early; large networks start slower, so curves cross, unless `crossing` is 0."""
    random = np.random.default_rng([SEED, 3])
    values = unique(random.integers(0, 4, (2 * rows, 8)), rows)
    genes = values / 3
    size = genes.mean(1)
    flops = 2e7 * np.exp(3 * size)
    final = 0.35 + (80 - accuracy(random, genes, flops, noise=0.1, interactions=12)) / 25
    slowness = crossing * size + (1 - crossing) / 2
    power = np.clip(0.9 - 0.4 * slowness + random.normal(0, 0.08 * max(crossing, 0.25), rows), 0.3, None)
    start = 1.2 + 0.8 * slowness + random.normal(0, 0.1 * max(crossing, 0.25), rows)
    epoch = np.arange(1, epochs + 1)
    loss = final[:, None] + start[:, None] * (epoch[None] ** -power[:, None] - epochs ** -power[:, None])
    loss[:, :-1] += random.normal(0, 0.012, (rows, epochs - 1))
    seconds = 60 + 540 * flops / flops.max()
    write(path, [f"x{i}" for i in range(8)] + [f"loss_{e}" for e in epoch] + ["loss", "seconds"],
          [[*v, *(f"{x:.5f}" for x in one), f"{one[-1]:.5f}", f"{s:.1f}"] for v, one, s in zip(values, loss, seconds)])


def parallel_curves(path):
    """The same networks, but early losses tell the last one well."""
    curves(path, crossing=0.0)


MAKERS = {"macro": macro, "mobile": mobile, "gpunet": gpunet, "curves": curves, "parallel-curves": parallel_curves}


def task(table, objective, maximize, limits=(), cost=None):
    """limits: column and the most it may be, a number or a quantile of the column as "q0.5"."""
    return {"table": table, "objective": objective, "maximize": maximize, "limits": limits, "cost": cost}


TASKS = {
    "macro-half": task("macro", "mean_acc", True, [("flops", "q0.5")]),
    "macro-all": task("macro", "mean_acc", True),
    "macro-params": task("macro", "mean_acc", True, [("params", 1.3e6)]),
    "macro-40m": task("macro", "mean_acc", True, [("flops", 40e6)]),
    "mobile": task("mobile", "accuracy", True, [("flops", "q0.4")]),
    "gpunet": task("gpunet", "accuracy", True, [("flops", "q0.3")]),
    "curves": task("curves", "loss", False, cost="seconds"),
}
RESULTS = ("mean_acc", "accuracy", "loss", "params", "flops", "seconds")


def load(name, folder=FOLDER):
    """A task with its table's path, parameters and rows; makes the table where it is not there."""
    one = dict(TASKS[name], path=pathlib.Path(folder) / f"{TASKS[name]['table']}.csv")
    if not one["path"].exists():
        MAKERS[one["table"]](one["path"])
    with open(one["path"], newline="") as file:
        one["rows"] = list(csv.DictReader(file))
    one["params"] = [c for c in one["rows"][0] if c not in RESULTS and not c.startswith("loss_")]
    one["limits"] = [(c, limit_of(one["rows"], c, most)) for c, most in one["limits"]]
    return one


def limit_of(rows, column, most):
    if not isinstance(most, str):
        return float(most)
    ordered = sorted(float(row[column]) for row in rows)
    return ordered[int(float(most[1:]) * (len(ordered) - 1))]


if __name__ == "__main__":
    for name, make in MAKERS.items():
        make(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else FOLDER) / f"{name}.csv")
