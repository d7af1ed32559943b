"""Checkpoints with the names of NVIDIA's GPUNets: modules built here as theirs are named compute what the converted network does."""

import json
import os
import pathlib
import pickle
import subprocess
import sys
import tempfile
import unittest

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from lathe_torch import LatheError, gpunet  # noqa: E402


def conv(channels, out, kernel=1, stride=1, groups=1, padding=None):
    return nn.Conv2d(channels, out, kernel, stride, kernel // 2 if padding is None else padding, groups=groups, bias=False)


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


def sequence(name, *modules):
    block = nn.Module()
    setattr(block, name, nn.Sequential(*modules))
    block.forward = getattr(block, name).forward
    return block


class SqueezeExcite(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.conv_reduce, self.conv_expand = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, x):
        return x * self.conv_expand(self.conv_reduce(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class ConvBnAct(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv, self.bn1 = conv(channels, channels, 3), norm(channels)

    def forward(self, x):
        return self.bn1(self.conv(x)).relu()


class InvertedResidual(nn.Module):
    def __init__(self, channels, mid, out):
        super().__init__()
        self.conv_pw, self.bn1 = conv(channels, mid), norm(mid)
        self.conv_dw, self.bn2 = conv(mid, mid, 3, groups=mid), norm(mid)
        self.se = SqueezeExcite(mid, 2)
        self.conv_pwl, self.bn3 = conv(mid, out), norm(out)

    def forward(self, x):
        y = self.bn1(self.conv_pw(x)).relu()
        return x + self.bn3(self.conv_pwl(self.se(self.bn2(self.conv_dw(y)).relu())))


class EdgeResidual(nn.Module):
    def __init__(self, channels, mid, out):
        super().__init__()
        self.conv_exp, self.bn1 = conv(channels, mid, 3, 2, padding=0), norm(mid)
        self.conv_pwl, self.bn2 = conv(mid, out), norm(out)

    def forward(self, x):
        return self.bn2(self.conv_pwl(self.bn1(self.conv_exp(x)).relu()))


def head(out):
    return sequence("net", conv(3, out, 3, 2), norm(out), nn.ReLU())


def plain():
    """Network description and modules, named and nested as a GPUNet-0."""
    tail = sequence("net", conv(8, 16), norm(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(16, 5))
    blocks = {"head: 2": head(8), "stage: 1 layer3": ConvBnAct(8), "stage: 2 layer4": EdgeResidual(8, 16, 8),
              "stage: 4 layer5": InvertedResidual(8, 24, 8), " layer6": tail}
    layers = [
        {"op": "conv", "in": [3, 17, 17], "out_channels": 8, "kernel": 3, "stride": 2, "act": "relu"},
        {"op": "conv", "in": [8, 9, 9], "out_channels": 8, "kernel": 3, "stride": 1, "act": "relu"},
        {"op": "fused_irb", "in": [8, 9, 9], "out_channels": 8, "kernel": 3, "stride": 2, "mid_channels": 16, "act": "relu",
         "padding": "valid"},
        {"op": "irb", "in": [8, 4, 4], "out_channels": 8, "kernel": 3, "stride": 1, "mid_channels": 24, "se_channels": 2, "act": "relu",
         "residual": True},
        {"op": "tail", "in": [8, 4, 4], "out_channels": 5, "mid_channels": 16, "act": "relu"}]
    return blocks, layers


def distilled():
    """The same for a GPUNet-D2: a head of three convolutions, sequences for blocks, a hidden layer in the tail."""
    start = sequence("net", conv(3, 8, 3, 2), norm(8), nn.ReLU(), conv(8, 8, 3), norm(8), nn.ReLU(), conv(8, 8, 3), norm(8), nn.ReLU())
    irb = sequence("body", conv(8, 24, groups=2), norm(24), nn.ReLU(), conv(24, 24, 5, 2, groups=24), norm(24), nn.ReLU(),
                   conv(24, 12, groups=2), norm(12))
    fused = sequence("body", conv(12, 24, 3), norm(24), nn.ReLU(), conv(24, 10), norm(10))
    tail = sequence("net", conv(10, 16), norm(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), conv(16, 12), nn.ReLU(), nn.Flatten(),
                    nn.Dropout(0.2), nn.Linear(12, 5))
    blocks = {"head:": start, "stage: 1 irb3": irb, "stage: 2 fused_irb4": fused, "tail:": tail}
    layers = [
        {"op": "conv", "in": [3, 17, 17], "out_channels": 8, "kernel": 3, "stride": 2, "act": "relu"},
        *[{"op": "conv", "in": [8, 9, 9], "out_channels": 8, "kernel": 3, "stride": 1, "act": "relu"}] * 2,
        {"op": "irb", "in": [8, 9, 9], "out_channels": 12, "kernel": 5, "stride": 2, "mid_channels": 24, "groups": 2, "act": "relu"},
        {"op": "fused_irb", "in": [12, 5, 5], "out_channels": 10, "kernel": 3, "stride": 1, "mid_channels": 24, "act": "relu"},
        {"op": "tail", "in": [10, 5, 5], "out_channels": 5, "mid_channels": 16, "act": "relu", "hidden_channels": 12,
         "hidden_bias": False}]
    return blocks, layers


class GpunetTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def make(self, blocks, layers):
        """Theirs, with no trivial value, and the description."""
        torch.manual_seed(5)
        model = nn.Module()
        model.network = nn.Sequential()
        for name, block in blocks.items():
            model.network.add_module(name, block)
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if tensor.dtype == torch.float32 and tensor.ndim == 1:
                    tensor.uniform_(0.6, 1.4)
        (self.folder / "network.json").write_text(json.dumps(
            {"format": "lathe-network", "version": 1, "name": "synthetic", "input": [3, 17, 17], "layers": layers}))
        return model.eval()

    def save(self, content):
        torch.save(content, self.folder / "checkpoint.pth.tar")
        return self.folder / "checkpoint.pth.tar"

    def test_computes_the_same(self):
        for blocks, layers in (plain(), distilled()):
            model = self.make(blocks, layers)
            state = {f"module.{name}": tensor for name, tensor in model.state_dict().items()}
            wrong = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
            checkpoint = self.save({"arch": "gpunet", "state_dict": wrong, "state_dict_ema": state})
            out = self.folder / "weights.safetensors"
            subprocess.run([sys.executable, "-m", "lathe_torch.gpunet", checkpoint, self.folder / "network.json", out], check=True,
                           env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])})
            converted = gpunet.build(gpunet.read_network(self.folder / "network.json")).eval()
            converted.load_weights(out)
            images = torch.randn(4, 3, 17, 17)
            with torch.inference_mode():
                expected = model.network(images)
                self.assertGreater(expected.std(), 0.01)
                torch.testing.assert_close(converted(images), expected, atol=1e-5, rtol=1e-5)
            self.assertEqual(converted.preprocessing.mean, (0.485, 0.456, 0.406))

    def fails(self, fragment, content):
        with self.assertRaisesRegex(LatheError, fragment):
            gpunet.load_checkpoint(self.save(content), self.folder / "network.json")

    def test_what_does_not_fit_is_named(self):
        model = self.make(*plain())
        state = dict(model.state_dict())
        broken = dict(state)
        del broken["network.stage: 4 layer5.conv_dw.weight"]
        self.fails("'l03.depthwise.weight'.*missing", broken)
        self.fails(r"'l00.conv.weight' should have shape \[8, 3, 3, 3\], but has \[4, 3, 3, 3\]",
                   {**state, "network.head: 2.net.0.weight": torch.zeros(4, 3, 3, 3)})
        self.fails("'l01.conv.weight' has values that are not finite",
                   {**state, "network.stage: 1 layer3.conv.weight": torch.full((8, 8, 3, 3), torch.nan)})
        self.fails("'l02.expand.bias' does not belong", {**state, "network.stage: 2 layer4.conv_exp.bias": torch.zeros(16)})
        self.fails("tensor 'conv_dw.weight', which layer 2", {**state, "network.stage: 2 layer4.conv_dw.weight": torch.zeros(16)})
        self.fails("further blocks", {**state, "network.more.conv.weight": torch.zeros(1)})
        self.fails("not of a GPUNet", {"conv1.weight": torch.zeros(1)})
        self.fails("no state dictionary", {"epoch": 3})

    def test_code_in_a_checkpoint_does_not_run(self):
        self.make(*plain())

        class Trap:
            def __reduce__(self):
                return (os.system, (f"touch {self.marker}",))

        trap = Trap()
        Trap.marker = self.folder / "ran"
        path = self.folder / "checkpoint.pth.tar"
        for write in (lambda file: pickle.dump({"state_dict": trap}, file), lambda file: file.write(b"no checkpoint")):
            with open(path, "wb") as file:
                write(file)
            with self.assertRaisesRegex(LatheError, "not a checkpoint"):
                gpunet.load_checkpoint(path, self.folder / "network.json")
        self.assertFalse((self.folder / "ran").exists())


if __name__ == "__main__":
    unittest.main()
