#!/usr/bin/env python3
"""Recorded tables searched by Lathe and by Optuna and BoTorch in turns, seed by seed.

    bench/search/run.py --setup                     once: a Python with the peers, in build/bench/search/venv (needs make's torch)
    bench/search/run.py [--tasks macro-half,mobile] [--seeds 10] [--budget 150] [--peers tpe,gp,nsga2,botorch]
    bench/search/run.py --refresh lathe             Lathe again, the peers from their results
    bench/search/run.py --no-run --plot             only the table and docs/search-figures/*.svg of what is there

Results lie in build/bench/search/results, one file per tool, task, budget and seed; what is there is not run again.
"""

import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import time
from xml.sax.saxutils import escape

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import peer_python  # noqa: E402

ROOT = HERE.parent.parent
WORK = ROOT / "build/bench/search"
VENV = WORK / "venv"
FIGURES = ROOT / "docs/search-figures"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
PEERS = {"tpe": "Optuna TPE", "gp": "Optuna GP", "nsga2": "Optuna NSGA-II", "botorch": "BoTorch LogEI"}
PROPOSERS = ("bayes", "evolution", "sobol", "random")
# Okabe and Ito: told apart by the colour-blind; with dashes, in print too.
STYLES = {
    "lathe-bayes": ("#000000", ""), "lathe-evolution": ("#56b4e9", "6 3"), "lathe-sobol": ("#999999", "2 2"),
    "lathe-random": ("#999999", ""), "tpe": ("#e69f00", ""), "gp": ("#009e73", ""), "nsga2": ("#cc79a7", "6 3"),
    "botorch": ("#d55e00", ""),
}

# --- The peers' Python ----------------------------------------------------------------------------------------------

WHEELS = """
optuna==5.0.0 alembic==1.20.1 colorlog==6.12.0 mako==1.4.3 markupsafe==3.0.4 numpy==2.4.6 packaging==26.3 pyyaml==6.0.4
sqlalchemy==2.1.9 tqdm==4.70.1 typing-extensions==4.16.0 scipy==1.17.1
botorch==0.18.1 gpytorch==1.15.2 linear-operator==0.6.1 pyre-extensions==0.0.32 multipledispatch==1.0.0 threadpoolctl==3.8.0
jaxtyping==0.3.11 wadler-lindig==0.1.8 mpmath==1.4.1 sympy==1.14.0 networkx==3.6.1 jinja2==3.1.6 fsspec==2026.9.0 filelock==4.3.1
scikit-learn==1.9.1 joblib==1.6.0 typing-inspect==0.9.0 mypy-extensions==1.2.0 setuptools==65.5.0
""".split()


# --- Runs -----------------------------------------------------------------------------------------------------------


def result_path(tool, task, budget, seed):
    return WORK / "results" / f"{tool}--{task}--b{budget}--s{seed}.json"


def lathe_command(tool, task, flags, seed):
    command = [flags.lathe, "--json", "--quiet", "--seed", seed, "simulate", task["path"], "--params", ",".join(task["params"]),
               "--objective", task["objective"], "--maximize" if task["maximize"] else "--minimize",
               "--proposer", tool.removeprefix("lathe-"), "--budget", flags.budget, "--seeds", 1]
    for column, most in task["limits"]:
        command += ["--constraint", f"{column}<={most!r}"]
    return command


def run(tool, name, task, flags, seed):
    path = result_path(tool, name, flags.budget, seed)
    if path.exists():
        return
    ours = tool.startswith("lathe-")
    command = lathe_command(tool, task, flags, seed) if ours else [
        VENV / "bin/python", HERE / "peers.py", tool, name, "--seed", seed, "--budget", flags.budget]
    began = time.perf_counter()
    done = subprocess.run([str(part) for part in command], env={**(os.environ if ours else peer_python.environment(VENV)), **ONE_THREAD},
                          capture_output=True, text=True)
    if done.returncode != 0:
        print(f"run.py: {tool} on {name}, seed {seed}: exit {done.returncode}: {done.stderr[-2000:]}", file=sys.stderr)
        return
    result = json.loads(done.stdout)
    if ours:
        one = result["seeds"][0]
        result = {key: one[key] for key in ("best_after", "to_optimum", "rows")} | {"ask_ms": [one["ask_p50_ms"]]}
    result["wall_s"] = round(time.perf_counter() - began, 3)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(result))
    aside.rename(path)
    print(f"{time.strftime('%H:%M:%S')} {name} seed {seed} {tool}: {result['to_optimum'] or '-'} "
          f"{result['best_after'][-1]:.6g} {result['wall_s']:.1f} s", file=sys.stderr, flush=True)


