"""The files of a run's checkpoints: finding, writing and removing them. Needs no TensorFlow.

A checkpoint is what its files say: `step-N.index` and `step-N.data-*`, and `step-N.sha256` with their checksums, which
`sha256sum --check` reads, too. TensorFlow's list of checkpoints, the file `checkpoint`, is written for other programs
and never read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from elegant_tf.errors import UserError
from elegant_tf.files import file_sha256, reason, remove_tree, sync, write_text, writing
from elegant_tf.remote import as_path
from elegant_tf.rundir import CHECKPOINT_DIR, CHECKPOINT_PREFIX

_LIST = "checkpoint"
_SUMS = ".sha256"
_FILE = re.compile(rf"{CHECKPOINT_PREFIX}-(0|[1-9]\d*)\.(?:index|sha256|data-\d{{5}}-of-(\d{{5}}))")
# Where a checkpoint is written, until all its files are there.
_ASIDE = re.compile(rf"\.{CHECKPOINT_PREFIX}-(0|[1-9]\d*)\.part")


class CheckpointFiles:
    """The files in the folder of a run's checkpoints. Others in it are left alone.

    Methods that write are for the process that trains the run: nothing else may write meanwhile.

    Args:
        run_dir: the run directory.
    """

    def __init__(self, run_dir: str | os.PathLike[str]) -> None:
        self.folder = as_path(run_dir) / CHECKPOINT_DIR

    def path(self, step: int) -> Path:
        """What the names of a checkpoint's files begin with, as TensorFlow names a checkpoint."""
        return self.folder / f"{CHECKPOINT_PREFIX}-{step}"

    def steps(self) -> list[int]:
        """The steps of all checkpoints that have files, oldest first, but not of one that was never written wholly.

        Raises:
            UserError: the folder cannot be read.
        """
        names = self._names()
        steps = {int(match[1]) for match in map(_FILE.fullmatch, names) if match}
        return sorted(step for step in steps if not (_lacking(step, names) and self._unfinished(step, names)))

    def lacks(self, step: int) -> str:
        """The name of a file that a checkpoint lacks; empty if it has all."""
        return _lacking(step, self._names())

    def altered(self, step: int) -> str:
        """The name of a file of a checkpoint that is not as it was saved, by its checksum; empty if none is.

        Checkpoints of versions before 0.3 have no checksums.

        Raises:
            UserError: a file cannot be read.
        """
        path = self.path(step).with_suffix(_SUMS)
        try:
            lines = path.read_text("utf-8", "replace").splitlines()
            sums = {name: found for found, _, name in (line.partition("  ") for line in lines)}
            names = [file.name for file in self._files(step) if file != path]
            return next((name for name in names if file_sha256(self.folder / name) != sums.get(name)), "")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise UserError(f"{path}: cannot be compared with the files: {reason(error)}") from error

    def check_access(self, step: int) -> None:
        """Raises UserError if a file of a checkpoint must not be read."""
        for path in self._files(step):
            try:
                path.open("rb").close()
            except OSError as error:
                raise UserError(f"{path}: cannot be read: {reason(error)}") from error

    @contextmanager
    def written(self, step: int) -> Iterator[Path]:
        """A path for TensorFlow to write a checkpoint to. It takes its place, and that of an earlier one of the same
        step, when it is on the disk; nothing is left of it if the block fails.

        Raises:
            UserError: it cannot be written.
        """
        aside = self._aside(step)
        with writing(self.path(step)):
            try:
                remove_tree(aside)
                aside.mkdir(parents=True)
                yield aside / self.path(step).name
                sums = [f"{file_sha256(aside / name)}  {name}\n" for name in _listed(aside)]
                (aside / self.path(step).name).with_suffix(_SUMS).write_text("".join(sums), "utf-8")
                for name in _listed(aside):
                    sync(aside / name)
                self._put_in_place(step)
            finally:
                remove_tree(aside)

    def finish(self) -> None:
        """Puts a checkpoint in its place that a kill left aside, if it is whole, and removes what is left of others.

        Raises:
            UserError: something cannot be moved or removed.
        """
        for match in filter(None, map(_ASIDE.fullmatch, self._names())):
            step = int(match[1])
            aside = self._aside(step)
            with writing(aside):
                held = _listed(aside)
                if f"{self.path(step).name}.index" in held and not _lacking(step, [*held, *self._names()]):
                    self._put_in_place(step)
                remove_tree(aside)

    def remove(self, step: int) -> None:
        """Removes a checkpoint's files. Raises UserError if that cannot be."""
        with writing(self.path(step)):
            # The index goes first: without it, there is no checkpoint that only seems whole.
            for path in sorted(self._files(step), key=lambda path: path.suffix != ".index"):
                path.unlink(missing_ok=True)

    def write_list(self, steps: Sequence[int]) -> None:
        """Writes TensorFlow's list of checkpoints, which `tf.train.latest_checkpoint` reads; the last is the newest."""
        names = [self.path(step).name for step in steps]
        lines = [f'model_checkpoint_path: "{names[-1]}"', *(f'all_model_checkpoint_paths: "{name}"' for name in names)]
        write_text(self.folder / _LIST, "\n".join(lines) + "\n")

    def _put_in_place(self, step: int) -> None:
        """Moves the files of a whole checkpoint out of the folder aside, the index last."""
        aside = self._aside(step)
        self.path(step).with_suffix(".index").unlink(missing_ok=True)
        names = filter(_FILE.fullmatch, _listed(aside))
        for name in sorted(names, key=lambda name: name.endswith(".index")):
            (aside / name).replace(self.folder / name)
        sync(self.folder)

    def _aside(self, step: int) -> Path:
        return self.folder / f".{CHECKPOINT_PREFIX}-{step}.part"

    def _unfinished(self, step: int, names: Sequence[str]) -> bool:
        """Whether a checkpoint was being written when the process was killed, or is right now."""
        by_older_versions = f"{self.path(step).name}_temp"
        return self._aside(step).name in names or by_older_versions in names

    def _files(self, step: int) -> list[Path]:
        matches = filter(None, map(_FILE.fullmatch, self._names()))
        return [self.folder / match[0] for match in matches if int(match[1]) == step]

    def _names(self) -> list[str]:
        try:
            return _listed(self.folder)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UserError(f"{self.folder}: cannot be read: {reason(error)}") from error


def _listed(folder: Path) -> list[str]:
    """The names in a folder, in order. Raises OSError."""
    return sorted(path.name for path in folder.iterdir())


def _lacking(step: int, names: Sequence[str]) -> str:
    """The name of a file that the checkpoint of a step lacks among these; empty if none."""
    matches = [match for match in map(_FILE.fullmatch, names) if match and int(match[1]) == step]
    begin = f"{CHECKPOINT_PREFIX}-{step}"
    counts = {int(match[2]) for match in matches if match[2]} or {1}
    wanted = {f"{begin}.data-{place:05d}-of-{max(counts):05d}" for place in range(max(counts))} | {f"{begin}.index"}
    return min(wanted - {match[0] for match in matches}, default="")
