"""A run as a web page that edits photos in the browser: a folder that any web server can serve."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from elegant_tf.catalogue import Catalogue, Exemplar
from elegant_tf.errors import UserError
from elegant_tf.export.examples import Examples
from elegant_tf.export.litert import read_metadata
from elegant_tf.export.tflite import export_tflite
from elegant_tf.files import atomic_directory, write_json
from elegant_tf.images import write_image
from elegant_tf.paths import any_path, check_new_directory, local_path
from elegant_tf.rundir import SHIPPED, read_model

KINDS = ("float32", "float16")

# The page itself, whose folder `vendor` is written by `demo/web/build.mjs`, and the files that are added to it.
PAGE = SHIPPED / "web"
MODEL_FILE, DESCRIPTION_FILE, CODES_FILE, SAMPLES_DIR = "model.tflite", "model.json", "codes.bin", "samples"

# What the page reads of the model's metadata. The rest may name places on this machine.
_PUBLISHED = ("attributes", "block_bounds", "image_size", "step", "model_sha256", "licence", "elegant_tf")


def export_web(
    run_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    kind: str = KINDS[0],
    image_size: int | None = None,
    catalogue: Catalogue | None = None,
    samples: Sequence[np.ndarray] = (),
    load_examples: Callable[[], Examples] | None = None,
) -> None:
    """Writes the page with a run's model to a new folder.

    The page has no other place to load from, and sends nothing. It needs no server beyond one for files.

    Args:
        run_dir: a run directory, packed or not, or the name of a model that comes with the package.
        out: the folder to make.
        kind: of `KINDS`; float16 halves the download.
        image_size: S; None: the run's.
        catalogue: exemplars to choose from; None: the user of the page gives a second photo.
        samples: photos to try, uint8 `[H, W, 3]`, of which the centred square is the face's frame.
        load_examples: makes what the model's file is compared with the run on, see `export_tflite`.

    Raises:
        UserError: the kind is unknown, LiteRT is missing, there is no such run, the catalogue is not that of the run
            and the image size, or the folder exists. Nothing is written then.
    """
    run_dir, out = any_path(run_dir, "run"), local_path(out, "out")
    check_new_directory(out)
    if kind not in KINDS:
        raise UserError(f"--kind={kind}: expected {' or '.join(KINDS)}")
    model = read_model(run_dir)
    size = model.image_size if image_size is None else image_size
    if catalogue:
        catalogue.check_fits(run_dir, model, size)
    with atomic_directory(out) as folder, tempfile.TemporaryDirectory() as aside:
        export_tflite(run_dir, Path(aside) / "files", [kind], image_size=size, load_examples=load_examples)
        shutil.copytree(PAGE, folder, dirs_exist_ok=True)
        shutil.copyfile(Path(aside) / "files" / f"elegant_{kind}.tflite", folder / MODEL_FILE)
        described = read_metadata(folder / MODEL_FILE)
        files = [f"{SAMPLES_DIR}/{number}.png" for number in range(1, len(samples) + 1)]
        for file, sample in zip(files, samples, strict=True):
            write_image(folder / file, sample)
        write_json(
            folder / DESCRIPTION_FILE,
            {
                **{name: described[name] for name in _PUBLISHED},
                "catalogue": [_entry(one, catalogue) for one in catalogue.exemplars] if catalogue else [],
                "samples": files,
            },
        )
        if catalogue:
            height = size // 2**model.depth  # with flip_tta, the code of the mirror image stands below, and is left out
            codes = np.stack([one.code[:height] for one in catalogue.exemplars])
            (folder / CODES_FILE).write_bytes(codes.astype("<f4").tobytes())


def _entry(exemplar: Exemplar, catalogue: Catalogue) -> Mapping[str, Any]:
    """What the page shows of an exemplar. It may be taken for attributes that it has, and for those not labelled."""
    unknown = [name for name in catalogue.attributes if name not in catalogue.labelled]
    return {
        "name": exemplar.name,
        "attributes": [*exemplar.attributes, *unknown],
        "thumbnail": None if exemplar.thumbnail is None else _data_address(exemplar.thumbnail),
        "sha256": hashlib.sha256(exemplar.code.tobytes()).hexdigest(),  # as in a receipt of `marks`
    }


def _data_address(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
