"""Distances between two sets of images by their features: Fréchet (FID) and kernel (KID).

Own code: no library has the bootstrap of `kernel_interval`, and SciPy would be a heavy dependency for one matrix root.
"""

from __future__ import annotations

import numpy as np

from elegant_tf.errors import UserError
from elegant_tf.evaluation.bootstrap import DRAWS, LEVEL, Interval, central, resamples

# With fewer images a distance would mislead.
LEAST_IMAGES = 50

# Images a side whose kernels are held at once: 8 MB of float64.
_BLOCK = 1024


class TooFewImages(UserError):
    """Fewer images than a distance can be estimated from."""


def frechet_distance(real: np.ndarray, made: np.ndarray) -> float:
    """The squared Fréchet distance of two Gaussians with the features' means and covariances: FID's formula.

    `|m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½)` (Heusel et al., 2017), 0 or more, in float64. It is biased upwards, and
    more so with fewer images: compare only distances of equal counts.

    Args:
        real: float `[N, D]`, N above D.
        made: float `[M, D]`, M above D.

    Raises:
        TooFewImages: D images or fewer on a side: their covariance would be singular.
        UserError: features that are not finite floats, or not of one D.
    """
    real, made = _checked(real, made)
    images, features = min(len(real), len(made)), real.shape[1]
    if images <= features:
        raise TooFewImages(
            f"Fréchet distance: {len(real)} real and {len(made)} made images are too few for {features} features: "
            f"give at least {features + 1} of each; the kernel distance takes {LEAST_IMAGES}"
        )
    apart = real.mean(axis=0) - made.mean(axis=0)
    first, second = _covariance(real), _covariance(made)
    root = _trace_of_root(first, second)
    # Rounding can make the distance of equal sets slightly negative.
    return max(0.0, float(apart @ apart + np.trace(first) + np.trace(second) - 2.0 * root))


def kernel_distance(real: np.ndarray, made: np.ndarray) -> float:
    """The unbiased squared maximum mean discrepancy with the kernel `(x·y / D + 1)³`: KID's formula.

    (Bińkowski et al., Demystifying MMD GANs, 2018.) In float64. It is unbiased for any number of images; for samples
    of one distribution it scatters around 0, and is negative half of the time.

    Args:
        real: float `[N, D]`.
        made: float `[M, D]`.

    Raises:
        TooFewImages: fewer than `LEAST_IMAGES` on a side.
        UserError: features that are not finite floats, or not of one D.
    """
    real, made = _checked_for_kernel(real, made)
    return float(_discrepancies(real, made, np.ones((1, len(real))), np.ones((1, len(made))))[0])


def kernel_interval(
    real: np.ndarray, made: np.ndarray, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> Interval:
    """The confidence interval of `kernel_distance`, by a bootstrap of both sets.

    An image drawn twice must not be compared with its own copy: pairs of equal images would raise the means within
    the sets, and with them the distance. They are left out of every resample; the average over resamples is then the
    distance itself. (Subsets without replacement avoid the problem, but their spread is that of a smaller set and
    must be scaled.) About 92 % of 95 % intervals contain the true distance with 60 images a side, 95 % with 200, and
    nearly all if the distributions are almost equal. Images that share an exemplar are treated as independent.

    Args:
        real, made: as `kernel_distance`.
        draws, level, seed: as `bootstrap.confidence_interval`.

    Returns:
        The lower and the upper end; the lower one may be negative, as the distance may.

    Raises:
        UserError: as `kernel_distance` and `bootstrap.confidence_interval`.
    """
    real, made = _checked_for_kernel(real, made)
    random = np.random.default_rng(seed)
    return central(_discrepancies(real, made, *(_counts(len(images), draws, random) for images in (real, made))), level)


def _checked(real: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in float64."""
    for name, features in (("real", real), ("made", made)):
        if features.ndim != 2 or not features.size or not np.issubdtype(features.dtype, np.floating):
            received = f"{features.dtype} {list(features.shape)}"
            raise UserError(f"features of the {name} images: must be floats [N, D]; received {received}")
        if not np.isfinite(features).all():
            wrong = int((~np.isfinite(features)).any(axis=1).sum())
            raise UserError(f"features of the {name} images: not finite for {wrong} of {len(features)} images")
    if real.shape[1] != made.shape[1]:
        raise UserError(
            f"{real.shape[1]} features of real and {made.shape[1]} of made images: take both from one network"
        )
    return real.astype(np.float64), made.astype(np.float64)


def _checked_for_kernel(real: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, made = _checked(real, made)
    if min(len(real), len(made)) < LEAST_IMAGES:
        raise TooFewImages(
            f"kernel distance: {len(real)} real and {len(made)} made images are too few: "
            f"give at least {LEAST_IMAGES} of each"
        )
    return real, made


def _covariance(features: np.ndarray) -> np.ndarray:
    centred = features - features.mean(axis=0)
    return centred.T @ centred / (len(features) - 1)


def _trace_of_root(first: np.ndarray, second: np.ndarray) -> float:
    """`tr (C1 C2)^½`: C1 C2 has the eigenvalues of the symmetric `C1^½ C2 C1^½`."""
    values, vectors = np.linalg.eigh(first)
    # Rounding can make the eigenvalues of constant features negative.
    root = (vectors * np.sqrt(values.clip(0.0))) @ vectors.T
    return float(np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0.0)).sum())


def _counts(count: int, draws: int, random: np.random.Generator) -> np.ndarray:
    """How often each of R resamples has each image, float64 `[R, N]`."""
    return np.stack([np.bincount(chosen, minlength=count) for chosen in resamples(count, draws, random)]).astype(float)


def _discrepancies(real: np.ndarray, made: np.ndarray, real_counts: np.ndarray, made_counts: np.ndarray) -> np.ndarray:
    """The distance in each of R resamples, `[R]`, from how often they have each image, `[R, N]` and `[R, M]`."""
    across = _pair_sums(real, made, real_counts, made_counts) / (len(real) * len(made))
    return _within(real, real_counts) + _within(made, made_counts) - 2.0 * across


def _within(features: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean kernel over pairs of different images, `[R]`."""
    itself = (np.square(features).sum(axis=1) / features.shape[1] + 1.0) ** 3
    own = np.square(counts)
    pairs = counts.sum(axis=1) ** 2 - own.sum(axis=1)
    return (_pair_sums(features, features, counts, counts) - own @ itself) / pairs


def _pair_sums(x: np.ndarray, y: np.ndarray, x_counts: np.ndarray, y_counts: np.ndarray) -> np.ndarray:
    """The sum of the kernel over all pairs, weighted by the product of their counts: `[R]`."""
    sums = np.zeros(len(x_counts))
    for row in range(0, len(x), _BLOCK):
        for column in range(0, len(y), _BLOCK):
            rows, columns = slice(row, row + _BLOCK), slice(column, column + _BLOCK)
            kernel = (x[rows] @ y[columns].T / x.shape[1] + 1.0) ** 3
            sums += (x_counts[:, rows] @ kernel * y_counts[:, columns]).sum(axis=1)
    return sums
