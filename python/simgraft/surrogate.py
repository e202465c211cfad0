"""Surrogates: encoder, network, decoder, domain guard and provenance in one file and one function."""

import hashlib
import html
import json
import logging
import platform
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simgraft import _core, encode, variables
from simgraft.dataset import Dataset, parse_bytes
from simgraft.encode import Encoder, InverseDensity
from simgraft.kernel import Kernel
from simgraft.metrics import Moments

__all__ = ["Guard", "GuardReport", "OutsideDomainWarning", "Surrogate", "describe", "load"]

logger = logging.getLogger("simgraft")

KIND = "simgraft surrogate"
VERSION = 2

_POLICIES = ("raise", "warn", "fallback", "count", "off")
_UNLIMITED = 1e300  # a distance that is computed, but never exceeded
_MAY_MISS, _CATEGORY = 1, 2  # SG_INPUT_...


class OutsideDomainWarning(UserWarning):
    """Inputs outside the domain of a surrogate, with ``guard="warn"``."""


@dataclass
class Guard:
    """How a surrogate recognises inputs it was not trained for, and what it does with them.

    Parameters
    ----------
    policy : {"raise", "warn", "fallback", "count", "off"}
        "raise": DomainError (NotFiniteError) naming the variable, row, value and limit. "warn": evaluate,
        warn. "fallback": rows outside are computed by the kernel. "count": evaluate, count. "off": no check.
    margin : float, optional
        The box of each input is its range in the training data, widened by this share of the range on both
        sides (of the logarithm for ``scale="log"``), but not beyond the limits of its Var.
    box : {"training", "declared"}, optional
        "declared": the limits of the Vars instead, and the training range only where a Var has none.
    quantile, slack : float, optional
        The largest distance to the training density that counts as inside: this quantile of the distances of
        the training rows (1: the largest), times ``slack``. ``quantile=None`` leaves the density unchecked.

    Notes
    -----
    The distance is Mahalanobis' in encoded space, d^2 = (e - m)' C^-1 (e - m), with the mean m and the
    covariance C of the training rows; directions in which they do not vary (less than 1e-6 of the largest
    variance) are left out. It costs about n_encoded^2 multiplications a row.
    """

    policy: str = "raise"
    margin: float = 0.05
    box: str = "training"
    quantile: float | None = 1.0
    slack: float = 1.25

    def __post_init__(self):
        _check_policy(self.policy)
        if self.box not in ("training", "declared"):
            raise ValueError(f"box: expected 'training' or 'declared', got {self.box!r}")
        if not self.margin >= 0:
            raise ValueError(f"margin: expected a number >= 0, got {self.margin!r}")
        if self.quantile is not None and not 0 < self.quantile <= 1:
            raise ValueError(f"quantile: expected a number in (0, 1] or None, got {self.quantile!r}")
        if not self.slack > 0:
            raise ValueError(f"slack: expected a number above 0, got {self.slack!r}")


def _check_policy(policy):
    if policy not in _POLICIES:
        raise ValueError(f"guard: expected one of {', '.join(map(repr, _POLICIES))}, got {policy!r}")


@dataclass
class GuardReport:
    """What the guard has seen.

    Attributes
    ----------
    n_rows, n_outside : int
        Rows looked at, and rows outside for any reason.
    n_box, n_density, n_not_finite : int
        Rows outside by reason; a row can count in the first two.
    n_fallback : int
        Rows that the kernel computed.
    inputs : dict of label -> int
        Values outside their range, or not finite, per input column.
    first : str
        The first row outside, in words; "" if there is none.
    flags : (n_rows,) uint8 array or None
        Of each row, from :meth:`Surrogate.guard_check`: 0 inside, 1 box, 2 density, 4 not finite, or sums of
        them.
    """

    n_rows: int = 0
    n_outside: int = 0
    n_box: int = 0
    n_density: int = 0
    n_not_finite: int = 0
    n_fallback: int = 0
    inputs: dict = field(default_factory=dict)
    first: str = ""
    flags: np.ndarray | None = None

    def _add(self, counts, labels, per_input, n_fallback):
        if counts["first"] and not self.first:
            self.first = counts["first"]
        for name in ("n_rows", "n_outside", "n_box", "n_density", "n_not_finite"):
            setattr(self, name, getattr(self, name) + counts[name])
        self.n_fallback += n_fallback
        for label, count in zip(labels, per_input.tolist()):
            if count:
                self.inputs[label] = self.inputs.get(label, 0) + count

    def __str__(self):
        if not self.n_outside:
            return f"{self.n_rows} rows, all inside the domain"
        parts = [
            f"{self.n_outside} of {self.n_rows} rows outside the domain",
            f"{self.n_box} by range, {self.n_density} by density, {self.n_not_finite} not finite",
        ]
        if self.inputs:
            parts.append(", ".join(f"{label} {count}" for label, count in self.inputs.items()))
        if self.n_fallback:
            parts.append(f"{self.n_fallback} computed by the kernel")
        return "; ".join(parts) + f"; first: {self.first}"


