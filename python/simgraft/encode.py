"""Encoders: invertible maps between physical variables and network variables.

A network learns best from numbers of order one that vary smoothly. Each variable goes through a chain of
transforms, for instance ``[Log(), Standardise()]`` for a pressure; :class:`Encoder` fits the chains of all
variables in one pass over the data (one more for each further transform that learns something) and runs them
in C, in training and in the deployed surrogate alike.

========================= ===================================================== ===========================================
transform                 network variable                                      learns
========================= ===================================================== ===========================================
:class:`Standardise`      (x - mean) / std                                      mean and standard deviation
:class:`MinMax`           (x - low) / (high - low)                              smallest and largest value
:class:`Log`              ln x, small values raised to ``floor``
:class:`Root`             x^(1/n)
:class:`SignedLog`        sign(x) ln(1 + abs(x) / scale)                        scale = mean of abs(x), unless given
:class:`Angle`            sine and cosine (two network columns)
:class:`OneHot`           k columns, one of them 1
:class:`Mask`             value with missing ones filled, and a column that     the filling, such that it encodes to 0
                          is 1 where the value is present
:class:`Clip`             x limited to [low, high], both ways
:class:`Quantile`         a standard normal number                              a smooth monotone curve through quantiles
========================= ===================================================== ===========================================
"""

import numpy as np

from simgraft import _core
from simgraft.metrics import Moments

__all__ = [
    "Angle",
    "Clip",
    "Encoder",
    "InverseDensity",
    "Log",
    "Mask",
    "MinMax",
    "OneHot",
    "Quantile",
    "Root",
    "SignedLog",
    "Standardise",
    "default_chain",
]

_STEP = _core.encode_steps()
_COLUMN, _ANGLE, _ARGMAX = 0, 1, 2  # sg_gather

# A column whose spread is below this share of its size holds one value and rounding noise.
_CONSTANT = 1e-13


class Transform:
    """Base of all transforms: one elementwise, invertible map.

    Subclasses store their constructor's arguments under the same names, learn in ``_start``, ``_update``,
    ``_finish`` (only if ``_learns``), and give elementary steps (name, a, b) per column of the variable.
    """

    _parameters = ()
    _learnt = ()

    def get_params(self):
        """Constructor arguments.

        Returns
        -------
        dict
        """
        return {name: getattr(self, name) for name in self._parameters}

    def __repr__(self):
        default = type(self).__init__.__kwdefaults__ or {}
        given = []
        for name in self._parameters:
            value = getattr(self, name)
            if name in default and repr(value) == repr(default[name]):
                continue
            given.append(
                f"{name}={np.array2string(value, threshold=6) if isinstance(value, np.ndarray) else repr(value)}"
            )
        return f"{type(self).__name__}({', '.join(given)})"

    def __eq__(self, other):
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    __hash__ = None

    @property
    def _learns(self):
        return False

    def to_dict(self):
        """Plain numbers, lists and texts that :meth:`from_dict` takes back, for the surrogate file.

        Returns
        -------
        dict
        """
        values = {"transform": type(self).__name__}
        for name in self._parameters + self._learnt:
            if hasattr(self, name):
                value = getattr(self, name)
                values[name] = _plain(value)
        return values

    @staticmethod
    def from_dict(values):
        """Inverse of :meth:`to_dict`.

        Parameters
        ----------
        values : dict

        Returns
        -------
        Transform
        """
        kind = _TRANSFORMS[values["transform"]]
        self = kind.__new__(kind)
        for name, value in values.items():
            if name != "transform":
                setattr(self, name, _unplain(value))
        return self


def _plain(value):
    if isinstance(value, np.ndarray):
        return {"values": [_plain(v) for v in value.tolist()]}
    if isinstance(value, float) and not np.isfinite(value):
        return repr(value)  # 'nan', 'inf': JSON has no such numbers
    return value


def _unplain(value):
    if isinstance(value, dict):
        return np.array([_unplain(v) for v in value["values"]], dtype=np.float64)
    if value in ("nan", "inf", "-inf"):
        return float(value)
    return value


def _per_column(value, n, name):
    """A scalar or (n,) parameter as (n,) float64."""
    value = np.asarray(value, dtype=np.float64)
    if value.shape not in ((), (1,), (n,)):
        raise ValueError(f"{name}: expected one number or shape ({n},), got shape {value.shape}")
    return np.broadcast_to(value, (n,)).copy()


