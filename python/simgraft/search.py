"""Search of architectures and hyper-parameters: which surrogate is accurate, and which is cheap?

A :class:`Search` takes a :class:`~simgraft.Surrogate` with ranges in place of numbers, or a function that
makes one, trains many with Optuna's proposals and keeps those that no other beats in both error and cost: the
Pareto front. Needs ``pip install 'simgraft[search]'``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import html
import inspect
import json
import math
import numbers
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simgraft import _core, executors
from simgraft.kernel import Kernel
from simgraft.surrogate import Surrogate
from simgraft.variables import Var

__all__ = [
    "Candidate",
    "Choice",
    "Integer",
    "Real",
    "Repeat",
    "Result",
    "Search",
    "load",
    "pareto_front",
    "scaled_rmse",
]

_JOURNAL, _STUDY, _LOCK = "search.journal", "simgraft", "search.lock"
_VERSION = 1
_RUNGS = 10  # how often a training asks whether to go on
# Rows of one call, interleaved rounds, seconds of one measurement.
_COST_ROWS, _COST_ROUNDS, _COST_SAMPLE = 1024, 61, 3e-4


# ----------------------------------------------------------------------------------------------------- ranges


class _Range:
    """What stands in a template for something that is searched."""


@dataclass(frozen=True)
class Integer(_Range):
    """Whole numbers from ``low`` to ``high``, both included.

    Parameters
    ----------
    low, high : int
        low <= high; with ``log`` low >= 1.
    log : bool
        Whether ratios count and not differences: widths, batch sizes.
    step : int
        Only low, low + step, ...; 1 with ``log``.

    Examples
    --------
    >>> from simgraft import search
    >>> search.Integer(8, 64, log=True)
    Integer(low=8, high=64, log=True, step=1)
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self):
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"{name}: expected a whole number, got {value!r}")
        if self.low > self.high:
            raise ValueError(f"low, high: expected low <= high, got {self.low} and {self.high}")
        if self.step < 1:
            raise ValueError(f"step: expected at least 1, got {self.step}")
        if self.log and self.low < 1:
            raise ValueError(f"low: expected at least 1 with log=True, got {self.low}")
        if self.log and self.step != 1:
            raise ValueError(f"step: expected 1 with log=True, got {self.step}")

    def _suggest(self, trial, name):
        return trial.suggest_int(name, int(self.low), int(self.high), log=self.log, step=int(self.step))