class Surrogate:
    """A network that stands in for a kernel.

    Parameters
    ----------
    kernel : simgraft.Kernel
        What is replaced.
    network : simgraft.nn.MLP, simgraft.nn.Model ...
        What is trained: anything with ``build(n_in, n_out, seed, dtype)``.
    encoder, decoder : Encoder or dict of name -> Transform or list of Transform, optional
        Chains of the inputs and of the outputs; see :mod:`simgraft.encode` for what a variable gets
        otherwise.
    guard : {"raise", "warn", "fallback", "count", "off"} or Guard, optional
        What to do with inputs outside the domain of the training data.

    Attributes
    ----------
    encoder_, decoder_ : Encoder
        Fitted.
    network_ : simgraft.nn.Network
        Trained.
    history_ : simgraft.nn.History
        Of the training.
    guard_report : GuardReport
        Counts since the last :meth:`reset_guard_report`.
    provenance : dict
        Where it comes from: kernel, data set, seeds, versions, training.

    Examples
    --------
    >>> import numpy as np
    >>> import simgraft as sg
    >>> def wave(inputs):
    ...     return {"y": np.sin(inputs["x"])}
    >>> kernel = sg.Kernel(wave, inputs={"x": sg.Var("rad", 0, 3)}, outputs={"y": sg.Var("1")})
    >>> data = kernel.sample(sg.sampling.uniform(kernel, seed=1), 500, seed=1)
    >>> surrogate = sg.Surrogate(kernel, sg.nn.MLP([16], activation="tanh"))
    >>> surrogate = surrogate.fit(data, seed=2, epochs=2, progress=False)
    >>> surrogate({"x": np.array([0.5, 1.0])})["y"].shape
    (2,)
    """

    def __init__(self, kernel, network, *, encoder=None, decoder=None, guard="raise"):
        self.kernel = kernel
        self.network = network
        self.encoder = encoder
        self.decoder = decoder
        self.guard = guard

    def get_params(self):
        """Constructor arguments.

        Returns
        -------
        dict
        """
        return {name: getattr(self, name) for name in ("kernel", "network", "encoder", "decoder", "guard")}

    @property
    def _policy(self):
        policy = self.guard.policy if isinstance(self.guard, Guard) else self.guard
        _check_policy(policy)
        return policy

    @property
    def n_in(self):
        """Physical input columns of a packed row."""
        return self.kernel.n_in

    @property
    def n_out(self):
        """Physical output columns of a packed row."""
        return self.kernel.n_out

    # ----------------------------------------------------------------------------------------------- training

    def fit(
        self,
        train,
        *,
        validation=None,
        seed,
        epochs=100,
        batch_size=256,
        loss=None,
        optimizer=None,
        weight=None,
        dtype="float32",
        memory="1GB",
        **options,
    ):
        """Learn encoder, decoder, domain and network from data.

        Parameters
        ----------
        train : simgraft.Dataset
            Read in blocks; it may be larger than memory.
        validation : simgraft.Dataset, optional
            Scored after each epoch with the deployed function: physical inputs in, physical outputs out,
            encoded again for the loss. With it the best epoch's weights are kept.
        seed : int
            Of the initial weights and the order of the rows. The same seed, data and options give the same
            weights.
        epochs, batch_size : int, optional
        loss, optimizer : simgraft.nn.loss..., simgraft.nn.Adam ..., optional
            Default: mean squared error in network variables, and Adam.
        weight : InverseDensity or (callable), optional
            Row weights for the loss and for :meth:`row_weights`; a callable gets packed blocks, ``weight(x,
            y) -> (n,)``. Default: the weights of the data set, if it has any.
        dtype : {"float32", "float64"}, optional
            Precision of the network.
        memory : int or str, optional
            Bytes that the encoded data may take ("4GB"); beyond that, blocks are read and encoded in every
            epoch.
        **options
            Passed to :func:`simgraft.nn.fit`: callbacks, checkpoint, num_threads, progress.

        Returns
        -------
        Surrogate
            self

        Raises
        ------
        ValueError
            DomainError or NotFiniteError when a value cannot be encoded, naming variable, row and value.
        """
        from simgraft import nn

        start = time.perf_counter()
        _check_policy(self._policy)
        if loss is not None and (isinstance(loss, type) or not hasattr(loss, "_terms")):
            raise TypeError(f"loss: expected a loss such as nn.MSE(), got {loss!r}")
        for name, dataset in (("train", train), ("validation", validation)):
            if dataset is None and name == "validation":
                continue
            if not hasattr(dataset, "blocks"):
                raise TypeError(f"{name}: expected a simgraft.Dataset, got {type(dataset).__name__}")
            if _signature(dataset.kernel) != _signature(self.kernel):
                raise ValueError(
                    f"{name}: the data are of {dataset.kernel!r}, whose variables are not those of {self.kernel!r}"
                )
        self._core = None  # until the end: a fit that fails leaves no half-trained function
        self.encoder_ = _as_encoder(self.encoder, "inputs").fit(train)
        self.decoder_ = _as_encoder(self.decoder, "outputs").fit(train)
        self.weight_ = weight.fit(train) if isinstance(weight, InverseDensity) else weight
        network = self._build(seed, dtype)
        self._domain = self._fit_domain(train)
        self._fit_distance(train, _core.Surrogate(self._entries(network)))
        batches = self._batches(train, batch_size, dtype, parse_bytes(memory))
        callbacks = list(options.pop("callbacks", ()))
        if validation is not None:
            callbacks.insert(0, _DeployedLoss(self, validation, loss, dtype))
            if not any(isinstance(c, nn.EarlyStopping) for c in callbacks):
                callbacks.append(
                    nn.EarlyStopping("validation_loss", patience=epochs)
                )  # never stops; names what is best
        self.history_ = nn.fit(
            network,
            batches,
            loss=loss,
            optimizer=optimizer,
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            callbacks=callbacks,
            **options,
        )
        self.provenance = self._trained_provenance(
            train, validation, seed, batch_size, loss, optimizer, dtype, time.perf_counter() - start
        )
        self._start(network)
        return self

    def _build(self, seed, dtype):
        from simgraft import nn

        expected = "a specification such as nn.MLP([64, 64]) that builds one nn.Network"
        if not hasattr(self.network, "build"):
            raise TypeError(f"network: expected {expected}, got {self.network!r}")
        if isinstance(self.network, (nn.zoo.VAE, nn.zoo.GAN, nn.zoo.Flow)):
            raise TypeError(f"network: expected {expected}, got the generative model {self.network!r}")
        network = self.network.build(self.encoder_.n_out_, self.decoder_.n_out_, seed=seed, dtype=dtype)
        if not isinstance(network, nn.Network):
            hint = "; train it and give its mean_network() to Surrogate.from_network"
            hint = hint if hasattr(network, "mean_network") else ""
            raise TypeError(f"network: expected {expected}, got {type(self.network).__name__}{hint}")
        return network

    def _fit_domain(self, train):
        """Box of the inputs, mean and whitening of the encoded rows, checksum of the data."""
        settings = self.guard if isinstance(self.guard, Guard) else Guard()
        n_in = self.encoder_.n_in_
        low, high = np.full(n_in, np.inf), np.full(n_in, -np.inf)
        missing, flags = _special_inputs(self.encoder_)
        count, moments = 0, Moments(covariance=settings.quantile is not None)
        digest = hashlib.sha256()
        for x, y, *_ in train.blocks():
            x, y = np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(y, dtype=np.float64)
            digest.update(x)
            digest.update(y)
            present = ~_equals_missing(x, missing, flags)
            low = np.minimum(low, np.min(x, axis=0, where=present, initial=np.inf))
            high = np.maximum(high, np.max(x, axis=0, where=present, initial=-np.inf))
            moments.update(self.encoder_.transform(x, dtype="float64", first_row=count))
            self.decoder_.transform(y, dtype="float64", first_row=count)
            count += len(x)
        empty = low > high
        low[empty], high[empty] = 0.0, 0.0
        low, high = self._widen(low, high, settings)
        whitening = None
        if settings.quantile is not None:
            value, vector = np.linalg.eigh(moments.covariance_)
            keep = value > 1e-6 * max(value.max(), 0)
            if keep.any():
                whitening = np.ascontiguousarray(vector[:, keep] / np.sqrt(value[keep]))
        return {
            "low": low,
            "high": high,
            "missing": missing,
            "flags": flags,
            "mean": moments.mean_,
            "whitening": whitening,
            "max_distance": np.inf if whitening is None else _UNLIMITED,
            "settings": settings,
            "sha256": digest.hexdigest(),
        }

    def _widen(self, low, high, settings):
        at = 0
        for variable in self.kernel.inputs.values():
            part = slice(at, at + variable.size)
            at = part.stop
            a, b = low[part], high[part]
            if variable.scale == "log" and np.all(a > 0):
                ratio = (b / a) ** settings.margin
                a, b = a / ratio, b * ratio
            else:
                step = settings.margin * (b - a)
                a, b = a - step, b + step
            if variable.low is not None:
                a = (
                    np.full_like(a, variable.low)
                    if settings.box == "declared"
                    else np.minimum(low[part], np.maximum(a, variable.low))
                )
            if variable.high is not None:
                b = (
                    np.full_like(b, variable.high)
                    if settings.box == "declared"
                    else np.maximum(high[part], np.minimum(b, variable.high))
                )
            low[part], high[part] = a, b
        return low, high

    def _fit_distance(self, train, core):
        """Largest distance that counts as inside, from the distances of the training rows as the deployed
        code computes them."""
        if self._domain["whitening"] is None:
            return
        settings = self._domain["settings"]
        step = max(1, len(train) // 2**20)  # at most about a million distances are kept
        kept, largest = [], 0.0
        for x, *_ in train.blocks():
            d = core.distance(np.ascontiguousarray(x, dtype=np.float64))
            largest = max(largest, float(d.max()))
            kept.append(d[::step])
        limit = (
            largest if settings.quantile == 1 else float(np.quantile(np.concatenate(kept), settings.quantile))
        )
        self._domain["max_distance"] = settings.slack * limit

    def _batches(self, train, batch_size, dtype, memory):
        size = len(train) * (self.encoder_.n_out_ + self.decoder_.n_out_ + 1) * np.dtype(dtype).itemsize
        if size > memory:
            return _EncodedReader(self, train.reader(batch_size, memory=memory), dtype)
        x = np.empty((len(train), self.encoder_.n_out_), dtype=dtype)
        y = np.empty((len(train), self.decoder_.n_out_), dtype=dtype)
        weights = []
        row = 0
        for block in train.blocks():
            encoded = self._encode_block(
                block, dtype, x[row : row + len(block[0])], y[row : row + len(block[0])]
            )
            row += len(block[0])
            weights.append(encoded[2])
        return (x, y) if weights[0] is None else (x, y, np.concatenate(weights))

    def _encode_block(self, block, dtype, x_out=None, y_out=None):
        x, y = (np.ascontiguousarray(v, dtype=np.float64) for v in block[:2])
        weight = self.row_weights(x, y, block[2] if len(block) > 2 else None)
        return (
            self.encoder_.transform(x, x_out, dtype=dtype),
            self.decoder_.transform(y, y_out, dtype=dtype),
            None if weight is None else weight.astype(dtype),
        )

    def row_weights(self, x, y, own=None):
        """Weights of rows in the training loss, for metrics that weigh in the same way.

        Parameters
        ----------
        x : (n, n_in) float64 array
        y : (n, n_out) float64 array
        own : (n,) array, optional
            The data set's weights, used when :meth:`fit` was given none.

        Returns
        -------
        (n,) float64 array or None
            None: all rows weigh the same.
        """
        weight = getattr(self, "weight_", None)
        if weight is None:
            return None if own is None else np.asarray(own, dtype=np.float64)
        weight = np.asarray(
            weight.weights(x, y) if isinstance(weight, InverseDensity) else weight(x, y), dtype=np.float64
        )
        if weight.shape != (len(x),) or not np.all(weight >= 0) or not np.all(np.isfinite(weight)):
            raise ValueError(f"weight: expected ({len(x)},) finite numbers >= 0, got shape {weight.shape}")
        return weight

    def _trained_provenance(self, train, validation, seed, batch_size, loss, optimizer, dtype, seconds):
        history = self.history_
        return {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "simgraft": _core.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "instruction_set": _core.isa(),
            "kernel": {"name": self.kernel.name, "version": self.kernel.version},
            "data": _dataset_facts(train, self._domain["sha256"]),
            "validation_data": None if validation is None else _dataset_facts(validation),
            "training_seconds": seconds,
            "seed": seed,
            "batch_size": batch_size,
            "dtype": dtype,
            "network": repr(self.network),
            "loss": repr(loss) if loss is not None else "default",
            "optimizer": repr(optimizer) if optimizer is not None else "default",
            "weight": repr(self.weight_) if self.weight_ is not None else None,
            "history": _plain(history.to_dict()),
        }

    @classmethod
    def from_network(
        cls,
        kernel,
        network,
        biases=None,
        activations=None,
        *,
        encoder=None,
        decoder=None,
        domain=None,
        guard="raise",
        provenance=None,
    ):
        """A surrogate of a network that was trained elsewhere.

        Parameters
        ----------
        kernel : simgraft.Kernel
            What it replaces; a description without a function will do.
        network : simgraft.nn.Network, or list of (n_in, n_out) float32 or float64 arrays
            A network, whose parameters are copied; or the weights of a chain of dense layers.
        biases : list of (n_out,) arrays, optional
            For weights, of the same dtype.
        activations : list of str or (str, float), optional
            For weights, one for each layer, with its parameter where it has one: "softsign",
            ("leaky_relu", 0.2), "linear".
        encoder, decoder : dict of name -> list of Transform, or Encoder, optional
            Chains with all values given: ``[Log(), MinMax(low=..., high=...)]``; a variable that is not named
            is passed as it is.
        domain : (low, high), optional
            (n_in,) float64 arrays; default: the limits of the kernel's inputs.
        guard : str or Guard, optional
        provenance : dict, optional
            Plain values: file, authors, reference.

        Returns
        -------
        Surrogate

        Examples
        --------
        >>> import numpy as np
        >>> import simgraft as sg
        >>> kernel = sg.Kernel(None, inputs={"x": sg.Var("1", 0, 1)}, outputs={"y": sg.Var("1")}, name="line")
        >>> line = sg.Surrogate.from_network(kernel, [np.array([[2.0]])], [np.array([1.0])], ["linear"])
        >>> line({"x": np.array([0.25])})["y"]
        array([1.5])
        """
        self = cls(kernel, None, encoder=encoder, decoder=decoder, guard=guard)
        self.encoder_ = _given_encoder(encoder, kernel.inputs, "inputs")
        self.decoder_ = _given_encoder(decoder, kernel.outputs, "outputs")
        network = _given_network(network, biases, activations, self.encoder_.n_out_, self.decoder_.n_out_)
        missing, flags = _special_inputs(self.encoder_)
        if domain is None:
            limits = [(v.low, v.high) for v in kernel.inputs.values() for _ in range(v.size)]
            domain = (
                np.array([-np.inf if a is None else a for a, _ in limits], dtype=np.float64),
                np.array([np.inf if b is None else b for _, b in limits], dtype=np.float64),
            )
        low, high = (np.ascontiguousarray(end, dtype=np.float64) for end in domain)
        n_in = self.encoder_.n_in_
        if low.shape != (n_in,) or high.shape != (n_in,):
            raise ValueError(f"domain: expected two arrays of shape ({n_in},), got {domain!r}")
        self._domain = {
            "low": low,
            "high": high,
            "missing": missing,
            "flags": flags,
            "mean": None,
            "whitening": None,
            "max_distance": np.inf,
            "settings": guard if isinstance(guard, Guard) else Guard(),
        }
        self.provenance = {
            "simgraft": _core.__version__,
            "kernel": {"name": kernel.name, "version": kernel.version},
            **(provenance or {}),
        }
        self._start(network)
        return self

    # ------------------------------------------------------------------------------------------------ running

    def __call__(self, inputs):
        """Evaluate like the kernel.

        Parameters
        ----------
        inputs : dict of name -> (n, *shape) array
            In the units of the kernel's inputs.

        Returns
        -------
        dict of name -> (n, *shape) float64 array

        Raises
        ------
        ValueError
            DomainError or NotFiniteError for inputs outside the domain, when the guard says "raise".
        """
        return self.kernel.unpack_outputs(self.evaluate(self.kernel.pack_inputs(inputs)))

    def evaluate(self, x, out=None, *, num_threads=None, guard=None):
        """Evaluate packed rows.

        Parameters
        ----------
        x : (n, n_in) float64 or float32 array
            Any strides. float64 is encoded in double before it reaches the network.
        out : (n, n_out) array of the same dtype, optional
            Any strides.
        num_threads : int, optional
            Default: OMP_NUM_THREADS, or all CPUs.
        guard : str, optional
            Another policy than the surrogate's, for this call.

        Returns
        -------
        (n, n_out) array
            The same bits for any batch, strides and number of threads.

        Raises
        ------
        ValueError
            DomainError or NotFiniteError, as the guard says.
        """
        policy = self._policy if guard is None else guard
        if guard is not None:
            _check_policy(guard)
        core = self._fitted()
        if out is None and isinstance(x, np.ndarray) and x.ndim == 2:
            out = np.empty((len(x), self.n_out), dtype=np.float32 if x.dtype == np.float32 else np.float64)
        threads = 0 if num_threads is None else num_threads
        if policy == "off":
            core.evaluate(x, out, -1, None, None, threads)
            return out
        if policy == "raise":
            self.guard_report.n_rows += core.evaluate(x, out, 1, None, None, threads)["n_rows"]
            return out
        per_input = np.zeros(self.n_in, dtype=np.int64)
        flags = (
            np.empty(len(x), dtype=np.uint8) if policy == "fallback" and isinstance(x, np.ndarray) else None
        )
        counts = core.evaluate(x, out, 0, flags, per_input, threads)
        n_fallback = self._fall_back(x, out, flags) if policy == "fallback" and counts["n_outside"] else 0
        self._report(counts, per_input, n_fallback, policy, 2)
        return out

    def jvp(self, x, d_x, out=None, *, num_threads=None, guard=None):
        """Tangent-linear: derivative of the outputs along a direction of the inputs, in physical units.

        Parameters
        ----------
        x : (n, n_in) float64 or float32 array, or dict of name -> (n, *shape) array
            Packed rows, any strides; or the inputs by name, as in a call.
        d_x : (n, n_in) array of the same dtype, or dict
            Direction, in the units of the inputs.
        out : (n, n_out) array, optional
            For packed rows.
        num_threads, guard : optional
            As in :meth:`evaluate`.

        Returns
        -------
        (n, n_out) array, or dict of name -> (n, *shape) array
            ``J d_x`` with the Jacobian J of encoder, network and decoder at each row. At a kink or jump it is the
            derivative of one side: 0 for categories, for masked values and beyond the bounds of clipped variables.

        Raises
        ------
        ValueError
            DomainError or NotFiniteError, as the guard says.
        NotImplementedError
            With ``guard="fallback"``: kernels in Python have no derivative.

        Examples
        --------
        >>> import numpy as np
        >>> import simgraft as sg
        >>> kernel = sg.Kernel(None, inputs={"x": sg.Var("m", 0, 1)}, outputs={"y": sg.Var("Pa")}, name="line")
        >>> line = sg.Surrogate.from_network(kernel, [np.array([[2.0]])], [np.array([1.0])], ["linear"])
        >>> line.jvp(np.array([[0.25]]), np.array([[3.0]]))
        array([[6.]])
        >>> line.jvp({"x": np.array([0.25])}, {"x": np.array([3.0])})
        {'y': array([6.])}
        """
        if isinstance(x, dict):
            return self._differentiate_named(self.jvp, x, d_x, "d_x", out, num_threads, guard)
        return self._differentiate("jvp", x, d_x, out, self.n_out, num_threads, guard)

    def vjp(self, x, d_y, out=None, *, num_threads=None, guard=None):
        """Adjoint: gradient with respect to the inputs from that with respect to the outputs, in physical units.

        Parameters
        ----------
        x : (n, n_in) float64 or float32 array, or dict of name -> (n, *shape) array
            Packed rows, any strides; or the inputs by name, as in a call.
        d_y : (n, n_out) array of the same dtype, or dict
            Gradient of some number with respect to the outputs.
        out : (n, n_in) array, optional
            For packed rows.
        num_threads, guard : optional
            As in :meth:`evaluate`.

        Returns
        -------
        (n, n_in) array, or dict of name -> (n, *shape) array
            ``J' d_y``; see :meth:`jvp`, also for what is raised.
        """
        if isinstance(x, dict):
            return self._differentiate_named(self.vjp, x, d_y, "d_y", out, num_threads, guard)
        return self._differentiate("vjp", x, d_y, out, self.n_in, num_threads, guard)

    def _differentiate_named(self, method, x, d, name, out, num_threads, guard):
        if out is not None:
            raise TypeError("out: only for packed rows")
        sides = self.kernel.inputs, self.kernel.outputs
        given, result = sides if name == "d_x" else sides[::-1]
        x, d = self.kernel.pack_inputs(x), variables.pack(d, given, name)
        return variables.unpack(method(x, d, num_threads=num_threads, guard=guard), result)

    def _differentiate(self, method, x, d, out, width, num_threads, guard):
        policy = self._policy if guard is None else guard
        _check_policy(policy)
        if policy == "fallback":
            raise NotImplementedError(f"guard: {method} has no kernel to fall back to; choose another policy for this call")
        if out is None and isinstance(x, np.ndarray) and x.ndim == 2:
            out = np.empty((len(x), width), dtype=np.float32 if x.dtype == np.float32 else np.float64)
        run, per_input = getattr(self._fitted(), method), np.zeros(self.n_in, dtype=np.int64)
        number = {"off": -1, "raise": 1}.get(policy, 0)
        counts = run(x, d, out, number, None, None if policy == "off" else per_input, num_threads or 0)
        if counts is not None:
            self._report(counts, per_input, 0, policy, 3)
        return out

    def _report(self, counts, per_input, n_fallback, policy, depth):
        """Adds to the report of the guard; warns the caller depth calls above where that is the policy."""
        self.guard_report._add(counts, self.encoder_.labels_, per_input, n_fallback)
        if policy == "warn" and counts["n_outside"]:
            warnings.warn(
                f"{counts['n_outside']} of {counts['n_rows']} rows lie outside the domain of the surrogate; "
                f"first: {counts['first']}",
                OutsideDomainWarning,
                stacklevel=depth + 1,
            )

    def _fall_back(self, x, out, flags):
        if self.kernel.function is None:
            raise RuntimeError("guard='fallback' needs the kernel's function: pass kernel= to Surrogate.load")
        rows = np.flatnonzero(flags)
        out[rows] = self.kernel.evaluate(np.ascontiguousarray(x[rows], dtype=np.float64))
        return len(rows)

    def guard_check(self, x):
        """Which rows lie outside the domain; the counts of :attr:`guard_report` stay.

        Parameters
        ----------
        x : (n, n_in) float64 or float32 array

        Returns
        -------
        GuardReport
            With ``flags``.
        """
        core = self._fitted()
        x = np.asarray(x)
        flags, per_input = np.empty(len(x), dtype=np.uint8), np.zeros(self.n_in, dtype=np.int64)
        counts = core.evaluate(x, np.empty((len(x), self.n_out), dtype=x.dtype), 0, flags, per_input, 0)
        report = GuardReport(flags=flags)
        report._add(counts, self.encoder_.labels_, per_input, 0)
        return report

    def distance(self, x):
        """Mahalanobis distance of rows to the training data, in encoded space.

        Parameters
        ----------
        x : (n, n_in) float64 array

        Returns
        -------
        (n,) float64 array
        """
        return self._fitted().distance(x)

    def reset_guard_report(self):
        """Start counting anew."""
        self.guard_report = GuardReport()

    def __getstate__(self):
        return {name: value for name, value in self.__dict__.items() if name != "_core"} | {
            "_has_core": getattr(self, "_core", None) is not None
        }

    def __setstate__(self, state):
        has_core = state.pop("_has_core")
        self.__dict__.update(state)
        if has_core:
            self._core = _core.Surrogate(self._entries(self.network_))

    def _fitted(self):
        if getattr(self, "_core", None) is None:
            raise RuntimeError("this surrogate has not been fitted: call fit, or load one")
        return self._core

    def _start(self, network):
        """The deployed function of a network."""
        self._core = _core.Surrogate(self._entries(network))
        self.network_ = network
        self.reset_guard_report()

    # -------------------------------------------------------------------------------------------------- files

    def _entries(self, network):
        """Contents of the file; docs/files.md."""
        kernel, domain = self.kernel, self._domain
        n_out = self.decoder_.n_in_
        out_limits = [(v.low, v.high) for v in kernel.outputs.values() for _ in range(v.size)]
        units = [
            [v.unit for v in side.values() for _ in range(v.size)] for side in (kernel.inputs, kernel.outputs)
        ]
        entries = {
            "kernel/name": str(kernel.name or ""),
            "kernel/version": str(kernel.version or ""),
            "input/name": _lines(self.encoder_.labels_),
            "input/unit": _lines(units[0]),
            "input/low": domain["low"],
            "input/high": domain["high"],
            "output/name": _lines(self.decoder_.labels_),
            "output/unit": _lines(units[1]),
            "output/low": np.array(
                [-np.inf if a is None else a for a, _ in out_limits], dtype=np.float64
            ).reshape(n_out),
            "output/high": np.array(
                [np.inf if b is None else b for _, b in out_limits], dtype=np.float64
            ).reshape(n_out),
            **_network_entries(network),
            "domain/flags": domain["flags"],
            "domain/missing": domain["missing"],
            "domain/max_distance": np.array(domain["max_distance"], dtype=np.float64),
            **self.encoder_.entries("encoder"),
            **self.decoder_.entries("decoder", inverse=True),
        }
        if domain["whitening"] is not None:
            entries["domain/mean"], entries["domain/whitening"] = domain["mean"], domain["whitening"]
        settings = domain["settings"]
        entries["description"] = json.dumps(
            {
                "kernel": _plain(kernel.describe()),
                "encoder": self.encoder_.to_dict(),
                "decoder": self.decoder_.to_dict(),
                "guard": {**vars(settings), "policy": self._policy},
                "provenance": _plain(getattr(self, "provenance", {})),
            },
            allow_nan=False,
        )
        return entries

    def save(self, path):
        """Write one file that Python, C and Fortran hosts open; docs/files.md describes it.

        Parameters
        ----------
        path : str or path
            Written under a temporary name and renamed, so that readers see the old file or the new one. Its
            folder is made where it does not exist.
        """
        self._fitted()
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        _core.container_write(path, KIND, VERSION, self._entries(self.network_))
        logger.info("surrogate of %s saved as %s", self.kernel.name, path)

    def export_c(self, path, **options):
        """Write the surrogate as one C99 file that needs libm only; :func:`simgraft.interop.to_c`.

        Parameters
        ----------
        path : str or path
        **options
            name, test_rows.
        """
        from simgraft import interop

        interop.to_c(self, path, **options)

    def export_onnx(self, path, **options):
        """Write the surrogate as an ONNX model, encoder and decoder inside; :func:`simgraft.interop.to_onnx`.

        Parameters
        ----------
        path : str or path
        **options
            dtype, by_name.
        """
        from simgraft import interop

        interop.to_onnx(self, path, **options)

    @classmethod
    def load(cls, path, kernel=None):
        """Open a surrogate file.

        Parameters
        ----------
        path : str or path
        kernel : simgraft.Kernel, optional
            Only the fallback needs it; its inputs and outputs must be those in the file.

        Returns
        -------
        Surrogate

        Raises
        ------
        OSError
            FileNotFoundError, FileFormatError, ChecksumError or FileVersionError naming the file.
        ValueError
            If ``kernel`` is not the one the surrogate stands in for.
        """
        entries = _core.container_read(path, KIND, VERSION)
        core = _core.Surrogate(entries)  # checks all arrays
        try:
            facts = json.loads(entries["description"])
            described = Kernel.from_description(facts["kernel"])
            encoder = Encoder.from_dict(facts["encoder"], described.inputs)
            decoder = Encoder.from_dict(facts["decoder"], described.outputs)
            guard = Guard(**facts["guard"])
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise _core.FileFormatError(
                f"{path}: the description is not that of a surrogate ({problem!r})"
            ) from problem
        if kernel is not None and not isinstance(kernel, Kernel):
            raise TypeError(f"kernel: expected a simgraft.Kernel, got {type(kernel).__name__}")
        if kernel is not None and _signature(kernel) != _signature(described):
            raise ValueError(
                f"kernel: {kernel.name!r} does not have the inputs and outputs of {described.name!r} in {path}"
            )
        self = cls(kernel or described, None, encoder=encoder, decoder=decoder, guard=guard)
        self.encoder_, self.decoder_ = encoder, decoder
        self.provenance = facts["provenance"]
        self._domain = {
            "low": entries["input/low"],
            "high": entries["input/high"],
            "missing": entries["domain/missing"],
            "flags": entries["domain/flags"],
            "mean": entries.get("domain/mean"),
            "whitening": entries.get("domain/whitening"),
            "max_distance": float(entries["domain/max_distance"]),
            "settings": guard,
        }
        self.network_ = _network_of(entries)
        self._core = core
        self.reset_guard_report()
        return self

    # --------------------------------------------------------------------------------------------- describing

    def describe(self):
        """What it is, in words.

        Returns
        -------
        str
        """
        facts = self._fitted().describe()
        lines = [
            f"surrogate of {facts['name'] or 'a kernel'} {facts['version']}".rstrip(),
            f"network {self._shape_text()}, {facts['n_parameters']} parameters, "
            f"{facts['flops_per_row']:.0f} floating-point operations a row, {facts['network_bits']} bit",
            "inputs:",
        ]
        lines += self._variable_lines(self.kernel.inputs, self.encoder_)
        lines.append("outputs:")
        lines += self._variable_lines(self.kernel.outputs, self.decoder_)
        limit = facts["max_distance"]
        lines.append(
            f"guard: {self._policy}; "
            + ("density not checked" if np.isinf(limit) else f"distance at most {limit:.3g}")
        )
        data = (self.provenance or {}).get("data") or {}
        if data:
            lines.append(
                f"trained on {data['rows']} rows, sha256 {data['sha256'][:16]}..., {self.provenance['training_seconds']:.3g} s"
            )
        return "\n".join(lines)

    def _shape_text(self):
        network = self.network_
        if not network.is_chain:
            return f"{network.n_in} -> {network.n_out} of {len(network.spec['nodes'])} nodes"
        return "-".join(str(n) for n in [network.n_in] + [len(bias) for _, bias, _ in network.layers])

    def _variable_lines(self, variables, encoder):
        return [
            f"  {name} [{v.unit}]{'' if v.shape == () else ' ' + str(v.shape)} {encoder.chains_[name]}"
            for name, v in variables.items()
        ]

    def __repr__(self):
        if getattr(self, "_core", None) is None:
            return f"Surrogate({self.kernel!r}, {self.network!r}, guard={self.guard!r})"
        return f"<Surrogate of {self.kernel.name}: {self._shape_text()}, guard {self._policy}>"

    def _repr_html_(self):
        if getattr(self, "_core", None) is None:
            return f"<pre>{html.escape(repr(self))}</pre>"
        facts = self._core.describe()
        rows = [
            ("stands in for", f"{facts['name']} {facts['version']}"),
            ("network", self._shape_text()),
            ("parameters", facts["n_parameters"]),
            ("inputs", ", ".join(f"{n} [{v.unit}]" for n, v in self.kernel.inputs.items())),
            ("outputs", ", ".join(f"{n} [{v.unit}]" for n, v in self.kernel.outputs.items())),
            ("guard", self._policy),
            ("seen", str(self.guard_report)),
        ]
        cells = "".join(
            f"<tr><th style='text-align:left'>{html.escape(str(k))}</th><td style='text-align:left'>{html.escape(str(v))}</td></tr>"
            for k, v in rows
        )
        return f"<table>{cells}</table>"


def load(path, kernel=None):
    """Open a surrogate file; the same as :meth:`Surrogate.load`.

    Parameters
    ----------
    path : str or path
    kernel : simgraft.Kernel, optional

    Returns
    -------
    Surrogate
    """
    return Surrogate.load(path, kernel)


def describe(path):
    """What a file, or a folder with a data set, is.

    Parameters
    ----------
    path : str or path
        Surrogate file, data set folder, or any other file of simgraft.

    Returns
    -------
    str
        Kind, version, checksum; for a surrogate and a data set also contents and provenance.

    Raises
    ------
    OSError
        If it is no file of simgraft, or damaged; the message names it.
    """
    path = Path(path)
    if path.is_dir():
        data = Dataset.open(path)
        return (
            f"data set in {path}: {len(data)} rows of {data.kernel.name} {data.kernel.version}\n"
            + _indented(data.provenance)
        )
    info = _core.file_info(path)
    lines = [f"{info['kind']}, format {info['version']}, {info['n_bytes']} bytes, sha256 {info['sha256']}"]
    if info["kind"] == KIND:
        surrogate = Surrogate.load(path)
        lines += [
            surrogate.describe(),
            "provenance:",
            _indented({k: v for k, v in surrogate.provenance.items() if k != "history"}),
        ]
    return "\n".join(lines)


def _indented(values):
    return json.dumps(values, indent=2)


# ------------------------------------------------------------------------------------------------------ parts


class _EncodedReader:
    """Batches of a data set that is too large to be encoded at once."""

    def __init__(self, surrogate, reader, dtype):
        self.surrogate, self.reader, self.dtype = surrogate, reader, dtype

    def __len__(self):
        return len(self.reader)

    def epoch(self, seed):
        for block in self.reader.epoch(seed):
            yield self.surrogate._encode_block(block, self.dtype)


class _DeployedLoss:
    """Callback that scores the deployed function: physical inputs through the fused code to physical outputs,
    encoded again and held
    against the encoded truth with the loss of the training. Blocks count by their rows."""

    def __init__(self, surrogate, validation, loss, dtype):
        from simgraft import nn

        self.surrogate, self.validation, self.dtype = surrogate, validation, dtype
        x = nn.Input(surrogate.decoder_.n_out_)
        same = nn.Network.from_graph(x, nn.Affine()(x), seed=0, dtype=dtype)  # starts as the identity
        loss = nn.MSE() if loss is None else loss
        self.custom = loss if isinstance(loss, nn.Custom) else None
        self.judge = _core.Trainer(
            same._graph,
            same.parameters,
            loss._terms(same.n_out, same.n_out, same.dtype),
            nn.SGD()._pair(),
            None,
            0.0,
            0.0,
            0.0,
            1,
        )
        self.parameters = same.parameters

    def __call__(self, training):
        surrogate = self.surrogate
        core = _core.Surrogate(surrogate._entries(training.network))
        total = n = 0
        for block in self.validation.blocks():
            x, y = (np.ascontiguousarray(v, dtype=np.float64) for v in block[:2])
            weight = surrogate.row_weights(x, y, block[2] if len(block) > 2 else None)
            out = np.empty((len(x), surrogate.n_out))
            core.evaluate(x, out, -1, None, None, 0)
            ours = np.empty((len(x), surrogate.decoder_.n_out_), dtype=self.dtype)
            surrogate.decoder_.program_.run(out, ours)
            truth = surrogate.decoder_.transform(y, dtype=self.dtype, first_row=n)
            weight = None if weight is None else weight.astype(self.dtype)
            value = self.judge.evaluate(ours, truth, weight, None, self.parameters)[0]
            if self.custom is not None:
                encoded = surrogate.encoder_.transform(x, dtype=self.dtype, first_row=n)
                value += self.custom.evaluate(ours, truth, encoded, weight)[0]
            total += len(x) * value
            n += len(x)
        return {"validation_loss": total / n}


def _as_encoder(given, side):
    if isinstance(given, Encoder):
        return Encoder(given.chains, side=side)
    return Encoder(given, side=side)


def _given_encoder(given, variables, side):
    if isinstance(given, Encoder) and hasattr(given, "program_"):
        return given
    chains = (given.chains if isinstance(given, Encoder) else given) or {}
    return Encoder.from_chains(
        {name: chains.get(name, []) for name in variables} | dict(chains), variables, side=side
    )


def _special_inputs(encoder):
    """Missing value and SG_INPUT_... flags of each input column."""
    missing, flags = np.zeros(encoder.n_in_), np.zeros(encoder.n_in_, dtype=np.uint8)
    for name, chain in encoder.chains_.items():
        columns = list(encoder._columns(name))
        if chain and isinstance(chain[0], encode.Mask):
            missing[columns] = chain[0].missing
            flags[columns] |= _MAY_MISS
        if chain and isinstance(chain[-1], encode.OneHot):
            flags[columns] |= _CATEGORY
    return missing, flags


def _equals_missing(x, missing, flags):
    same = (x == missing) | (np.isnan(x) & np.isnan(missing))
    return same & ((flags & _MAY_MISS) != 0)


def _given_network(network, biases, activations, n_in, n_out):
    """A copy of a Network, or the chain of dense layers of given arrays, that fits encoder and decoder."""
    from simgraft import nn

    if isinstance(network, nn.Network):
        if biases is not None or activations is not None:
            raise TypeError("biases, activations: only for a list of weights, not for a Network")
        if (network.n_in, network.n_out) != (n_in, n_out):
            raise ValueError(
                f"network: expected {n_in} inputs and {n_out} outputs, which the encoder makes and the decoder takes, "
                f"got {network.n_in} and {network.n_out}"
            )
        return network.copy()
    weights = network
    if not isinstance(weights, (list, tuple)):
        hint = "; deploy its mean_network()" if hasattr(network, "mean_network") else ""
        raise TypeError(
            f"network: expected an nn.Network or a list of weights, got {type(network).__name__}{hint}"
        )
    if biases is None or activations is None or not len(weights) == len(biases) == len(activations):
        counts = ["none" if v is None else len(v) for v in (weights, biases, activations)]
        raise ValueError("weights, biases, activations: expected as many of each, got {}, {}, {}".format(*counts))
    layers = [
        (np.ascontiguousarray(w), np.ascontiguousarray(b), a) for w, b, a in zip(weights, biases, activations)
    ]
    _check_layers(layers, n_in, n_out)
    return _chain(layers)


def _chain(layers):
    """Network of dense layers (weight, bias, activation)."""
    from simgraft import nn

    nodes = [("input", (), {"shape": len(layers[0][0])})]
    for k, (_, bias, activation) in enumerate(layers):
        name, parameter = activation if isinstance(activation, tuple) else (activation, None)
        if name not in _ACTIVATIONS:
            raise ValueError(f"activations: expected one of {', '.join(_ACTIVATIONS)}, got {name!r}")
        nodes.append(("dense", (k,), {"units": len(bias), "activation": name, "parameter": parameter}))
    return nn.Network(nodes, np.concatenate([part.ravel() for weight, bias, _ in layers for part in (weight, bias)]))


def _network_entries(network):
    """Graph and parameters as a file holds them; docs/files.md."""
    nodes = network.spec["nodes"]
    names, places, values = [], [], []
    for k, node in enumerate(nodes):
        for name, value in node["attributes"].items():
            numbers = [] if isinstance(value, str) else value if isinstance(value, list) else [value]
            names.append(f"{name}={value}" if isinstance(value, str) else name)
            places.append((k, len(numbers)))
            values += numbers
    sizes = [sum(int(np.prod(shape)) for _, _, shape in node["parameters"]) for node in network._graph.nodes()]
    return {
        "network/op": _lines([node["op"] for node in nodes]),
        "network/n_inputs": np.array([len(node["inputs"]) for node in nodes], dtype=np.int32),
        "network/input": np.array([i for node in nodes for i in node["inputs"]], dtype=np.int32),
        "network/attribute": _lines(names),
        "network/attribute_at": np.array(places, dtype=np.int32).reshape(-1, 2),
        "network/attribute_value": np.array(values, dtype=np.float64),
        "network/n_parameters": np.array(sizes, dtype=np.int64),
        "network/parameters": network.parameters.copy(),
    }


def _network_of(entries):
    """The network in the entries of a file whose arrays have been checked."""
    from simgraft import nn

    if "network/op" not in entries:  # version 1
        activations = zip(entries["network/activation"].splitlines(), entries["network/parameter"].tolist())
        return _chain(
            [(entries[f"network/weight_{k}"], entries[f"network/bias_{k}"], a) for k, a in enumerate(activations)]
        )
    inputs, values = iter(entries["network/input"].tolist()), iter(entries["network/attribute_value"].tolist())
    nodes = [
        (op, tuple(next(inputs) for _ in range(n)), {})
        for op, n in zip(entries["network/op"].splitlines(), entries["network/n_inputs"].tolist())
    ]
    table = {op["name"]: {a["name"]: a["type"] for a in op["attributes"]} for op in _core.nn_ops()}
    for line, (node, n) in zip(entries["network/attribute"].splitlines(), entries["network/attribute_at"].tolist()):
        name, _, choice = line.partition("=")
        numbers = [next(values) for _ in range(n)]
        kind = table[nodes[node][0]][name]
        nodes[node][2][name] = (
            choice if kind == "choice" else numbers[0] if kind == "float" else int(numbers[0]) if kind == "int" else tuple(map(int, numbers))
        )
    return nn.Network(nodes, entries["network/parameters"])


def _check_layers(layers, n_in, n_out):
    """ValueError or TypeError naming the first array that does not fit."""
    dtype = layers[0][0].dtype if layers else None
    for k, (weight, bias, _) in enumerate(layers):
        for name, array in ((f"weights[{k}]", weight), (f"biases[{k}]", bias)):
            if array.dtype not in (np.float32, np.float64) or array.dtype != dtype:
                raise TypeError(f"{name}: expected float32 or float64, the same for all, got {array.dtype}")
        if weight.ndim != 2 or len(weight) != n_in:
            raise ValueError(f"weights[{k}]: expected shape ({n_in}, n), got {weight.shape}")
        n_in = weight.shape[1]
        if bias.shape != (n_in,):
            raise ValueError(f"biases[{k}]: expected shape ({n_in},), got {bias.shape}")
    if n_in != n_out:
        raise ValueError(
            f"weights[{len(layers) - 1}]: expected {n_out} outputs, which the decoder takes, got {n_in}"
        )


_ACTIVATIONS = [name for name, *_ in _core.activations()]


def _lines(texts):
    for text in texts:
        if "\n" in text:
            raise ValueError(f"name: {text!r} contains a line break")
    return "".join(f"{text}\n" for text in texts)


def _dataset_facts(dataset, sha256=None):
    """What identifies a data set."""
    facts = {"rows": len(dataset)}
    if sha256 is not None:
        facts["sha256"] = sha256
    facts["path"] = None if dataset.path is None else str(dataset.path)
    facts["provenance"] = dataset.provenance
    return facts


def _signature(kernel):
    return [
        [(name, v.unit, tuple(v.shape)) for name, v in side.items()]
        for side in (kernel.inputs, kernel.outputs)
    ]


def _plain(value):
    """Values that JSON knows; NaN and infinity become texts."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return repr(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)
