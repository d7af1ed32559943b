"""A network as a torch module. Submodules and parameters have the names of Lathe's tensors: "l07.expand.weight", "l07.expand.bn.bias"."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lathe_torch import safetensors
from lathe_torch.description import Layer, LatheError, Network, parse_network, read_network
from lathe_torch.preprocessing import Preprocessing

_ACTIVATIONS: dict[str, Any] = {
    "none": nn.Identity,
    "relu": lambda: nn.ReLU(inplace=True),
    "relu6": lambda: nn.ReLU6(inplace=True),
    "swish": lambda: nn.SiLU(inplace=True),
    "hard_swish": lambda: nn.Hardswish(inplace=True),
    "sigmoid": nn.Sigmoid,
    "hard_sigmoid": lambda: nn.Hardsigmoid(inplace=True),
}
# Mean and mean square of the activation of a standard normal number: what Lathe scales random weights by.
_MOMENTS = {"none": (0.0, 1.0), "relu": (0.40, 0.50), "relu6": (0.40, 0.50), "swish": (0.21, 0.36), "hard_swish": (0.21, 0.36),
            "sigmoid": (0.50, 0.29), "hard_sigmoid": (0.50, 0.29)}
# Of a batch norm: Lathe's names and torch's.
_STATISTICS = {"bn.mean": "bn.running_mean", "bn.var": "bn.running_var"}

Moments = tuple[float, float]


class Convolution(nn.Conv2d):
    """Convolution, batch norm (with bn_eps) or bias (without), activation."""

    def __init__(self, channels: int, out: int, act: str, *, bn_eps: float | None, kernel: int = 1, stride: int = 1, groups: int = 1,
                 pads: tuple[int, int] = (0, 0)) -> None:
        even = pads[0] == pads[1]
        super().__init__(channels, out, kernel, stride, pads[0] if even else 0, groups=groups, bias=bn_eps is None)
        self.uneven = None if even else (*pads, *pads)
        self.bn = nn.BatchNorm2d(out, eps=bn_eps) if bn_eps is not None else nn.Identity()
        self.act = _ACTIVATIONS[act]()
        self.act_name = act

    def forward(self, input: Tensor) -> Tensor:
        if self.uneven is not None:
            input = F.pad(input, self.uneven)
        result: Tensor = self.act(self.bn(super().forward(input)))
        return result

    @torch.no_grad()
    def initialise(self, moments: Moments, generator: torch.Generator | None) -> Moments:
        _normal(self, moments, generator)
        if isinstance(self.bn, nn.BatchNorm2d):
            self.bn.reset_parameters()
        return _MOMENTS[self.act_name]


class Linear(nn.Linear):
    def __init__(self, channels: int, out: int, act: str, bias: bool) -> None:
        super().__init__(channels, out, bias)
        self.act = _ACTIVATIONS[act]()
        self.act_name = act

    def forward(self, input: Tensor) -> Tensor:
        result: Tensor = self.act(super().forward(input))
        return result

    @torch.no_grad()
    def initialise(self, moments: Moments, generator: torch.Generator | None) -> Moments:
        _normal(self, moments, generator)
        return _MOMENTS[self.act_name]


def _normal(module: nn.Conv2d | nn.Linear, moments: Moments, generator: torch.Generator | None) -> None:
    fan_in = math.prod(module.weight.shape[1:])
    module.weight.normal_(0, math.sqrt(1 / (fan_in * moments[1])), generator=generator)
    if module.bias is not None:
        module.bias.zero_()


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, layer: Layer) -> None:
        super().__init__()
        self.reduce = Convolution(channels, layer.se_channels, layer.se_act, bn_eps=None)
        self.expand = Convolution(layer.se_channels, channels, layer.se_gate, bn_eps=None)

    def forward(self, input: Tensor) -> Tensor:
        gate: Tensor = self.expand(self.reduce(input.mean((2, 3), keepdim=True)))
        return input * gate

    def initialise(self, moments: Moments, generator: torch.Generator | None) -> Moments:
        gate = self.expand.initialise(self.reduce.initialise(moments, generator), generator)
        return moments[0] * gate[0], moments[1] * gate[1]


class Block(nn.Module):
    """conv, fused_irb or irb: convolutions in a row, and the input added. `drop`: the probability that one image skips the row."""

    def __init__(self, layer: Layer, drop: float) -> None:
        super().__init__()
        self.residual, self.drop = layer.residual, drop
        channels, mid, eps = layer.shape[0], layer.mid_channels, layer.bn_eps
        spatial: dict[str, Any] = dict(bn_eps=eps, kernel=layer.kernel, stride=layer.stride, pads=layer.pads(layer.shape[1]))
        if layer.op == "conv":
            self.conv = Convolution(channels, layer.out_channels, layer.act, groups=layer.groups, **spatial)
            return
        if layer.op == "fused_irb":
            self.expand = Convolution(channels, mid, layer.act, **spatial)
        else:
            if layer.expand:
                self.expand = Convolution(channels, mid, layer.act, bn_eps=eps, groups=layer.groups)
            self.depthwise = Convolution(mid, mid, layer.act, groups=mid, **spatial)
        if layer.se_channels:
            self.se = SqueezeExcite(mid, layer)
        self.project = Convolution(mid, layer.out_channels, "none", bn_eps=eps, groups=layer.groups)

    def forward(self, input: Tensor) -> Tensor:
        output = input
        for part in self.children():
            output = part(output)
        if not self.residual:
            return output
        if self.training and self.drop > 0:
            keep = output.new_empty(output.shape[0], 1, 1, 1).bernoulli_(1 - self.drop)
            output = output * keep.div_(1 - self.drop)
        return output + input

    def initialise(self, moments: Moments, generator: torch.Generator | None) -> Moments:
        mean, square = moments
        for part in self.children():
            moments = part.initialise(moments, generator)  # type: ignore[operator]
        if not self.residual:
            return moments
        return moments[0] + mean, moments[1] + square + 2 * moments[0] * mean


class Tail(nn.Module):
    """1x1 convolution, average, the optional hidden layer, classifier."""

    def __init__(self, layer: Layer, dropout: float) -> None:
        super().__init__()
        self.conv = Convolution(layer.shape[0], layer.mid_channels, layer.act, bn_eps=layer.bn_eps)
        self.hidden: Linear | None = None
        if layer.hidden_channels:
            self.hidden = Linear(layer.mid_channels, layer.hidden_channels, layer.hidden_act, layer.hidden_bias)
        self.classifier = Linear(layer.hidden_channels or layer.mid_channels, layer.out_channels, "none", True)
        self.dropout = dropout

    def forward(self, input: Tensor) -> Tensor:
        features: Tensor = self.conv(input).mean((2, 3))
        if self.hidden is not None:
            features = self.hidden(features)
        result: Tensor = self.classifier(F.dropout(features, self.dropout, self.training))
        return result

    def initialise(self, moments: Moments, generator: torch.Generator | None) -> Moments:
        moments = self.conv.initialise(moments, generator)
        if self.hidden is not None:
            moments = self.hidden.initialise(moments, generator)
        return self.classifier.initialise(moments, generator)


class LatheNetwork(nn.Module):
    """Images {n, c, h, w} to logits {n, classes}.

    dropout: before the classifier. drop_connect: of the last block, less before it in proportion to depth. Both as in Lathe's recipes
    and in training mode only. Faster on a CPU in channels-last: network.to(memory_format=torch.channels_last).
    """

    def __init__(self, description: Network, *, dropout: float = 0.0, drop_connect: float = 0.0) -> None:
        super().__init__()
        for name, share in (("dropout", dropout), ("drop_connect", drop_connect)):
            if not 0 <= share < 1:
                raise LatheError(f"{name} is {share}, allowed is 0 up to but not 1")
        self.description = description
        self.metadata: dict[str, str] = {}  # of the weights
        last = max(1, len(description.layers) - 2)
        for i, layer in enumerate(description.layers):
            tail = layer.op == "tail"
            self.add_module(f"l{i:02}", Tail(layer, dropout) if tail else Block(layer, drop_connect * min(1.0, i / last)))
        self.initialise()

    def forward(self, images: Tensor) -> Tensor:
        if images.ndim != 4 or tuple(images.shape[1:]) != self.description.input:
            raise LatheError(f"{self.description.name} takes images of shape (n, {', '.join(map(str, self.description.input))}), "
                             f"not {tuple(images.shape)}")
        for layer in self.children():
            images = layer(images)
        return images

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Random weights, distributed as those that a training with Lathe starts from."""
        moments: Moments = (0.0, 1.0)
        for layer in self.children():
            moments = layer.initialise(moments, generator)  # type: ignore[operator]

    def tensors(self) -> dict[str, Tensor]:
        """All weights, by Lathe's names; not copies."""
        result = {}
        for name, tensor in self.state_dict().items():
            if name.endswith("bn.num_batches_tracked"):
                continue
            for ours, torchs in _STATISTICS.items():
                name = name.removesuffix(torchs) + ours if name.endswith(torchs) else name
            result[name] = tensor
        return result

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """From Lathe's weights.safetensors. Throws LatheError unless it has exactly the tensors of this network."""
        found, metadata = safetensors.read(path)
        self.set_tensors(found, os.fspath(path))
        self.metadata = metadata

    @torch.no_grad()
    def set_tensors(self, found: Mapping[str, Tensor], source: str) -> None:
        """All weights, by Lathe's names. Throws LatheError, which begins with `source`, unless they are exactly those of this network."""
        wanted = self.tensors()
        for name, tensor in wanted.items():
            if name not in found:
                raise LatheError(f"{source}: tensor {name!r} of {self.description.name} is missing")
            if found[name].shape != tensor.shape:
                raise LatheError(f"{source}: tensor {name!r} should have shape {list(tensor.shape)}, but has {list(found[name].shape)}")
            if not found[name].isfinite().all():
                raise LatheError(f"{source}: tensor {name!r} has values that are not finite")
        for name in found:
            if name not in wanted:
                raise LatheError(f"{source}: tensor {name!r} does not belong to {self.description.name}")
        for name, tensor in wanted.items():
            tensor.copy_(found[name])

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """As Lathe's weights.safetensors, with this network's metadata: 'lathe net export --weights' reads it."""
        safetensors.write(path, self.tensors(), self.metadata)

    @property
    def class_names(self) -> list[str]:
        """As the weights name them; empty if they do not."""
        names: list[str] = json.loads(self.metadata.get("classes", "[]"))
        return names

    @property
    def preprocessing(self) -> Preprocessing:
        """As the weights of a package have it. Throws LatheError if they have none."""
        if "preprocessing" not in self.metadata:
            raise LatheError("the weights say nothing about preprocessing; those of a finalist's package do")
        return Preprocessing.from_json(self.metadata["preprocessing"])

    def preprocess(self, picture: Any) -> Tensor:
        """{1, c, h, w} of a PIL image, a uint8 tensor {c, h, w} or a uint8 array {h, w, c}; see Preprocessing."""
        return self.preprocessing(picture)


def build(network: Mapping[str, Any] | Network, *, dropout: float = 0.0, drop_connect: float = 0.0) -> LatheNetwork:
    """From the content of a network.json. Weights are random."""
    description = network if isinstance(network, Network) else parse_network(network)
    return LatheNetwork(description, dropout=dropout, drop_connect=drop_connect)


def load(network_json_path: str | os.PathLike[str], weights_path: str | os.PathLike[str] | None = None, *, dropout: float = 0.0,
         drop_connect: float = 0.0) -> LatheNetwork:
    """From files; without weights they are random. In training mode, as every new torch module."""
    network = build(read_network(network_json_path), dropout=dropout, drop_connect=drop_connect)
    if weights_path is not None:
        network.load_weights(weights_path)
    return network
