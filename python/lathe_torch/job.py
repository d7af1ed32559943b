"""A trial as Lathe hands it to a training program, and the program's answers. Needs no torch; docs/own-trainer.md describes the files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lathe_torch.description import LatheError

FORMAT = "lathe-job"
VERSION = 1
_PATHS = ("network", "out", "data", "split", "onnx")


@dataclass(frozen=True, kw_only=True)
class Job:
    study: str
    kind: str  # "search", "finalist" or "baseline"
    number: int
    seed: int  # below 2^31
    epochs: float
    threads: int  # of each process
    processes: int
    network: Path
    out: Path  # for the program's files; the same after a restart
    data: Path
    data_kind: str
    split: Path
    judged_on: str  # "validation": the images held back; "test"
    recipe: dict[str, Any]
    onnx: Path | None = None

    @staticmethod
    def read(path: str | os.PathLike[str]) -> Job:
        """Throws LatheError for a file that is no job."""
        source = os.fspath(path)
        try:
            table = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise LatheError(f"{source}: not JSON: {error}") from error
        if not isinstance(table, dict) or table.get("format") != FORMAT:
            raise LatheError(f"{source}: no file of format {FORMAT!r}; Lathe writes it, and names it where the command has {{job}}")
        if table.get("version") != VERSION:
            raise LatheError(f"{source}: this package reads version {VERSION}, the file has {table.get('version')!r}")
        known: dict[str, Any] = {key: Path(value) if key in _PATHS else value for key, value in table.items() if key in _NAMES}
        try:
            return Job(**known)
        except TypeError as error:
            raise LatheError(f"{source}: {error}") from error

    def held_back(self) -> set[str]:
        """The names of the training images on which trials of the search are judged: paths of pictures, or numbers in IDX and CIFAR files."""
        return set(json.loads(self.split.read_text(encoding="utf-8"))["validation"])

    def report(self, step: int, **values: float) -> None:
        """After an epoch, counted from 1. What was reported before a restart may be reported again."""
        with open(self.out / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")

    def finish(self, *, accuracy: float, **metrics: float) -> None:
        """The result: the accuracy (0 to 1) and, where the study's goal is "weighted", the loss. End with exit code 0 after it."""
        self._write_result({"accuracy": accuracy, **metrics})

    def fail(self, reason: str) -> None:
        """The result of a network that cannot be trained; it is not tried again. End with exit code 0 after it."""
        self._write_result({"error": reason})

    def _write_result(self, result: dict[str, Any]) -> None:
        (self.out / "result.json").write_text(json.dumps(result) + "\n", encoding="utf-8")


_NAMES = {field.name for field in fields(Job)}
