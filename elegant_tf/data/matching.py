"""Finding, for an image with an attribute, an image without it that agrees in the other attributes.

Own code: among many equally near images, a nearest-neighbour index returns some, and here all must be equally likely.
"""

from __future__ import annotations

import functools

import numpy as np


class Matcher:
    """Images grouped by their labels.

    Args:
        labels: int8 `[M, n]` in {0, 1}; for every attribute, some images have it and some do not.
    """

    def __init__(self, labels: np.ndarray) -> None:
        patterns, group, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
        # Puts patterns with the attribute beyond the largest distance, in the smallest type that holds the sum.
        out_of_reach = patterns.shape[1] + 1
        self._penalties = np.ascontiguousarray(patterns.T, np.min_scalar_type(2 * out_of_reach)) * out_of_reach
        self._words = _pack(patterns)
        self._group = group.ravel()
        self._counts = counts
        # The images of group g are members[starts[g] : starts[g] + counts[g]].
        self._members = np.argsort(self._group, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._nearest = functools.lru_cache(maxsize=4096)(self._find_nearest)

    def match(self, images: np.ndarray, attributes: np.ndarray, chances: np.ndarray) -> np.ndarray:
        """For each image with an attribute, chooses one without it that differs in the fewest other attributes.

        Args:
            images, attributes: integers `[N]`.
            chances: float64 `[N]` in [0, 1), which choose uniformly among equally similar images.

        Returns:
            int64 `[N]`, the images chosen.
        """
        found = np.empty(len(images), np.int64)
        for place, (image, attribute) in enumerate(zip(images.tolist(), attributes.tolist(), strict=True)):
            groups, ends = self._nearest(int(self._group[image]), attribute)
            number = int(chances[place] * ends[-1])
            which = int(np.searchsorted(ends, number, side="right"))
            before = ends[which - 1] if which else 0
            found[place] = self._members[self._starts[groups[which]] + number - before]
        return found

    def _find_nearest(self, group: int, attribute: int) -> tuple[np.ndarray, np.ndarray]:
        """The nearest groups, and the cumulative number of their images."""
        differences = self._penalties[attribute].copy()
        for word in self._words:
            differences += np.bitwise_count(word ^ word[group])
        groups = np.flatnonzero(differences == differences.min())
        return groups, np.cumsum(self._counts[groups])


def _pack(patterns: np.ndarray) -> np.ndarray:
    """Packs rows of 0 and 1 into the bits of uint64 `[W, P]`."""
    packed = np.packbits(patterns.astype(bool), axis=1)
    return np.ascontiguousarray(np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64).T)