class Standardise(Transform):
    """Mean 0, standard deviation 1.

    Parameters
    ----------
    shared : bool or "scale", optional
        For a variable with a shape: False gives each element its own mean and deviation; True one of each for
        all; "scale" a mean per element and one deviation (root mean variance), which keeps the relative size
        of the elements' errors in the loss.
    mean, std : float or (n,) float64 array, optional
        Values to use instead of learning them (imported networks).

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.Standardise(shared=True)
    Standardise(shared=True)

    Notes
    -----
    A column that never varies is only shifted.
    """

    _parameters = ("shared", "mean", "std")
    _learnt = ("mean_", "std_")

    def __init__(self, *, shared=False, mean=None, std=None):
        self.shared = shared
        self.mean = mean
        self.std = std

    @property
    def _learns(self):
        return self.mean is None or self.std is None

    def _start(self, n):
        if self.shared not in (False, True, "scale"):
            raise ValueError(f"shared: expected False, True or 'scale', got {self.shared!r}")
        if self._learns:
            self._n = n
            self._moments = None
        else:
            self.mean_, self.std_ = _per_column(self.mean, n, "mean"), _per_column(self.std, n, "std")
            if not np.all(self.std_ > 0):
                raise ValueError(f"std: expected numbers above 0, got {self.std!r}")

    def _update(self, x, present):
        if self.shared is True:
            x, present = x.reshape(-1, 1), None if present is None else present.reshape(-1, 1)
        if present is None:
            parts, weights = [x], [None]
        else:  # each column has its own missing rows
            parts, weights = list(x.T[:, :, None]), list(present.T.astype(np.float64))
        if self._moments is None:
            self._moments = [Moments() for _ in parts]
        for moments, part, weight in zip(self._moments, parts, weights):
            moments.update(np.ascontiguousarray(part), weight)

    def _finish(self):
        try:
            mean = np.concatenate([m.mean_ for m in self._moments])
            std = np.concatenate([m.std_ for m in self._moments])
        except ValueError:
            raise ValueError(
                "data: all values of a column are missing, so there is nothing to learn"
            ) from None
        if self.shared == "scale":
            std[:] = np.sqrt(np.mean(std**2))
        std[std <= _CONSTANT * np.abs(mean)] = 1
        self.mean_, self.std_ = (np.broadcast_to(v, (self._n,)).copy() for v in (mean, std))
        del self._moments, self._n

    def _forward(self, k):
        return [("standardise", self.mean_[k], 1 / self.std_[k])]

    def _inverse(self, k):
        return [("affine", self.std_[k], self.mean_[k])]


class MinMax(Transform):
    """The range of the training data becomes 0 to 1.

    Parameters
    ----------
    shared : bool, optional
        One range for all elements of a variable with a shape.
    low, high : float or (n,) float64 array, optional
        Range to use instead of learning it (imported networks).

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.MinMax(low=160.0, high=355.0)
    MinMax(low=160.0, high=355.0)
    """

    _parameters = ("shared", "low", "high")
    _learnt = ("low_", "high_")

    def __init__(self, *, shared=False, low=None, high=None):
        self.shared = shared
        self.low = low
        self.high = high

    @property
    def _learns(self):
        return self.low is None or self.high is None

    def _start(self, n):
        if self._learns:
            self._low, self._high = np.full(n, np.inf), np.full(n, -np.inf)
        else:
            self.low_, self.high_ = _per_column(self.low, n, "low"), _per_column(self.high, n, "high")

    def _update(self, x, present):
        where = True if present is None else present
        self._low = np.minimum(self._low, np.min(x, axis=0, where=where, initial=np.inf))
        self._high = np.maximum(self._high, np.max(x, axis=0, where=where, initial=-np.inf))

    def _finish(self):
        low, high = self._low, self._high
        if self.shared:
            low, high = np.full_like(low, low.min()), np.full_like(high, high.max())
        empty = low > high  # no value at all was present
        self.low_, self.high_ = np.where(empty, 0.0, low), np.where(empty, 1.0, high)
        del self._low, self._high

    def _width(self, k):
        width = self.high_[k] - self.low_[k]
        return width if width > _CONSTANT * abs(self.low_[k]) else 1.0

    def _forward(self, k):
        return [("standardise", self.low_[k], 1 / self._width(k))]

    def _inverse(self, k):
        return [("affine", self._width(k), self.low_[k])]


class Log(Transform):
    """Natural logarithm.

    Parameters
    ----------
    floor : float, optional
        Smaller values (zeros) are raised to this positive number first. Without it a value <= 0 is an error.

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.Log(floor=1e-12)
    Log(floor=1e-12)
    """

    _parameters = ("floor",)

    def __init__(self, *, floor=None):
        self.floor = floor

    def _start(self, n):
        if self.floor is not None and not self.floor > 0:
            raise ValueError(f"floor: expected a number above 0, got {self.floor!r}")

    def _forward(self, k):
        return [("log", 0, 0)] if self.floor is None else [("clip", self.floor, np.inf), ("log", 0, 0)]

    def _inverse(self, k):
        return [("exp", 0, 0)]


class Root(Transform):
    """x^(1/n) of values >= 0; the way back is the n-th power, which makes values >= 0 where n is even.

    Parameters
    ----------
    n : int
        2 to 64. Powers of two take square roots.

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.Root(4)
    Root(n=4)
    """

    _parameters = ("n",)

    def __init__(self, n):
        self.n = n

    def _start(self, n):
        if self.n != int(self.n) or not 2 <= self.n <= 64:
            raise ValueError(f"n: expected a whole number from 2 to 64, got {self.n!r}")

    def _forward(self, k):
        return [("root", self.n, 0)]

    def _inverse(self, k):
        return [("power", self.n, 0)]


