"""Lathe's recipes for the PyTorch side: the same keys and defaults (src/train/recipe.h), the same rates and averages (schedule.h)."""

import dataclasses
import math
import tomllib


@dataclasses.dataclass
class Augmentation:
    flip: bool = False
    pad_crop: int = 0
    random_resized_crop: bool = False
    crop_scale: float = 0.35
    rand_augment: int = 0
    rand_magnitude: float = 9
    rand_deviation: float = 0.5
    brightness: float = 0
    contrast: float = 0
    saturation: float = 0
    hue: float = 0
    random_erasing: float = 0
    mixup: float = 0
    cutmix: float = 0


@dataclasses.dataclass
class Recipe:
    epochs: float = 6
    images_per_epoch: int = 0
    batch: int = 128
    optimizer: str = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: str = "one-cycle"
    warmup: float = 0.2
    warmup_start: float = 0.0
    step_epochs: float = 2.4
    step_factor: float = 0.97
    label_smoothing: float = 0.0
    dropout: float = 0.0
    drop_connect: float = 0.0
    ema: float = 0.0
    clip_norm: float = 0.0
    precision: str = "f32"  # f16 is f32 on a CPU, as with Lathe
    evaluation_crop: float = 1.0
    augmentation: Augmentation = dataclasses.field(default_factory=Augmentation)

    def steps(self, batches):
        """Of one epoch, and of all."""
        per_epoch = max(1, batches)
        if self.images_per_epoch:
            per_epoch = min(max(self.images_per_epoch // self.batch, 1), per_epoch)
        return per_epoch, max(1, round(self.epochs * per_epoch))

    def rate(self, step, steps, per_epoch):
        peak, warmup = self.learning_rate, self.warmup * steps
        if step < warmup:
            start = self.warmup_start or (peak / 25 if self.schedule == "one-cycle" else peak / (warmup + 1))
            return start + (peak - start) * step / warmup
        done = (step - warmup) / (steps - warmup)
        if self.schedule == "one-cycle":
            return peak * (1 - done)
        if self.schedule == "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * done))
        return peak * self.step_factor ** (step / per_epoch // self.step_epochs)

    def ema_decay(self, step):
        return min(self.ema, (1 + step) / (10 + step))


def read(path, overrides=()):
    """`overrides`: "key=value" in TOML, as on the command line."""
    with open(path, "rb") as file:
        table = tomllib.load(file)
    for override in overrides:
        table |= tomllib.loads(override)
    if table.pop("format", "lathe-recipe") != "lathe-recipe" or table.pop("version", 1) != 1:
        raise SystemExit(f"{path}: not a recipe of version 1")
    if table.pop("bf16", False):
        table.setdefault("precision", "bf16")
    table["augmentation"] = Augmentation(**table.get("augmentation", {}))
    return Recipe(**table)
