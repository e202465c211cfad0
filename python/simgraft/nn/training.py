"""The training loop. Whole epochs run in the C core; Python looks after data, schedules, callbacks and
checkpoints."""

import hashlib
import json
import logging
import os
import time

import numpy as np
from tqdm.auto import tqdm

from simgraft import _core
from simgraft.nn.callbacks import EarlyStopping
from simgraft.nn.history import History
from simgraft.nn.loss import MSE, Custom, Term, Terms
from simgraft.nn.network import Network, _seed
from simgraft.nn.optimizers import LBFGS, Adam, _Optimizer
from simgraft.nn.schedule import as_schedule

_log = logging.getLogger("simgraft")
_KIND, _VERSION = "training-checkpoint", 1


class Training:
    """What callbacks see after each epoch.

    Attributes
    ----------
    network : Network
        With the weights of this epoch (their moving average if the optimiser keeps one).
    epoch, epochs : int
        Number of the finished epoch, counted from 1, and of all.
    history : History
    metrics : dict
        Metrics of this epoch so far.

    Examples
    --------
    >>> from simgraft import nn
    >>> def enough(training):
    ...     if training.metrics["loss"] < 1e-3:
    ...         training.stop("loss is small enough")
    """

    def __init__(self, network, epochs, history):
        self.network, self.epochs, self.history = network, epochs, history
        self.stop_reason = None

    @property
    def epoch(self):
        return len(self.history)

    @property
    def metrics(self):
        return self.history.rows[-1]

    def stop(self, reason):
        """End the training after this epoch."""
        self.stop_reason = reason

    @staticmethod
    def value(row, metric):
        """A metric of an epoch; an error that lists what there is if it is missing."""
        if metric not in row:
            raise ValueError(f"there is no metric '{metric}'; there are {', '.join(row)}")
        return row[metric]


class _Arrays:
    """Training data in memory."""

    def __init__(self, arrays, name):
        if not 2 <= len(arrays) <= 3:
            raise ValueError(f"{name}: expected (x, y) or (x, y, weight), got {len(arrays)} arrays")
        self.x, self.y, self.weight = (*arrays, None)[:3]
        if self.y is None and isinstance(self.x, np.ndarray):
            self.y = np.empty((len(self.x), 0), self.x.dtype)  # a loss without a target
        labels = (
            ("x", "y", "weight")
            if name == "batches"
            else ("validation x", "validation y", "validation weight")
        )
        for array, label in zip((self.x, self.y, self.weight), labels):
            if array is not None:
                _check_finite(array, label)
        if self.weight is not None and self.weight.min() < 0:
            row = int(self.weight.argmin())
            raise ValueError(f"{labels[2]}[{row}]: expected a weight >= 0, got {self.weight.flat[row]:g}")
        self.n = len(self.x)
        self.n_target = self.y.shape[1] if self.y.ndim == 2 else None
        self.n_batches = None

    def describe(self):
        return {"x": list(self.x.shape), "y": list(self.y.shape), "weighted": self.weight is not None}


