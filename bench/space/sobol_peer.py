"""Stage 1 in SciPy and NumPy: Sobol points, decoding, latency sums from tables, buckets. One thread.

    sobol_peer.py TABLES POINTS [--values]     TABLES: a folder written by `space_bench dump`

Prints JSON as `space_bench sobol` does. The tables are the same ones, so that both do the same work and must find the same counts.
With --values, points are decoded to the encodings themselves (224, 32, 3, ...), and these are looked up in the tables, as a script does
that keeps decoding and pricing apart; without, choices stay the indices that the tables are made for.
"""

import json
import pathlib
import sys
import time

import numpy as np
from scipy.stats import qmc

CHUNK = 1 << 16  # points at once: the fastest of 2^12 to 2^20 here


def load(folder):
    tables = json.loads((folder / "tables.json").read_text())
    for s, stage in enumerate(tables["stages"]):
        for name, kind in (("first", "f8"), ("rest", "f8"), ("next", "i4"), ("skip", "i4")):
            stage[name] = np.fromfile(folder / f"stage{s}.{name}", kind)
        stage["layers"] = np.array(stage["layers"], "i4")
    tables["tail"] = np.fromfile(folder / "tail", "f8")
    return tables


def through_values(tables, choices):
    encodings = [np.array(gene)[choice] for gene, choice in zip(tables["genes"], choices)]
    return np.array([np.searchsorted(gene, values) for gene, values in zip(tables["genes"], encodings)], np.int32)


def latencies(tables, sizes, points, values):
    choices = (points * sizes).astype(np.int32).T  # gene x point
    if values:
        choices = through_values(tables, choices)
    zero = np.zeros(points.shape[0], np.int32)
    pick = lambda gene: choices[gene] if gene >= 0 else zero
    state, latency = choices[0], np.zeros(points.shape[0])
    for stage in tables["stages"]:
        variant = sum((pick(gene) * stride for gene, stride in stage["axes"] if gene >= 0), start=zero)
        first = (state * stage["filters"] + pick(stage["filters_gene"])) * stage["variants"] + variant
        after = stage["next"][first]
        layers = stage["layers"][pick(stage["layers_gene"])]
        cost = stage["first"][first] + (layers - 1) * stage["rest"][after * stage["variants"] + variant]
        if stage["layers"][0] == 0:
            cost = np.where(layers == 0, 0.0, cost)
            after = np.where(layers == 0, stage["skip"][state], after)
        latency += cost
        state = after
    return latency + tables["tail"][state]


def main():
    tables, count, values = load(pathlib.Path(sys.argv[1])), int(sys.argv[2]), "--values" in sys.argv
    sizes = np.array([len(choices) for choices in tables["genes"]], float)
    edges = np.array(tables["edges_us"], float)
    start = time.perf_counter()
    sobol = qmc.Sobol(len(sizes), scramble=False, bits=32)
    counts = np.zeros(len(edges) + 1, np.int64)
    for begin in range(0, count, CHUNK):
        points = sobol.random(min(CHUNK, count - begin))
        counts += np.bincount(np.searchsorted(edges, latencies(tables, sizes, points, values), side="right"), minlength=len(counts))
    seconds = time.perf_counter() - start
    print(json.dumps({"points": count, "seconds": seconds, "per_second": count / seconds, "counts": counts.tolist()}))


if __name__ == "__main__":
    main()
