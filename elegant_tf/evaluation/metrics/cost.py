"""What an exported model costs on the machine that evaluates it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.metrics.metric import Metric
from elegant_tf.evaluation.report.tables import Table
from elegant_tf.export.footprint import footprint
from elegant_tf.export.written import WrittenModel


@dataclass(frozen=True)
class Cost(Metric):
    """See `export.footprint.Footprint`."""

    megabytes: float
    milliseconds: Mapping[int, float]
    peak_megabytes: float | None

    @classmethod
    def measure(cls, context: Context) -> Cost | None:
        if not isinstance(context.editor, WrittenModel):
            return None
        return cls(**vars(footprint(context.editor.path)))

    def tables(self) -> list[Table]:
        head = ["MB", *(f"ms, threads: {count}" for count in self.milliseconds), "peak MB"]
        peak = "" if self.peak_megabytes is None else f"{self.peak_megabytes:.0f}"
        cells = [f"{self.megabytes:.2f}", *(f"{time:.1f}" for time in self.milliseconds.values()), peak]
        about = (
            "MB: on disk, 1e6 bytes; ms: median time of an edit of one image by threads, on this machine's processor; "
            "peak MB: the memory that a process takes for the model and its edits."
        )
        return [Table("Cost of the model", about, tuple(head), [tuple(cells)], words=0)]
