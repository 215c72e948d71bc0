"""Evaluation of a run on held-out edits, as a report: a scorecard in JSON, Markdown and HTML, and as an image."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from absl import logging

from elegant_tf.bounds import LARGEST_SEED, Bounds
from elegant_tf.config import Config
from elegant_tf.editor import Editor
from elegant_tf.errors import UserError
from elegant_tf.evaluation.classifier import AttributeClassifier
from elegant_tf.evaluation.counterfactuals import has_counterfactuals, has_index, load_counterfactuals
from elegant_tf.evaluation.distances import LEAST_IMAGES
from elegant_tf.evaluation.edits import EVALUATION_SEED, Edits, Evaluated, check_count, edit_all, sample_edits
from elegant_tf.evaluation.face_describer import load_face_describer
from elegant_tf.evaluation.held_out import ReadableSource
from elegant_tf.evaluation.inception import Inception
from elegant_tf.evaluation.metrics import METRICS
from elegant_tf.evaluation.metrics.context import COUNT, DISTANCE_EDITS, Context, Extract
from elegant_tf.evaluation.metrics.distribution import enough_for_distances
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.metrics.scores import Score, Scores, best_first
from elegant_tf.evaluation.report.cases import draw_cases
from elegant_tf.evaluation.report.curves import read_curves
from elegant_tf.evaluation.report.files import NAME, ReportFiles, write_report
from elegant_tf.evaluation.report.sheet import draw_sheet
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.export.written import open_model
from elegant_tf.files import check_writable
from elegant_tf.paths import any_path, local_path
from elegant_tf.remote import as_path
from elegant_tf.rundir import SHIPPED, find_run, read_config
from elegant_tf.sources import open_source

CLASSIFIER_DIR = "classifier"
# Drawn faces to hold out; 32 for each edit of a kind, within these bounds.
LEAST_HELD_OUT, MOST_HELD_OUT, HELD_OUT_PER_EDIT = 400, 2000, 32
# More than the 2,048 features of Inception, as its Fréchet distance requires.
INCEPTION_EDITS = 5000

_JUDGE = "the classifier's features"

M = TypeVar("M", bound=Metric)


@dataclass(frozen=True)
class Report(ReportFiles):
    """A run's scorecard and the files it was written to.

    `step`: of the weights; `results`: of the metrics that could be measured; `tables`: the same for readers.
    """

    step: int
    results: Sequence[Metric]
    tables: Sequence[Table]

    def result(self, metric: type[M]) -> M | None:
        """The result of a metric; None if it could not be measured."""
        return _find(self.results, metric)

    @property
    def scores(self) -> Sequence[Score]:
        """A row per attribute and direction; empty without counterfactual targets."""
        scores = self.result(Scores)
        return scores.rows if scores else []

    @property
    def mean(self) -> Score | None:
        """The mean of the scores; None without counterfactual targets."""
        scores = self.result(Scores)
        return scores.mean if scores else None

    def __str__(self) -> str:
        """The tables and the paths of the files."""
        texts = map(str, self.tables)
        paths = {"report": self.html_path, "numbers": self.json_path, "examples": self.image_path}
        return "\n\n".join([*texts, "\n".join(f"{name + ':':10s} {path}" for name, path in paths.items())])


def evaluate(
    run: str | os.PathLike[str] | None = None,
    *,
    model: str | os.PathLike[str] | None = None,
    data: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    labels_file: str | os.PathLike[str] | None = None,
    count: int = COUNT,
    out: str | os.PathLike[str] | None = None,
    classifier: str | os.PathLike[str] | None = None,
    inception: str = "",
    step: int | None = None,
    face_models: str | os.PathLike[str] | None = None,
    distance_count: int | None = None,
    seed: int = EVALUATION_SEED,
    by: Sequence[str] | None = None,
) -> Report:
    """Edits held-out images with a run or an exported model, measures all that can be measured, and writes the report.

    Edits of drawn faces are compared with counterfactual targets. On other data the run's test split is edited, and
    metrics that need targets are left out.

    Args:
        run: a run directory, packed or not, or the name of a model that comes with the package.
        model: instead of a run: a TFLite file, or a directory that `elegant-tf export` wrote. Its metadata hold the
            configuration of the run.
        data, data_dir, labels_file: what to evaluate on, as `DataConfig` has it, in place of the run's own data, which
            may have moved; None: as the run has it. A folder that `elegant-tf faces` or `dress` wrote, alone, gives the
            edits and their targets, whatever kind of data the run has.
        count: edits per attribute and direction.
        out: the directory for `scorecard.json`, `.md`, `.html` and `.png`, which are replaced; None: `run`, or
            `scorecard-NAME` for an exported model and for one that comes with the package.
        classifier: a directory that `elegant-tf train-classifier` wrote; None: `classifier` in the run directory, or
            for drawn faces the one that comes with the package, or none.
        inception: `keras` or a file of InceptionV3's weights, for the distances of the paper's table; empty: none.
        step: which checkpoint; None: the newest.
        face_models: a folder with dlib's models, as further features for identity preservation; None: none.
        distance_count: edits per attribute and direction for distances from real images, at most; None:
            `INCEPTION_EDITS` with `inception`, `DISTANCE_EDITS` without.
        seed: of the evaluation set: the faces that are drawn, or the edits sampled from other data. It does not depend
            on the run's seed, so that runs compare.
        by: columns of the data, attributes or others: the people edited are split by their values, and each group is
            scored, too; None: no groups.

    Raises:
        UserError: the run, the model, the checkpoint, the data to evaluate on or a column of it is missing, more than
            1 % of its images cannot be read, or a file cannot be read or written. As far as this can be known, it is
            raised before the work.
    """
    check_count(count)
    Bounds(at_least=0, at_most=LARGEST_SEED).check("seed", seed)
    if distance_count is None:
        distance_count = INCEPTION_EDITS if inception else DISTANCE_EDITS
    if distance_count < LEAST_IMAGES:
        raise UserError(f"--distance_count={distance_count}: must be {LEAST_IMAGES} or more")
    subject = _subject(run, model, step)
    data_dir, labels_file, out, classifier, face_models = (
        path if path is None else find(path, flag)
        for path, flag, find in (
            (data_dir, "data_dir", any_path),
            (labels_file, "labels_file", any_path),
            (out, "out", any_path),
            (classifier, "classifier", any_path),
            (face_models, "face_models", local_path),
        )
    )
    config, targets_dir = evaluated_on(subject.config, data, data_dir, labels_file)
    folder = subject.out if out is None else as_path(out)
    check_writable(folder)
    editor = subject.load()
    judge = _find_classifier(config, subject.classifier, classifier)
    with naming_the_cure(data):
        if targets_dir or has_counterfactuals(config):
            edits: Edits = load_counterfactuals(config, targets_dir, count, seed=seed, by=by)
            source = _held_out(config, count, seed) if judge or inception else None
        else:
            source = _held_out(config, count, seed)
            edits = sample_edits(source, count, seed, by)
    extractors: dict[str, Extract] = {"Inception": Inception(inception)} if inception else {}
    describers: dict[str, Extract] = {"dlib": load_face_describer(Path(face_models))} if face_models else {}
    if judge:
        describers[_JUDGE] = judge.features
    if judge and source and enough_for_distances(source):
        extractors[_JUDGE] = judge.features
    context = Context(
        editor,
        config,
        edits,
        edit_all(editor, edits),
        classifier=judge,
        source=source,
        extractors=extractors,
        describers=describers,
        distance_count=distance_count,
        count=count,
        seed=seed,
    )
    settings = {
        "model": str(model or ""),
        "evaluated_on": str(targets_dir or config.data.data_dir or config.data.kind),
        "count": count,
        "evaluation_seed": seed,
        "classifier": judge.settings if judge else None,
        "inception": inception,
        "distance_count": distance_count,
        "face_models": str(face_models or ""),
        "by": list(by or ()),
        **config.flags(),
    }
    report = _report(context, settings, subject.curves, folder)
    if source and source.bad_images.count:
        logging.warning("%s", source.bad_images.report())
    return report


@dataclass(frozen=True)
class _Subject:
    """A run or an exported model to evaluate: its configuration, a function that loads it, and the files beside it."""

    config: Config
    load: Callable[[], Evaluated]
    curves: Sequence[Mapping[str, float]]
    classifier: Path | None
    out: Path


def _subject(run: str | os.PathLike[str] | None, model: str | os.PathLike[str] | None, step: int | None) -> _Subject:
    if run is not None and model is None:
        path = any_path(run, "run")
        out = Path(f"{NAME}-{path}") if find_run(path).parent == SHIPPED else as_path(path)
        load = functools.partial(Editor.load, path, step=step)
        return _Subject(read_config(path), load, read_curves(path), find_run(path) / CLASSIFIER_DIR, out)
    if run is not None or model is None:
        raise UserError("give --run or --model: one of them")
    if step is not None:
        raise UserError(f"--step={step}: an exported model has one step; leave it out with --model")
    written = open_model(any_path(model, "model"))
    return _Subject(written.config, lambda: written, [], None, Path(f"{NAME}-{written.path.stem}"))


def evaluated_on(
    config: Config, data: str | None, data_dir: str | None, labels_file: str | None
) -> tuple[Config, str | None]:
    """The run's configuration with other data in place, and a folder of counterfactual targets that was given alone."""
    if data_dir and not (data or labels_file) and (config.data.kind == "faces" or has_index(data_dir)):
        return config, data_dir
    if data and data != config.data.kind:  # the run's places are of data of another kind
        data_dir, labels_file = data_dir or "", labels_file or ""
    given = {"data": data, "data_dir": data_dir, "labels_file": labels_file}
    return config.replace(**{name: value for name, value in given.items() if value is not None}), None


