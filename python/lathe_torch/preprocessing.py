"""From pictures to what a network takes, as Lathe's loader does it for evaluation."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from lathe_torch.description import LatheError


def _resize(image: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """As Pillow's BILINEAR, which averages where it shrinks; rounded to whole pixel values."""
    result = F.interpolate(image[None], (height, width), mode="bilinear", align_corners=False, antialias=True)[0]
    return result.round().clamp(0, 255)


@dataclass(frozen=True)
class Preprocessing:
    """The shorter side is resized, the middle cut out, and (pixel / 255 - mean) / std taken."""

    resolution: int
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop: float = 1.0  # the share of the shorter side that is kept

    @staticmethod
    def from_json(text: str) -> Preprocessing:
        """From the metadata "preprocessing" of weights.safetensors."""
        try:
            table = json.loads(text)
            result = Preprocessing(int(table["resolution"]), int(table["channels"]), tuple(map(float, table["mean"])),
                                   tuple(map(float, table["std"])), float(table.get("crop", 1)))
        except (ValueError, KeyError, TypeError) as error:
            raise LatheError(f"unreadable preprocessing: {text!r}") from error
        if not len(result.mean) == len(result.std) == result.channels or result.resolution < 1 or not 0 < result.crop <= 1:
            raise LatheError(f"preprocessing that does not fit together: {text!r}")
        return result

    def to_json(self) -> str:
        table = {"resolution": self.resolution, "channels": self.channels, "mean": self.mean, "std": self.std}
        return json.dumps(table | ({"crop": self.crop} if self.crop != 1 else {}))

    def pixels(self, picture: Any) -> torch.Tensor:
        """{channels, h, w}, 0 to 255 in float32, of a PIL image, a uint8 tensor {c, h, w} or a uint8 array {h, w} or {h, w, c}."""
        if hasattr(picture, "convert"):  # PIL
            picture = picture.convert("L" if self.channels == 1 else "RGB")
            flat = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
            image = flat.reshape(picture.height, picture.width, -1).permute(2, 0, 1)
        elif isinstance(picture, torch.Tensor):
            image = picture
        else:
            image = torch.as_tensor(picture)
            image = image[None] if image.ndim == 2 else image.permute(2, 0, 1) if image.ndim == 3 else image
        if image.dtype != torch.uint8 or image.ndim != 3:
            raise LatheError(f"expected a PIL image, a uint8 tensor (c, h, w) or a uint8 array (h, w, c), "
                             f"not {image.dtype} of shape {tuple(image.shape)}")
        if image.shape[0] not in (1, self.channels):
            raise LatheError(f"the picture has {image.shape[0]} channels, the network takes {self.channels}")
        return image.float().expand(self.channels, -1, -1)

    def __call__(self, picture: Any) -> torch.Tensor:
        """{1, channels, resolution, resolution}."""
        image = self.pixels(picture)
        _, h, w = image.shape
        side = max(self.resolution, int(self.resolution / self.crop + 0.5))
        if min(h, w) != side:
            image = _resize(image, *(max(side, int(length * side / min(h, w) + 0.5)) for length in (h, w)))
        top, left = ((length - self.resolution) // 2 for length in image.shape[1:])
        image = image[:, top : top + self.resolution, left : left + self.resolution]
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return ((image / 255 - mean) / std)[None]
