"""Pictures that a network can tell apart, made without any library."""

import random
import struct
import zlib


def png(path, side, pixel):
    """An RGB picture with pixel(x, y)."""
    rows = b"".join(b"\0" + b"".join(bytes(pixel(x, y)) for x in range(side)) for y in range(side))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def striped(folder, parts, names=("class 0", "class 1", "class 2"), side=40):
    """folder/PART/NAME/N.png for {PART: count}: noise with upright, level and slanted stripes."""
    chance = random.Random(1)
    for part, count in parts.items():
        for label, name in enumerate(names):
            (folder / part / name).mkdir(parents=True)
            for i in range(count):
                def pixel(x, y, label=label):
                    stripe = (x, y, x + y)[label] // 4 % 2
                    return [min(255, 100 * stripe + chance.randrange(100)) for _ in range(3)]
                png(folder / part / name / f"{i}.png", side, pixel)
