#!/usr/bin/env python3
"""One peer, one task, one seed; prints {"best_after": [...], "to_optimum": N or null, "ask_ms": [...], ...} as JSON.

    peers.py PEER TASK [--seed S] [--budget B]      PEER: tpe, gp, nsga2 (Optuna) or botorch

What keeps it fair, in doubt to the peer's advantage. All get the values of a number column in order, words as categories, and the limit.
Optuna samples the whole space and learns limits from violations, so
- a proposal over the limit is answered with its result and its violation, and is no evaluation, for FREE asks per evaluation of the
  budget;
- a proposal that was evaluated before or is not in the table (and, past that number of free asks, one over the limit) becomes the
  nearest row that is feasible and new: the trial takes that row's parameters, so the sampler learns what was really evaluated.
BoTorch is given the feasible rows to choose from and the limit's column as a further input, as Lathe is.
"""

import argparse
import json
import os
import sys
import time
import warnings

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

import numpy as np

import tables

FREE = {"tpe": 20, "nsga2": 20, "gp": 3}  # the GP's asks cost up to a second, cubic in the trials told
INITIAL = 8  # BoTorch's random rows


class Problem:
    def __init__(self, name):
        task = tables.load(name)
        rows, self.params = task["rows"], task["params"]
        self.sign = -1 if task["maximize"] else 1
        self.values = self.sign * np.array([float(row[task["objective"]]) for row in rows])  # to minimise
        costs = [[float(row[column]) for column, _ in task["limits"]] for row in rows]
        self.costs = np.array(costs).reshape(len(rows), -1)
        self.limits = np.array([most for _, most in task["limits"]])
        self.over = (self.costs / self.limits - 1).max(1) if len(self.limits) else np.full(len(rows), -1.0)
        self.feasible = self.over <= 0
        self.optimum = self.values[self.feasible].min()
        self.choices, self.ordinal, places = [], [], []
        for name in self.params:
            texts = [row[name] for row in rows]
            ordinal = all(is_number(text) for text in set(texts))
            choices = sorted(set(texts), key=float if ordinal else None)
            self.choices.append(choices)
            self.ordinal.append(ordinal)
            places.append([choices.index(text) for text in texts])
        self.places = np.array(places).T
        self.row_of = {tuple(place): row for row, place in enumerate(self.places.tolist())}
        self.points = self.unit()

    def unit(self):
        """Rows with ordinal values in 0..1 and one column per category."""
        columns = []
        for d, choices in enumerate(self.choices):
            if self.ordinal[d]:
                columns.append(self.places[:, d] / max(1, len(choices) - 1))
            else:  # halved: two rows of different categories are 1 apart
                columns += [(self.places[:, d] == c) * 0.5 for c in range(len(choices))]
        return np.stack(columns, 1)


def is_number(text):
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


class Record:
    """What was evaluated."""

    def __init__(self, problem, budget, seed):
        self.problem, self.rows, self.best, self.ask_ms, self.free = problem, [], [], [], 0
        self.new = problem.feasible.copy()
        self.random = np.random.default_rng(seed)
        self.budget = min(budget, int(self.new.sum()))

    def evaluate(self, row):
        self.rows.append(int(row))
        self.new[row] = False
        value = float(self.problem.values[row])
        self.best.append(min(value, self.best[-1]) if self.best else value)
        return value

    def json(self):
        found = next((i + 1 for i, best in enumerate(self.best) if best <= self.problem.optimum), None)
        return {"best_after": [self.problem.sign * best for best in self.best], "to_optimum": found, "rows": self.rows,
                "free_asks": self.free, "ask_ms": [round(ms, 2) for ms in self.ask_ms]}