class SignedLog(Transform):
    """sign(x) ln(1 + abs(x) / scale): linear near 0, logarithmic far from it, for both signs.

    Parameters
    ----------
    scale : float or (n,) float64 array, optional
        Where the one turns into the other. Default: the mean of abs(x).

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.SignedLog(scale=0.1)
    SignedLog(scale=0.1)
    """

    _parameters = ("scale",)
    _learnt = ("scale_",)

    def __init__(self, *, scale=None):
        self.scale = scale

    @property
    def _learns(self):
        return self.scale is None

    def _start(self, n):
        if self._learns:
            self._size = Standardise()
            self._size._start(n)
        else:
            self.scale_ = _per_column(self.scale, n, "scale")
            if not np.all(self.scale_ > 0):
                raise ValueError(f"scale: expected numbers above 0, got {self.scale!r}")

    def _update(self, x, present):
        self._size._update(np.abs(x), present)

    def _finish(self):
        self._size._finish()
        self.scale_ = np.where(self._size.mean_ > 0, self._size.mean_, 1.0)
        del self._size

    def _forward(self, k):
        return [("signed_log", self.scale_[k], 0)]

    def _inverse(self, k):
        return [("signed_exp", self.scale_[k], 0)]


class Angle(Transform):
    """Sine and cosine of a periodic variable. Last in its chain; the way back gives 0 <= x < period.

    Parameters
    ----------
    period : float, optional
        Default 2 pi; 360 for degrees, 24 for hours of the day.

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.Angle(period=360.0)
    Angle(period=360.0)

    Notes
    -----
    Accurate for abs(x) up to about 1e3 periods in float32 (1e5 in float64); NaN far beyond, which is an error
    when fitted.
    """

    _parameters = ("period",)

    def __init__(self, *, period=2 * np.pi):
        self.period = period

    def _start(self, n):
        if not self.period > 0:
            raise ValueError(f"period: expected a number above 0, got {self.period!r}")

    def _expand(self):
        w = 2 * np.pi / self.period
        return [[("sin", w, 0)], [("cos", w, 0)]]

    def _gather(self):
        return _ANGLE, [("affine", self.period / (2 * np.pi), 0)]


class OneHot(Transform):
    """Categories 0 ... k-1 as k columns, of which one is 1; back, the largest. Last in its chain.

    Parameters
    ----------
    k : int
        Number of categories, at least 2.

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.OneHot(3)
    OneHot(k=3)
    """

    _parameters = ("k",)

    def __init__(self, k):
        self.k = k

    def _start(self, n):
        if self.k != int(self.k) or self.k < 2:
            raise ValueError(f"k: expected a whole number of at least 2, got {self.k!r}")

    def _expand(self):
        return [[("one_hot", i, 0)] for i in range(self.k)]

    def _gather(self):
        return _ARGMAX, []


class Mask(Transform):
    """Values that may be missing: a filled value, and a column that is 1 where it is present. First in a chain.

    Parameters
    ----------
    missing : float, optional
        What stands for a missing value; NaN by default.

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.Mask(missing=-999.0)
    Mask(missing=-999.0)

    Notes
    -----
    Missing values do not count in what the rest of the chain learns, and are filled so that they encode to 0.
    On the way back a mask column below 0.5 makes the value missing.
    """

    _parameters = ("missing",)
    _learnt = ("fill_",)

    def __init__(self, *, missing=np.nan):
        self.missing = missing

    def _start(self, n):
        self.fill_ = np.zeros(n)

    def _is_missing(self, x):
        return np.isnan(x) if np.isnan(self.missing) else x == self.missing


class Clip(Transform):
    """Limits values to [low, high] both ways: a decoder with ``Clip(low=0)`` gives no negative values.

    Parameters
    ----------
    low, high : float, optional
        None: no limit.

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.Clip(low=0.0)
    Clip(low=0.0)
    """

    _parameters = ("low", "high")

    def __init__(self, *, low=None, high=None):
        self.low = low
        self.high = high

    def _start(self, n):
        low, high = self._limits()
        if not low <= high:
            raise ValueError(f"low, high: expected low <= high, got {self.low!r} and {self.high!r}")

    def _limits(self):
        return -np.inf if self.low is None else self.low, np.inf if self.high is None else self.high

    def _forward(self, k):
        return [("clip", *self._limits())]

    _inverse = _forward


