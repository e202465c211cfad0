"""Profile of a host: what share of its time the kernel takes, and what replacing it can gain at most."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np


class Slot:
    """What a host calls in place of its kernel: forwards the call and counts time, calls and rows.

    Parameters
    ----------
    function : callable
        The kernel, a surrogate or a baseline: dict of (n, ...) arrays in, dict of (n, ...) arrays out.
    label : str
        "kernel", "surrogate" or the name of the baseline; a host may read it, but must not act on it.
    """

    def __init__(self, function, label):
        self.function = function
        self.label = label
        self.seconds = 0.0
        self.calls = 0
        self.rows = 0

    def __call__(self, inputs):
        start = time.process_time()
        outputs = self.function(inputs)
        self.seconds += time.process_time() - start
        self.calls += 1
        self.rows += len(np.atleast_1d(next(iter(inputs.values()))))
        return outputs


class RoundedKernel:
    """A kernel with its outputs rounded to 32 bits: what it does to a host is the floor of every replacement."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __call__(self, inputs):
        outputs = self.kernel(inputs)
        return {k: np.asarray(v).astype(np.float32).astype(np.asarray(v).dtype) for k, v in outputs.items()}


@dataclass(frozen=True)
class Profile:
    """Time of one host run [s of CPU] and the part spent in the slot.

    Attributes
    ----------
    label : str
        What sat in the slot.
    host_seconds, slot_seconds : float
        CPU time of the whole run, and inside the slot; the latter NaN where a program does not tell it.
    calls, rows : int
        Calls of the slot, and samples in all of them.
    """

    label: str
    host_seconds: float
    slot_seconds: float
    calls: int
    rows: int

    @property
    def share(self):
        """Share of the host's time spent in the slot, 0 to 1."""
        return min(self.slot_seconds / self.host_seconds, 1.0) if self.host_seconds > 0 else float("nan")

    @property
    def amdahl_ceiling(self):
        """Speed-up of the host if the slot took no time at all (Amdahl 1967)."""
        rest = 1.0 - self.share
        return 1.0 / rest if rest > 0 else float("inf")

    @property
    def seconds_per_row(self):
        return self.slot_seconds / self.rows if self.rows else float("nan")

    def __str__(self):
        return (
            f"{self.label}: host {self.host_seconds:.3g} s, {100 * self.share:.1f} % of it in {self.calls} slot calls "
            f"({self.rows} rows, {1e6 * self.seconds_per_row:.3g} us each); a slot of no cost would make the host "
            f"{self.amdahl_ceiling:.3g}x faster"
        )


def run(host, function, label, repeat=1):
    """Run ``host`` with ``function`` in its slot.

    Parameters
    ----------
    host : callable or ExecutableHost
        ``host(slot) -> dict of arrays``; calls ``slot(inputs)`` wherever it would call its kernel.
    function : callable
        What sits in the slot.
    label : str
        Name for the result.
    repeat : int
        Runs; the times are those of the fastest one.

    Returns
    -------
    fields : dict of arrays
        What the host returned.
    profile : Profile
    """
    best = None
    once = host.run if hasattr(host, "run") else lambda function, label: _run_callable(host, function, label)
    for _ in range(repeat):
        fields, profile = once(function, label)
        if best is None or profile.host_seconds < best.host_seconds:
            best = profile
    return fields, best


def _run_callable(host, function, label):
    slot = Slot(function, label)
    start = time.process_time()
    fields = host(slot)
    seconds = time.process_time() - start
    if not isinstance(fields, dict):
        raise TypeError(f"host: expected a dict of arrays from host(slot), got {type(fields).__name__}")
    if slot.calls == 0:
        raise ValueError(f"host: the run with {label} in the slot never called the slot")
    return fields, Profile(label, seconds, slot.seconds, slot.calls, slot.rows)


def profile(host, kernel, repeat=1):
    """Profile a host before anything is replaced: is the kernel worth a surrogate?

    Parameters
    ----------
    host : callable or ExecutableHost
        ``host(slot) -> dict of arrays``, or a program.
    kernel : callable
        The kernel that the host normally calls.
    repeat : int
        Runs; the times are those of the fastest one.

    Returns
    -------
    Profile
        Its ``amdahl_ceiling`` is the most that any surrogate can gain.

    Raises
    ------
    ValueError
        If the host never calls the slot.

    Examples
    --------
    >>> import numpy as np, simgraft as sg
    >>> def host(slot):
    ...     y = np.ones(10)
    ...     for _ in range(5):
    ...         y = y - 0.1 * slot({"y": y})["rate"]
    ...     return {"y": y}
    >>> sg.profile(host, lambda inputs: {"rate": inputs["y"]}).calls
    5
    """
    return run(host, kernel, "kernel", repeat)[1]
