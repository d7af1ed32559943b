"""safetensors files, as far as Lathe uses them: float32, and on reading also float16, bfloat16 and float64."""

from __future__ import annotations

import ctypes
import json
import math
import os
import struct
from collections.abc import Mapping
from typing import Any

import torch

from lathe_torch.description import LatheError

_TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_LARGEST_HEADER = 100_000_000  # as the reference implementation has it


def _header(content: bytes, source: str) -> tuple[dict[str, Any], int]:
    """The header, and where the tensors begin."""
    size = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else -1
    if not 0 <= size <= min(_LARGEST_HEADER, len(content) - 8):
        raise LatheError(f"{source}: not a safetensors file")
    try:
        header = json.loads(content[8 : 8 + size])
    except ValueError as error:
        raise LatheError(f"{source}: its header is not JSON: {error}") from error
    if not isinstance(header, dict):
        raise LatheError(f"{source}: its header is not an object")
    return header, 8 + size


def read(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors by name, in float32, and the metadata. Throws LatheError for a file that is damaged."""
    source = os.fspath(path)
    with open(path, "rb") as file:
        content = file.read()
    header, begin = _header(content, source)
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise LatheError(f"{source}: its metadata is not a table of texts")
    data = memoryview(bytearray(content[begin:]))  # torch wants to be able to write
    tensors, ranges = {}, []
    for name, entry in header.items():
        try:
            kind, shape, (first, last) = _TYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
            fits = all(isinstance(n, int) and n >= 0 for n in (*shape, first, last))
        except (KeyError, TypeError, ValueError) as error:
            raise LatheError(f"{source}: tensor {name!r}: unreadable entry {entry!r}") from error
        count = math.prod(shape) if fits else -1
        if not fits or not first <= last <= len(data) or last - first != count * kind.itemsize:
            raise LatheError(f"{source}: tensor {name!r}: {entry} does not fit a file with {len(data)} bytes of tensors")
        ranges.append((first, last, name))
        flat = torch.frombuffer(data, dtype=kind, count=count, offset=first) if count else torch.empty(0, dtype=kind)
        tensors[name] = flat.reshape(shape).float()
    end = 0
    for first, last, name in sorted(ranges):
        if first != end:
            raise LatheError(f"{source}: tensor {name!r} starts at byte {first}, the one before it ends at {end}")
        end = last
    if end != len(data):
        raise LatheError(f"{source}: {len(data) - end} bytes follow the last tensor")
    return tensors, metadata


def write(path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """Under a temporary name first, so the file is whole or absent."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    parts, end = [], 0
    for name, tensor in tensors.items():
        values = tensor.detach().to("cpu", torch.float32).contiguous()
        parts.append(ctypes.string_at(values.data_ptr(), 4 * values.numel()))  # numpy may not be there
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [end, end + len(parts[-1])]}
        end += len(parts[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    aside = os.fspath(path) + ".new"
    with open(aside, "wb") as file:
        file.writelines([struct.pack("<Q", len(text)), text, *parts])
    os.replace(aside, path)