def _held_out(config: Config, count: int, seed: int) -> ReadableSource:
    """The test split of the data."""
    faces = min(MOST_HELD_OUT, max(LEAST_HELD_OUT, HELD_OUT_PER_EDIT * count))
    data = dataclasses.replace(config.data, faces_count=faces)
    return ReadableSource(open_source(data, config.model.attributes, config.model.image_size, "test", seed))


@contextlib.contextmanager
def naming_the_cure(data: str | None, purpose: str = "evaluate") -> Iterator[None]:
    """Adds to errors about the run's own data, unless `data` names others, how to name others for this purpose."""
    try:
        yield
    except UserError as error:
        if data:
            raise
        cure = f"To {purpose} on other data, or if they have moved, give --data, --data_dir and --labels_file"
        raise UserError(f"{error}. {cure}") from error


def _find_classifier(
    config: Config, own: Path | None, given: str | os.PathLike[str] | None
) -> AttributeClassifier | None:
    """The classifier given, the run's own, or the one for drawn faces; None unless it knows the run's attributes."""
    places = [as_path(one) for one in (given, own) if one][:1]
    if not given and config.data.kind == "faces":
        places.append(SHIPPED / "faces" / CLASSIFIER_DIR)
    there = [folder for folder in places if folder.is_dir()]
    if not there:
        if given:
            raise UserError(f"--classifier={given}: no such directory; `elegant-tf train-classifier` writes one")
        return None
    judge = AttributeClassifier.load(there[0])
    lacking = [name for name in config.model.attributes if name not in judge.attributes]
    if lacking and given:
        raise UserError(f"--classifier={given}: does not know {', '.join(lacking)}, which the run edits")
    return None if lacking else judge


