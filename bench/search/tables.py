#!/usr/bin/env python3
"""The tables that bench/search searches, as CSV files; the same bytes for the same SEED. Needs numpy.

    bench/search/tables.py [FOLDER]      default: build/bench/search/tables

A table has one row per network. `macro` is NAS-Bench-Macro, recorded trainings of all 6,561 networks; `macro-words` the same with letters for
its operations, `macro-curves` and `macro-noisy-curves` with an accuracy made up for each epoch. The others are made up. `mobile`, `gpunet`,
`curves`: accuracies that behave as those of mobile networks do (concave in every gene, saturating in log FLOPs, a few interactions, noise of a
training), for a random part of a space that nobody could record. `cell` and `cell-numbers`: all cells of six edges between four nodes, with five
operations, as in NAS-Bench-201. `widths`: all widths of five layers, as in NATS-Bench's size space. `training`: settings of a training, some of
them words, some of which diverge.
"""

import csv
import itertools
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


MACRO_GENES = [f"op{i}" for i in range(8)]


def recorded_macro():
    if not MACRO.exists():
        sys.exit(f"tables.py: no {MACRO}: NAS-Bench-Macro's table for CIFAR-10; without it, leave out the macro tasks")
    return sorted(json.loads(MACRO.read_text()).items())


def macro(path, operations="012"):
    rows = [[*(operations[int(c)] for c in name), repr(one["mean_acc"]), one["params"], one["flops"]] for name, one in recorded_macro()]
    write(path, MACRO_GENES + ["mean_acc", "params", "flops"], rows)


def macro_words(path):
    macro(path, operations="abc")


def macro_curves(path, spread=0.05, noise=0.4):
    """The recorded accuracy after 27 epochs, with curves that lead there: `spread` of how fast networks learn (large ones later), `noise`
    of a report."""
    random = np.random.default_rng([SEED, 4])
    recorded = recorded_macro()
    final = np.array([one["mean_acc"] for _, one in recorded])
    flops = np.array([one["flops"] for _, one in recorded])
    epochs = np.array([1, 2, 3, 4, 6, 8, 9, 12, 16, 18, 24, 27])
    log = np.log(flops)
    size = (log - log.min()) / (log.max() - log.min())
    gap = 30 + 10 * size + random.normal(0, 40 * spread, len(final))
    power = 0.8 - 1.67 * spread * size + random.normal(0, spread, len(final))
    curve = final[:, None] - gap[:, None] * (epochs[None] ** -power[:, None] - epochs[-1] ** -power[:, None])
    curve += random.normal(0, noise, curve.shape) * (1 - epochs / epochs[-1])[None]
    seconds = 60 + 540 * flops / flops.max()
    write(path, MACRO_GENES + [f"mean_acc_{e}" for e in epochs] + ["mean_acc", "flops", "seconds"],
          [[*name, *(f"{x:.3f}" for x in one), repr(float(a)), int(f), f"{s:.1f}"]
           for (name, _), one, a, f, s in zip(recorded, curve, final, flops, seconds)])


def macro_noisy_curves(path):
    macro_curves(path, spread=0.15, noise=0.8)


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


def cell(path, numbers=False):
    """Edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3; an edge without operation cuts off what only it leads to."""
    random = np.random.default_rng([SEED, 5])
    operations = ["none", "skip", "conv1x1", "conv3x3", "pool"]
    edges = np.array(list(itertools.product(range(5), repeat=6)))
    worth = (np.array([0, 0.35, 0.75, 1.0, 0.4]) + random.normal(0, 0.04, 5))[edges] * (1 + random.normal(0, 0.05, 6))
    present, convolutions = edges > 0, np.array([0, 0, 0.6, 1, 0])[edges]
    there = [np.ones(len(edges), bool)]
    quality, depth = [np.zeros(len(edges))], [np.zeros(len(edges))]
    edge = 0
    for node in (1, 2, 3):
        arrives, sum_, deepest = np.zeros(len(edges), bool), np.zeros(len(edges)), np.zeros(len(edges))
        for before in range(node):
            uses = present[:, edge] & there[before]
            arrives |= uses
            sum_ += uses * worth[:, edge] * (np.tanh(1.2 * quality[before]) if before else 1)
            deepest = np.maximum(deepest, uses * (depth[before] + convolutions[:, edge]))
            edge += 1
        there.append(arrives)
        quality.append(sum_)
        depth.append(deepest)
    score = 1.2 * np.tanh(0.6 * quality[3]) + 0.8 * np.tanh(0.9 * depth[3]) - 0.1 * np.maximum(0, depth[3] - 2.2)
    score = (score - score.min()) / (score.max() - score.min())
    acc = np.where(there[3], 10 + 64 * score**0.6, 10) + random.normal(0, 0.2, len(edges))
    flops = 10 + np.array([0, 0, 1.5, 12, 0])[edges].sum(1)
    write(path, [f"edge{i}" for i in range(6)] + ["accuracy", "flops"],
          [[*(row if numbers else [operations[o] for o in row]), f"{a:.3f}", f"{f:.1f}"] for row, a, f in zip(edges, acc, flops)])


