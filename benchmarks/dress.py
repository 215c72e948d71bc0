"""How fast photos are dressed, on one core.

    python benchmarks/dress.py --image_size 128 --count 300

The photos are drawn faces: the time does not depend on what a photo shows.
"""

from __future__ import annotations

import argparse
import time

from elegant_tf.synthetic import make_dressed, make_face
from elegant_tf.synthetic.photo_base import make_base


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures how fast photos are dressed, on one core.")
    parser.add_argument("--image_size", type=int, default=128)
    parser.add_argument("--count", type=int, default=300)
    options = parser.parse_args()
    faces = [make_face(0, index) for index in range(8)]
    photos = [(face.draw(512), face.landmarks(512)) for face in faces]
    start = time.process_time()
    bases = [make_base(*photo, options.image_size) for photo in photos]
    loaded = time.process_time() - start
    start = time.process_time()
    for index in range(options.count):
        make_dressed(bases[index % len(bases)], 0, index).draw(options.image_size)
    drawn = time.process_time() - start
    print(f"aligning and measuring a photo of 512 pixels: {1000 * loaded / len(bases):.1f} ms")
    print(f"dressing it at {options.image_size} pixels: {options.count / drawn:.0f} images/s")


if __name__ == "__main__":
    main()
