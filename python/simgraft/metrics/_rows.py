"""Samples as they come in: checked once, with messages that name argument, row and column."""

import numpy as np

from simgraft import _core
from simgraft.metrics.errors import Moments


def rows(array, name, minimum=1):
    """`array` (n, m), or (n,) as one column, of float32 or float64; finite, at least `minimum` rows."""
    array = np.asarray(array)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name}: expected a float32 or float64 array, got {array.dtype}")
    if array.ndim not in (1, 2):
        raise ValueError(f"{name}: expected shape (n, m) or (n,), got {array.shape}")
    if len(array) < minimum:
        raise ValueError(f"{name}: expected at least {minimum} rows, got {len(array)}")
    array = array[:, None] if array.ndim == 1 else array
    good = np.isfinite(array)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        raise _core.NotFiniteError(
            f"{name}: row {row}, column {column} is {array[row, column]} ({np.count_nonzero(~good)} such values)"
        )
    return array


def pair(a, b, names, minimum=1):
    """Two samples with the same columns, of the same dtype (float32 to float64 loses nothing)."""
    a, b = rows(a, names[0], minimum), rows(b, names[1], minimum)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"{names[1]}: expected {a.shape[1]} columns as in {names[0]}, got {b.shape[1]}")
    if a.dtype != b.dtype:
        a, b = a.astype(np.float64), b.astype(np.float64)
    return a, b


def weights(weight, n, name):
    """`weight` (n,) float64, finite, >= 0, not all 0; None stays None."""
    if weight is None:
        return None
    weight = np.asarray(weight, np.float64)
    if weight.shape != (n,):
        raise ValueError(f"{name}: expected shape ({n},), got {weight.shape}")
    bad = ~(np.isfinite(weight) & (weight >= 0))
    if bad.any():
        first = int(np.flatnonzero(bad)[0])
        raise ValueError(f"{name}: event {first} has {weight[first]}; expected finite numbers >= 0")
    if n and not weight.any():
        raise ValueError(f"{name}: expected at least one weight above 0")
    return weight


def columns(array):
    """Rows (n, m) as (m, n) in memory; no copy where the rows were a view of columns."""
    return np.ascontiguousarray(array.T)


def threads(num_threads):
    return 0 if num_threads is None else num_threads


def spread(array, weight=None):
    """Standard deviation of each column; 1 of a constant one."""
    std = Moments().update(np.ascontiguousarray(array), weight).std_
    return np.where(std > 0, std, 1.0)


def scales(scale, shape):
    """`scale` for columns of this shape, float64, all above 0."""
    scale = np.broadcast_to(np.asarray(scale, np.float64), shape)
    if not np.all(scale > 0):
        raise ValueError(f"scale: expected numbers above 0, got {scale}")
    return scale