def cell_numbers(path):
    cell(path, numbers=True)


def widths(path):
    random = np.random.default_rng([SEED, 6])
    eighths = np.array(list(itertools.product(range(1, 9), repeat=5)))
    weight = np.array([0.6, 0.8, 1.0, 1.2, 1.4]) * random.uniform(0.7, 1.3, 5)
    log = np.log(eighths / 8)
    acc = 46 - 7 * np.log1p(np.exp(-0.5 * log @ weight - 1)) - 0.18 * (np.diff(log, axis=1) ** 2).sum(1) + 0.8 * log @ weight
    for _ in range(4):
        a, b = random.choice(5, 2, replace=False)
        acc += random.normal(0, 0.25) * log[:, a] * log[:, b]
    acc += random.normal(0, 0.2, len(acc))
    channels = 8.0 * np.hstack([np.ones((len(eighths), 1)), eighths])
    flops = sum(side**2 * 9 * channels[:, i] * channels[:, i + 1] for i, side in enumerate([32, 32, 16, 16, 8])) / 1e6
    write(path, [f"width{i}" for i in range(5)] + ["accuracy", "flops"],
          [[*(8 * row), f"{a:.3f}", f"{f:.3f}"] for row, a, f in zip(eighths, acc, flops)])


def training(path, rows=6000):
    random = np.random.default_rng([SEED, 7])
    values = unique(np.stack([random.integers(0, n, 2 * rows) for n in (12, 8, 5, 4, 3, 6, 6)], 1), rows)
    rate, decay, batch, optimizer, augmentation, depth, width = values.T
    best_rate = np.array([5.0, 7.0, 3.5, 6.0])[optimizer] + 0.8 * (batch - 2) + 0.3 * (decay - 3)
    acc = 78 - 0.35 * (rate - best_rate) ** 2 - 0.12 * (decay - 4 - 0.5 * augmentation) ** 2
    acc += np.array([0, -0.6, -1.5, 0.5])[optimizer] + np.array([-0.8, 0, 0.4])[augmentation]
    acc += 2.5 * np.log(1 + depth) - 0.25 * (depth - 2) * (augmentation == 0) + 1.2 * np.log1p(width) - 0.1 * rate * (optimizer == 2)
    diverged = rate + (optimizer == 2) > 10.5
    acc = np.where(diverged, 10 + random.uniform(0, 3, len(acc)), np.maximum(acc, 12)) + random.normal(0, 0.15, len(acc))
    write(path, ["rate", "decay", "batch", "optimizer", "augmentation", "depth", "width", "accuracy", "flops"],
          [[f"{10 ** (-4 + 0.25 * r):.6f}", f"{10 ** (-6 + 0.5 * d):.8f}", 2 ** (5 + b), ["sgd", "adamw", "rmsprop", "lamb"][o],
            ["no", "weak", "strong"][s], e + 1, 16 * (w + 1), f"{a:.3f}", f"{(e + 1) * (w + 1) ** 2:.1f}"]
           for (r, d, b, o, s, e, w), a in zip(values, acc)])


MAKERS = {"macro": macro, "macro-words": macro_words, "macro-curves": macro_curves, "macro-noisy-curves": macro_noisy_curves,
          "mobile": mobile, "gpunet": gpunet, "curves": curves, "parallel-curves": parallel_curves, "cell": cell,
          "cell-numbers": cell_numbers, "widths": widths, "training": training}


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
    "macro-words": task("macro-words", "mean_acc", True, [("flops", "q0.5")]),
    "cell": task("cell", "accuracy", True),
    "cell-numbers": task("cell-numbers", "accuracy", True),
    "widths": task("widths", "accuracy", True, [("flops", "q0.5")]),
    "training": task("training", "accuracy", True, [("flops", "q0.5")]),
}
RESULTS = ("mean_acc", "accuracy", "loss", "params", "flops", "seconds")


def load(name, folder=FOLDER):
    """A task with its table's path, parameters and rows; makes the table where it is not there."""
    one = dict(TASKS[name], path=pathlib.Path(folder) / f"{TASKS[name]['table']}.csv")
    if not one["path"].exists():
        MAKERS[one["table"]](one["path"])
    with open(one["path"], newline="") as file:
        one["rows"] = list(csv.DictReader(file))
    one["params"] = [c for c in one["rows"][0] if c not in RESULTS and not c.startswith(("loss_", "mean_acc_"))]
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