class Quantile(Transform):
    """A standard normal number: the distribution of the training data is mapped to N(0, 1) by a smooth
    monotone curve through quantiles. What a generative model likes best: marginals are right from the start,
    and only the dependence between variables is left to learn.

    Parameters
    ----------
    knots : int, optional
        Points of the curve, 2 to 4096, at equal distances of the normal number. Many knots follow the noise of
        the training sample (the density between two knots has a relative error of about ``1 / sqrt(rows between
        them)``), few knots leave sharp features to the network.
    most_rows : int, optional
        Of a column that are kept while learning; of more rows every second, fourth, ... counts.

    Examples
    --------
    >>> import numpy as np
    >>> import simgraft as sg
    >>> from simgraft import encode
    >>> x = np.random.default_rng(1).exponential(size=(20_000, 1))
    >>> encoder = encode.Encoder({"t": encode.Quantile()}).fit(x, {"t": sg.Var("s")})
    >>> z = encoder.transform(x, dtype="float64")
    >>> bool(abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02)
    True
    >>> bool(np.allclose(encoder.inverse_transform(z), x, rtol=1e-12))
    True

    Notes
    -----
    Between knots the curve is a monotone rational quadratic (Gregory & Delbourgo 1982,
    doi:10.1093/imanum/2.2.123), whose inverse is exact; beyond the outermost knots, at the quantiles of 1 / (n +
    1) and n / (n + 1) of n rows but not beyond 5 standard deviations, it goes on straight: tails like those of a
    normal distribution with the spread found there. Put :class:`Log` before it for heavy tails, and :class:`Clip`
    for hard limits.

    A value that many rows share has no density. Where one takes up the distance of two knots the column is refused,
    and the message names the value; give it a class of its own (:class:`Mask` with ``missing`` this value), or spread
    it out before. Rarer repeated values pass.
    """

    _parameters = ("knots", "most_rows")
    _learnt = ("z_", "x_")

    def __init__(self, *, knots=128, most_rows=1_000_000):
        self.knots = knots
        self.most_rows = most_rows

    @property
    def _learns(self):
        return True

    def _start(self, n):
        if self.knots != int(self.knots) or not 2 <= self.knots <= 4096:
            raise ValueError(f"knots: expected a whole number from 2 to 4096, got {self.knots!r}")
        if not self.most_rows >= 2:
            raise ValueError(f"most_rows: expected at least 2, got {self.most_rows!r}")
        self._kept, self._every, self._seen = [[] for _ in range(n)], 1, 0

    def _update(self, x, present):
        rows = np.arange(self._seen, self._seen + len(x)) % self._every == 0
        self._seen += len(x)
        for k, kept in enumerate(self._kept):
            kept.append(x[rows if present is None else rows & present[:, k], k].copy())
        while self._seen / self._every > self.most_rows:
            self._every *= 2
            self._kept = [[np.concatenate(kept)[::2]] for kept in self._kept]

    def _finish(self):
        from statistics import NormalDist

        normal, z, x = NormalDist(), [], []
        for k, kept in enumerate(self._kept):
            values = np.sort(np.concatenate(kept))
            n = len(values)
            if n < 2:
                raise ValueError("data: a column with fewer than two values has no quantiles to learn")
            end = min(-normal.inv_cdf(1 / (n + 1)), 5.0)
            at = np.linspace(-end, end, int(self.knots))
            share = np.array([normal.cdf(v) for v in at])
            curve = np.interp(share * (n + 1) - 1, np.arange(n), values)
            curve[0], curve[-1] = min(curve[0], values[0]), max(curve[-1], values[-1])
            same = np.flatnonzero(np.diff(curve) <= _CONSTANT * np.abs(curve[1:]))
            if len(same):
                value = curve[same[0]]
                portion = np.mean(values == value)
                raise _core.DomainError(
                    f"the value {value:.9g} takes up {portion:.3g} of the rows, and a point has no density: "
                    "give it a class of its own (Mask), spread it out, or take fewer knots"
                )
            z.append(at)
            x.append(curve)
        self.z_, self.x_ = np.array(z), np.array(x)
        del self._kept, self._every, self._seen

    def _knots(self, k):
        return np.stack([self.z_[k], self.x_[k]], axis=1)

    def _forward(self, k):
        return [("uncurve", self._knots(k), 0)]

    def _inverse(self, k):
        return [("curve", self._knots(k), 0)]


_TRANSFORMS = {
    kind.__name__: kind
    for kind in (Standardise, MinMax, Log, Root, SignedLog, Angle, OneHot, Mask, Clip, Quantile)
}


def default_chain(variable):
    """The chain a variable gets when none is given.

    Parameters
    ----------
    variable : simgraft.Var

    Returns
    -------
    list of Transform
        ``[Log(), Standardise()]`` for ``scale="log"``, else ``[Standardise()]``.
    """
    return [Log(), Standardise()] if variable.scale == "log" else [Standardise()]


def column_labels(variables):
    """One label per column: "pressure", or "field[1, 2]" for an element of a variable with a shape.

    Parameters
    ----------
    variables : dict of name -> simgraft.Var

    Returns
    -------
    list of str
    """
    labels = []
    for name, variable in variables.items():
        if variable.shape == ():
            labels.append(name)
        else:
            labels += [f"{name}[{', '.join(map(str, index))}]" for index in np.ndindex(*variable.shape)]
    return labels


