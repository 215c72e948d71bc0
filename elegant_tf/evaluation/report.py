"""Evaluating a run: all that was measured as text, JSON, Markdown and HTML, with pictures."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elegant_tf.config import SHIPPED, Config, find_run
from elegant_tf.data.sources import Source, open_source
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.distances import LEAST_IMAGES
from elegant_tf.evaluation.distribution import LEAST_POOL, Extract
from elegant_tf.evaluation.edits import EVALUATION_SEED, Edits, sample_edits
from elegant_tf.evaluation.identity import RECOGNITION_MODEL, SHAPE_PREDICTOR, Describe, FaceDescriber
from elegant_tf.evaluation.inception import Inception
from elegant_tf.evaluation.measurements import DISTANCE_EDITS, Measurements, measure
from elegant_tf.evaluation.page import make_page
from elegant_tf.evaluation.scorecard import Score
from elegant_tf.evaluation.sheet import draw_cases, draw_sheet
from elegant_tf.evaluation.tables import Table, make_tables
from elegant_tf.evaluation.triples import has_triples, load_triples
from elegant_tf.files import whole_file
from elegant_tf.images import write_image
from elegant_tf.training.summary import EVALUATIONS_FILE

COUNT = 64
CLASSIFIER_DIR = "classifier"
HELD_OUT_FACES = 2000
# More than Inception has features, 2,048, which its Fréchet distance needs.
INCEPTION_EDITS = 5000

_FILE = "scorecard"


@dataclass(frozen=True)
class Report:
    """A run's scorecard.

    `step`: of the weights; `measurements`: all that was measured; `tables`: the same for people; `json_path`,
    `markdown_path`, `html_path`, `image_path`: the files written.
    """

    step: int
    measurements: Measurements
    tables: Sequence[Table]
    json_path: Path
    markdown_path: Path
    html_path: Path
    image_path: Path

    @property
    def scores(self) -> Sequence[Score]:
        """A row per attribute and direction."""
        return self.measurements.scores

    @property
    def mean(self) -> Score | None:
        """The mean of the scores, if there are any."""
        return self.measurements.mean

    def __str__(self) -> str:
        """The tables and where the files are."""
        texts = [f"{table.title}\n{table.as_text()}" for table in self.tables]
        paths = {"report": self.html_path, "numbers": self.json_path, "examples": self.image_path}
        return "\n\n".join([*texts, "\n".join(f"{name + ':':10s} {path}" for name, path in paths.items())])


def evaluate(
    run_dir: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    count: int = COUNT,
    out: str | os.PathLike[str] | None = None,
    classifier: str | os.PathLike[str] | None = None,
    inception: str = "",
    step: int | None = None,
    face_models: str | os.PathLike[str] | None = None,
    distance_count: int | None = None,
    seed: int = EVALUATION_SEED,
) -> Report:
    """Edits held-out pictures with a run's newest checkpoint and judges the results.

    Where right answers are known, as of the embedded faces, edits are compared with them; else only what needs none
    is measured, on the run's test split.

    Args:
        run_dir: the run directory, or the name of a model that comes with the package.
        data_dir: a folder that `elegant-tf faces` wrote; None: what the run learned from.
        count: edits per attribute and direction.
        out: the directory for `scorecard.json`, `.md`, `.html` and `.png`, which are replaced; None: `run_dir`, or
            `scorecard-NAME` for a model that comes with the package.
        classifier: a directory that `elegant-tf train-classifier` wrote; None: `classifier` in the run directory, or
            for drawn faces the one that comes with the package, or none.
        inception: `keras` or a file of InceptionV3's weights, for the distances of the paper's table; empty: none.
        step: that of an older checkpoint.
        face_models: a folder with dlib's models, to judge also by them whether people stayed who they are; None: not.
        distance_count: edits per attribute and direction whose distance from real pictures is taken, at most; None:
            `INCEPTION_EDITS` with `inception`, else `DISTANCE_EDITS`.
        seed: which people are drawn, or which edits of other data chosen; the same for runs that are to be compared,
            whatever theirs.

    Raises:
        UserError: no run or checkpoint there, nothing to evaluate on, or files that cannot be read or written.
    """
    if seed < 0:
        raise UserError(f"--seed={seed}: must be 0 or more")
    if distance_count is None:
        distance_count = INCEPTION_EDITS if inception else DISTANCE_EDITS
    if distance_count < LEAST_IMAGES:
        raise UserError(f"--distance_count={distance_count}: must be {LEAST_IMAGES} or more")
    config = Config.load(run_dir)
    extractors: dict[str, Extract] = {"Inception": Inception(inception)} if inception else {}
    describers: dict[str, Describe] = {"dlib": _face_describer(Path(face_models))} if face_models else {}
    editor = Editor.load(run_dir, step=step)
    judge = _classifier(config, find_run(run_dir), classifier)
    known = bool(data_dir) or has_triples(config)
    source = _held_out(config, seed) if judge or inception or not known else None
    if judge:
        describers["the classifier's features"] = judge.features
    if judge and _is_enough(source):
        extractors["the classifier's features"] = judge.features
    edits = load_triples(config, data_dir, count, seed=seed) if known else sample_edits(source, count, seed)
    measurements, edited = measure(editor, config, edits, judge, source, extractors, describers, distance_count, seed)
    settings = {
        "evaluated_on": str(data_dir or config.data_dir or config.data),
        "count": count,
        "evaluation_seed": seed,
        "classifier": judge.settings if judge else None,
        "inception": inception,
        "distance_count": distance_count,
        "face_models": str(face_models or ""),
        **dataclasses.asdict(config),
    }
    out = _out(run_dir, out)
    return _write(out, editor.step, settings, measurements, edits, edited, curves(find_run(run_dir)))


def curves(run_dir: str | os.PathLike[str]) -> list[dict[str, float]]:
    """What `--evaluate_every` measured while the run trained: rows of `evaluations.jsonl`, oldest first."""
    path = Path(run_dir) / EVALUATIONS_FILE
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


def _face_describer(folder: Path) -> FaceDescriber:
    if not folder.is_dir():
        raise UserError(
            f"--face_models={folder}: no such folder; must hold dlib's {SHAPE_PREDICTOR}, {RECOGNITION_MODEL}"
        )
    return FaceDescriber(folder / SHAPE_PREDICTOR, folder / RECOGNITION_MODEL)


def _held_out(config: Config, seed: int) -> Source:
    """The test split of what a run learned from."""
    return open_source(
        config.data,
        config.data_dir,
        config.attributes,
        config.image_size,
        seed,
        HELD_OUT_FACES,
        "test",
        labels_file=config.labels_file,
    )


def _is_enough(source: Source) -> bool:
    """Whether there are pictures enough for distances, with and without each attribute."""
    having = source.labels.sum(axis=0, dtype=np.int64)
    return bool(np.minimum(having, len(source.labels) - having).min() >= LEAST_POOL)


def _classifier(config: Config, run_dir: Path, given: str | os.PathLike[str] | None) -> AttributeClassifier | None:
    places = [Path(given)] if given else [run_dir / CLASSIFIER_DIR]
    if not given and config.data == "faces":
        places.append(SHIPPED / "faces" / CLASSIFIER_DIR)
    there = [place for place in places if place.is_dir()]
    if not there:
        if given:
            raise UserError(f"--classifier={given}: no such directory; `elegant-tf train-classifier` writes one")
        return None
    judge = AttributeClassifier.load(there[0])
    lacking = [name for name in config.attributes if name not in judge.attributes]
    if lacking and given:
        raise UserError(f"--classifier={given}: does not know {', '.join(lacking)}, which the run edits")
    return None if lacking else judge


def _out(run_dir: str | os.PathLike[str], out: str | os.PathLike[str] | None) -> Path:
    if out is not None:
        return Path(out)
    return Path(f"{_FILE}-{run_dir}") if find_run(run_dir).parent == SHIPPED else Path(run_dir)


def _write(
    out: Path,
    step: int,
    settings: dict[str, Any],
    measurements: Measurements,
    edits: Edits,
    edited: np.ndarray,
    rows: Sequence[dict[str, float]],
) -> Report:
    tables = make_tables(measurements, edits.attributes)
    paths = [out / f"{_FILE}.{ending}" for ending in ("json", "md", "html", "png")]
    json_path, markdown_path, html_path, image_path = paths
    title = f"Held-out edits after {step:,} steps"
    if mean := measurements.mean:
        title += f": realised {mean.realised:.2f}, leak {mean.leak:.1f}"
    cases = draw_cases(edits, edited, settings["seed"])
    sheet = draw_sheet(edits, edited, measurements.scores, title)
    write_image(image_path, sheet, overwrite=True)
    _write_json(json_path, {"step": step, "settings": settings, **measurements.as_dict(), "curves": rows})
    markdown = "\n".join([f"# {title}", "", *(table.as_markdown() for table in tables)])
    _write_text(markdown_path, markdown)
    _write_text(html_path, make_page(title, tables, {"Examples": sheet, **cases}, rows))
    return Report(step, measurements, tables, *paths)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    _write_text(path, json.dumps(_plain(values), indent=2, allow_nan=False) + "\n")


def _write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    with whole_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """The value with null for numbers that JSON has not: the PSNR of a perfect edit is infinite."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
