"""Configurations of older versions, brought up to date."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from elegant_tf.errors import UserError

VERSION = 1

# Options by their old flag, and what they are called now.
RENAMED: Mapping[str, str] = {
    "mirror_edits": "flip_tta",
    "restoration_weight": "cycle_weight",
    "restyle_weight": "style_cycle_weight",
    "restoration_ramp_updates": "cycle_warmup_updates",
}

# Values that are called otherwise now, by flag.
RENAMED_VALUES: Mapping[str, Mapping[str, str]] = {"attribute_schedule": {"cycle": "round_robin"}}

_TARGETS = "recipes/counterfactual_targets.py trains on counterfactual targets"
_NO_EFFECT = "it made no measurable difference"


class Removed(NamedTuple):
    """An option that is gone: whether it had an effect in a flat configuration, and what to do without it."""

    had_effect: Callable[[Mapping[str, Any]], bool]
    advice: str


def _cycles(values: Mapping[str, Any]) -> bool:
    return bool(values.get("restoration_weight") or values.get("restyle_weight"))


def _has_targets(values: Mapping[str, Any]) -> bool:
    return bool(values.get("truth_weight"))


REMOVED: Mapping[str, Removed] = {
    "exemplar_shift": Removed(lambda values: _cycles(values) and values["exemplar_shift"] > 0, _NO_EFFECT),
    "restoration_noise": Removed(lambda values: _cycles(values) and values["restoration_noise"] > 0, _NO_EFFECT),
    "truth_weight": Removed(_has_targets, _TARGETS),
    "truths_count": Removed(_has_targets, _TARGETS),
    "truth_attributes": Removed(_has_targets, _TARGETS),
    "truth_restyle_share": Removed(_has_targets, _TARGETS),
    "truth_batch_size": Removed(_has_targets, _TARGETS),
    "truth_updates": Removed(_has_targets, _TARGETS),
    "truth_floor": Removed(_has_targets, _TARGETS),
    "truth_kept_weight": Removed(_has_targets, _TARGETS),
    "truth_absolute": Removed(_has_targets, _TARGETS),
}


class Upgraded(NamedTuple):
    """A configuration in today's groups, and the options that had an effect and are gone: `flag=value` to advice."""

    groups: dict[str, dict[str, Any]]
    removed: dict[str, str]


def upgraded(values: Mapping[str, Any], places: Mapping[str, tuple[str, str]]) -> Upgraded:
    """Brings the values of a `config.json` up to date.

    Version 0, which names no version, is one flat object of options by flag; version 1 has them in groups.

    Args:
        values: what the file holds.
        places: each option's flag to its group and its field there.

    Raises:
        UserError: the version is newer than this program's, or an option does not exist.
    """
    version = values.get("version", 0)
    if version == VERSION:
        return Upgraded({name: group for name, group in values.items() if name != "version"}, {})
    if version != 0:
        raise UserError(f"version {version} of the configuration is newer than this program's, {VERSION}")
    groups: dict[str, dict[str, Any]] = {}
    removed: dict[str, str] = {}
    for old, value in values.items():
        flag = RENAMED.get(old, old)
        if flag in REMOVED:
            if REMOVED[flag].had_effect(values):
                removed[f"{flag}={value}"] = REMOVED[flag].advice
        elif flag in places:
            group, name = places[flag]
            values_now = RENAMED_VALUES.get(flag, {})
            groups.setdefault(group, {})[name] = values_now.get(value, value) if values_now else value
        else:
            raise UserError(f"unknown configuration fields: {old}")
    return Upgraded(groups, removed)