class Encoder:
    """The chains of all inputs (or outputs) of a kernel.

    Parameters
    ----------
    chains : dict of name -> Transform or list of Transform, optional
        In the order of the way in. A variable that is not named gets :func:`default_chain`; an empty list
        passes it as it is.
    side : {"inputs", "outputs"}, optional
        Which side of a kernel's data to encode.

    Attributes
    ----------
    chains_ : dict of name -> list of Transform
        The fitted chains.
    labels_ : list of str
        One label per physical column.
    n_in_, n_out_ : int
        Physical and network columns.

    Examples
    --------
    >>> import numpy as np
    >>> import simgraft as sg
    >>> from simgraft import encode
    >>> variables = {"p": sg.Var("Pa", 1e3, 1e5, scale="log"), "wind": sg.Var("degree")}
    >>> x = np.array([[1e3, 10.0], [1e4, 350.0], [1e5, 90.0]])
    >>> encoder = encode.Encoder({"wind": encode.Angle(period=360.0)}).fit(x, variables)
    >>> encoder.transform(x).shape
    (3, 3)
    >>> bool(np.allclose(encoder.inverse_transform(encoder.transform(x)), x, rtol=1e-5))
    True
    """

    def __init__(self, chains=None, *, side="inputs"):
        self.chains = chains
        self.side = side

    def get_params(self):
        """Constructor arguments.

        Returns
        -------
        dict
        """
        return {"chains": self.chains, "side": self.side}

    def __repr__(self):
        chains = getattr(self, "chains_", None) or self.chains or {}
        inner = ", ".join(f"{name!r}: {chain!r}" for name, chain in chains.items())
        return f"Encoder({{{inner}}}, side={self.side!r})"

    def __getstate__(self):
        return {
            name: value
            for name, value in self.__dict__.items()
            if name not in ("program_", "inverse_program_")
        }

    def __setstate__(self, state):
        self.__dict__.update(state)
        if hasattr(self, "n_out_"):
            self._build_programs()

    # ------------------------------------------------------------------------------------------------ fitting

    def fit(self, data, variables=None):
        """Learn the chains from data, block by block.

        Parameters
        ----------
        data : simgraft.Dataset or (n, n_columns) float64 array
            A data set is read in blocks and never as a whole.
        variables : dict of name -> simgraft.Var, optional
            Needed with an array; a data set knows its own.

        Returns
        -------
        Encoder
            self

        Raises
        ------
        ValueError
            For a chain of an unknown variable, or transforms in an order that cannot work; DomainError for
            the logarithm of a value <= 0 or the root of a negative one, NotFiniteError for NaN or infinity;
            these name the variable, row and value.
        """
        blocks, variables = self._blocks(data, variables)
        self._set_chains(variables)
        first = True
        while True:
            learners = self._next_learners()
            if not learners and not first:
                break
            program = self._fit_program(learners)
            row = 0
            for block in blocks():
                if first:
                    self._check_block(block, row)
                row += len(block)
                if learners:
                    self._update(learners, program, block)
            if row == 0:
                raise ValueError("data: expected at least one row, got none")
            for name, transform, _ in learners:
                try:
                    transform._finish()
                except _core.DomainError as problem:
                    raise _core.DomainError(f"{name}: {problem}") from None
                self._fitted.add(id(transform))
            first = False
            if not learners:
                break
        del self._fitted
        return self._finish()

    def _blocks(self, data, variables):
        """A function that starts a pass over the blocks of this side's columns, and the variables."""
        if isinstance(data, np.ndarray):
            if variables is None:
                raise ValueError("variables: needed when the data are an array")
            n = sum(v.size for v in variables.values())
            if data.dtype != np.float64 or data.ndim != 2 or data.shape[1] != n:
                raise TypeError(
                    f"data: expected float64 array of shape (n, {n}), got {data.dtype} {data.shape}"
                )
            return (lambda: iter([data])), variables
        side = {"inputs": 0, "outputs": 1}[self.side]
        variables = variables or getattr(data.kernel, self.side)
        return (lambda: (np.asarray(block[side], dtype=np.float64) for block in data.blocks())), variables

    def _set_chains(self, variables):
        chains = self.chains or {}
        unknown = set(chains) - set(variables)
        if unknown:
            raise ValueError(
                f"chains: no variable is called {sorted(unknown)[0]!r}; the {self.side} are {', '.join(variables)}"
            )
        self.variables_ = dict(variables)
        self.chains_ = {}
        for name, variable in variables.items():
            chain = chains.get(name, None)
            chain = (
                default_chain(variable)
                if chain is None
                else [chain]
                if isinstance(chain, Transform)
                else list(chain)
            )
            for k, transform in enumerate(chain):
                if not isinstance(transform, Transform):
                    raise TypeError(
                        f"chains[{name!r}][{k}]: expected a transform, got {type(transform).__name__}"
                    )
                if isinstance(transform, Mask) and k > 0:
                    raise ValueError(f"chains[{name!r}]: Mask must be the first transform")
                if hasattr(transform, "_expand") and k < len(chain) - 1:
                    raise ValueError(
                        f"chains[{name!r}]: {type(transform).__name__} must be the last transform"
                    )
            # copies: the same transform object may stand in several chains, and fitting must not change the
            # caller's
            self.chains_[name] = [type(t)(**t.get_params()) for t in chain]
            for transform in self.chains_[name]:
                transform._start(variable.size)
        self._fitted = {id(t) for chain in self.chains_.values() for t in chain if not t._learns}
        self._lay_out()

    def _lay_out(self):
        self.labels_ = column_labels(self.variables_)
        self.n_in_ = len(self.labels_)
        self._first = {}
        at = 0
        for name, variable in self.variables_.items():
            self._first[name] = at
            at += variable.size

    def _columns(self, name):
        first = self._first[name]
        return range(first, first + self.variables_[name].size)

    def _next_learners(self):
        """(variable, transform, prefix of its chain) of the first transform of each chain that has still to
        learn."""
        learners = []
        for name, chain in self.chains_.items():
            for k, transform in enumerate(chain):
                if id(transform) not in self._fitted:
                    learners.append((name, transform, chain[:k]))
                    break
        return learners

    def _fit_program(self, learners):
        """What the learners see: the raw columns, sent through the transforms before them."""
        columns, steps = [], []
        for name, _, prefix in learners:
            for k, source in enumerate(self._columns(name)):
                chain = [step for t in prefix if not isinstance(t, Mask) for step in t._forward(k)]
                columns.append((_COLUMN, source, 1, len(steps), len(chain)))
                steps += chain
        return _program(self.n_in_, columns, steps) if columns else None

    def _missing(self, name, x):
        """Where the columns of a variable are missing."""
        chain = self.chains_[name]
        return (
            chain[0]._is_missing(x) if chain and isinstance(chain[0], Mask) else np.zeros(x.shape, dtype=bool)
        )

    def _check_block(self, block, first_row):
        """NaN and infinity that no mask covers, and categories."""
        for name, chain in self.chains_.items():
            columns = list(self._columns(name))
            x = block[:, columns]
            bad = ~np.isfinite(x) & ~self._missing(name, x)
            kind = chain[-1] if chain else None
            if isinstance(kind, OneHot):
                bad |= ~self._missing(name, x) & ((x != np.floor(x)) | (x < 0) | (x >= kind.k))
            if bad.any():
                i, j = np.argwhere(bad)[0]
                label, value = self.labels_[columns[j]], x[i, j]
                if np.isfinite(value):
                    raise _core.DomainError(
                        f"{label}: value {value:.9g} in row {first_row + i}: expected a category 0 ... {kind.k - 1}"
                    )
                raise _core.NotFiniteError(
                    f"{label}: row {first_row + i} is {'NaN' if np.isnan(value) else 'infinite'}"
                )

    def _update(self, learners, program, block):
        seen = program.run(
            block, np.empty((len(block), sum(len(self._columns(name)) for name, _, _ in learners)))
        )
        at = 0
        for name, transform, _ in learners:
            columns = self._columns(name)
            x = seen[:, at : at + len(columns)]
            at += len(columns)
            missing = self._missing(name, block[:, columns])
            if not np.all(np.isfinite(x) | missing):
                program.explain(block, self.labels_, 0)
            if isinstance(self.chains_[name][0], Mask):
                transform._update(np.where(missing, 0, x), ~missing)
            else:
                transform._update(np.ascontiguousarray(x), None)

    def _finish(self):
        """Fillings and programs of fitted chains."""
        for name, chain in self.chains_.items():
            if chain and isinstance(chain[0], Mask):
                rest = chain[1:]
                mask = chain[0]
                for k in range(len(self._columns(name))):
                    if rest and isinstance(rest[-1], OneHot):
                        mask.fill_[k] = -1.0  # no category: all columns 0
                    elif not rest or hasattr(rest[-1], "_expand"):
                        mask.fill_[k] = 0.0
                    else:
                        back = [step for t in reversed(rest) for step in t._inverse(k)]
                        mask.fill_[k] = _program(1, [(_COLUMN, 0, 1, 0, len(back))], back).run(
                            np.zeros((1, 1)), np.empty((1, 1))
                        )[0, 0]
        self._build_programs()
        return self

    # ----------------------------------------------------------------------------------------------- programs

    def _build_programs(self):
        forward, forward_steps, backward, backward_steps = [], [], [], []
        for name, chain in self.chains_.items():
            sources = self._columns(name)
            mask = chain[0] if chain and isinstance(chain[0], Mask) else None
            plain = chain[1:] if mask else chain
            last = plain[-1] if plain and hasattr(plain[-1], "_expand") else None
            plain = plain[:-1] if last else plain
            width = len(last._expand()) if last else 1
            first = len(forward)
            for k, source in enumerate(sources):
                steps = [("fill", mask.missing, mask.fill_[k])] if mask else []
                steps += [step for t in plain for step in t._forward(k)]
                for tail in last._expand() if last else [[]]:
                    forward.append((_COLUMN, source, 1, len(forward_steps), len(steps) + len(tail)))
                    forward_steps += steps + tail
            if mask:
                for source in sources:
                    forward.append((_COLUMN, source, 1, len(forward_steps), 1))
                    forward_steps.append(("present", mask.missing, 0))
            for k in range(len(sources)):
                gather, steps = last._gather() if last else (_COLUMN, [])
                steps = steps + [step for t in reversed(plain) for step in t._inverse(k)]
                if mask:
                    steps.append(("unmask", mask.missing, first + width * len(sources) + k))
                backward.append((gather, first + width * k, width, len(backward_steps), len(steps)))
                backward_steps += steps
        self.n_out_ = len(forward)
        self._forward = _arrays(forward, forward_steps)
        self._backward = _arrays(backward, backward_steps)
        self.program_ = _core.Program(self.n_in_, *self._forward)
        self.inverse_program_ = _core.Program(self.n_out_, *self._backward)

    def entries(self, prefix, *, inverse=False):
        """Arrays of the program for a surrogate file.

        Parameters
        ----------
        prefix : str
            "encoder" or "decoder".
        inverse : bool, optional
            The way back, from network to physical columns.

        Returns
        -------
        dict of name -> array
            ``prefix/column`` (n, 5) int32, ``prefix/op`` (m,) int32, ``prefix/value`` (m, 2) float64.
        """
        column, op, value = self._backward if inverse else self._forward
        return {f"{prefix}/column": column, f"{prefix}/op": op, f"{prefix}/value": value}

    def to_dict(self):
        """The fitted chains as plain values (for JSON).

        Returns
        -------
        dict
        """
        return {
            "side": self.side,
            "chains": {name: [t.to_dict() for t in chain] for name, chain in self.chains_.items()},
        }

    @classmethod
    def from_dict(cls, values, variables):
        """Inverse of :meth:`to_dict`.

        Parameters
        ----------
        values : dict
        variables : dict of name -> simgraft.Var

        Returns
        -------
        Encoder
            Fitted.
        """
        self = cls(
            {name: [Transform.from_dict(t) for t in chain] for name, chain in values["chains"].items()},
            side=values["side"],
        )
        self.variables_ = dict(variables)
        self.chains_ = {name: self.chains[name] for name in variables}
        self._lay_out()
        self._build_programs()
        return self

    @classmethod
    def from_chains(cls, chains, variables, *, side="inputs"):
        """An encoder of transforms that have nothing to learn (all values given), ready for use.

        Parameters
        ----------
        chains : dict of name -> list of Transform
        variables : dict of name -> simgraft.Var
        side : {"inputs", "outputs"}, optional

        Returns
        -------
        Encoder
            Fitted.

        Raises
        ------
        ValueError
            If a transform would have to learn from data.
        """
        self = cls(chains, side=side)
        self._set_chains(variables)
        for name, transform, _ in self._next_learners():
            raise ValueError(
                f"chains[{name!r}]: {transform!r} has to learn from data; give its values or call fit"
            )
        del self._fitted
        return self._finish()

    # ------------------------------------------------------------------------------------------------ running

    def transform(self, x, out=None, *, dtype="float32", first_row=0):
        """Physical to network columns.

        Parameters
        ----------
        x : (n, n_in_) float64 or float32 array
            Any strides. float64 is encoded in double and rounded once.
        out : (n, n_out_) array, optional
        dtype : {"float32", "float64"}, optional
            Of a new output.
        first_row : int, optional
            Number of the first row, for messages.

        Returns
        -------
        (n, n_out_) array

        Raises
        ------
        ValueError
            DomainError or NotFiniteError, naming the variable, row and value that cannot be encoded.
        """
        self._check_fitted()
        x = np.asarray(x)
        if out is None:
            out = np.empty((len(x) if x.ndim else 0, self.n_out_), dtype=dtype)
        self.program_.run(x, out)
        if not np.isfinite(np.sum(out, dtype=np.float64)):
            self.program_.explain(x.astype(np.float64), self.labels_, first_row)
        return out

    def inverse_transform(self, z, out=None, *, dtype="float64"):
        """Network to physical columns.

        Parameters
        ----------
        z : (n, n_out_) float32 or float64 array
        out : (n, n_in_) array, optional
        dtype : {"float64", "float32"}, optional
            Of a new output.

        Returns
        -------
        (n, n_in_) array
        """
        self._check_fitted()
        z = np.asarray(z)
        if out is None:
            out = np.empty((len(z) if z.ndim else 0, self.n_in_), dtype=dtype)
        return self.inverse_program_.run(z, out)

    def affine(self):
        """The way back as ``physical = shift + scale * network``, for constraints in physical units.

        Returns
        -------
        shift, scale : (n_in_,) float64 arrays

        Raises
        ------
        ValueError
            If a chain is not linear; the message names the variable.

        Examples
        --------
        A network whose two outputs add up to 1 in physical units:

        >>> import numpy as np
        >>> import simgraft as sg
        >>> from simgraft import encode, nn
        >>> y = np.random.default_rng(1).normal([0.3, 0.7], 0.1, (100, 2))
        >>> decoder = encode.Encoder(side="outputs").fit(y, {"a": sg.Var("1"), "b": sg.Var("1")})
        >>> def model(x, n_out):
        ...     h = nn.Dense(n_out)(nn.Dense(8, "tanh")(x))
        ...     return nn.Conserve([[1, 1]], constant=1.0, outputs=decoder.affine())(h)
        >>> network = nn.Model(model).build(3, 2, seed=1, dtype="float64")
        >>> decoder.inverse_transform(network.predict(np.ones((1, 3)))).sum().round(12).item()
        1.0
        """
        self._check_fitted()
        shift, scale = np.zeros(self.n_in_), np.ones(self.n_in_)
        for name, chain in self.chains_.items():
            for k, column in enumerate(self._columns(name)):
                for transform in reversed(chain):
                    if not isinstance(transform, (Standardise, MinMax)):
                        raise ValueError(f"chains[{name!r}]: expected linear transforms, got {transform!r}")
                    ((_, factor, start),) = transform._inverse(k)
                    shift[column], scale[column] = factor * shift[column] + start, factor * scale[column]
        return shift, scale

    def _check_fitted(self):
        if not hasattr(self, "program_"):
            raise RuntimeError("this encoder has learnt nothing yet: call fit first")