@dataclass(frozen=True)
class Real(_Range):
    """Real numbers from ``low`` to ``high``.

    Parameters
    ----------
    low, high : float
        Finite, low <= high; with ``log`` low > 0.
    log : bool
        Whether ratios count and not differences: learning rates.

    Examples
    --------
    >>> from simgraft import search
    >>> search.Real(1e-3, 3e-2, log=True)
    Real(low=0.001, high=0.03, log=True)
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        for name in ("low", "high"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
                raise ValueError(f"{name}: expected a finite number, got {value!r}")
        if self.low > self.high:
            raise ValueError(f"low, high: expected low <= high, got {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low: expected a number above 0 with log=True, got {self.low:g}")

    def _suggest(self, trial, name):
        return trial.suggest_float(name, float(self.low), float(self.high), log=self.log)


@dataclass(frozen=True)
class Choice(_Range):
    """One of several values: activations, encoders, whole networks.

    Parameters
    ----------
    options : list, or dict of label -> value
        At least one. Values may hold ranges themselves, which are searched where the value is chosen. In a
        list the representation of a value is its label, and labels must differ.

    Examples
    --------
    >>> from simgraft import encode, search
    >>> search.Choice(["tanh", "softsign"]).labels
    ['tanh', 'softsign']
    >>> search.Choice({"log": [encode.Log(), encode.Standardise()], "plain": [encode.Standardise()]}).labels
    ['log', 'plain']
    """

    options: object

    def __post_init__(self):
        if not isinstance(self.options, (list, tuple, dict)) or not self.options:
            raise ValueError(
                "options: expected a list, or a dict of label -> value, with at least one entry, "
                f"got {self.options!r}"
            )
        labels = self.labels
        for i, label in enumerate(labels):
            if label in labels[:i]:
                raise ValueError(f"options: two of them are called {label!r}; give a dict of label -> value")

    @property
    def labels(self):
        """Names of the options."""
        return [option if isinstance(option, str) else repr(option) for option in self.options]

    def _suggest(self, trial, name):
        return trial.suggest_categorical(name, self.labels)


@dataclass(frozen=True)
class Repeat(_Range):
    """A list of searched length, such as the sizes of the hidden layers.

    Parameters
    ----------
    item : range or any value
        What the list holds.
    times : Integer or int
        Its length.
    shared : bool
        Draw ``item`` once for all places, not for each.

    Examples
    --------
    >>> from simgraft import nn, search
    >>> template = nn.MLP(search.Repeat(search.Integer(8, 64, log=True), search.Integer(1, 3)))
    """

    item: object
    times: object
    shared: bool = False

    def __post_init__(self):
        low = self.times.low if isinstance(self.times, Integer) else self.times
        if isinstance(low, bool) or not isinstance(low, (int, np.integer)) or low < 0:
            raise ValueError(f"times: expected an Integer or a whole number, at least 0, got {self.times!r}")


class _Draw:
    """Gives every range of one trial its value; what a template function is called with.

    ``draw(name, range)`` returns the value; a name can be used once.
    """

    def __init__(self, trial):
        self._trial, self._names = trial, set()

    def __call__(self, name, value):
        if not isinstance(name, str) or not name:
            raise TypeError(f"draw: expected a name, got {name!r}")
        if not isinstance(value, _Range):
            raise TypeError(f"draw: {name}: expected Integer, Real, Choice or Repeat, got {value!r}")
        if isinstance(value, Repeat):
            times = self(f"{name}.length", value.times) if isinstance(value.times, _Range) else value.times
            if value.shared:
                return [_expand(value.item, name, self)] * times
            return [_expand(value.item, f"{name}[{i}]", self) for i in range(times)]
        if name in self._names:
            raise ValueError(f"draw: the name {name!r} is used twice")
        self._names.add(name)
        drawn = value._suggest(self._trial, name)
        if not isinstance(value, Choice):
            return drawn
        option = (
            value.options[drawn]
            if isinstance(value.options, dict)
            else value.options[value.labels.index(drawn)]
        )
        return _expand(option, f"{name}={drawn}", self)


def _expand(value, path, draw):
    """``value`` with all ranges in it drawn; what holds none is returned as it is."""

    def below(name):
        return f"{path}.{name}" if path else str(name)

    if isinstance(value, _Range):
        return draw(path, value)
    if isinstance(value, dict):
        new = {k: _expand(v, below(k), draw) for k, v in value.items()}
        return new if any(new[k] is not v for k, v in value.items()) else value
    if type(value) in (list, tuple):
        new = [_expand(v, f"{path}[{i}]", draw) for i, v in enumerate(value)]
        return type(value)(new) if any(a is not b for a, b in zip(new, value)) else value
    if hasattr(value, "get_params") and not isinstance(value, type):
        params = _params(value)
        new = {k: _expand(v, below(k), draw) for k, v in params.items()}
        return type(value)(**new) if any(new[k] is not v for k, v in params.items()) else value
    return value


def _params(value):
    """Constructor arguments, without those of nested objects."""
    deep = "deep" in inspect.signature(value.get_params).parameters
    return value.get_params(deep=False) if deep else value.get_params()


def _holds_range(value):
    if isinstance(value, _Range):
        return True
    if isinstance(value, dict):
        return any(_holds_range(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds_range(v) for v in value)
    if hasattr(value, "get_params") and not isinstance(value, type):
        return any(_holds_range(v) for v in _params(value).values())
    return False


def _facts(value):
    """What identifies a template, as JSON: no addresses of objects."""
    if isinstance(value, (Kernel, Var)):
        return value.describe() if isinstance(value, Kernel) else repr(value)
    if isinstance(value, Choice):
        options = value.options if isinstance(value.options, dict) else dict(zip(value.labels, value.options))
        return {"choice": _facts(options)}
    if isinstance(value, Repeat):
        return {"repeat": _facts(value.item), "times": _facts(value.times), "shared": value.shared}
    if isinstance(value, dict):
        return {str(k): _facts(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_facts(v) for v in value]
    if inspect.isfunction(value) or inspect.ismethod(value):
        try:
            source = hashlib.sha256(inspect.getsource(value).encode()).hexdigest()
        except (OSError, TypeError):
            source = None
        return {"function": value.__qualname__, "source_sha256": source}
    if hasattr(value, "get_params") and not isinstance(value, type):
        return {type(value).__name__: _facts(_params(value))}
    if isinstance(value, np.ndarray):
        return {"array": list(value.shape), "sha256": hashlib.sha256(np.ascontiguousarray(value)).hexdigest()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    text = repr(value)
    return type(value).__qualname__ if " at 0x" in text else text


# --------------------------------------------------------------------------------------------- error and cost


class _Scale:
    """Centres and scales of the outputs of a validation set: fixed for a search, whatever encoder a candidate
    has."""

    def __init__(self, validation):
        kernel = validation.kernel
        self.log = np.concatenate([np.full(v.size, v.scale == "log") for v in kernel.outputs.values()])
        y = np.asarray(validation.Y, dtype=np.float64)
        self.smallest = np.min(y, axis=0, where=y > 0, initial=np.inf)
        self.log &= np.isfinite(self.smallest)
        weight = validation.weight
        self.weight = np.ones(len(y)) if weight is None else weight
        if not self.weight.sum() > 0:
            raise ValueError("validation: expected rows of a weight above 0")
        self.truth = self.physical_to_score(y)
        mean = np.average(self.truth, axis=0, weights=self.weight)
        self.variance = np.average((self.truth - mean) ** 2, axis=0, weights=self.weight)
        # a column of one value and rounding noise says nothing
        self.used = self.variance > (1e-13 * np.abs(mean)) ** 2
        if not self.used.any():
            raise ValueError("validation: no output varies; there is nothing to score")

    def physical_to_score(self, y):
        y = np.array(y, dtype=np.float64)
        y[:, self.log] = np.log(np.maximum(y[:, self.log], self.smallest[self.log]))
        return y

    def error(self, prediction):
        square = (self.physical_to_score(prediction) - self.truth)[:, self.used] ** 2
        return float(
            np.sqrt(np.mean(np.average(square, axis=0, weights=self.weight) / self.variance[self.used]))
        )


def scaled_rmse(surrogate, validation):
    """Error of a surrogate over its outputs, in units of their spread.

    Parameters
    ----------
    surrogate : simgraft.Surrogate
        Fitted; evaluated as deployed, from physical inputs to physical outputs, without guard.
    validation : simgraft.Dataset
        Its weights, if it has any, weigh the rows.

    Returns
    -------
    float [1]
        Root of the mean over the output columns of (mean squared error / variance). 0 is perfect, 1 as bad as
        the mean of the truth. Outputs with ``scale="log"`` are compared as logarithms, values below the
        smallest positive truth counting as that. Columns that do not vary are left out.

    Examples
    --------
    >>> import numpy as np, simgraft as sg
    >>> double = lambda inputs: {"y": 2 * inputs["x"]}
    >>> kernel = sg.Kernel(double, inputs={"x": sg.Var("1", 0, 1)}, outputs={"y": sg.Var("1")}, name="double")
    >>> data = kernel.sample(sg.sampling.uniform(kernel, seed=1), 100, seed=1)
    >>> exact = sg.Surrogate.from_network(kernel, [np.array([[2.0]])], [np.array([0.0])], ["linear"])
    >>> sg.search.scaled_rmse(exact, data)
    0.0
    """
    return _Scale(validation).error(
        surrogate.evaluate(np.ascontiguousarray(validation.X, np.float64), guard="off")
    )


def _reference():
    """A fixed network whose cost tells how fast the machine is just now."""
    n = 64
    kernel = Kernel(
        None, inputs={"x": Var("1", shape=16)}, outputs={"y": Var("1", shape=16)}, name="reference"
    )
    sizes = [16, n, n, 16]
    weights = [np.sin(np.arange(a * b, dtype=np.float32)).reshape(a, b) / n for a, b in zip(sizes, sizes[1:])]
    biases = [np.zeros(b, np.float32) for b in sizes[1:]]
    return Surrogate.from_network(kernel, weights, biases, ["tanh", "tanh", "linear"], guard="off")


def _measure(surrogates, x):
    """Thread CPU time per row [s] of each surrogate, and of the reference: the least of interleaved rounds
    on one thread."""
    reference = _reference()
    jobs = [(s, x, "off" if s._policy == "off" else "count") for s in surrogates]
    jobs.append((reference, np.full((len(x), reference.n_in), 0.5), "off"))
    repeats, samples = [], []
    for surrogate, rows, guard in jobs:
        out = np.empty((len(rows), surrogate.n_out))
        surrogate.evaluate(rows, out, guard=guard, num_threads=1)
        start = time.thread_time()
        surrogate.evaluate(rows, out, guard=guard, num_threads=1)
        repeats.append(max(1, math.ceil(_COST_SAMPLE / max(time.thread_time() - start, 1e-6))))
        samples.append([])
    for _ in range(_COST_ROUNDS):
        for (surrogate, rows, guard), n, seconds in zip(jobs, repeats, samples):
            out = np.empty((len(rows), surrogate.n_out))
            start = time.thread_time()
            for _ in range(n):
                surrogate.evaluate(rows, out, guard=guard, num_threads=1)
            seconds.append((time.thread_time() - start) / (n * len(rows)))
    # Other processes only ever add to it (cold caches): the least is what the work costs.
    *costs, ours = (min(s) for s in samples)
    return costs, ours


def pareto_front(error, cost):
    """Numbers of the points that no other point beats.

    Parameters
    ----------
    error, cost : (n,) array_like
        Small is good. NaN is never on the front.

    Returns
    -------
    list of int
        By rising cost, so by falling error. Of equal points the first.

    Examples
    --------
    >>> from simgraft import search
    >>> search.pareto_front([3.0, 1.0, 2.0, 2.5], [1.0, 5.0, 2.0, 4.0])
    [0, 2, 1]
    """
    error, cost = np.asarray(error, dtype=np.float64), np.asarray(cost, dtype=np.float64)
    if error.shape != cost.shape or error.ndim != 1:
        raise ValueError(f"error, cost: expected shape (n,) for both, got {error.shape} and {cost.shape}")
    front, best = [], np.inf
    for i in np.lexsort((np.arange(len(error)), error, cost)):
        if error[i] < best and not np.isnan(cost[i]):
            front.append(int(i))
            best = error[i]
    return front


# ----------------------------------------------------------------------------------------------- one training


class _Prune:
    """Callback that scores the network now and then, and ends trainings that are not worth going on with."""

    def __init__(self, surrogate, x, scale, epochs, pruner, finished):
        self.surrogate, self.x, self.scale, self.pruner, self.finished = surrogate, x, scale, pruner, finished
        self.every = max(1, epochs // _RUNGS)
        self.errors, self.pruned = {}, False

    def __call__(self, training):
        if training.epoch % self.every or training.epoch == training.epochs:
            return
        surrogate, network = self.surrogate, training.network
        encoded = surrogate.encoder_.transform(self.x, dtype=network.dtype.name)
        y = surrogate.decoder_.inverse_transform(network.predict(encoded, num_threads=1).astype(np.float64))
        error = self.scale.error(y)
        self.errors[training.epoch] = error if math.isfinite(error) else 1e300
        if self.pruner is not None and _is_hopeless(self.pruner, self.errors, network.flops, self.finished):
            self.pruned = True
            training.stop(f"pruned: error {error:.3g} after {training.epoch} epochs")


def _is_hopeless(pruner, errors, flops, finished):
    """Asks one of Optuna's pruners, among the finished candidates that cost no more: a cheap candidate is not
    held against the errors of expensive ones. (Optuna itself prunes with one objective only.)"""
    import optuna

    rivals = [f for f in finished if f["network_flops"] <= flops]
    with _quiet():
        study = optuna.create_study(direction="minimize")
        for rival in rivals:
            study.add_trial(
                optuna.trial.create_trial(value=rival["error"], intermediate_values=rival["errors"])
            )
        study.add_trial(
            optuna.trial.create_trial(state=optuna.trial.TrialState.RUNNING, intermediate_values=errors)
        )
        return bool(pruner.prune(study, study.get_trials()[-1]))


def _train(task):
    """Trains one candidate and writes its surrogate; a dict that says how it went."""
    surrogate, validation = task["surrogate"], task["validation"]
    scale = _Scale(validation)
    x = np.ascontiguousarray(validation.X, dtype=np.float64)
    options = {"epochs": 100, "progress": False, "seed": task["seed"]} | task["fit"]
    watch = _Prune(surrogate, x, scale, options["epochs"], task["pruner"], task["finished"])
    options["callbacks"] = [*options.get("callbacks", ()), watch]
    start = time.perf_counter()
    record = {"seed": options["seed"]}
    try:
        surrogate.fit(task["train"], validation=validation, **options)
    except _core.DivergedError as problem:
        return record | {"state": "failed", "reason": str(problem), "seconds": time.perf_counter() - start}
    except Exception as problem:
        problem.add_note(f"while training candidate {task['number']} with {task['parameters']}")
        raise
    if surrogate.history_.stopped == "interrupted":
        raise KeyboardInterrupt
    record |= {
        "seconds": time.perf_counter() - start,
        "errors": watch.errors,
        "network_flops": surrogate.network_.flops,
        "epochs": len(surrogate.history_),
        "flops": float(surrogate._fitted().describe()["flops_per_row"]),
    }
    if watch.pruned:
        return record | {"state": "pruned", "reason": surrogate.history_.stopped}
    error = float(task["error"](surrogate, validation))
    if not math.isfinite(error):
        return record | {"state": "failed", "reason": f"its error is {error}"}
    surrogate.save(task["path"])
    return record | {"state": "finished", "error": error}


# ------------------------------------------------------------------------------------------------- the search


@contextlib.contextmanager
def _quiet():
    """Optuna without its log lines and its notes on what is experimental."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _optuna():
    try:
        import optuna
    except ImportError as error:
        raise ImportError("searches need Optuna: pip install 'simgraft[search]'") from error
    return optuna


