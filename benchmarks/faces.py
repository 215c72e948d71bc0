"""How many faces a second one core draws, at 64, 128 and 256 pixels.

python benchmarks/faces.py
"""

from __future__ import annotations

import time

from elegant_tf.synthetic import draw_faces, make_face

COUNTS = {64: 300, 128: 150, 256: 75}
REPEATS = 3


def main() -> None:
    for size, count in COUNTS.items():
        faces = [make_face(0, index) for index in range(count)]
        draw_faces(faces, size)
        seconds = min(_processor_seconds(faces, size) for _ in range(REPEATS))
        print(f"{size:4d} px: {count / seconds:5.0f} faces/s on one core")


def _processor_seconds(faces: list, size: int) -> float:
    start = time.process_time()
    draw_faces(faces, size)
    return time.process_time() - start


if __name__ == "__main__":
    main()
