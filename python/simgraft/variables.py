"""Variables: what a kernel takes and gives, with unit, shape and valid range."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

import numpy as np

from simgraft._core import DomainError, NotFiniteError


@dataclass(frozen=True)
class Var:
    """One named input or output of a kernel.

    Parameters
    ----------
    unit : str
        Unit of the values, in the spelling of the field ("K", "kg m-3"); "1" for a pure number.
    low, high : float, optional
        Valid range [unit], both ends included. Samplers need both.
    scale : {"linear", "log"}
        How the values spread: "log" for positive values over several orders of magnitude. Samplers and the default
        encoder follow it.
    shape : int or tuple of int
        Shape of one sample; () for a scalar.
    doc : str
        What it is.

    Raises
    ------
    ValueError
        If the range is empty, or not positive where ``scale`` is "log", or the shape has a dimension < 1.

    Examples
    --------
    >>> Var("Pa", 1e3, 1e7, scale="log").high
    10000000.0
    >>> Var("K", shape=(60,)).size
    60
    """

    unit: str
    low: float | None = None
    high: float | None = None
    _: KW_ONLY
    scale: str = "linear"
    shape: tuple[int, ...] = ()
    doc: str = ""

    def __post_init__(self):
        if not isinstance(self.unit, str):
            raise TypeError(f'unit: expected a text such as "K" or "1", got {self.unit!r}')
        if self.scale not in ("linear", "log"):
            raise ValueError(f'scale: expected "linear" or "log", got {self.scale!r}')
        shape = tuple(self.shape) if isinstance(self.shape, (tuple, list)) else (self.shape,)
        if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in shape):
            raise TypeError(f"shape: expected an integer or a tuple of integers, got {self.shape!r}")
        if any(n < 1 for n in shape):
            raise ValueError(f"shape: expected dimensions of at least 1, got {shape}")
        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        for end in ("low", "high"):
            value = getattr(self, end)
            if value is not None:
                try:
                    object.__setattr__(self, end, float(value))
                except (TypeError, ValueError):
                    raise TypeError(f"{end}: expected a number, got {value!r}") from None
                if not math.isfinite(value):
                    raise ValueError(f"{end}: expected a finite number, got {value}; leave it out for no limit")
                if self.scale == "log" and value <= 0:
                    raise ValueError(f'{end}: expected a number > 0 with scale="log", got {value}')
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low, high: expected low < high, got {self.low} and {self.high}")

    @property
    def size(self):
        """Number of values in one sample."""
        return math.prod(self.shape)

    def range_text(self):
        """The valid range in words, as in "200 to 2000 K"; "" without limits."""
        if self.low is None and self.high is None:
            return ""
        if self.high is None:
            return f"at least {self.low:g}{self._unit_text()}"
        if self.low is None:
            return f"at most {self.high:g}{self._unit_text()}"
        return f"{self.low:g} to {self.high:g}{self._unit_text()}"

    def _unit_text(self):
        return "" if self.unit == "1" else f" {self.unit}"


def describe(variables):
    """List of plain dicts, for JSON; a list, because the order of the variables is the order of the columns."""
    return [
        {
            "name": name,
            "unit": v.unit,
            "low": v.low,
            "high": v.high,
            "scale": v.scale,
            "shape": list(v.shape),
            "doc": v.doc,
        }
        for name, v in variables.items()
    ]


def from_description(description):
    """Variables from what ``describe`` made."""
    return {
        d["name"]: Var(d["unit"], d["low"], d["high"], scale=d["scale"], shape=d["shape"], doc=d["doc"])
        for d in description
    }


def as_variables(variables, what):
    """Checked copy of a dict of Var."""
    if not isinstance(variables, dict) or not variables:
        raise TypeError(f"{what}: expected a dict of name: simgraft.Var with at least one entry, got {variables!r}")
    for name, v in variables.items():
        if not isinstance(name, str) or not name:
            raise TypeError(f"{what}: expected names as keys, got {name!r}")
        if not isinstance(v, Var):
            raise TypeError(f"{what}[{name!r}]: expected a simgraft.Var, got {type(v).__name__}")
    return dict(variables)


def n_columns(variables):
    """Columns of the packed matrix."""
    return sum(v.size for v in variables.values())


def columns(variables):
    """(name, variable, slice of its columns), in order."""
    start = 0
    for name, v in variables.items():
        yield name, v, slice(start, start + v.size)
        start += v.size


def as_matrix(x, n, what):
    """x as a C-contiguous (rows, n) float64 array; lossless conversions only."""
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{what}: expected a float64 array of shape (rows, {n}), got {type(x).__name__}")
    if x.ndim != 2 or x.shape[1] != n:
        raise ValueError(f"{what}: expected shape (rows, {n}), got {x.shape}")
    return np.ascontiguousarray(_as_float64(x, what))


def _as_float64(x, what):
    if x.dtype == np.float64:
        return x
    if x.dtype.kind not in "iufb" or not np.can_cast(x.dtype, np.float64, "safe"):
        raise TypeError(
            f"{what}: expected float64 (or a type that fits into it without loss), got {x.dtype}; "
            "convert with .astype(np.float64)"
        )
    return x.astype(np.float64)


def check_arrays(arrays, variables, what):
    """Dict of arrays (n, *shape) in the order of the variables, and n; names, types and shapes checked."""
    if not isinstance(arrays, dict):
        raise TypeError(f"{what}: expected a dict of arrays, got {type(arrays).__name__}")
    missing, unknown = [n for n in variables if n not in arrays], [n for n in arrays if n not in variables]
    if missing or unknown:
        raise ValueError(
            f"{what}: expected {list(variables)}"
            + (f"; missing {missing}" if missing else "")
            + (f"; not known: {unknown}" if unknown else "")
        )
    checked, n, first = {}, None, None
    for name, v in variables.items():
        x = np.asarray(arrays[name])
        if x.ndim != 1 + len(v.shape) or x.shape[1:] != v.shape:
            expected = ", ".join(["n", *map(str, v.shape)]) + ("," if not v.shape else "")
            raise ValueError(f"{what}[{name!r}]: expected shape ({expected}), got {x.shape}")
        if n is None:
            n, first = len(x), name
        elif len(x) != n:
            raise ValueError(f"{what}[{name!r}]: expected {n} samples as in {first!r}, got {len(x)}")
        checked[name] = _as_float64(x, f"{what}[{name!r}]")
    return checked, n


def pack(arrays, variables, what):
    """(n, columns) float64 matrix of a dict of arrays (n, *shape)."""
    checked, n = check_arrays(arrays, variables, what)
    packed = np.empty((n, n_columns(variables)))
    for name, v, where in columns(variables):
        packed[:, where] = checked[name].reshape(n, v.size)
    return packed


def unpack(matrix, variables):
    """Dict of contiguous arrays (n, *shape) of a (n, columns) matrix."""
    return {
        name: np.ascontiguousarray(matrix[:, where]).reshape(len(matrix), *v.shape)
        for name, v, where in columns(variables)
    }


def _place(v, name, row, column, first_row):
    index = [first_row + row, *np.unravel_index(column, v.shape)] if v.shape else [first_row + row]
    return f"{name}[{', '.join(str(int(i)) for i in index)}]"


def check_range(matrix, variables, first_row=0):
    """DomainError naming the first value outside its variable's range, NotFiniteError for NaN or infinity."""
    for name, v, where in columns(variables):
        part = matrix[:, where]
        bad = ~np.isfinite(part)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise NotFiniteError(f"{_place(v, name, row, column, first_row)} is {part[row, column]}")
        for limit, outside in ((v.low, np.less), (v.high, np.greater)):
            if limit is None:
                continue
            bad = outside(part, limit)
            if bad.any():
                row, column = np.argwhere(bad)[0]
                raise DomainError(
                    f"{_place(v, name, row, column, first_row)} = {part[row, column]:.10g}{v._unit_text()} "
                    f"lies outside the valid range ({v.range_text()})"
                )


def check_finite(matrix, variables, kernel, first_row=0):
    """NotFiniteError naming the first output of the kernel that is NaN or infinite."""
    if np.isfinite(matrix).all():
        return
    for name, v, where in columns(variables):
        bad = ~np.isfinite(matrix[:, where])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise NotFiniteError(
                f"kernel {kernel!r} gave {_place(v, name, row, column, first_row)} = {matrix[row, where][column]} "
                f"for row {first_row + row}"
            )
