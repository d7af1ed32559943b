"""Weights of NVIDIA's released GPUNets, from their checkpoints (.pth.tar) to Lathe's safetensors.

    lathe zoo show gpunet_0 --json > network.json
    python3 -m lathe_torch.gpunet checkpoint.pth.tar network.json weights.safetensors

A checkpoint is read without running any code in it. README.md has the table of names.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import sys
from collections.abc import Mapping

import torch
from torch import Tensor

from lathe_torch import safetensors
from lathe_torch.description import Layer, LatheError, read_network
from lathe_torch.network import LatheNetwork, build
from lathe_torch.preprocessing import Preprocessing

# Parts of a block in NVIDIA's naming and in Lathe's; "": the layer itself. Of a batch norm the name ends in ".bn".
_CONV = {"conv": "conv", "bn1": "conv.bn"}
_IRB = {"conv_pw": "expand", "bn1": "expand.bn", "conv_dw": "depthwise", "bn2": "depthwise.bn", "se.conv_reduce": "se.reduce",
        "se.conv_expand": "se.expand", "conv_pwl": "project", "bn3": "project.bn"}
_FUSED_IRB = {"conv_exp": "expand", "bn1": "expand.bn", "se.conv_reduce": "se.reduce", "se.conv_expand": "se.expand",
              "conv_pwl": "project", "bn2": "project.bn"}
_TAIL = {"net.0": "conv", "net.1": "conv.bn", "net.6": "classifier"}
# Of the distilled networks (GPUNet-D, GPUNet-P), whose blocks are sequences.
_IRB_D = {"body.0": "expand", "body.1": "expand.bn", "body.3": "depthwise", "body.4": "depthwise.bn", "body.6": "project",
          "body.7": "project.bn"}
_FUSED_IRB_D = {"body.0": "expand", "body.1": "expand.bn", "body.3": "project", "body.4": "project.bn"}
_TAIL_D = {"net.0": "conv", "net.1": "conv.bn", "net.4": "hidden", "net.8": "classifier"}
_NORM = {"weight": "weight", "bias": "bias", "running_mean": "mean", "running_var": "var"}

# As NVIDIA evaluates them.
_MEAN, _STD, _CROP = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 0.942


def _blocks(state: Mapping[str, Tensor]) -> list[tuple[str, dict[str, Tensor]]]:
    """The blocks in order: name, and tensors by their names inside it ("conv_pw.weight")."""
    blocks: dict[str, dict[str, Tensor]] = {}
    for name, tensor in state.items():
        parts = name.removeprefix("module.").split(".", 2)
        if len(parts) != 3 or parts[0] != "network":
            raise LatheError(f"tensor {name!r} is not of a GPUNet: expected 'network.BLOCK.TENSOR'")
        blocks.setdefault(parts[1], {})[parts[2]] = tensor
    return list(blocks.items())


def _tables(layer: Layer, tensors: Mapping[str, Tensor]) -> list[dict[str, str]]:
    """The parts of a block, one table for each of Lathe's layers that it is; the first one is `layer`."""
    distilled = "body.0.weight" in tensors
    if layer.op == "irb":
        return [_IRB_D if distilled else _IRB]
    if layer.op == "fused_irb":
        return [_FUSED_IRB_D if distilled else _FUSED_IRB]
    if layer.op == "tail":
        return [_TAIL_D if "net.8.weight" in tensors else _TAIL]
    if "conv.weight" in tensors:
        return [_CONV]
    # A head: convolution, norm and activation, once or several times.
    count = sum(f"net.{3 * i}.weight" in tensors for i in range(len(tensors)))
    return [{f"net.{3 * i}": "conv", f"net.{3 * i + 1}": "conv.bn"} for i in range(count)]


def convert(state: Mapping[str, Tensor], layers: tuple[Layer, ...]) -> dict[str, Tensor]:
    """Tensors by Lathe's names of a checkpoint's state dictionary. Throws LatheError for names that it does not know."""
    result: dict[str, Tensor] = {}
    at = 0
    for block, tensors in _blocks(state):
        if at >= len(layers):
            raise LatheError(f"the checkpoint has further blocks than the network's {len(layers)} layers, from {block!r} on")
        tables = _tables(layers[at], tensors)
        names = {f"{theirs}.{kind}": (at + i, ours, kind) for i, table in enumerate(tables) for theirs, ours in table.items()
                 for kind in (*_NORM, "num_batches_tracked")}
        for name, tensor in tensors.items():
            if name not in names:
                raise LatheError(f"block {block!r} of the checkpoint has a tensor {name!r}, which layer {at} ({layers[at].op}) lacks; "
                                 "is it of this network?")
            index, ours, kind = names[name]
            if kind == "num_batches_tracked":
                continue
            kind = _NORM[kind] if ours.endswith(".bn") else kind
            # A hidden layer is a 1x1 convolution there.
            result[f"l{index:02}.{ours}.{kind}"] = tensor.flatten(1) if ours == "hidden" else tensor
        at += len(tables)
    return result


def read_checkpoint(path: str | os.PathLike[str]) -> Mapping[str, Tensor]:
    """The state dictionary: averaged weights where the checkpoint has them, as NVIDIA evaluates those."""
    source = os.fspath(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise LatheError(f"{source}: not a checkpoint of tensors: {error}") from error
    for key in ("state_dict_ema", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise LatheError(f"{source}: has no state dictionary")
    return content


def load_checkpoint(path: str | os.PathLike[str], network_json: str | os.PathLike[str], *, crop: float = _CROP) -> LatheNetwork:
    """The network with the checkpoint's weights; its metadata say what images it wants."""
    network = build(read_network(network_json))
    network.set_tensors(convert(read_checkpoint(path), network.description.layers), os.fspath(path))
    channels, resolution, _ = network.description.input
    network.metadata = {"preprocessing": Preprocessing(resolution, channels, _MEAN, _STD, crop).to_json()}
    return network


def main() -> None:
    parser = argparse.ArgumentParser(prog="python3 -m lathe_torch.gpunet", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", help="NVIDIA's .pth.tar")
    parser.add_argument("network", help="network.json of the same network: lathe zoo show gpunet_0 --json")
    parser.add_argument("weights", help="safetensors file to write")
    parser.add_argument("--crop", type=float, default=_CROP, help="share of the shorter side that evaluation keeps (default: %(default)s)")
    parser.add_argument("--classes", help="text file with a class name per line")
    arguments = parser.parse_args()
    try:
        network = load_checkpoint(arguments.checkpoint, arguments.network, crop=arguments.crop)
        if arguments.classes:
            with open(arguments.classes, encoding="utf-8") as file:
                network.metadata["classes"] = json.dumps(file.read().splitlines())
        safetensors.write(arguments.weights, network.tensors(), network.metadata)
    except (LatheError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
