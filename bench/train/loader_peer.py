#!/usr/bin/env python3
"""Images per second that torchvision and timm deliver as normalised float batches; JSON on stdout.

    loader_peer.py FOLDER [--resolution 96] [--batch 64] [--workers 1] [--evaluation] [--backend pil|tensor] [--plain]

FOLDER is an ImageFolder of classes. Training: random resized crop (antialiased), flip, rand-m9-mstd0.5, random erasing; --plain: only crop
and flip. Evaluation: shorter side to the resolution, middle cut out. pil: as timm and most scripts have it. tensor: torchvision's own JPEG
decoder and transforms.v2 on uint8 tensors, which has no counterpart of timm's RandAugment and uses torchvision's.
"""

import argparse
import json
import statistics
import time

import numpy as np
import timm.data
import torch
import torchvision
from torchvision.transforms import InterpolationMode, v2

from recipe import Augmentation

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FULL = Augmentation(flip=True, random_resized_crop=True, rand_augment=2, random_erasing=0.2)


class ToTensor:
    """uint8, channels first."""

    def __call__(self, picture):
        return torch.from_numpy(np.array(picture, dtype=np.uint8)).permute(2, 0, 1)


def load_tensor(path):
    return torchvision.io.decode_image(torchvision.io.read_file(path), mode=torchvision.io.ImageReadMode.RGB)


def transform_of(augmentation, resolution, mean, std, training, backend, crop=1.0):
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    start = [] if backend == "tensor" else [ToTensor()]
    bilinear = InterpolationMode.BILINEAR
    if not training:
        return v2.Compose([v2.Resize(round(resolution / crop), bilinear, antialias=True), v2.CenterCrop(resolution), *start, *finish])
    a, steps = augmentation, []
    if a.random_resized_crop:
        steps.append(v2.RandomResizedCrop(resolution, (a.crop_scale, 1), interpolation=bilinear, antialias=True))
    else:
        steps += [v2.Resize(resolution, bilinear, antialias=True), v2.CenterCrop(resolution)]
    if a.pad_crop:
        steps.append(v2.RandomCrop(resolution, padding=a.pad_crop))
    if a.flip:
        steps.append(v2.RandomHorizontalFlip())
    if a.rand_augment and backend == "tensor":
        steps.append(v2.RandAugment(a.rand_augment, round(a.rand_magnitude * 3), interpolation=bilinear))
    elif a.rand_augment:
        hints = {"translate_const": int(resolution * 0.45), "img_mean": tuple(round(255 * m) for m in mean)}
        name = f"rand-m{a.rand_magnitude:g}-mstd{a.rand_deviation:g}-n{a.rand_augment}"
        steps.append(timm.data.auto_augment.rand_augment_transform(name, hints))
    if a.brightness or a.contrast or a.saturation or a.hue:
        steps.append(v2.ColorJitter(a.brightness, a.contrast, a.saturation, a.hue))
    erase = [timm.data.random_erasing.RandomErasing(a.random_erasing, mode="pixel", device="cpu")] if a.random_erasing else []
    return v2.Compose([*steps, *start, *finish, *erase])


def folder_of(path, transform, backend):
    loader = load_tensor if backend == "tensor" else torchvision.datasets.folder.default_loader
    return torchvision.datasets.ImageFolder(path, transform, loader=loader)


def loader_of(dataset, batch, workers, training, seed=0):
    more = {"persistent_workers": True, "prefetch_factor": 4} if workers else {}
    return torch.utils.data.DataLoader(dataset, batch, shuffle=training, drop_last=training, num_workers=workers,
                                       generator=torch.Generator().manual_seed(seed), **more)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--resolution", type=int, default=96)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--evaluation", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--backend", choices=("pil", "tensor"), default="pil")
    parser.add_argument("--seconds", type=float, default=10)
    flags = parser.parse_args()
    torch.set_num_threads(1)
    augmentation = Augmentation(flip=True, random_resized_crop=True) if flags.plain else FULL
    transform = transform_of(augmentation, flags.resolution, MEAN, STD, not flags.evaluation, flags.backend)
    dataset = folder_of(flags.folder, transform, flags.backend)
    repeated = torch.utils.data.ConcatDataset([dataset] * max(1, 100_000 // len(dataset)))  # epochs without a start and an end
    loader = loader_of(repeated, flags.batch, flags.workers, training=True)
    batches = iter(loader)
    for _ in range(2 * max(1, flags.workers)):  # workers start, files come into memory
        images, labels = next(batches)
    started = last = time.perf_counter()
    rates = []
    while last - started < flags.seconds:
        count = 0
        while (now := time.perf_counter()) - last < 1 or not count:
            images, labels = next(batches)
            assert images.shape == (flags.batch, 3, flags.resolution, flags.resolution) and images.dtype == torch.float32
            count += len(images)
        rates.append(count / (now - last))
        last = now
    print(json.dumps({"images_per_second": statistics.median(rates), "per_interval": rates, "workers": flags.workers,
                      "backend": flags.backend, "evaluation": flags.evaluation, "plain": flags.plain, "resolution": flags.resolution,
                      "batch": flags.batch}))


if __name__ == "__main__":
    main()