def collect(tools, name, flags):
    found = {}
    for tool in tools:
        paths = [result_path(tool, name, flags.budget, seed) for seed in seeds_of(flags)]
        results = [json.loads(path.read_text()) for path in paths if path.exists()]
        if results:
            found[tool] = results
    return found


def seeds_of(flags):
    return range(flags.first_seed, flags.first_seed + flags.seeds)


# --- The table ------------------------------------------------------------------------------------------------------


def quantile(values, q):
    """Between neighbours; infinity stays infinity."""
    ordered = sorted(values)
    at = q * (len(ordered) - 1)
    low, high = ordered[math.floor(at)], ordered[math.ceil(at)]
    return low if low == high else low + (at - math.floor(at)) * (high - low)


def feasible_values(task):
    return [float(row[task["objective"]]) for row in task["rows"] if all(float(row[column]) <= most for column, most in task["limits"])]


def label(tool):
    return PEERS.get(tool) or "Lathe " + tool.removeprefix("lathe-")


def lines_of(name, task, found, budget):
    values = feasible_values(task)
    for tool, results in found.items():
        needed = [result["to_optimum"] or math.inf for result in results]
        shown = [f"{q:g}" if math.isfinite(q) else f">{budget}" for q in (quantile(needed, q) for q in (0.5, 0.25, 0.75))]
        best = statistics.median_low([result["best_after"][-1] for result in results])
        rank = 1 + sum(value > best if task["maximize"] else value < best for value in values)
        ask = statistics.median(ms for result in results for ms in result["ask_ms"])
        wall = statistics.median(result["wall_s"] for result in results)
        yield [name, label(tool), str(len(results)), f"{shown[0]} [{shown[1]}-{shown[2]}]",
               f"{sum(map(math.isfinite, needed))}/{len(needed)}", f"{best:.5g}", f"{rank}", f"{ask:.2f}", f"{wall:.1f}"]


def print_table(lines):
    head = ["task", "tool", "seeds", "evaluations to optimum", "found", "best", "rank", "ask ms", "wall s"]
    widths = [max(len(line[c]) for line in [head, *lines]) for c in range(len(head))]
    for line in [head, ["-" * width for width in widths], *lines]:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths)) + " |")


# --- Plots ----------------------------------------------------------------------------------------------------------