def _report(context: Context, settings: Mapping[str, Any], curves: Sequence[Mapping[str, float]], out: Path) -> Report:
    """Measures every metric and writes the report."""
    step, edits, edited = context.editor.step, context.edits, context.edited
    results = [result for metric in METRICS if (result := metric.measure(context))]
    tables = [table for result in results for table in result.tables()]
    measured: dict[str, Any] = {key: None for metric in METRICS for key in metric.json_keys()}
    for result in results:
        measured.update(result.as_json())
    title, order = f"Held-out edits after {step:,} steps", None
    captions: Mapping[tuple[str, str], str] = {}
    if context.counterfactuals and (scores := _find(results, Scores)):
        title += f": realised {scores.mean.realised:.2f}, leak {scores.mean.leak:.1f}"
        captions, order = scores.captions, best_first(context.counterfactuals, edited)
    try:
        files = write_report(
            out,
            title,
            tables,
            sheet=draw_sheet(edits, edited, captions, title),
            cases=draw_cases(edits, edited, order, context.config.run.seed),
            curves=curves,
            values={"step": step, "settings": settings, **measured, "curves": curves},
        )
    except UserError as error:  # the disk has filled up: the measurements must not be lost
        raise UserError("\n\n".join([f"{error}. What was measured:", *map(str, tables)])) from error
    return Report(**vars(files), step=step, results=results, tables=tables)


def _find(results: Sequence[Metric], metric: type[M]) -> M | None:
    return next((result for result in results if isinstance(result, metric)), None)
