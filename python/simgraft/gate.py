"""Gates: the limits a trial must hold, and whether it held them.

A gate that is written down before the trial (:func:`rmse`, :func:`relative_error`, ...) is a *requirement*: it knows
which number to take from the trial. When the trial has the number, it becomes a :class:`Gate`.
"""

from __future__ import annotations

import math
import operator
from dataclasses import asdict, dataclass

_OPERATORS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


@dataclass(frozen=True)
class Gate:
    """One limit with the value it was held against.

    Parameters
    ----------
    name : str
        Name of the gate; stays the same between versions, scripts read it.
    value : float
        What the trial measured. NaN never passes.
    unit : str
        Unit of ``value`` and ``limit``, "1" for a ratio.
    op : {"<=", "<", ">=", ">"}
        How the value must compare with the limit.
    limit : float
    floor : float, optional
        What the reference gives against itself: no surrogate can be expected to do better.
    """

    name: str
    value: float
    unit: str
    op: str
    limit: float
    floor: float | None = None

    def __post_init__(self):
        if self.op not in _OPERATORS:
            raise ValueError(f"op: expected one of {', '.join(_OPERATORS)}, got {self.op!r}")

    @property
    def passed(self) -> bool:
        return not math.isnan(self.value) and _OPERATORS[self.op](self.value, self.limit)

    def as_dict(self) -> dict:
        """The row of this gate in ``report.json``."""
        return asdict(self) | {"passed": self.passed}

    def __str__(self):
        verdict = "pass" if self.passed else "FAIL"
        floor = "" if self.floor is None else f", floor {self.floor:.3g}"
        return f"{verdict}  {self.name} = {self.value:.4g} {self.unit} (limit {self.op} {self.limit:g}{floor})"


@dataclass(frozen=True)
class Requirement:
    """A limit on a number that a trial will produce: ``metric`` of ``field`` in the part ``where`` of the trial."""

    where: str  # "a_priori" or "a_posteriori"
    field: str
    metric: str
    limit: float
    name: str | None = None
    op: str = "<="

    def check(self, rows) -> Gate:
        """The gate for this requirement, given the metric rows of its part of the trial."""
        for row in rows:
            if row["name"] == self.field:
                break
        else:
            known = ", ".join(row["name"] for row in rows)
            raise ValueError(f"gates: the {self.where} trial has no field {self.field!r}; it has {known}")
        unit = "1" if self.metric.startswith("relative") else row["unit"]
        name = self.name or f"{self.where}_{self.field}_{self.metric}"
        return Gate(name, row[self.metric], unit, self.op, self.limit, row.get("floor_" + self.metric))


def _requirements(where, field, prefix, limits, allowed):
    if len(limits) != 1:
        raise ValueError(f"expected exactly one limit out of {', '.join(allowed)}, got {sorted(limits)}")
    (key, limit), = limits.items()
    if key not in allowed:
        raise ValueError(f"{key}: expected one of {', '.join(allowed)}")
    return Requirement(where, field, prefix + key, float(limit))


def relative_error(output, **limit):
    """Require a percentile of |surrogate - kernel| / |kernel| on unseen samples.

    Parameters
    ----------
    output : str
        Name of an output of the kernel.
    **limit
        One of ``p50=``, ``p90=``, ``p99=``, ``max=``: the limit on that percentile [1].

    Examples
    --------
    >>> from simgraft import gate
    >>> gate.relative_error("rate", p99=0.01)
    Requirement(where='a_priori', field='rate', metric='relative_p99', limit=0.01, name=None, op='<=')
    """
    return _requirements("a_priori", output, "relative_", limit, ("p50", "p90", "p99", "max"))


def rmse(output, limit):
    """Require the root-mean-square error of an output on unseen samples, in the unit of the output."""
    return Requirement("a_priori", output, "rmse", float(limit))


def max_error(output, limit):
    """Require the largest absolute error of an output on unseen samples, in the unit of the output."""
    return Requirement("a_priori", output, "max", float(limit))


def host(field, **limit):
    """Require an error of a field that the host returns: host with surrogate against host with kernel.

    Parameters
    ----------
    field : str
        Key of the dict that the host returns.
    **limit
        One of ``rmse=``, ``max=`` [unit of the field], ``relative_p50=``, ``relative_p90=``, ``relative_p99=``,
        ``relative_max=`` [1].
    """
    allowed = ("rmse", "max", "relative_p50", "relative_p90", "relative_p99", "relative_max")
    return _requirements("a_posteriori", field, "", limit, allowed)