def plot(name, task, found, budget):
    """Regret against evaluations: median over the seeds, band between the quartiles, logarithmic."""
    values = feasible_values(task)
    optimum = max(values) if task["maximize"] else min(values)
    gaps = sorted({abs(value - optimum) for value in values})
    floor = gaps[1] / 2  # where "optimum found" is drawn
    curves = {}
    for tool, results in found.items():
        length = min(len(result["best_after"]) for result in results)
        per_step = [[max(floor, abs(result["best_after"][i] - optimum)) for result in results] for i in range(length)]
        curves[tool] = [[quantile(step, q) for step in per_step] for q in (0.25, 0.5, 0.75)]
    top = max(max(curve[2]) for curve in curves.values())
    width, height, left, right, upper, lower = 760, 440, 70, 170, 36, 52
    bottom, high = math.log10(floor) - 0.05, math.log10(top) + 0.05

    def x(i):
        return left + (width - left - right) * i / budget

    def y(value):
        return height - lower - (height - upper - lower) * (math.log10(value) - bottom) / (high - bottom)

    def text(at, down, content, anchor="middle", more=""):
        return f'<text x="{at:.1f}" y="{down:.1f}" text-anchor="{anchor}" {more}>{escape(content)}</text>'

    limits = ", ".join(f"{column} <= {most:.4g}" for column, most in task["limits"]) or "no limit"
    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           text(left, 22, f"{name}: {len(values)} feasible rows, {limits}", "start", 'font-weight="bold"')]
    ticks = [m * 10.0**e for e in range(math.floor(bottom), math.ceil(high) + 1) for m in (1, 2, 5)]
    for tick in ticks:
        if y(tick) < y(floor) - 14 and math.log10(tick) <= high:
            svg += [f'<path d="M{left} {y(tick):.1f}H{width - right}" stroke="#dddddd"/>', text(left - 8, y(tick) + 4, f"{tick:g}", "end")]
    svg += [f'<path d="M{left} {y(floor):.1f}H{width - right}" stroke="#888888" stroke-dasharray="1 3"/>',
            text(left - 8, y(floor) + 4, "optimum", "end")]
    step = next(s for s in (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 10**4, 10**5, 10**6) if budget / s <= 8)
    for tick in range(0, budget + 1, step):
        svg += [f'<path d="M{x(tick):.1f} {height - lower}v5" stroke="black"/>', text(x(tick), height - lower + 20, str(tick))]
    svg += [f'<path d="M{left} {upper}V{height - lower}H{width - right}" fill="none" stroke="black"/>',
            text((left + width - right) / 2, height - 12, "evaluations"),
            text(0, 0, f"regret in {task['objective']}", "middle", f'transform="translate(16 {(upper + height - lower) / 2}) rotate(-90)"')]
    for tool, (quarter, _, three) in curves.items():
        there = [f"{x(i + 1):.1f} {y(v):.1f}" for i, v in enumerate(quarter)]
        back = [f"{x(i + 1):.1f} {y(v):.1f}" for i, v in reversed(list(enumerate(three)))]
        svg.append(f'<path d="M{"L".join(there + back)}Z" fill="{STYLES[tool][0]}" fill-opacity="0.12"/>')
    for place, (tool, (_, median, _)) in enumerate(curves.items()):
        colour, dash = STYLES[tool]
        line = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        svg.append(f'<path d="M{"L".join(f"{x(i + 1):.1f} {y(v):.1f}" for i, v in enumerate(median))}" {line}/>')
        down = upper + 14 + 22 * place
        svg += [f'<path d="M{width - right + 12} {down}h26" {line}/>', text(width - right + 44, down + 4, label(tool), "start")]
    FIGURES.mkdir(parents=True, exist_ok=True)
    (FIGURES / f"{name}.svg").write_text("\n".join([*svg, "</svg>", ""]))


# --- Options --------------------------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="make the peers' Python and stop")
    parser.add_argument("--tasks", default="macro-half,macro-all,macro-params,macro-40m,mobile,gpunet,curves")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--budget", type=int, default=150)
    parser.add_argument("--peers", default=",".join(PEERS), help="of tpe, gp, nsga2, botorch; '' for none")
    parser.add_argument("--proposers", default=",".join(PROPOSERS), help="of lathe simulate; '' for none")
    parser.add_argument("--workers", type=int, default=1, help="runs at the same time; more than one disturbs the times")
    parser.add_argument("--refresh", default="", help="tools whose results are forgotten first; 'lathe' is all its proposers")
    parser.add_argument("--lathe", type=pathlib.Path, default=ROOT / "build/lathe")
    parser.add_argument("--no-run", action="store_true", help="only what is there")
    parser.add_argument("--plot", action="store_true", help="write docs/search-figures/*.svg")
    flags = parser.parse_args()
    if flags.setup:
        return peer_python.make(VENV, WHEELS, "botorch, optuna")
    tables = peer_python.import_or_restart("tables", VENV)

    tools = [f"lathe-{p}" for p in flags.proposers.split(",") if p] + [p for p in flags.peers.split(",") if p]
    unknown = [tool for tool in tools if tool not in STYLES] + [name for name in flags.tasks.split(",") if name not in tables.TASKS]
    if unknown:
        sys.exit(f"run.py: unknown: {', '.join(unknown)}; tools: {', '.join(STYLES)}; tasks: {', '.join(tables.TASKS)}")
    refresh = [name for name in flags.refresh.split(",") if name]
    tasks = {name: tables.load(name) for name in flags.tasks.split(",")}
    jobs = [(tool, name, task, flags, seed) for name, task in tasks.items() for seed in seeds_of(flags) for tool in tools]
    if not flags.no_run:
        for tool, name, _, _, seed in jobs:
            if tool in refresh or tool.split("-")[0] in refresh:
                result_path(tool, name, flags.budget, seed).unlink(missing_ok=True)
        with concurrent.futures.ThreadPoolExecutor(flags.workers) as pool:
            list(pool.map(lambda job: run(*job), jobs))
    lines = []
    for name, task in tasks.items():
        found = collect(tools, name, flags)
        lines += lines_of(name, task, found, flags.budget)
        if flags.plot and found:
            plot(name, task, found, flags.budget)
    print_table(lines)


if __name__ == "__main__":
    main()
