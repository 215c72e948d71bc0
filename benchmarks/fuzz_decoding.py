"""Fuzzes the image decoder of exported models with damaged files.

    python benchmarks/fuzz_decoding.py --count 10000

Mutates valid JPEG, PNG, WebP, GIF and BMP files, and generates random ones. Each must be decoded, or refused with
INVALID_ARGUMENT; or, with `--joined`, by the status of its row, between two valid images that must come out unharmed. A
crash ends the process with its signal; a hang ends it after `--slowest` seconds with a traceback. Prints how many were
refused, the time of the slowest answer and the growth of memory.
"""

from __future__ import annotations

import argparse
import faulthandler
import io
import random
import resource
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable

import served_model

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
GIANT = 60_000
SIZE = 64
MAGICS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFF\x24\x00\x00\x00WEBPVP8 ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--slowest", type=float, default=2.0, help="seconds that an answer may take")
    parser.add_argument("--megabytes", type=float, default=1000.0, help="that memory may grow by")
    parser.add_argument("--joined", action="store_true", help="decode each between two valid images")
    arguments = parser.parse_args()
    served_model.prepare()
    good = valid_images()
    decode = make_joined_decoder(good[0]) if arguments.joined else make_decoder()
    for data in good:
        decode(data)
    before, slowest, outcomes = peak_megabytes(), 0.0, Counter()
    for number in range(arguments.count):
        data = spoil(random.Random(arguments.seed * arguments.count + number), good)
        faulthandler.dump_traceback_later(arguments.slowest, exit=True)
        began = time.perf_counter()
        outcomes[decode(data)] += 1
        slowest = max(slowest, time.perf_counter() - began)
        faulthandler.cancel_dump_traceback_later()
    grown = peak_megabytes() - before
    print(f"{dict(outcomes)}, slowest answer {slowest:.2f} s, memory grew by {grown:.0f} MB at its peak")
    return int(grown > arguments.megabytes)


def make_decoder() -> Callable[[bytes], str]:
    """A function that returns `decoded` or `refused` for a file; any other error ends the program."""
    import tensorflow as tf

    from elegant_tf.export.decoding import decode_images

    graph = tf.function(
        lambda data: decode_images(data, SIZE, "crop", "image"), input_signature=[tf.TensorSpec([None], tf.string)]
    )

    def decode(data: bytes) -> str:
        try:
            graph(tf.constant([data]))
        except tf.errors.InvalidArgumentError:
            return "refused"
        return "decoded"

    return decode


def make_joined_decoder(good: bytes) -> Callable[[bytes], str]:
    """The same for exports with `--status`. Any error, or a valid image that is not as before, ends the program."""
    import numpy as np
    import tensorflow as tf

    from elegant_tf.export.decoding import decode_intact_images

    graph = tf.function(
        lambda data: decode_intact_images(data, SIZE, "crop", "image"),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    expected = graph(tf.constant([good]))[0][0].numpy()

    def decode(data: bytes) -> str:
        images, (before, status, after) = (found.numpy() for found in graph(tf.constant([good, data, good])))
        if before or after or not all(np.array_equal(image, expected) for image in images[[0, 2]]):
            raise SystemExit("a damaged image harmed another")
        return "refused" if status else "decoded"

    return decode


def valid_images() -> list[bytes]:
    """A face in every format, in colour, in grey and with a palette where the format has them."""
    from PIL import Image

    face = Image.fromarray(served_model.face_pixels(1, 96)[0])
    modes = {"JPEG": ("RGB", "L", "CMYK"), "PNG": ("RGB", "L", "P", "RGBA"), "WEBP": ("RGB", "RGBA"), "GIF": ("P",)}
    images = []
    for name in FORMATS:
        for mode in modes.get(name, ("RGB",)):
            file = io.BytesIO()
            face.convert(mode).save(file, name)
            images.append(file.getvalue())
    frames = io.BytesIO()
    face.save(frames, "GIF", save_all=True, append_images=[face.rotate(90)])
    return [*images, frames.getvalue()]


def spoil(chance: random.Random, good: list[bytes]) -> bytes:
    """A damaged or random file."""
    data = bytearray(chance.choice(good))
    kind = chance.randrange(8)
    if kind == 0:
        return chance.randbytes(chance.randrange(1, 4000))
    if kind == 1:
        return chance.choice(MAGICS) + chance.randbytes(chance.randrange(4000))
    if kind == 2:
        return claim_giant(data)
    if kind == 3:
        return bytes(data[: chance.randrange(len(data))])
    if kind == 4:
        at, other = chance.randrange(len(data)), chance.choice(good)
        return bytes(data[:at]) + other[chance.randrange(len(other)) :]
    # Kind 5 damages the header, where sizes and tables are.
    reach = min(len(data), 64) if kind == 5 else len(data)
    for _ in range(chance.randrange(1, 20)):
        at = chance.randrange(reach)
        data[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, data[at] ^ 1 << chance.randrange(8)))
    if kind == 6:
        start = chance.randrange(len(data))
        data[start:start] = data[start : start + chance.randrange(2000)]
    return bytes(data)


def claim_giant(data: bytearray) -> bytes:
    """The image with a header that claims 60,000 x 60,000 pixels."""
    if data[:4] == b"\x89PNG":
        data[16:24] = struct.pack(">II", GIANT, GIANT)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    elif data[:3] == b"GIF":
        data[6:10] = struct.pack("<HH", GIANT, GIANT)
    elif data[:2] == b"BM":
        data[18:26] = struct.pack("<ii", GIANT, GIANT)
    elif data[:2] == b"\xff\xd8":
        at = next(i for i in range(len(data) - 9) if data[i] == 0xFF and data[i + 1] in (0xC0, 0xC1, 0xC2))
        data[at + 5 : at + 9] = struct.pack(">HH", GIANT, GIANT)
    elif data[12:16] == b"VP8X":
        data[24:30] = struct.pack("<I", GIANT - 1)[:3] * 2
    else:
        data[26:30] = struct.pack("<HH", 0x3FFF, 0x3FFF)
    return bytes(data)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
