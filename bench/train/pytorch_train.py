#!/usr/bin/env python3
"""The training of a Lathe network and recipe, as one would write it with PyTorch, torchvision and timm; JSON on stdout.

    pytorch_train.py NETWORK.json --recipe RECIPE.toml [--data fashion-mnist|FOLDER] [--model lathe|torchvision:NAME|timm:NAME] ...

The model is Lathe's network through lathe_torch, or one of torchvision's or timm's with the same parameters in the same order (this is
checked), from the same distribution of random weights. Data is held in memory as uint8 tensors (IDX, CIFAR-10), or comes through a DataLoader
(FOLDER/train and val, as JPEG). Rates, averages and decay are Lathe's; see recipe.py.
"""

import argparse
import gzip
import json
import pathlib
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "python"))

import lathe_torch  # noqa: E402
import recipe as recipes  # noqa: E402

FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
EVALUATION_BATCH = 256
WARM_STEPS = 5  # before the steady state: memory is reserved, oneDNN's kernels are made

# --- Models ---------------------------------------------------------------------------------------------------------


def model_of(flags, recipe):
    network = lathe_torch.load(flags.network, dropout=recipe.dropout, drop_connect=recipe.drop_connect)
    network.initialise(torch.Generator().manual_seed(flags.seed))
    family, _, name = flags.model.partition(":")
    if family == "lathe":
        return network
    channels, classes = network.description.input[0], network.description.classes
    if family == "timm":
        import timm

        model = timm.create_model(name, in_chans=channels, num_classes=classes, drop_rate=recipe.dropout, drop_path_rate=recipe.drop_connect)
    else:
        import torchvision

        options = {"stochastic_depth_prob": recipe.drop_connect} if name.startswith("efficientnet") else {}
        model = getattr(torchvision.models, name)(num_classes=classes, dropout=recipe.dropout, **options)
        if channels != 3:
            stem = next(module for module in model.modules() if isinstance(module, torch.nn.Conv2d))
            new = torch.nn.Conv2d(channels, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False)
            model.features[0][0] = new
    ours, theirs = list(network.named_parameters()), list(model.named_parameters())
    for (a, mine), (b, other) in zip(ours, theirs, strict=True):
        if mine.shape != other.shape:
            sys.exit(f"{a} of {network.description.name} is {list(mine.shape)}, {b} of {flags.model} is {list(other.shape)}")
        with torch.no_grad():
            other.copy_(mine)
    return model


# --- Data -----------------------------------------------------------------------------------------------------------


def read_idx(path):
    with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
        content = bytearray(file.read())
    dimensions = [int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(content[3])]
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * content[3]).reshape(dimensions)


