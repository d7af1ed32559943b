"""network.json (format "lathe-network", version 1) as plain values: read, checked, and nothing of torch."""

from __future__ import annotations

import difflib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

FORMAT = "lathe-network"
VERSION = 1
OPS = ("conv", "fused_irb", "irb", "tail")
PADDINGS = ("symmetric", "same", "valid")
ACTIVATIONS = ("none", "relu", "relu6", "swish", "hard_swish", "sigmoid", "hard_sigmoid")
_LIMIT = 65536

Shape = tuple[int, int, int]  # channels, height, width


class LatheError(ValueError):
    """What is wrong with a file or its use, where, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One block of a network; the names are those of network.json, which docs/files.md explains."""

    op: str
    shape: Shape  # of its input; "in" in the file
    out_channels: int
    act: str
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    mid_channels: int = 0
    expand: bool = True
    se_channels: int = 0
    se_act: str = "relu"
    se_gate: str = "sigmoid"
    padding: str = "symmetric"
    residual: bool = False
    hidden_channels: int = 0
    hidden_bias: bool = True
    hidden_act: str = "relu"
    bn_eps: float = 1e-3
    stage: int = 0

    def out_size(self, size: int) -> int:
        """Rows or columns of the output."""
        if self.op == "tail":
            return 1
        if self.padding == "same":
            return -(-size // self.stride)
        padded = size + 2 * (self.kernel // 2) * (self.padding == "symmetric")
        return 0 if padded < self.kernel else (padded - self.kernel) // self.stride + 1

    @property
    def out_shape(self) -> Shape:
        return self.out_channels, self.out_size(self.shape[1]), self.out_size(self.shape[2])

    def pads(self, size: int) -> tuple[int, int]:
        """Rows above and below, or columns left and right, that the spatial convolution pads."""
        if self.padding == "valid":
            return 0, 0
        if self.padding == "symmetric":
            return self.kernel // 2, self.kernel // 2
        total = max(0, (self.out_size(size) - 1) * self.stride + self.kernel - size)
        return total // 2, total - total // 2


@dataclass(frozen=True, kw_only=True)
class Network:
    name: str
    input: Shape
    layers: tuple[Layer, ...]  # the last one is the tail

    @property
    def classes(self) -> int:
        return self.layers[-1].out_channels


_KEYS = {("in" if field.name == "shape" else field.name): field for field in fields(Layer)}
_CHOICES = {"op": OPS, "padding": PADDINGS, **dict.fromkeys(("act", "se_act", "se_gate", "hidden_act"), ACTIVATIONS)}


def _nearest(word: object, words: tuple[str, ...]) -> str:
    found = difflib.get_close_matches(str(word), words, 1)
    return f"did you mean {found[0]!r}?" if found else f"known: {', '.join(words)}"


def _integer(value: object, where: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise LatheError(f"{where} is {value!r}, expected a whole number")
    if not least <= value <= most:
        raise LatheError(f"{where} is {value}, allowed is {least} to {most}")
    return value


def _shape(value: object, where: str) -> Shape:
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise LatheError(f"{where} is {value!r}, expected three numbers: channels, height, width")
    c, h, w = (_integer(part, where, 1, _LIMIT) for part in value)
    return c, h, w


def _value(key: str, value: object, where: str) -> Any:
    where = f"{where}: {key}"
    if key == "in":
        return _shape(value, where)
    if key in _CHOICES:
        if value not in _CHOICES[key]:
            raise LatheError(f"{where} is {value!r}, {_nearest(value, _CHOICES[key])}")
        return value
    if key == "bn_eps":
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 0.1:
            raise LatheError(f"{where} is {value!r}, it must be above 0 and at most 0.1")
        return struct.unpack("<f", struct.pack("<f", value))[0]  # as Lathe keeps it
    if _KEYS[key].type == "bool":
        if not isinstance(value, bool):
            raise LatheError(f"{where} is {value!r}, expected true or false")
        return value
    least = 1 if key in ("kernel", "stride", "groups", "out_channels") else 0
    return _integer(value, where, least, {"kernel": 31, "stride": 4}.get(key, _LIMIT))


def _layer(table: object, where: str) -> Layer:
    if not isinstance(table, Mapping):
        raise LatheError(f"{where} is {table!r}, expected an object")
    for key in table:
        if key not in _KEYS:
            raise LatheError(f"{where}: unknown key {key!r}, {_nearest(key, tuple(_KEYS))}")
    op = _value("op", table.get("op"), where)
    needed = ["in", "out_channels", "act"]
    needed += [] if op == "tail" else ["kernel", "stride"]
    needed += [] if op == "conv" else ["mid_channels"]
    for key in needed:
        if key not in table:
            raise LatheError(f"{where} ({op}): {key!r} is missing")
    values = {("shape" if key == "in" else key): _value(key, value, where) for key, value in table.items()}
    return Layer(**values)


def _check(layer: Layer, where: str, last: bool) -> None:
    def fail(problem: str) -> None:
        raise LatheError(f"{where} ({layer.op}): {problem}")

    if (layer.op == "tail") != last:
        fail("a network ends with its only tail")
    if layer.op == "tail" and (layer.stride != 1 or layer.residual):
        fail("stride and residual have no meaning here")
    if layer.op in ("tail", "fused_irb") and layer.groups != 1:
        fail("groups has no meaning here")
    if layer.op not in ("irb", "fused_irb") and layer.se_channels:
        fail("se_channels has no meaning here")
    if layer.op == "conv" and layer.mid_channels:
        fail("mid_channels has no meaning here")
    if layer.op != "conv" and not layer.mid_channels:
        fail("mid_channels is 0")
    if layer.op != "irb" and not layer.expand:
        fail("expand = false has a meaning for irb only")
    if layer.op != "tail" and layer.hidden_channels:
        fail("hidden_channels has a meaning for tail only")
    if not layer.expand and layer.mid_channels != layer.shape[0]:
        fail(f"without an expansion mid_channels ({layer.mid_channels}) must equal the input's channels ({layer.shape[0]})")
    if layer.kernel % 2 == 0:
        fail(f"kernel is {layer.kernel}, only odd sizes are supported")
    if min(layer.out_shape) < 1:
        fail(f"an image of {layer.shape[1]}x{layer.shape[2]} is smaller than the kernel of {layer.kernel}")
    divided = {"out_channels": layer.out_channels, "mid_channels": layer.mid_channels if layer.op == "irb" else 0,
               "the input's channel count": layer.shape[0] if layer.expand else 0}
    for what, channels in divided.items():
        if channels % layer.groups:
            fail(f"{what} ({channels}) is not a multiple of groups ({layer.groups})")
    if layer.residual and (layer.stride != 1 or layer.shape != layer.out_shape):
        fail(f"residual needs stride 1 and an output of the input's shape, {layer.shape} becomes {layer.out_shape}")
    if layer.op != "tail" and layer.pads(layer.shape[1]) != layer.pads(layer.shape[2]):
        fail("SAME padding differs between rows and columns, use a square image or symmetric padding")


def parse_network(document: object, source: str = "network") -> Network:
    """Checks everything that torch could not, or would not, complain about."""
    if isinstance(document, list):
        raise LatheError(f"{source}: a list, as NVIDIA's GPUNet files are; 'lathe net show --json FILE' makes a network.json of it")
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        found = document.get("format") if isinstance(document, Mapping) else type(document).__name__
        raise LatheError(f"{source}: format is {found!r}, expected {FORMAT!r}")
    if document.get("version") != VERSION:
        raise LatheError(f"{source}: this package reads version {VERSION}, the file has {document.get('version')!r}")
    keys = ("format", "version", "name", "input", "layers")
    for key in document:
        if key not in keys:
            raise LatheError(f"{source}: unknown key {key!r}, {_nearest(key, keys)}")
    name, tables = document.get("name"), document.get("layers")
    if not isinstance(name, str):
        raise LatheError(f"{source}: name is {name!r}, expected a text")
    if not isinstance(tables, (list, tuple)) or not tables:
        raise LatheError(f"{source}: layers is {tables!r}, expected a list of layers")
    shape = _shape(document.get("input"), f"{source}: input")
    layers = tuple(_layer(table, f"{source}: layer {i}") for i, table in enumerate(tables))
    before = shape
    for i, layer in enumerate(layers):
        if layer.shape != before:
            raise LatheError(f"{source}: layer {i} ({layer.op}): in is {layer.shape}, but "
                             f"{'the input of the network is' if i == 0 else 'the layer before gives'} {before}")
        _check(layer, f"{source}: layer {i}", i + 1 == len(layers))
        before = layer.out_shape
    return Network(name=name, input=shape, layers=layers)


def read_network(path: str | os.PathLike[str]) -> Network:
    """Throws LatheError, with the file's name, for anything that Lathe would not read."""
    with open(path, encoding="utf-8") as file:
        try:
            document = json.load(file)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise LatheError(f"{os.fspath(path)}: not JSON: {error}") from error
    return parse_network(document, os.fspath(path))
