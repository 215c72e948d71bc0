"""How long one core takes to edit a photograph, and how much memory.

python benchmarks/photo_speed.py --megapixels 12

The photo is a drawn face, three quarters as high as the photo. The model is the shipped one.
"""

from __future__ import annotations

import argparse
import os
import resource
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
        before = _peak()
        for blend in BLENDS:
            photos = PhotoEditor(editor, exemplar, ["Eyeglasses"], blend=blend, aligned=True)
            photos.edit_file(path, out, landmarks, overwrite=True)  # traces the networks
            start = time.process_time()
            photos.edit_file(path, out, landmarks, overwrite=True)
            print(f"{options.megapixels:g} megapixels, {blend}: {time.process_time() - start:.2f} s")
        print(f"memory beyond that of the model: {(_peak() - before) / 2**20:.0f} MiB")
        finder = FaceFinder(editor.image_size)
        finder.find(image)  # loads the detector
        for faces in ("largest", "all"):
            start = time.process_time()
            finder.find(image, faces=faces)
            print(f"finding the {faces} face: {time.process_time() - start:.2f} s")


def _peak() -> int:
    """The largest memory of the process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