class InMemory:
    """Batches of uint8 tensors in memory, made float, normalised and augmented as a whole."""

    def __init__(self, images, labels, batch, augmentation, statistics_of, seed, device):
        self.images, self.labels, self.batch, self.augmentation = images.to(device), labels.long().to(device), batch, augmentation
        self.mean, self.std = (value.to(device) for value in statistics_of)
        self.device, self.generator = device, torch.Generator(device).manual_seed(seed)
        unsupported = {"random_resized_crop", "rand_augment", "random_erasing", "mixup", "cutmix", "brightness", "contrast", "saturation", "hue"}
        if augmentation and any(getattr(augmentation, name) for name in unsupported):
            sys.exit(f"pytorch_train.py: of data in memory only flip and pad_crop are supported, not {augmentation}")

    def __len__(self):
        return len(self.images) // self.batch if self.augmentation else -(-len(self.images) // self.batch)

    def __iter__(self):
        training = self.augmentation is not None
        order = torch.arange(len(self.images), device=self.device)
        if training:
            order = torch.randperm(len(self.images), generator=self.generator, device=self.device)
        for i in range(len(self)):
            index = order[i * self.batch : (i + 1) * self.batch]
            images = self.images[index].float().div_(255).sub_(self.mean).div_(self.std)
            if training:
                images = self.augment(images)
            yield images, self.labels[index]

    def augment(self, images):
        n = len(images)
        if self.augmentation.flip:
            flip = torch.rand(n, 1, 1, 1, generator=self.generator, device=self.device) < 0.5
            images = torch.where(flip, images.flip(3), images)
        if most := self.augmentation.pad_crop:
            size = images.shape[2]
            padded = F.pad(images, (most,) * 4)
            dy, dx = torch.randint(0, 2 * most + 1, (2, n, 1), generator=self.generator, device=self.device)
            within = torch.arange(size, device=self.device)
            rows, columns = within + dy, within + dx
            images = padded[torch.arange(n, device=self.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
        return images


def read_idx_part(folder, part):
    paths = [folder / f"{part}-{kind}-ubyte" for kind in ("images-idx3", "labels-idx1")]
    images, labels = (read_idx(path if path.exists() else path.with_name(path.name + ".gz")) for path in paths)
    return images[:, None], labels


def read_cifar(paths):
    records = torch.frombuffer(bytearray(b"".join(path.read_bytes() for path in paths)), dtype=torch.uint8).reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32).contiguous(memory_format=torch.channels_last), records[:, 0].clone()


def in_memory(folder, resolution, recipe, seed, device):
    if (folder / "data_batch_1.bin").exists():
        parts = [read_cifar(sorted(folder.glob(pattern))) for pattern in ("data_batch_*.bin", "test_batch.bin")]
    else:
        parts = [read_idx_part(folder, part) for part in ("train", "t10k")]
    for i, (images, labels) in enumerate(parts):
        if images.shape[2] != resolution:
            resized = [F.interpolate(some.float(), (resolution, resolution), mode="bilinear", antialias=True) for some in images.split(1000)]
            parts[i] = torch.cat([some.round().to(torch.uint8) for some in resized]), labels
    sample = parts[0][0][:: max(1, len(parts[0][0]) // 5000)].double() / 255
    measured = [value.float()[:, None, None] for value in (sample.mean((0, 2, 3)), sample.std((0, 2, 3)))]
    return (InMemory(*parts[0], recipe.batch, recipe.augmentation, measured, seed, device),
            InMemory(*parts[1], EVALUATION_BATCH, None, measured, seed, device))


def from_folder(folder, resolution, recipe, flags):
    import loader_peer

    loaders = []
    for part, training in (("train", True), ("val", False)):
        transform = loader_peer.transform_of(recipe.augmentation, resolution, loader_peer.MEAN, loader_peer.STD, training, flags.backend,
                                             recipe.evaluation_crop)
        dataset = loader_peer.folder_of(folder / part, transform, flags.backend)
        loaders.append(loader_peer.loader_of(dataset, recipe.batch if training else EVALUATION_BATCH, flags.workers, training, flags.seed))
    return loaders


def mix_of(recipe, classes):
    a = recipe.augmentation
    if not (a.mixup or a.cutmix):
        return None
    import timm.data

    return timm.data.Mixup(a.mixup, a.cutmix, label_smoothing=recipe.label_smoothing, num_classes=classes)


# --- Training -------------------------------------------------------------------------------------------------------


def optimizer_of(recipe, model):
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.learning_rate, momentum=recipe.momentum, nesterov=True, fused=True)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(recipe.momentum, 0.999), fused=True)
    import timm.optim

    return timm.optim.RMSpropTF(groups, lr=recipe.learning_rate, alpha=0.9, eps=1e-3, momentum=recipe.momentum)


class Average:
    """Of parameters and running statistics."""

    def __init__(self, model):
        self.current = [t for t in model.state_dict().values() if t.is_floating_point()]
        self.mean = [t.clone() for t in self.current]

    @torch.no_grad()
    def update(self, decay):
        torch._foreach_lerp_(self.mean, self.current, 1 - decay)

    @torch.no_grad()
    def swap(self):
        for a, b in zip(self.mean, self.current):
            kept = b.clone()
            b.copy_(a)
            a.copy_(kept)


@torch.inference_mode()
def evaluate(model, loader):
    model.eval()
    loss, correct, count = 0.0, 0, 0
    device = next(model.parameters()).device
    for images, labels in loader:
        labels = labels.to(device)
        logits = model(images.to(device, memory_format=torch.channels_last))
        loss += float(F.cross_entropy(logits, labels, reduction="sum"))
        correct += int((logits.argmax(1) == labels).sum())
        count += len(labels)
    model.train()
    return loss / count, correct / count


def train(flags, recipe):
    model = model_of(flags, recipe).to(flags.device, memory_format=torch.channels_last).train()
    channels, resolution, _ = json.loads(pathlib.Path(flags.network).read_text())["input"]
    folder = FASHION_MNIST if flags.data == "fashion-mnist" else pathlib.Path(flags.data)
    if any(folder.glob("t10k-*")) or any(folder.glob("data_batch_1.bin")):
        loader, evaluation = in_memory(folder, resolution, recipe, flags.seed, flags.device)
    else:
        loader, evaluation = from_folder(folder, resolution, recipe, flags)
    run = torch.compile(model) if flags.compile else model
    optimizer = optimizer_of(recipe, model)
    average = Average(model) if recipe.ema else None
    mix = mix_of(recipe, lathe_torch.read_network(flags.network).classes)
    per_epoch, steps = recipe.steps(len(loader))
    step, seconds, epochs, started = 0, [], [], time.perf_counter()
    while step < steps:
        began = last = time.perf_counter()
        first, total = step, torch.zeros((), device=flags.device)
        for images, labels in loader:
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate(step, steps, per_epoch)
            if mix:
                images, labels = mix(images, labels)
            images = images.to(flags.device, memory_format=torch.channels_last, non_blocking=True)
            labels = labels.to(flags.device, non_blocking=True)
            with torch.autocast(flags.device, torch.bfloat16, enabled=recipe.precision == "bf16"):
                logits = run(images)
            loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.0 if mix else recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if recipe.clip_norm:
                torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
            optimizer.step()
            if average:
                average.update(recipe.ema_decay(step))
            total += loss.detach()
            step += 1
            now = time.perf_counter()
            seconds.append(now - last)
            last = now
            if step - first == per_epoch or step == steps:
                break
        if flags.device == "cuda":
            torch.cuda.synchronize()
        elapsed = time.perf_counter() - began
        if average:
            average.swap()
        loss, accuracy = evaluate(run, evaluation) if not flags.no_evaluation else (None, None)
        if average:
            average.swap()
        epochs.append({"epoch": len(epochs) + 1, "train_loss": float(total) / (step - first), "loss": loss, "accuracy": accuracy,
                       "images_per_second": (step - first) * recipe.batch / elapsed, "seconds": time.perf_counter() - started})
        print(f"epoch {epochs[-1]}", file=sys.stderr, flush=True)
    steady = seconds[WARM_STEPS:] or seconds
    return {"images_per_second": recipe.batch / statistics.median(steady), "images_per_second_mean": recipe.batch / statistics.mean(steady),
            "accuracy": epochs[-1]["accuracy"], "loss": epochs[-1]["loss"], "epochs": epochs, "steps": steps,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "model": flags.model, "torch": torch.__version__}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of the recipe, in TOML")
    parser.add_argument("--data", default="fashion-mnist", help="fashion-mnist, a folder of IDX or CIFAR-10 files, or one with train/CLASS/ and val/CLASS/")
    parser.add_argument("--model", default="lathe", help="lathe, torchvision:NAME or timm:NAME")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="on cuda, data in memory is in the GPU's")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="of the DataLoader")
    parser.add_argument("--backend", choices=("pil", "tensor"), default="pil")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-evaluation", action="store_true")
    parser.add_argument("--compile", action="store_true", help="torch.compile instead of eager execution")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.set_flush_denormal(True)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(flags.seed)
    print(json.dumps(train(flags, recipes.read(flags.recipe, flags.set))))


if __name__ == "__main__":
    main()