def _open_journal(folder):
    optuna = _optuna()
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / _JOURNAL)))


@contextlib.contextmanager
def _locked(folder):
    """One search at a time works on a folder; the lock dies with its process."""
    with open(folder / _LOCK, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RuntimeError(
                f"folder: another search is running in {folder}; more workers come with executor="
            ) from None
        yield


def _digest(dataset):
    digest = hashlib.sha256()
    for block in dataset.blocks():
        for part in block:
            if part is not None:
                digest.update(np.ascontiguousarray(part))
    return digest.hexdigest()


class Search:
    """What is searched, and by which error and cost.

    Parameters
    ----------
    template : Surrogate or callable
        A surrogate with `Integer`, `Real`, `Choice` or `Repeat` in place of any argument of it, of its
        network or of its transforms; or ``template(draw) -> Surrogate`` or ``-> (Surrogate, fit options)``,
        where ``draw(name, range)`` gives the value of a range.
    fit : dict, optional
        Arguments for :meth:`Surrogate.fit`, also with ranges: epochs, batch_size, optimizer, loss ... Default
        of ``seed``: the seed of the search plus the number of the candidate.
    error : callable, optional
        ``error(surrogate, validation) -> float``, small is good; default :func:`scaled_rmse`. A host may be
        run in it.
    cost : {"cpu", "flops"}
        "cpu": thread CPU time of the deployed surrogate, guard included, per row [ns], measured on one thread
        in calls of 1024 rows: the least of 61 rounds in which the candidates of a batch and a fixed reference
        network take turns; by the time of the latter, drifts of the machine are divided out. "flops":
        floating-point operations per row, which are the same everywhere.
    pruner : "median", None or optuna.pruners.BasePruner, optional
        Whether a training is worth going on with, asked ten times in its course. "median" (Optuna's
        ``MedianPruner()``): it ends if its error is above the median of what finished candidates of the
        batches before had at that epoch. Only candidates that cost no more count. None: all go on to the end.
    sampler : callable, optional
        ``sampler(seed) -> optuna.samplers.BaseSampler``; default: the multivariate tree-structured Parzen
        estimator.

    See Also
    --------
    Search.run : trains candidates and returns a `Result`.

    Notes
    -----
    Optuna proposes the candidates batch by batch: each batch knows the results of the batches before it,
    whatever the order in which its own candidates end. With ``cost="flops"`` a search is therefore
    reproducible: the same arguments give the same candidates, the same weights and the same front for any
    executor and number of workers, and after any interruption. With ``cost="cpu"`` the proposals depend on
    measured times.

    Akiba et al. 2019, "Optuna: a next-generation hyperparameter optimization framework",
    doi:10.1145/3292500.3330701; the multi-objective estimator: Ozaki et al. 2022, doi:10.1613/jair.1.13188.

    Examples
    --------
    >>> import numpy as np, simgraft as sg
    >>> from simgraft.search import Integer, Real, Choice, Repeat
    >>> wave = lambda inputs: {"y": np.sin(inputs["x"])}
    >>> kernel = sg.Kernel(wave, inputs={"x": sg.Var("rad", 0, 3)}, outputs={"y": sg.Var("1")}, name="wave")
    >>> hidden = Repeat(Integer(4, 16, log=True), Integer(1, 2))
    >>> network = sg.nn.MLP(hidden, activation=Choice(["tanh", "softsign"]))
    >>> search = sg.search.Search(
    ...     sg.Surrogate(kernel, network),
    ...     fit={"epochs": 5, "optimizer": sg.nn.Adam(Real(1e-3, 1e-1, log=True))},
    ...     cost="flops",
    ... )
    >>> train, validation = kernel.sample(sg.sampling.uniform(kernel, seed=1), 500, seed=1).split(seed=2)
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = search.run(train, validation, n=4, batch=2, folder=folder, seed=3, progress=False)
    ...     best = result.best()
    >>> len(result.candidates), best({"x": np.array([1.0])})["y"].shape
    (4, (1,))
    """

    def __init__(self, template, *, fit=None, error=scaled_rmse, cost="cpu", pruner="median", sampler=None):
        self.template = template
        self.fit = fit
        self.error = error
        self.cost = cost
        self.pruner = pruner
        self.sampler = sampler

    def get_params(self, deep=False):
        """Constructor arguments as a dict."""
        return {
            name: getattr(self, name) for name in ("template", "fit", "error", "cost", "pruner", "sampler")
        }

    def run(self, train, validation, *, n, folder, seed, batch=8, executor=None, progress=True):
        """Train ``n`` candidates.

        Parameters
        ----------
        train, validation : simgraft.Dataset
            What candidates learn from, and what their error is measured on. A test set for the chosen one is
            a third thing.
        n : int
            Candidates in all, those of earlier calls included; rounded up to whole batches.
        folder : path-like
            Where everything is kept: ``search.journal`` (an Optuna study "simgraft" in its journal storage,
            which any of Optuna's tools reads, also while the search runs) and a surrogate file for each
            finished candidate. If it holds a search of the same arguments, that is gone on with: an
            interrupted call is resumed by repeating it, a finished one extended by a larger ``n``.
        seed : int
            >= 0.
        batch : int
            Candidates proposed together, >= 1. At least the number of workers; small batches learn more from
            each other.
        executor : concurrent.futures.Executor, optional
            Where trainings run: a process pool, ``dask.distributed.Client.get_executor()``,
            ``mpi4py.futures`` ...; default this process. Workers must see ``folder``. Each trains on one
            thread unless ``fit`` has ``num_threads``.
        progress : bool
            Show a bar.

        Returns
        -------
        Result

        Raises
        ------
        TypeError, ValueError
            If the template holds no range, makes no surrogate, or does not fit the data, and if ``folder``
            holds a search of other arguments; the message names what differs.
        RuntimeError
            If another search is running in ``folder``.
        """
        optuna = _optuna()
        n, batch = _count(n, "n"), _count(batch, "batch")
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"seed: expected a whole number of at least 0, got {seed!r}")
        self._check()
        pruner = optuna.pruners.MedianPruner() if self.pruner == "median" else self.pruner
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "version": _VERSION,
            "template": _facts(self.template),
            "fit": _facts(self.fit or {}),
            "error": _facts(self.error),
            "cost": self.cost,
            "pruner": None if pruner is None else type(pruner).__name__,
            "sampler": _facts(self.sampler),
            "seed": int(seed),
            "batch": batch,
            "train": {"rows": len(train), "sha256": _digest(train)},
            "validation": {"rows": len(validation), "sha256": _digest(validation)},
        }
        with _locked(folder), _quiet():
            study = self._study(folder, facts)
            shared = {
                "train": train,
                "validation": validation,
                "error": self.error,
                "pruner": pruner,
                "folder": folder,
                "seed": int(seed),
                "threads": None if executor is None else 1,
            }
            if self.cost == "cpu":
                x = np.ascontiguousarray(validation.read(0, _COST_ROWS)[0], dtype=np.float64)
            for first in range(0, -(-n // batch) * batch, batch):
                numbers_ = range(first, first + batch)
                trials = [self._ask(study, number, int(seed)) for number in numbers_]
                if all(trial is None for trial in trials):
                    continue
                self._run_batch(study, first, trials, shared, executor, progress)
                self._tell(study, folder, numbers_, x if self.cost == "cpu" else None)
        return load(folder, self.template.kernel if isinstance(self.template, Surrogate) else train.kernel)

    def _check(self):
        if self.cost not in ("cpu", "flops"):
            raise ValueError(f"cost: expected 'cpu' or 'flops', got {self.cost!r}")
        if not callable(self.error):
            raise TypeError(f"error: expected error(surrogate, validation) -> float, got {self.error!r}")
        if self.sampler is not None and not callable(self.sampler):
            raise TypeError(f"sampler: expected sampler(seed) -> optuna sampler, got {self.sampler!r}")
        if self.pruner not in ("median", None) and not hasattr(self.pruner, "prune"):
            raise TypeError(f"pruner: expected a pruner of Optuna or None, got {self.pruner!r}")
        if self.fit is not None and not isinstance(self.fit, dict):
            raise TypeError(
                f"fit: expected a dict of arguments for Surrogate.fit, got {type(self.fit).__name__}"
            )
        for name in ("validation", "progress", "checkpoint"):
            if name in (self.fit or {}):
                raise ValueError(f"fit: {name} is set by the search")
        if isinstance(self.template, Surrogate):
            if not _holds_range(self.template) and not _holds_range(self.fit or {}):
                raise ValueError(
                    "template, fit: they hold no Integer, Real, Choice or Repeat: there is nothing to search"
                )
        elif not callable(self.template):
            raise TypeError(
                "template: expected a Surrogate or a function template(draw), "
                f"got {type(self.template).__name__}"
            )

    def _study(self, folder, facts):
        import optuna

        study = optuna.create_study(
            study_name=_STUDY,
            storage=_open_journal(folder),
            directions=["minimize", "minimize"],
            load_if_exists=True,
        )
        facts = json.loads(json.dumps(facts))
        stored = study.user_attrs.get("search")
        if stored is None:
            study.set_metric_names(["error", "cost"])
            study.set_user_attr("search", facts)
        elif stored != facts:
            other = [key for key, value in facts.items() if stored.get(key) != value]
            raise ValueError(
                f"folder: {folder} holds a search with another {', '.join(other)}; "
                "use another folder or remove it"
            )
        return study

    def _make(self, trial):
        """(surrogate, fit options) of a trial: the same for the same parameters."""
        draw = _Draw(trial)
        if isinstance(self.template, Surrogate):
            made, more = _expand(self.template, "", draw), {}
        else:
            made = self.template(draw)
            made, more = made if isinstance(made, tuple) else (made, {})
        if not isinstance(made, Surrogate) or not isinstance(more, dict):
            raise TypeError(
                "template: expected it to return a Surrogate, or a Surrogate and a dict of fit options, "
                f"got {made!r}"
            )
        return made, _expand(self.fit or {}, "", draw) | more

    def _ask(self, study, number, seed):
        """The trial of this number if it is still to be run, made if need be."""
        import optuna

        known = study.get_trials(deepcopy=False)
        if number < len(known) and known[number].state.is_finished():
            return None
        # A sampler of its own for each trial: a proposal depends on the results and on the number, not on
        # what was run before in this process.
        sampler_seed = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        if self.sampler is None:
            study.sampler = optuna.samplers.TPESampler(
                seed=sampler_seed, multivariate=True, group=True, constant_liar=True
            )
        else:
            study.sampler = self.sampler(sampler_seed)
        trial = optuna.trial.Trial(study, known[number]._trial_id) if number < len(known) else study.ask()
        return trial, self._make(trial)

    def _run_batch(self, study, first, trials, shared, executor, progress):
        records = [t.user_attrs["record"] for t in study.get_trials(deepcopy=False)[:first]]
        finished = [
            r | {"errors": {int(epoch): error for epoch, error in r["errors"].items()}}
            for r in records
            if r["state"] == "finished"
        ]
        tasks, owners = [], []
        for number, asked in enumerate(trials, first):
            if asked is None or "record" in asked[0].user_attrs:  # trained before the last interruption
                continue
            trial, (surrogate, options) = asked
            if shared["threads"] is not None:
                options = {"num_threads": shared["threads"]} | options
            tasks.append(
                {
                    "number": number,
                    "parameters": dict(trial.params),
                    "surrogate": surrogate,
                    "fit": options,
                    "finished": finished,
                    "seed": shared["seed"] + number,
                    "path": _path(shared["folder"], number),
                    **{key: shared[key] for key in ("train", "validation", "error", "pruner")},
                }
            )
            owners.append(trial)
        if tasks:
            executors.check_sendable(executor, tasks[0], "a candidate")
        for i, record in executors.run(
            _train,
            tasks,
            executor,
            done=first + len(trials) - len(tasks),
            unit="candidates",
            progress=progress,
            label="search",
        ):
            owners[i].set_user_attr("record", record)

    def _tell(self, study, folder, numbers_, x):
        """Closes a batch, in the order of its numbers."""
        import optuna

        trials = [
            t
            for t in study.get_trials(deepcopy=False)[numbers_.start : numbers_.stop]
            if not t.state.is_finished()
        ]
        cost = {t.number: t.user_attrs["record"].get("flops") for t in trials}
        done = [t.number for t in trials if t.user_attrs["record"]["state"] == "finished"]
        if x is not None and done:
            seconds, reference = _measure([Surrogate.load(_path(folder, number)) for number in done], x)
            first = study.user_attrs.get("reference_seconds")
            if first is None:
                study.set_user_attr("reference_seconds", first := reference)
            cost |= {number: 1e9 * s * first / reference for number, s in zip(done, seconds)}
        for trial in trials:
            record, state = trial.user_attrs["record"], optuna.trial.TrialState
            if record["state"] == "finished":
                study.tell(trial.number, [record["error"], cost[trial.number]])
            else:
                study.tell(trial.number, state=state.PRUNED if record["state"] == "pruned" else state.FAIL)

    def __repr__(self):
        template = (
            "template"
            if callable(self.template) and not isinstance(self.template, Surrogate)
            else repr(self.template)
        )
        return f"Search({template}, cost={self.cost!r})"


def _path(folder, number):
    return folder / f"candidate-{number:05d}.sg"


def _count(value, name):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")
    return int(value)


# ---------------------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class Candidate:
    """One trained surrogate of a search.

    Attributes
    ----------
    number : int
    state : {"finished", "pruned", "failed"}
    error : float
        On the validation set; NaN unless finished.
    cost : float
        Per row, in the unit of the search; NaN unless finished.
    flops : float
        Floating-point operations per row.
    seconds : float
        Of training.
    seed : int
        With which it was fitted.
    parameters : dict
        What was drawn.
    path : pathlib.Path or None
        The surrogate file, of finished ones.
    reason : str
        Why it was pruned or failed.
    """

    number: int
    state: str
    error: float
    cost: float
    flops: float
    seconds: float
    seed: int
    parameters: dict = field(repr=False)
    path: Path | None = field(repr=False)
    reason: str = field(default="", repr=False)


class Result:
    """Candidates of a search; made by :meth:`Search.run` and :func:`load`.

    Attributes
    ----------
    candidates : list of Candidate
        All that were trained, by number.
    unit : {"ns", "flops"}
        Of the costs, per row.
    folder : pathlib.Path
    """

    def __init__(self, candidates, unit, folder, kernel=None):
        self.candidates, self.unit, self.folder, self.kernel = candidates, unit, folder, kernel

    @property
    def front(self):
        """Candidates that no other beats in both error and cost, by rising cost."""
        return [
            self.candidates[i]
            for i in pareto_front([c.error for c in self.candidates], [c.cost for c in self.candidates])
        ]

    def choose(self, *, tolerance=0.1, max_error=None, max_cost=None):
        """The candidate to deploy.

        Parameters
        ----------
        tolerance : float
            Without limits: the cheapest of the front whose error is at most (1 + tolerance) times the
            smallest, >= 0.
        max_error : float, optional
            The cheapest of the front whose error is at most this.
        max_cost : float, optional
            The most accurate of the front whose cost is at most this. With both, the cheapest that holds
            both.

        Returns
        -------
        Candidate

        Raises
        ------
        ValueError
            If no candidate finished, or none holds the limits; the message says what there is.
        """
        if not tolerance >= 0:
            raise ValueError(f"tolerance: expected a number >= 0, got {tolerance!r}")
        front = self.front
        if not front:
            raise ValueError(f"none of the {len(self.candidates)} candidates in {self.folder} finished")
        fits = [
            c
            for c in front
            if (max_error is None or c.error <= max_error) and (max_cost is None or c.cost <= max_cost)
        ]
        if not fits:
            limits = [
                f"{name}={value:g}"
                for name, value in (("max_error", max_error), ("max_cost", max_cost))
                if value is not None
            ]
            raise ValueError(
                f"{', '.join(limits)}: no candidate holds that; "
                f"errors reach down to {front[-1].error:.3g}, costs to {front[0].cost:.3g} {self.unit}"
            )
        if max_error is None and max_cost is None:
            return next(c for c in front if c.error <= (1 + tolerance) * front[-1].error)
        return fits[-1] if max_error is None else fits[0]

    def best(self, **rule):
        """The surrogate to deploy: :meth:`choose` with the same arguments, loaded from its file.

        Returns
        -------
        Surrogate
        """
        return Surrogate.load(self.choose(**rule).path, self.kernel)

    def table(self):
        """All candidates as a list of dicts with the same keys: number, state, front, error, cost, flops,
        seconds, seed, and what was drawn (None where a candidate did not draw it). ``pandas.DataFrame`` takes
        it."""
        front = {c.number for c in self.front}
        drawn = dict.fromkeys(name for c in self.candidates for name in c.parameters)
        return [
            {
                "number": c.number,
                "state": c.state,
                "front": c.number in front,
                "error": c.error,
                "cost": c.cost,
                "flops": c.flops,
                "seconds": c.seconds,
                "seed": c.seed,
                **{name: c.parameters.get(name) for name in drawn},
            }
            for c in self.candidates
        ]

    def plot(self, ax=None):
        """Error against cost of all finished candidates, both logarithmic, the front as a line with the
        numbers of its candidates.

        Parameters
        ----------
        ax : matplotlib Axes, optional

        Returns
        -------
        matplotlib Axes
        """
        if ax is None:
            from simgraft import explore

            ax = explore.new_figure(width=5.0, height=3.6)[1][0, 0]
        done = [c for c in self.candidates if c.state == "finished"]
        ax.plot(
            [c.cost for c in done],
            [c.error for c in done],
            "o",
            color="0.7",
            markersize=4,
            label="candidates",
        )
        front = self.front
        ax.step(
            [c.cost for c in front], [c.error for c in front], where="post", color="#c23b22", linewidth=1.0
        )
        ax.plot(
            [c.cost for c in front],
            [c.error for c in front],
            "o",
            color="#c23b22",
            markersize=5,
            label="Pareto front",
        )
        for c in front:
            ax.annotate(
                str(c.number), (c.cost, c.error), textcoords="offset points", xytext=(4, 4), fontsize="small"
            )
        what = "CPU time per row [ns]" if self.unit == "ns" else "operations per row [1]"
        ax.set(xlabel=what, ylabel="validation error", xscale="log")
        if done and min(c.error for c in done) > 0:
            ax.set_yscale("log")
        ax.legend()
        return ax

    def __repr__(self):
        states = [c.state for c in self.candidates]
        return (
            f"<Result of {len(states)} candidates: {states.count('finished')} finished, "
            f"{states.count('pruned')} pruned, "
            f"{states.count('failed')} failed; {len(self.front)} on the front>"
        )

    def _repr_html_(self):
        rows = [row for row in self.table() if row["front"]]
        rows.sort(key=lambda row: row["cost"])
        names = [
            key
            for key in (rows[0] if rows else {})
            if key not in ("state", "front") and any(r[key] is not None for r in rows)
        ]
        units = {"cost": f"cost [{self.unit}]", "seconds": "training [s]"}
        head = "".join(f"<th>{html.escape(units.get(name, name))}</th>" for name in names)

        def cell(value):
            return (
                ""
                if value is None
                else f"{value:.4g}"
                if isinstance(value, float)
                else html.escape(str(value))
            )

        body = "".join(
            "<tr>" + "".join(f"<td>{cell(row[name])}</td>" for name in names) + "</tr>" for row in rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return f"<p>{html.escape(repr(self)[1:-1])}</p>{table}"


def load(folder, kernel=None):
    """Results of a search, also of one that is running or was interrupted.

    Parameters
    ----------
    folder : path-like
    kernel : simgraft.Kernel, optional
        Only surrogates with a fallback need it.

    Returns
    -------
    Result

    Raises
    ------
    FileNotFoundError
        If there is no search in ``folder``.
    """
    optuna = _optuna()
    folder = Path(folder)
    if not (folder / _JOURNAL).is_file():
        raise FileNotFoundError(f"{folder}: no search here (no file {_JOURNAL})")
    with _quiet():
        study = optuna.load_study(study_name=_STUDY, storage=_open_journal(folder))
        facts, trials = study.user_attrs["search"], study.get_trials(deepcopy=False)
    nan, candidates = float("nan"), []
    for trial in trials:
        if not trial.state.is_finished():
            continue
        record = trial.user_attrs["record"]
        finished = record["state"] == "finished"
        error, cost = trial.values if finished else (nan, nan)
        candidates.append(
            Candidate(
                trial.number,
                record["state"],
                error,
                cost,
                record.get("flops", nan),
                record["seconds"],
                record["seed"],
                dict(trial.params),
                _path(folder, trial.number) if finished else None,
                record.get("reason", ""),
            )
        )
    return Result(candidates, "ns" if facts["cost"] == "cpu" else "flops", folder, kernel)