def optuna_run(peer, problem, record, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    limit = {"constraints_func": lambda trial: [trial.user_attrs["over"]]} if len(problem.limits) else {}
    sampler = {
        "tpe": lambda: optuna.samplers.TPESampler(seed=seed, **limit),
        "gp": lambda: optuna.samplers.GPSampler(seed=seed, deterministic_objective=True, **limit),
        # Of the default 50, a budget of 150 would be three generations.
        "nsga2": lambda: optuna.samplers.NSGAIISampler(seed=seed, population_size=20, **limit),
    }[peer]()
    study = optuna.create_study(sampler=sampler)
    space = {
        name: optuna.distributions.IntDistribution(0, len(choices) - 1) if ordinal
        else optuna.distributions.CategoricalDistribution(choices)
        for name, choices, ordinal in zip(problem.params, problem.choices, problem.ordinal)
    }
    while len(record.rows) < record.budget:
        began = time.perf_counter()
        trial = study.ask(space)
        record.ask_ms.append(1e3 * (time.perf_counter() - began))
        place = [trial.params[name] if ordinal else choices.index(trial.params[name])
                 for name, choices, ordinal in zip(problem.params, problem.choices, problem.ordinal)]
        row = problem.row_of.get(tuple(place))
        if row is not None and not problem.feasible[row] and record.free < FREE[peer] * record.budget:
            record.free += 1
            trial.set_user_attr("over", float(problem.over[row]))
            study.tell(trial, float(problem.values[row]))
            continue
        if row is None or not record.new[row]:
            row = nearest(problem, record, place)
            take(study, trial, space, problem, row)
        trial.set_user_attr("over", float(problem.over[row]))
        study.tell(trial, record.evaluate(row))


def nearest(problem, record, place):
    """By the sum of the parameters' differences, each 1 at most; one at random of those as near."""
    rows = np.flatnonzero(record.new)
    far = np.zeros(len(rows))
    for d, choices in enumerate(problem.choices):
        apart = np.abs(problem.places[rows, d] - place[d])
        far += apart / max(1, len(choices) - 1) if problem.ordinal[d] else apart > 0
    return record.random.choice(rows[far <= far.min() + 1e-9])


def take(study, trial, space, problem, row):
    """Gives a running trial the parameters of a row."""
    for d, (name, distribution) in enumerate(space.items()):
        place = int(problem.places[row, d])
        value = place if problem.ordinal[d] else problem.choices[d][place]
        study._storage.set_trial_param(trial._trial_id, name, distribution.to_internal_repr(value), distribution)


def botorch_run(problem, record, seed):
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf_discrete
    from gpytorch.mlls import ExactMarginalLogLikelihood

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    low, high = problem.costs.min(0), problem.costs.max(0)
    points = torch.tensor(np.hstack([problem.points, (problem.costs - low) / (high - low)]), dtype=torch.double)
    values = -torch.tensor(problem.values, dtype=torch.double)  # BoTorch maximises
    first = np.random.default_rng(seed).permutation(np.flatnonzero(problem.feasible))[:INITIAL]
    for row in first[: record.budget]:
        record.ask_ms.append(0.0)
        record.evaluate(row)
    while len(record.rows) < record.budget:
        began = time.perf_counter()
        x, y = points[record.rows], values[record.rows].unsqueeze(-1)
        model = SingleTaskGP(x, y, outcome_transform=Standardize(1))
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        rows = np.flatnonzero(record.new)
        choices = points[rows]
        with torch.no_grad():
            best, _ = optimize_acqf_discrete(LogExpectedImprovement(model, best_f=y.max()), 1, choices)
        row = rows[int((choices - best).abs().sum(1).argmin())]
        record.ask_ms.append(1e3 * (time.perf_counter() - began))
        record.evaluate(row)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=[*FREE, "botorch"])
    parser.add_argument("task", choices=tables.TASKS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=int, default=150)
    flags = parser.parse_args()
    warnings.simplefilter("ignore")
    problem = Problem(flags.task)
    record = Record(problem, flags.budget, flags.seed)
    if flags.peer == "botorch":
        botorch_run(problem, record, flags.seed)
    else:
        optuna_run(flags.peer, problem, record, flags.seed)
    json.dump(record.json(), sys.stdout)


if __name__ == "__main__":
    main()