def _check_finite(array, name):
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name}: expected a NumPy array, got {type(array).__name__}")
    if array.ndim == 0 or len(array) == 0:
        raise ValueError(f"{name}: expected at least one row, got shape {array.shape}")
    step = max(1, 2**20 // max(1, array[0].size))
    for first in range(0, len(array), step):
        bad = ~np.isfinite(array[first : first + step])
        if bad.any():
            index = np.argwhere(bad)[0]
            index[0] += first
            value = array[tuple(index)]
            raise _core.NotFiniteError(
                f"{name}[{', '.join(map(str, index))}] is {'NaN' if np.isnan(value) else 'infinite'}"
            )


class _Stream:
    """Training data that come as batches. How many make an epoch is known from ``len`` or from the epoch
    before; schedules that change within an epoch need it."""

    def __init__(self, source):
        self.source = source
        self.n_target = getattr(source, "n_target", None)
        try:
            self.n_batches = len(source)
        except TypeError:
            self.n_batches = None

    def describe(self):
        return {"stream": type(self.source).__name__}


def _data(data, name):
    if isinstance(data, (tuple, list)):
        return _Arrays(data, name)
    if hasattr(data, "epoch"):
        return _Stream(data)
    raise TypeError(
        f"{name}: expected (x, y) or (x, y, weight) or an object with .epoch(seed), got {type(data).__name__}"
    )


def _batch(item):
    x, y, weight = (*item, None)[:3]
    return x, np.empty((len(x), 0), x.dtype) if y is None else y, weight


def _check_targets(y, terms, name):
    """Class numbers and probabilities must be such, or the loss would be nonsense."""
    kinds = {entry["name"]: entry["target"] for entry in _core.nn_losses()}
    for loss, attributes, _, _, n_out, first, n, _ in terms:
        part, kind = y[:, first : first + n], kinds[loss]
        if kind == "class" and n != n_out:
            classes = attributes["classes"] or n_out
            bad, what = (
                (part < 0) | (part >= classes) | (part != np.floor(part)),
                f"no class (0 to {classes - 1})",
            )
        elif kind in ("class", "probability"):
            bad, what = (part < 0) | (part > 1), "no probability"
        else:
            continue
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise ValueError(f"{name}[{row}, {first + column}] = {part[row, column]:g} is {what}")


def _check_types(network, loss, optimizer, callbacks, num_threads):
    """Errors that say what to give."""
    if not isinstance(network, Network):
        hint = "; call its build(n_in, n_out, seed) first" if hasattr(network, "build") else ""
        hint = "; it has a method fit of its own" if hasattr(network, "fit") else hint
        raise TypeError(f"network: expected an nn.Network, got {type(network).__name__}{hint}")
    if isinstance(loss, type) or not hasattr(loss, "_terms"):
        raise TypeError(f"loss: expected a loss such as nn.MSE(), got {loss!r}")
    if isinstance(loss, Terms) and not (loss.terms and all(isinstance(term, Term) for term in loss.terms)):
        raise TypeError(f"terms: expected a list of nn.Term, got {loss.terms!r}")
    if isinstance(loss, Custom) and not callable(loss.function):
        raise TypeError(f"function: expected a callable, got {loss.function!r}")
    if not isinstance(optimizer, _Optimizer):
        raise TypeError(f"optimizer: expected an optimiser such as nn.Adam(1e-3), got {optimizer!r}")
    if not isinstance(callbacks, (list, tuple)) or not all(map(callable, callbacks)):
        raise TypeError(f"callbacks: expected a list of callables, got {callbacks!r}")
    if num_threads is not None and (not isinstance(num_threads, (int, np.integer)) or num_threads < 1):
        raise ValueError(f"num_threads: expected an integer >= 1 or None, got {num_threads!r}")


def _epoch_seed(seed, epoch):
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1, np.uint64)[0] >> np.uint64(1))


