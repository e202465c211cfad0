"""Trials: does the surrogate hold, on unseen samples and inside the running simulation?

A trial ends in numbers, gates and pictures. Every error is shown beside its floor (what the reference gives against
itself) and beside the simplest baselines, so that a reader can tell a good network from an easy problem.
"""

from __future__ import annotations

import logging
import platform
import time

import numpy as np

from simgraft import _core, metrics
from simgraft.gate import Gate, Requirement
from simgraft.profile import RoundedKernel
from simgraft.profile import run as _run_host

logger = logging.getLogger("simgraft")

_PERCENTILES = (50, 90, 99)


def error_row(name, unit, truth, prediction, weight=None):
    """Errors of one field: a flat dict of numbers, the row of a table.

    Parameters
    ----------
    name, unit : str
        Of the field.
    truth, prediction : array_like
        Same shape, samples first; compared in float64.
    weight : (n,) array, optional
        Weights of the samples in bias, mae and rmse: of rare events, or those that the training loss had.

    Returns
    -------
    dict
        ``bias``, ``mae``, ``rmse``, ``max`` [unit]; ``relative_p50``, ``relative_p90``, ``relative_p99`` and
        ``relative_max`` of |error| / |truth| where the truth is not zero [1]; ``std``, the spread of the truth [unit];
        ``n``, the number of values.

    Raises
    ------
    ValueError
        If the shapes differ, or a value is NaN or infinite: an error over part of the values would hide it.
    """
    truth = np.asarray(truth, dtype=np.float64)
    prediction = np.asarray(prediction, dtype=np.float64)
    if truth.shape != prediction.shape:
        raise ValueError(f"{name}: reference has shape {truth.shape}, surrogate {prediction.shape}")
    if truth.size == 0:
        raise ValueError(f"{name}: there is nothing to compare")
    for what, values in (("reference", truth), ("surrogate", prediction)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            index = tuple(int(i) for i in np.unravel_index(bad[0], values.shape))
            raise ValueError(f"{name}: the {what} is not finite at {index} ({bad.size} such values)")
    if weight is not None:
        weight = np.repeat(weight, truth[0].size)
    truth, prediction = truth.ravel(), prediction.ravel()
    known = truth != 0
    relative = np.abs((prediction[known] - truth[known]) / truth[known])
    row = {
        "name": name,
        "unit": unit,
        "n": truth.size,
        "std": float(truth.std()),
        "bias": metrics.bias(prediction, truth, weight=weight),
        "mae": metrics.mae(prediction, truth, weight=weight),
        "rmse": metrics.rmse(prediction, truth, weight=weight),
        "max": metrics.max_error(prediction, truth),
    }
    if relative.size:
        for q, value in zip(_PERCENTILES, metrics.percentiles(relative, _PERCENTILES), strict=True):
            row[f"relative_p{q}"] = float(value)
        row["relative_max"] = float(relative.max())
    return row


class Trial:
    """Compare a surrogate with its kernel and collect numbers, gates and pictures.

    Parameters
    ----------
    surrogate : Surrogate, optional
        The surrogate on trial. A study that compares several things may leave it out and add its own gates, tables and
        figures.
    gates : sequence of Requirement
        Limits written down before the trial, see :mod:`simgraft.gate`.
    name : str
        Name of the study, for the report.
    data : str
        Where the data come from, for the report.

    Attributes
    ----------
    gates_ : list of Gate
        Gates with their values, in the order in which they were found.
    tables_ : dict
        Name -> {"columns": [...], "rows": [[...], ...], "note": str}.
    passed : bool
        True when there is at least one gate and every gate passed.

    Examples
    --------
    >>> import simgraft as sg
    >>> trial = sg.Trial(name="demo")
    >>> trial.gate("mass_residual", 1e-15, "1", "<=", 1e-14).passed
    True
    >>> trial.passed
    True
    """

    def __init__(self, surrogate=None, gates=(), name="trial", data=""):
        for i, requirement in enumerate(gates):
            if not isinstance(requirement, Requirement):
                raise TypeError(
                    f"gates[{i}]: expected a requirement of simgraft.gate, such as gate.rmse(...), "
                    f"got {type(requirement).__name__}"
                )
        self.surrogate = surrogate
        self.gates = gates
        self.name = name
        self.data = data
        self.gates_ = []
        self.tables_ = {}
        self.figures_ = []
        self.notes_ = []
        self.warnings_ = []
        self.provenance_ = {}

    # ------------------------------------------------------------------------------------- what a study adds itself

    def gate(self, name, value, unit, op, limit, floor=None):
        """Add a gate with its value; returns the :class:`~simgraft.gate.Gate`."""
        if any(g.name == name for g in self.gates_):
            raise ValueError(f"name: the trial has a gate {name!r} already")
        added = Gate(name, float(value), unit, op, float(limit), None if floor is None else float(floor))
        self.gates_.append(added)
        (logger.info if added.passed else logger.warning)("%s", added)
        return added

    def table(self, name, columns, rows, note=""):
        """Add a table: column titles (with units) and rows of numbers and strings."""
        rows = [[_plain(value) for value in row] for row in rows]
        for row in rows:
            if len(row) != len(columns):
                raise ValueError(f"rows: expected {len(columns)} values in each row of table {name!r}, got {len(row)}")
        self.tables_[name] = {"columns": list(columns), "rows": rows, "note": note}

    def figure(self, figure, title, caption=""):
        """Add a matplotlib figure to the report; the figure is closed."""
        from simgraft import report

        self.figures_.append({"title": title, "caption": caption, "png": report.encode_figure(figure)})

    def note(self, text):
        """Add a sentence to the summary at the top of the report."""
        self.notes_.append(text)

    def warn(self, text):
        """Add a reason not to trust the network: a place, a range or a purpose for which it is not good enough."""
        self.warnings_.append(text)

    def provenance(self, **facts):
        """Add facts about where things come from: files, versions, seeds, seconds spent."""
        self.provenance_.update({key: _plain(value) for key, value in facts.items()})

    # ------------------------------------------------------------------------------------------------------ a priori

    def a_priori(self, test, train=None, max_rows=200_000):
        """Hold the surrogate against the kernel on unseen samples.

        Parameters
        ----------
        test : Dataset
            Samples that were not trained on; where the data have groups, of groups that were not trained on.
        train : Dataset, optional
            The training samples: adds the baselines "mean of the training data", "linear model" (least squares in the
            surrogate's network variables) and "nearest training sample" (a copy of the training set).
        max_rows : int
            At most this many test rows, evenly spread.

        Returns
        -------
        Trial
            Itself, so that calls can be chained.
        """
        surrogate = self._need_surrogate()
        kernel = surrogate.kernel
        x, y, own = _rows(test, max_rows)
        weight = surrogate.row_weights(x, y, own)
        prediction, outside = self._evaluate(x)
        floor = self._rounding_floor(kernel, x, y)
        baselines = {} if train is None else _baselines(surrogate, train, x)
        rows, table = [], []
        for name, unit, columns in _output_columns(kernel):
            row = error_row(name, unit, y[:, columns], prediction[:, columns], weight)
            if floor is not None:
                against_itself = error_row(name, unit, y[:, columns], floor[:, columns], weight)
                row |= {f"floor_{k}": v for k, v in against_itself.items() if k not in ("name", "unit", "n", "std")}
            rows.append(row)
            table.append(_table_row(row, "surrogate"))
            for label, values in baselines.items():
                baseline = error_row(name, unit, y[:, columns], values[:, columns], weight)
                table.append(_table_row(baseline, label))
                if label != "nearest training sample" and baseline["rmse"] <= row["rmse"]:
                    self.warn(f"{name}: the {label} is as good as the network (rmse {baseline['rmse']:.3g} {unit}).")
        self.table("a priori", _TABLE_COLUMNS, table, note=(
            "Errors on samples the network has not seen. The floor is the kernel with its inputs rounded to 32 bits: "
            "no network of that precision can be expected to do better."
            + (" Bias, mae and rmse count samples with the weights of the training loss." if weight is not None else "")))
        if outside:
            self.warn(f"{outside} of {len(x)} test samples lie outside the training domain; the guard counts them.")
        self._a_priori_figures(kernel, x, y, prediction)
        self._settle("a_priori", rows)
        return self

    def _need_surrogate(self):
        if self.surrogate is None:
            raise ValueError("surrogate: this trial was made without one")
        return self.surrogate

    def _evaluate(self, x):
        """Network outputs as the deployed function gives them, and the number of rows its guard would refuse."""
        report = self.surrogate.guard_check(x)
        return self.surrogate.evaluate(x, guard="off"), int(report.n_outside)

    def _rounding_floor(self, kernel, x, y):
        if not callable(kernel) or getattr(kernel, "function", None) is None:
            return None
        rounded = x.astype(np.float32).astype(np.float64)
        # A range may end exactly at a value that rounds to the outside of it.
        inside = np.clip(rounded, x.min(axis=0), x.max(axis=0))
        return kernel.evaluate(inside)

    def _a_priori_figures(self, kernel, x, y, prediction):
        from simgraft import explore

        for name, unit, columns in _output_columns(kernel):
            truth, guess = y[:, columns], prediction[:, columns]
            figure = explore.plot_agreement(truth, guess, name=name, unit=unit)
            self.figure(figure, f"{name}: surrogate against kernel", "Unseen samples; left value against value, right "
                        "the distribution of the errors.")
            error, what = guess - truth, ""
            if kernel.outputs[name].scale == "log" and np.all(truth > 0):
                error, unit, what = error / truth, "1", "relative "
            by_input = explore.error_by_input(kernel, x, error)
            self._warn_of_worst_region(name, what, unit, by_input)
            figure = explore.plot_error_by_input(by_input, name, unit)
            self.figure(figure, f"{name}: {what}error by input", "Mean (line) and central 95 % band of the error.")

    def _warn_of_worst_region(self, name, what, unit, by_input, factor=3.0):
        """Say where the error band is much wider than usual."""
        for label, input_unit, _, (centre, _, low, high) in by_input:
            reach = np.maximum(np.abs(low), np.abs(high))
            worst = int(np.argmax(reach))
            if reach[worst] > factor * np.median(reach):
                self.warn(f"{name}: around {label} = {centre[worst]:.3g} {input_unit} the {what}error reaches "
                          f"{reach[worst]:.3g} {unit}, {reach[worst] / np.median(reach):.2g} times what is usual.")

    # -------------------------------------------------------------------------------------------------- a posteriori

    def a_posteriori(self, host, baseline=None, units=None, repeat=1, data_seconds=None):
        """Run the host with the kernel, the surrogate and a baseline in its slot, and compare what it returns.

        Parameters
        ----------
        host : callable or ExecutableHost
            ``host(slot) -> dict of arrays``: the simulation; calls ``slot(inputs)`` with a dict of arrays wherever it would call
            its kernel. Or a program, see :class:`ExecutableHost`.
        baseline : callable, optional
            A classical cheaper stand-in with the kernel's signature; for a program, the text by which it knows it.
        units : dict of str, optional
            Units of the fields that the host returns.
        repeat : int
            Runs of each; times are those of the fastest.
        data_seconds : float, optional
            Time that generating the training data took [s], for the break-even count; default: rows trained on times
            the measured cost of a kernel row.

        Returns
        -------
        Trial
            Itself.

        Notes
        -----
        The floor of each field is the host run with the kernel's outputs rounded to 32 bits: how far rounding alone
        moves the simulation. A program that cannot round has no floor.
        """
        surrogate = self._need_surrogate()
        kernel = surrogate.kernel
        units = units or {}
        truth, with_kernel = _run_host(host, kernel, "kernel", repeat)
        result, with_surrogate = _run_host(host, surrogate, "surrogate", repeat)
        rounded = None
        if getattr(host, "rounded", "") is not None:  # any callable can be given a kernel that rounds, not every program
            rounded, _ = _run_host(host, RoundedKernel(kernel), "kernel, outputs rounded to 32 bits", 1)
        runs = {"surrogate": result}
        profiles = [with_kernel, with_surrogate]
        if baseline is not None:
            runs["baseline"], profile = _run_host(host, baseline, "baseline", repeat)
            profiles.append(profile)
        rows, table = [], []
        for name, values in truth.items():
            unit = units.get(name, "")
            floor = {} if rounded is None else error_row(name, unit, values, rounded[name])
            for label, fields in runs.items():
                if name not in fields:
                    raise ValueError(f"host: the run with the {label} returned no field {name!r}")
                row = error_row(name, unit, values, fields[name])
                row |= {f"floor_{k}": v for k, v in floor.items() if k not in ("name", "unit", "n", "std")}
                table.append(_table_row(row, label))
                if label == "surrogate":
                    rows.append(row)
        self.table("a posteriori", _TABLE_COLUMNS, table, note=(
            "The host with the surrogate (or the baseline) in its slot against the host with the kernel. "
            + ("The host has no floor: it cannot round the kernel's outputs." if rounded is None else
               "The floor is the host with the kernel's outputs rounded to 32 bits.")))
        self.speed(profiles, data_seconds=data_seconds)
        self._a_posteriori_figures(truth, runs, units)
        self._settle("a_posteriori", rows)
        return self

    def speed(self, profiles, data_seconds=None, training_seconds=None):
        """Add the profile table and, in words, what replacing the kernel gains.

        Parameters
        ----------
        profiles : sequence of Profile
            The first with the kernel in the slot, the second with the surrogate, then baselines.
        data_seconds, training_seconds : float, optional
            Cost of the surrogate [s]; default: rows trained on times the measured cost of a kernel row, and the
            training time of the surrogate's provenance.
        """
        reference, replaced = profiles[0], profiles[1]
        known = getattr(self.surrogate, "provenance", None) or {}
        if data_seconds is None and known.get("data"):
            data_seconds = known["data"]["rows"] * reference.seconds_per_row
        training_seconds = known.get("training_seconds") if training_seconds is None else training_seconds
        self.table("speed", ["slot", "host [s]", "slot [s]", "share of host [1]", "calls", "rows", "per row [us]",
                             "host speed-up [1]"],
                   [[p.label, p.host_seconds, p.slot_seconds, p.share, p.calls, p.rows, 1e6 * p.seconds_per_row,
                     reference.host_seconds / p.host_seconds if p.host_seconds else float("nan")] for p in profiles],
                   note="CPU time, in one run.")
        gain = reference.host_seconds / replaced.host_seconds if replaced.host_seconds else float("nan")
        if not reference.rows:
            self.note(f"The host runs {gain:.3g}x as fast with the surrogate; it does not tell the time spent in the slot.")
            return
        self.note(f"The kernel takes {100 * reference.share:.1f} % of the host's time: at most {reference.amdahl_ceiling:.3g}x can "
                  f"be gained (Amdahl); measured {gain:.3g}x.")
        saved = reference.seconds_per_row - replaced.seconds_per_row
        if not saved > 0:
            self.warn("The surrogate is not faster than the kernel on this machine: use the kernel.")
        elif data_seconds is not None and training_seconds is not None:
            rows = (data_seconds + training_seconds) / saved
            self.note(f"Break-even after {rows:.3g} kernel rows ({rows / reference.rows:.3g} runs of this host): "
                      f"{data_seconds:.3g} s of data generation and {training_seconds:.3g} s of training.")

    def _a_posteriori_figures(self, truth, runs, units):
        from simgraft import explore

        for name, values in truth.items():
            if np.ndim(values) in (1, 2):
                figure = explore.plot_field(values, {k: v[name] for k, v in runs.items()}, name, units.get(name, ""))
                self.figure(figure, f"Host: {name}", "Kernel and what stood in for it; right, the difference.")

    def _settle(self, where, rows):
        for requirement in self.gates:
            if requirement.where == where:
                gate = requirement.check(rows)
                self.gate(gate.name, gate.value, gate.unit, gate.op, gate.limit, gate.floor)

    # -------------------------------------------------------------------------------------------------------- result

    @property
    def passed(self):
        return bool(self.gates_) and all(gate.passed for gate in self.gates_)

    def as_dict(self):
        """The contents of ``report.json``."""
        import simgraft

        machine = {
            "simgraft": simgraft.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "isa": _core.isa(),
            "date": time.strftime("%Y-%m-%d"),
        }
        surrogate = getattr(self.surrogate, "provenance", None)
        return {
            "study": self.name,
            "version": simgraft.__version__,
            "data": self.data,
            "gates": [gate.as_dict() for gate in self.gates_],
            "tables": self.tables_,
            "notes": self.notes_,
            "warnings": self.warnings_,
            "provenance": machine | self.provenance_ | ({"surrogate": surrogate} if surrogate else {}),
        }

    def report(self, path):
        """Write ``path`` (one self-contained HTML file) and, beside it, ``report.json`` with the same numbers.

        Returns
        -------
        bool
            True when every gate passed.
        """
        from simgraft import report

        report.write(self, path)
        return self.passed

    def __repr__(self):
        passed = sum(gate.passed for gate in self.gates_)
        return f"<Trial {self.name!r}: {passed} of {len(self.gates_)} gates passed>"

    def _repr_html_(self):
        from simgraft import report

        return report.gate_table(self)


_TABLE_COLUMNS = ["field", "what", "unit", "bias", "mae", "rmse", "max", "rel. p50", "rel. p90", "rel. p99", "std of truth",
                  "floor rmse", "floor max"]


def _table_row(row, label):
    keys = ("bias", "mae", "rmse", "max", "relative_p50", "relative_p90", "relative_p99", "std", "floor_rmse", "floor_max")
    return [row["name"], label, row["unit"], *(row.get(key) for key in keys)]


def _plain(value):
    """Numbers and strings as JSON knows them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return value


def _rows(dataset, max_rows):
    """At most max_rows rows of x, y and weights (or None), evenly spread over the data set."""
    x, y, weight = dataset.X, dataset.Y, dataset.weight
    if len(x) == 0:
        raise ValueError("test: the data set is empty")
    step = max(1, -(-len(x) // max_rows))
    x, y = (np.ascontiguousarray(values[::step], dtype=np.float64) for values in (x, y))
    return x, y, None if weight is None else weight[::step]


def _output_columns(kernel):
    start = 0
    for name, variable in kernel.outputs.items():
        stop = start + variable.size
        yield name, variable.unit, slice(start, stop)
        start = stop


def _baselines(surrogate, train, x, max_train=20_000, max_copy=2_000_000):
    """What needs no network: the training mean, a linear model, the nearest training sample."""
    tx, ty, _ = _rows(train, max_train)
    encode, decode = surrogate.encoder_.transform, surrogate.decoder_
    z, tz = (encode(v).astype(np.float64) for v in (x, tx))
    targets = decode.transform(ty).astype(np.float64)
    scale = tz.std(axis=0)
    scale[scale == 0] = 1.0
    design = np.column_stack([np.ones(len(tz)), (tz - tz.mean(axis=0)) / scale])
    coefficients = np.linalg.lstsq(design, targets, rcond=None)[0]
    query = np.column_stack([np.ones(len(z)), (z - tz.mean(axis=0)) / scale])
    nearest = np.empty(len(z), dtype=int)
    for part in np.array_split(np.arange(len(z)), max(1, len(z) * len(tz) // max_copy)):
        # |a - b|^2 without the term of a, which is the same for all b
        distance = -2.0 * query[part, 1:] @ design[:, 1:].T + np.sum(design[:, 1:] ** 2, axis=1)
        nearest[part] = np.argmin(distance, axis=1)
    return {
        "mean of the training data": np.broadcast_to(ty.mean(axis=0), (len(x), ty.shape[1])),
        "linear model": decode.inverse_transform(query @ coefficients),
        "nearest training sample": ty[nearest],
    }
