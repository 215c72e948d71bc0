"""How long one core takes to edit a photograph, and how much memory.

python benchmarks/photo_speed.py --megapixels 12

The photo is a drawn face, three quarters as high as the photo. The model is the shipped one.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from pathlib import Path

os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])

from elegant_tf.cli.tensorflow import prepare_tensorflow

prepare_tensorflow()  # before TensorFlow is imported

import numpy as np
from PIL import Image

from elegant_tf.editor import Editor
from elegant_tf.photos import BLENDS, FaceFinder, PhotoEditor
from elegant_tf.synthetic import make_face


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", type=float, default=12)
    options = parser.parse_args()
    height = round((options.megapixels * 1e6 * 3 / 4) ** 0.5)
    side = height * 3 // 4
    face = make_face(0, 3)
    image = np.full((height, height * 4 // 3, 3), 128, np.uint8)
    image[:side, :side] = np.array(Image.fromarray(face.draw(512)).resize((side, side)))
    landmarks = face.landmarks(side)
    editor = Editor.load("faces")
    exemplar = make_face(0, 1).draw(256)
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder, "photo.jpg"), Path(folder, "out.jpg")
        Image.fromarray(image).save(path, quality=92)
        for blend in BLENDS:
            photos = PhotoEditor(editor, exemplar, ["Eyeglasses"], blend=blend, aligned=True)
            photos.edit_file(path, out, landmarks, overwrite=True)  # traces the networks
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            start, before = time.process_time(), _memory("VmRSS")
            photos.edit_file(path, out, landmarks, overwrite=True)
            seconds, memory = time.process_time() - start, _memory("VmHWM") - before
            print(f"{options.megapixels:g} megapixels, {blend}: {seconds:.2f} s, {memory:.0f} MB")
        finder = FaceFinder(editor.image_size)
        finder.find(image)  # loads the detector
        for faces in ("largest", "all"):
            start = time.process_time()
            finder.find(image, faces=faces)
            print(f"finding the {faces} face: {time.process_time() - start:.2f} s")


def _memory(name: str) -> float:
    """The memory of the process now (VmRSS) or at its peak (VmHWM), in megabytes."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