class _Run:
    """One call of fit."""

    def __init__(
        self,
        network,
        batches,
        validation,
        loss,
        optimizer,
        epochs,
        batch_size,
        seed,
        callbacks,
        checkpoint,
        num_threads,
        comm,
    ):
        self.network, self.loss, self.optimizer, self.comm = network, loss, optimizer, comm
        self.num_threads = num_threads or 0
        self.converged = False
        self.epochs, self.batch_size, self.seed = epochs, batch_size, seed
        self.callbacks = list(callbacks)
        self.data = _data(batches, "batches")
        self.validation = None if validation is None else _data(validation, "validation")
        self.checkpoint = None if checkpoint is None else os.fspath(checkpoint)
        folder = os.path.dirname(self.checkpoint or "") or "."
        if not os.path.isdir(folder):
            raise FileNotFoundError(
                f"checkpoint: there is no folder {folder}"
            )  # now, not after the first epoch
        self.schedule = as_schedule(optimizer.rate)
        if isinstance(self.data, _Arrays):
            for n, what in ((batch_size, "batch_size"), (self.data.n, "batches")):
                if n % loss.rows_per_group:
                    raise ValueError(
                        f"{what}: the loss compares groups of {loss.rows_per_group} rows, got {n} rows"
                    )
        stopper = next((c for c in self.callbacks if isinstance(c, EarlyStopping)), None)
        monitor = stopper.metric if stopper else "validation_loss" if self.validation else "loss"
        self.history = History(monitor, stopper.mode if stopper else "min")
        self.best = None
        n_target = loss._n_target(network.n_out) if self.data.n_target is None else self.data.n_target
        self.terms = loss._terms(network.n_out, n_target, network.dtype)
        for data, name in ((self.data, "y"), (self.validation, "validation y")):
            if isinstance(data, _Arrays) and data.n_target == n_target:
                _check_targets(data.y, self.terms, name)
        self.n_target = n_target
        # Random layers draw other numbers on other ranks.
        self.random_seed = seed if comm is None or comm.rank == 0 else _epoch_seed(seed, comm.rank)
        if comm is not None:
            comm.Bcast(network.parameters, root=0)
        if isinstance(optimizer, LBFGS):
            optimizer.check(network, self.data)
        self.trainer = _core.Trainer(
            network._graph,
            network.parameters,
            self.terms,
            optimizer._pair(),
            None,
            optimizer.clip_norm or 0.0,
            optimizer.clip_value or 0.0,
            optimizer.ema or 0.0,
            self.num_threads,
            self.random_seed,
            n_target,
        )

    @property
    def weights(self):
        """The weights that count: the moving average if there is one."""
        return self.trainer.parameters if self.trainer.ema is None else self.trainer.ema

    def rate(self, epoch):
        """Learning rate at times in epochs, checked."""
        rate = np.asarray(self.schedule.at(epoch, self.epochs, self.history.rows), float, order="C")
        if not (np.isfinite(rate) & (rate >= 0)).all():
            raise ValueError(f"rate: expected numbers >= 0, {self.schedule!r} gave {rate.min():g}")
        return rate

    # ---------------------------------------------------------------------------------------------- one batch
    def gradient(self, x, y, weight):
        """Loss of a batch and its gradient, with what the user's function and the other ranks say."""
        outside, value = None, 0.0
        if isinstance(self.loss, Custom):
            # The random numbers are those of the step, so the second forward pass makes the same prediction.
            prediction = self.network._graph.forward(
                self.trainer.parameters, x, None, self.num_threads, (self.random_seed, self.trainer.step)
            )
            value, outside = self.loss.evaluate(prediction, y, x, weight)
        loss, gradient = self.trainer.gradient(x, y, weight, None, outside)
        loss += value
        if not np.isfinite(loss) and self.comm is None:
            raise _core.DivergedError(
                f"loss: is {'NaN' if np.isnan(loss) else 'infinite'} in step {self.trainer.step + 1}"
            )
        return loss, gradient

    def reduce(self, loss, gradient, n_rows):
        """Means over the rows of all ranks, by one allreduce of one buffer; a rank may have no rows."""
        observed = self.trainer.observed
        mine = np.concatenate(
            [gradient, observed, np.array([loss, 1.0], gradient.dtype)]
        ) * gradient.dtype.type(n_rows)
        total = np.empty_like(mine)
        self.comm.Allreduce(mine, total)
        total[:-1] /= total[-1]
        loss = float(total[-2])
        if not np.isfinite(loss):
            raise _core.DivergedError(
                f"loss: is {'NaN' if np.isnan(loss) else 'infinite'} in step {self.trainer.step + 1}"
            )
        return loss, total[: gradient.size], total[gradient.size : -2], int(round(float(total[-1])))

    def step(self, x, y, weight, rate):
        """One update; returns the mean loss and the number of rows it is over."""
        if self.comm is None:
            if not isinstance(self.loss, Custom):
                return self.trainer.epoch(x, y, weight, None, len(x), np.array([rate])), len(x)
            loss, gradient = self.gradient(x, y, weight)
            self.trainer.update(gradient, rate)
            return loss, len(x)
        loss, gradient = (
            self.gradient(x, y, weight) if len(x) else (0.0, np.zeros_like(self.trainer.parameters))
        )
        loss, gradient, observed, n = self.reduce(loss, gradient, len(x))
        self.trainer.update(gradient, rate, observed)
        return loss, n

    # ---------------------------------------------------------------------------------------------- one epoch
    def train_epoch(self, progress):
        epoch = len(self.history)
        data = self.data
        if isinstance(self.optimizer, LBFGS):
            return self.optimizer.run(self, progress), 1.0
        if isinstance(data, _Arrays):
            n = -(-data.n // self.batch_size)
            n = data.n_batches = n if self.comm is None else max(self.comm.allgather(n))
            rate = self.rate(epoch + np.arange(n) / n)
            order = _core.nn_shuffle(self.seed, epoch, data.n, self.loss.rows_per_group)
            if self.comm is None and not isinstance(self.loss, Custom):
                return self.trainer.epoch(
                    data.x, data.y, data.weight, order, self.batch_size, rate, progress
                ), float(rate[-1])
            batches = (order[i * self.batch_size : (i + 1) * self.batch_size] for i in range(n))
            batches = (
                (data.x[b], data.y[b], None if data.weight is None else data.weight[b]) for b in batches
            )
        else:
            batches = (_batch(item) for item in data.source.epoch(_epoch_seed(self.seed, epoch)))
        total, count, done, used = 0.0, 0, 0, np.nan
        for x, y, weight in batches:
            share = done / data.n_batches if data.n_batches else 0.0
            used = float(self.rate(epoch + share))
            loss, n = self.step(x, y, weight, used)
            total += n * loss
            count += n
            done += 1
            progress(done, max(done, data.n_batches or 2 * done))
        if not count:
            raise ValueError("batches: an epoch gave no batch")
        data.n_batches = done
        return total / count, used

    def evaluate(self, x, y, weight):
        """Loss without a step, and the means of the values of its terms."""
        loss, values = self.trainer.evaluate(x, y, weight, None, self.weights)
        if isinstance(self.loss, Custom):
            loss += self.loss.evaluate(
                self.network._graph.forward(self.weights, x, None, self.num_threads), y, x, weight
            )[0]
        return loss, values

    def validation_metrics(self):
        data = self.validation
        if isinstance(data, _Arrays):
            batches = [(data.x, data.y, data.weight)]
        else:
            source = data.source
            batches = map(_batch, source.blocks() if hasattr(source, "blocks") else source.epoch(0))
        total, sums, count = 0.0, 0.0, 0
        for x, y, weight in batches:
            loss, values = self.evaluate(x, y, weight)
            total, sums, count = total + len(x) * loss, sums + len(x) * values, count + len(x)
        if self.comm is not None:
            total, sums, count = (sum(part) for part in zip(*self.comm.allgather((total, sums, count))))
        if not count:
            raise ValueError("validation: an epoch gave no batch")
        parts = {}
        if isinstance(self.loss, Terms):
            parts = self.loss._parts(sums / count, self.network.n_out, self.n_target, self.network.dtype)
        return {
            "validation_loss": total / count,
            **{f"validation_{name}": value for name, value in parts.items()},
        }

    def finish_epoch(self, training, loss, rate):
        row = {"loss": loss, "rate": rate}
        self.history.rows.append(row)
        try:
            if self.validation is not None:
                row.update(self.validation_metrics())
            raw = None
            if self.trainer.ema is not None and self.callbacks:
                raw = self.trainer.parameters.copy()
                self.trainer.parameters[:] = self.trainer.ema
            try:
                for callback in self.callbacks:
                    row.update({k: float(v) for k, v in (callback(training) or {}).items()})
            finally:
                if raw is not None:
                    self.trainer.parameters[:] = raw
            if (
                self.comm is not None
            ):  # callbacks may see other things on other ranks; the decisions are those of the first
                row = self.history.rows[-1] = self.comm.bcast(row, root=0)
                training.stop_reason = self.comm.bcast(training.stop_reason, root=0)
            value = training.value(row, self.history.monitor)
        except BaseException:
            self.history.rows.pop()  # an epoch counts when all its metrics are known
            raise
        sign = 1 if self.history.mode == "min" else -1
        if self.best is None or sign * value < sign * self.history.best:
            self.best = self.weights.copy()
            self.history.best_epoch = len(self.history)

    # -------------------------------------------------------------------------------------------- checkpoints
    def fingerprint(self):
        """What must be the same for a checkpoint to be continued."""
        terms = [
            [*term[:2], None if term[2] is None else hashlib.sha256(term[2].tobytes()).hexdigest(), *term[3:]]
            for term in self.terms
        ]
        return {
            "network": self.network.spec,
            "loss": terms,
            "optimizer": [type(self.optimizer).__name__, list(self.optimizer._pair())],
            "function": getattr(self.loss.function, "__qualname__", "")
            if isinstance(self.loss, Custom)
            else "",
            "rate": repr(self.schedule),
            "clip_norm": self.optimizer.clip_norm,
            "clip_value": self.optimizer.clip_value,
            "ema": self.optimizer.ema,
            "batch_size": self.batch_size,
            "seed": self.seed,
            "data": self.data.describe(),
            "monitor": self.history.monitor,
        }

    def save(self):
        if self.comm is not None and self.comm.rank:
            return
        items = {"parameters": self.trainer.parameters}
        items.update({f"slot{i}": slot for i, slot in enumerate(self.trainer.slots)})
        if self.trainer.ema is not None:
            items["ema"] = self.trainer.ema
        if self.best is not None:
            items["best"] = self.best
        items["state"] = json.dumps(
            {
                "fingerprint": self.fingerprint(),
                "step": self.trainer.step,
                "n_batches": self.data.n_batches,
                "history": self.history.to_dict(),
            }
        )
        _core.container_write(self.checkpoint, _KIND, _VERSION, items)

    def load(self):
        items = _core.container_read(self.checkpoint, _KIND, _VERSION)
        state = json.loads(items["state"])
        mine = json.loads(json.dumps(self.fingerprint()))
        for key, value in mine.items():
            if state["fingerprint"].get(key) != value:
                raise ValueError(
                    f"checkpoint: {self.checkpoint} was written by a training with another {key}; "
                    "give another path or remove the file"
                )
        self.trainer.parameters[:] = items["parameters"]
        for i, slot in enumerate(self.trainer.slots):
            slot[:] = items[f"slot{i}"]
        if self.trainer.ema is not None:
            self.trainer.ema[:] = items["ema"]
        self.best = items.get("best")
        self.trainer.step, self.data.n_batches = state["step"], state["n_batches"]
        self.history = History.from_dict(state["history"])
        _log.info("training goes on from %s after epoch %d", self.checkpoint, len(self.history))

    def put_back(self):
        """The best weights; without a finished epoch the current ones."""
        self.trainer.parameters[:] = self.weights if self.best is None else self.best


def fit(
    network,
    batches,
    *,
    validation=None,
    loss=None,
    optimizer=None,
    epochs=100,
    batch_size=256,
    seed=0,
    callbacks=(),
    checkpoint=None,
    num_threads=None,
    progress=True,
    comm=None,
):
    """Train a network; its ``parameters`` are those of the best epoch afterwards.

    The best epoch is that of the smallest validation loss, or of the metric of an :class:`EarlyStopping`
    among the callbacks, or, with neither, of the smallest training loss.

    Parameters
    ----------
    network : Network
        Trained in place.
    batches : (x, y) or (x, y, weight) or object with ``.epoch(seed)``
        Arrays (n, n_in), (n, n_target), (n,) of the network's dtype, shuffled in every epoch; or a source
        whose ``epoch(seed)`` iterates over such batches. ``n_target`` is ``n_out`` for most losses; ``y`` is
        None for a loss without a target.
    validation : like ``batches``, optional
        Not trained on. Of a source with ``blocks()`` the rows are taken in that order.
    loss : loss of ``nn.loss``, optional
        Default :class:`MSE`.
    optimizer : Adam, AdamW, SGD or LBFGS, optional
        Default :class:`Adam`.
    epochs : int
        >= 1.
    batch_size : int
        Rows per step when arrays are given; the last batch of an epoch may be smaller.
    seed : int
        Of the order of rows, and of layers that draw random numbers (dropout).
    callbacks : list of callable
        Called after each epoch with a :class:`Training`; a returned dict of numbers joins the metrics.
    checkpoint : path, optional
        Written after each epoch. If the file exists, training goes on from it, and ends with the same bits as
        if it had never been interrupted.
    num_threads : int, optional
        Default: ``OMP_NUM_THREADS`` or all CPUs. The weights have the same bits for any number.
    progress : bool
        Show a bar with loss and remaining time.
    comm : mpi4py communicator, optional
        Data-parallel training: every rank calls ``fit`` with its own rows, ``batch_size`` is that of one
        rank, and each step takes the mean gradient over all ranks, by one allreduce of one buffer. All ranks
        end with the same weights, those of rank 0 at the start being taken; rank 0 writes the checkpoint,
        which all read.

    Returns
    -------
    History

    Raises
    ------
    DivergedError
        If the loss becomes NaN or infinite; the message names epoch and step. The best weights so far are put
        back, and the exception carries the ``history``.
    NotFiniteError, TypeError, ValueError
        For data that do not fit; the message names the argument.

    Notes
    -----
    Ctrl-C ends the training cleanly: the best weights are put back and the history says "interrupted".

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> x = np.random.default_rng(1).uniform(-1, 1, (512, 2)).astype(np.float32)
    >>> y = np.sin(3 * x[:, :1]) * x[:, 1:]
    >>> network = nn.MLP([32, 32], "tanh").build(2, 1, seed=1)
    >>> history = nn.fit(
    ...     network, (x, y), optimizer=nn.Adam(1e-2), epochs=40, batch_size=64, seed=1, progress=False)
    >>> bool(history.best < 0.1 * history["loss"][0])
    True
    """
    if not isinstance(epochs, (int, np.integer)) or epochs < 1:
        raise ValueError(f"epochs: expected an integer >= 1, got {epochs!r}")
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"batch_size: expected an integer >= 1, got {batch_size!r}")
    loss, optimizer = MSE() if loss is None else loss, Adam() if optimizer is None else optimizer
    _check_types(network, loss, optimizer, callbacks, num_threads)
    run = _Run(
        network,
        batches,
        validation,
        loss,
        optimizer,
        epochs,
        int(batch_size),
        _seed(seed),
        callbacks,
        checkpoint,
        num_threads,
        comm,
    )
    if run.checkpoint is not None and os.path.exists(run.checkpoint):
        run.load()
    training = Training(network, epochs, run.history)
    before, start = run.history.seconds, time.monotonic()
    bar = tqdm(
        total=epochs,
        initial=len(run.history),
        disable=not progress or (comm is not None and comm.rank > 0),
        unit="epoch",
        mininterval=0.1,
        bar_format="{desc}{percentage:3.0f}%|{bar}| {n:.1f}/{total} epochs [{elapsed}<{remaining}{postfix}]",
    )

    def advance(done, total):
        bar.n = len(run.history) + done / total
        bar.update(0)

    stopped = run.history.stopped if run.history.stopped not in ("", "finished") else "finished"
    try:
        while len(run.history) < epochs and stopped == "finished":
            value, rate = run.train_epoch(advance)
            run.finish_epoch(training, value, rate)
            run.history.seconds = before + time.monotonic() - start
            bar.n = len(run.history)
            bar.set_postfix({k: f"{v:.4g}" for k, v in run.history.rows[-1].items() if k != "rate"})
            if run.converged:
                training.stop("no better weights were found")
            stopped = run.history.stopped = training.stop_reason or "finished"
            if run.checkpoint is not None:
                run.save()
    except KeyboardInterrupt:
        stopped = "interrupted"
        _log.warning(
            "training interrupted in epoch %d; the weights of epoch %d are kept",
            len(run.history) + 1,
            run.history.best_epoch,
        )
    except _core.DivergedError as error:
        run.history.stopped = "diverged"
        failure = _core.DivergedError(
            f"training diverged in epoch {len(run.history) + 1}: {error}; the weights of epoch "
            f"{run.history.best_epoch} were put back"
        )
        failure.history = run.history
        raise failure from None
    finally:
        bar.close()
        run.put_back()
    run.history.stopped = stopped
    run.history.seconds = before + time.monotonic() - start
    return run.history
