"""The form of a metric."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from elegant_tf.evaluation.metrics.context import Context
from elegant_tf.evaluation.report.tables import Table


@dataclasses.dataclass(frozen=True)
class Metric(ABC):
    """What was measured of an editor: a frozen dataclass whose fields are entries of `scorecard.json`."""

    @classmethod
    @abstractmethod
    def measure(cls, context: Context) -> Metric | None:
        """Measures; None if the context lacks what it needs, for instance counterfactual targets or a classifier."""

    @abstractmethod
    def tables(self) -> Sequence[Table]:
        """The result as tables of the report."""

    def as_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def json_keys(cls) -> list[str]:
        """The keys of `as_json`."""
        return [field.name for field in dataclasses.fields(cls)]
