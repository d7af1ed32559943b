#!/usr/bin/env python3
"""The trained model, by python/lathe_torch, against its exported file in OpenVINO and ONNX Runtime: largest differences of logits.

    bench/train/run.py --setup        once: a Python with torch; OpenVINO and ONNX Runtime are those of scripts/setup --tests
    bench/deploy/parity.py            every zoo network, and 100 random networks of each space; batch 1 and 8
    bench/deploy/parity.py --networks 5 --zoo gpunet_0 mobilenet_v2
    bench/deploy/parity.py --zoo --only gpunet-016 --train 10      one random network, trained on photographs of flowers before

Weights are random, and the norms' statistics those of 32 images, which is what eight others then find as well as after a training: with
those of four, the last norms of a deep network stretch an image they have not seen to twice the logits, and rounding with them.
Random networks with norms are the hard case: from layer to layer they push near values apart (Yang et al. 2019, "A Mean Field Theory of
Batch Normalization"), and rounding with them. --train EPOCHS says what is left of that after `lathe net train`, at 64 px and for five
classes; then the norms settle on photographs of the network's own resolution. Prints a line per network, then the worst.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
VENV = ROOT / "build/bench/train/venv"
sys.path[:0] = [str(ROOT / "bench"), str(ROOT / "python")]

import peer_python  # noqa: E402

LIMIT = 1e-4
STATISTICS_OF = 32  # images
FLOWERS = ROOT.parent / "shared/data/flowers"
TRAINING_SIDE = 64  # px


def lathe(*arguments):
    return subprocess.run([ROOT / "build/lathe", "--quiet", *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


def random_networks(count, only, folder):
    """`count` of each space; with `only`, those of that name alone."""
    for space in ("small-images", "gpunet"):
        path = ROOT / f"configs/spaces/{space}.toml"
        for number, encoding in enumerate(lathe("space", "sample", "--space", path, "--count", count, "--seed", 20).split()):
            file = folder / f"{space}-{number:03}.json"
            if only and file.stem not in only:
                continue
            lathe("space", "decode", "--space", path, encoding, "--out", file)
            yield file.stem, file


def zoo(names, folder):
    known = [entry["name"] for entry in json.loads(lathe("zoo", "list", "--json"))]
    for name in known if names is None else names:
        file = folder / f"{name}.json"
        lathe("zoo", "export", name, "--out", file)
        yield name, file


def initialised(network, generator, torch):
    """Norms and biases that are not trivial."""
    network.initialise(generator)
    with torch.no_grad():
        for name, tensor in network.tensors().items():
            if name.endswith(".bn.weight"):
                tensor.uniform_(0.7, 1.3, generator=generator)
            elif name.endswith(".bias"):
                tensor.uniform_(-0.3, 0.3, generator=generator)


def settle(network, images, torch):
    """The norms' statistics are those of `images`."""
    for norm in (module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(images)
    network.eval()


def with_side(file, side, changed):
    """Writes the network of `file` for images of another side to `changed`."""
    import lathe_torch

    document = json.loads(file.read_text())
    shape = document["input"] = [document["input"][0], side, side]
    for table, layer in zip(document["layers"], lathe_torch.read_network(file).layers):
        table["in"] = shape
        shape = list(dataclasses.replace(layer, shape=tuple(shape)).out_shape)
    changed.write_text(json.dumps(document))
    return changed


def photographs(split, side):
    """32 of flowers, always the same."""
    import torch
    from torchvision import datasets, transforms

    steps = [transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor(),
             transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    data = datasets.ImageFolder(FLOWERS / split, transforms.Compose(steps))
    chosen = torch.randperm(len(data), generator=torch.Generator().manual_seed(3))[:STATISTICS_OF]
    return torch.stack([data[i][0] for i in chosen.tolist()])


def trained(file, epochs, folder):
    """By `lathe net train` at TRAINING_SIDE: a file of the network for its own side, and its weights."""
    side = json.loads(file.read_text())["input"][1]
    smaller, out = with_side(file, TRAINING_SIDE, folder / "smaller.json"), folder / f"{file.stem}-trained"
    lathe("net", "train", smaller, "--data", FLOWERS, "--recipe", "small-images", "--epochs", epochs,
          "--set", "batch=32", "--set", "learning_rate=0.02", "-o", out)
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    print(f"{file.stem}: {100 * last['accuracy']:.1f} % right after {epochs} epochs", flush=True)
    return with_side(out / "network.json", side, out / f"{file.stem}.json"), out / "weights.safetensors"


def compare(file, folder, epochs):
    """{runtime and batch: (largest absolute difference, relative to the largest logit)}"""
    import numpy
    import onnxruntime
    import openvino
    import torch

    import lathe_torch

    torch.set_flush_denormal(True)  # random networks have many
    if epochs:
        file, weights = trained(file, epochs, folder)
        network = lathe_torch.build(json.loads(file.read_text()))
        network.load_weights(weights)
        settle(network, photographs("train", network.description.input[1]), torch)
        images = photographs("val", network.description.input[1])[:8]
    else:
        network = lathe_torch.build(json.loads(file.read_text()))
        generator = torch.Generator().manual_seed(1)
        initialised(network, generator, torch)
        settle(network, torch.randn(STATISTICS_OF, *network.description.input, generator=generator), torch)
        images = torch.randn(8, *network.description.input, generator=torch.Generator().manual_seed(2))
    weights, out = folder / "weights.safetensors", folder / "model.onnx"
    network.save_weights(weights)
    lathe("net", "export", file, "--weights", weights, "--batch", 0, "--out", out)
    with torch.inference_mode():
        expected = network(images).numpy()
    model = openvino.Core().compile_model(str(out), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    found = {}
    for batch in (1, 8):
        part = images[:batch].numpy()
        for name, logits in (("openvino", model(part)[0]), ("onnxruntime", session.run(None, {"image": part})[0])):
            difference = float(numpy.abs(logits - expected[:batch]).max())
            found[f"{name} {batch}"] = (difference, difference / float(numpy.abs(expected).max()))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=100, help="random ones of each space")
    parser.add_argument("--zoo", nargs="*", help="these instead of all")
    parser.add_argument("--only", nargs="+", help="of the random ones, these alone")
    parser.add_argument("--train", type=int, default=0, metavar="EPOCHS", help="on photographs of flowers")
    arguments = parser.parse_args()
    if os.environ.get("LATHE_PARITY") is None:  # again, in the Python that has torch
        environment = {**peer_python.environment(VENV), "LATHE_PARITY": "1"}
        environment["PYTHONPATH"] += f":{ROOT / 'build/deps/testing'}"
        sys.exit(subprocess.run([VENV / "bin/python", *sys.argv], env=environment).returncode)
    worst = (0.0, 0.0, "")
    count = 0
    with tempfile.TemporaryDirectory(prefix="lathe-parity-") as name:
        folder = pathlib.Path(name)
        for title, file in (*zoo(arguments.zoo, folder), *random_networks(arguments.networks, arguments.only, folder)):
            found = compare(file, folder, arguments.train)
            worst = max(worst, (*max(found.values()), title))
            count += 1
            print(title, " ".join(f"{key}: {difference:.1e} ({relative:.0e})" for key, (difference, relative) in found.items()), flush=True)
    print(f"{count} networks: largest difference {worst[0]:.1e} ({worst[1]:.1e} of the largest logit), of {worst[2]}; limit {LIMIT:g}")
    sys.exit(worst[0] > LIMIT)


if __name__ == "__main__":
    main()