def _arrays(columns, steps):
    """The program as arrays; the knots of a curve follow the steps of all columns."""
    steps, n = list(steps), len(steps)
    for i in range(n):
        name, a, b = steps[i]
        if isinstance(a, np.ndarray):
            steps[i] = (name, len(a), len(steps))
            steps += [("knot", x, y) for x, y in a]
    column = np.array(columns, dtype=np.int32).reshape(-1, 5)
    op = np.array([_STEP[name] for name, _, _ in steps], dtype=np.int32)
    value = np.array([(a, b) for _, a, b in steps], dtype=np.float64).reshape(-1, 2)
    return column, op, value


def _program(n_in, columns, steps):
    return _core.Program(n_in, *_arrays(columns, steps))


class InverseDensity:
    """Row weights that make rare values count as much as common ones.

    The density of each named variable is estimated by a histogram over its training range, with equal bins of
    the variable itself or, for ``scale="log"``, of its logarithm; linear interpolation between bin centres
    keeps the weights smooth. A row's weight is the product over the variables of ``density ** -power``, to
    the power 1 / number of variables, limited to ``max_ratio`` times the smallest weight, and scaled to a
    mean of 1 over the training rows.

    Parameters
    ----------
    names : str or list of str
        Inputs or outputs without a shape.
    bins : int, optional
        Bins of each histogram.
    power : float, optional
        0 gives equal weights, 1 a flat weighted histogram.
    max_ratio : float, optional
        Largest weight over smallest weight; bounds what a few rare rows can do to the training.

    Examples
    --------
    >>> from simgraft import encode
    >>> encode.InverseDensity("rain", power=0.5)
    InverseDensity('rain', bins=64, power=0.5, max_ratio=100.0)

    Notes
    -----
    Weighting by inverse label density after Steininger et al. 2021, doi:10.1007/s10994-021-06023-5.
    """

    def __init__(self, names, *, bins=64, power=1.0, max_ratio=100.0):
        self.names = names
        self.bins = bins
        self.power = power
        self.max_ratio = max_ratio

    def get_params(self):
        """Constructor arguments.

        Returns
        -------
        dict
        """
        return {"names": self.names, "bins": self.bins, "power": self.power, "max_ratio": self.max_ratio}

    def __repr__(self):
        return f"InverseDensity({self.names!r}, bins={self.bins!r}, power={self.power!r}, max_ratio={self.max_ratio!r})"

    def fit(self, dataset):
        """Learn the densities, in passes over the blocks of a data set: ranges, histograms, weights.

        Parameters
        ----------
        dataset : simgraft.Dataset

        Returns
        -------
        InverseDensity
            self
        """
        kernel = dataset.kernel
        names = [self.names] if isinstance(self.names, str) else list(self.names)
        self._places = [_place(kernel, name) for name in names]
        low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
        for x, y, *_ in dataset.blocks():
            values = self._values(x, y)
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
        counts = np.zeros((len(names), self.bins))
        for x, y, *_ in dataset.blocks():
            for k, v in enumerate(self._values(x, y).T):
                counts[k] += np.histogram(v, bins=self.bins, range=(low[k], high[k]))[0]
        step = (high - low) / self.bins
        self._centres = low[:, None] + step[:, None] * (np.arange(self.bins) + 0.5)
        self._density = (
            np.maximum(counts, 0.5) / counts.sum(axis=1, keepdims=True) * self.bins
        )  # an empty bin: half a row
        self._limits = (0.0, np.inf)
        self._scale = 1.0
        smallest = min(self._raw(x, y).min() for x, y, *_ in dataset.blocks())
        self._limits = (smallest, smallest * self.max_ratio)
        total = n = 0.0
        for x, y, *_ in dataset.blocks():
            weight = self.weights(x, y)
            total += weight.sum()
            n += len(weight)
        self._scale = n / total
        return self

    def weights(self, x, y):
        """Weights of packed rows.

        Parameters
        ----------
        x : (n, n_in) float64 array
        y : (n, n_out) float64 array

        Returns
        -------
        (n,) float64 array
            Mean 1 over the training rows.
        """
        return np.clip(self._raw(x, y), *self._limits) * self._scale

    def _raw(self, x, y):
        values = self._values(x, y)
        log_density = np.zeros(len(values))
        for k, v in enumerate(values.T):
            log_density += np.log(np.interp(v, self._centres[k], self._density[k]))
        return np.exp(-self.power / len(self._places) * log_density)

    def _values(self, x, y):
        columns = []
        for side, column, log, name in self._places:
            v = np.asarray((x, y)[side][:, column], dtype=np.float64)
            if log and not np.all(v > 0):
                row = int(np.argmax(~(v > 0)))
                raise _core.DomainError(
                    f"{name}: value {v[row]:.9g} in row {row}: the logarithm needs a value above 0"
                )
            columns.append(np.log(v) if log else v)
        return np.stack(columns, axis=1)


def _place(kernel, wanted):
    for side, variables in enumerate((kernel.inputs, kernel.outputs)):
        at = 0
        for name, variable in variables.items():
            if name == wanted:
                if variable.shape != ():
                    raise ValueError(
                        f"names: {name!r} has shape {variable.shape}; expected a variable without a shape"
                    )
                return side, at, variable.scale == "log", name
            at += variable.size
    raise ValueError(f"names: no input or output is called {wanted!r}")
