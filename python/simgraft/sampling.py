"""Samplers: where in the input space of a kernel data are made.

A sampler draws rows by their number: row i is the same however the rows are shared out to shards, workers and ranks.
The seed is the sampler's own, or that of ``kernel.sample(..., seed=)``.
"""

from __future__ import annotations

import functools
import inspect

import numpy as np

from simgraft import _core, dataset
from simgraft import variables as _variables

__all__ = ["uniform", "log_uniform", "latin_hypercube", "sobol", "from_states", "function", "Sampler"]

_STREAM = 0x73616D706C65  # "sample": keeps the numbers of samplers apart from other uses of the same seed


class Sampler:
    """Base of all samplers. Subclasses implement ``rows``; instances are made by the functions of this module.

    Attributes
    ----------
    seed : int or None
        The sampler's own seed; None leaves it to ``kernel.sample``.
    """

    name = "sampler"
    needs_seed = True

    def __init__(self, seed=None):
        self.seed = seed

    def length(self):
        """Number of rows it can give; None for any number."""
        return None

    def draw(self, kernel, start, stop, n, seed=None):
        """Rows start .. stop - 1 of n.

        Returns
        -------
        (stop - start, n_in) float64 array
            Packed inputs of the kernel.
        """
        own = self.seed if self.seed is not None else seed
        if own is None and self.needs_seed:
            raise ValueError(f"seed: the sampler {self.name!r} needs one; give it to the sampler or to kernel.sample")
        return self.rows(kernel, start, stop, n, own)

    def rows(self, kernel, start, stop, n, seed):
        raise NotImplementedError

    def part(self, start, stop):
        """A sampler that need only give rows start .. stop - 1; what is sent to a worker."""
        return self

    def sample(self, kernel, n=None, out=None, **options):
        """The data set of `Kernel.sample`, which describes the arguments."""
        return dataset.sample(kernel, self, n, out, **options)

    def describe(self):
        """What identifies the sampler, as JSON values."""
        return {"name": self.name, "seed": self.seed}


def _limits(kernel, use_log):
    """low, high (n_in) and a mask of the columns that are spread in the logarithm."""
    if not hasattr(kernel, "inputs"):
        raise TypeError(f"kernel: expected a Kernel, whose inputs are sampled, got {type(kernel).__name__}")
    low, high, log = np.empty(kernel.n_in), np.empty(kernel.n_in), np.zeros(kernel.n_in, bool)
    for name, v, where in _variables.columns(kernel.inputs):
        if v.low is None or v.high is None:
            raise ValueError(f"input {name!r}: this sampler needs both ends of its valid range; give low and high")
        low[where], high[where], log[where] = v.low, v.high, use_log and v.scale == "log"
    return low, high, log


def _spread(unit, kernel, use_log):
    """Numbers in [0, 1] (n, n_in) onto the ranges of the inputs, in place."""
    low, high, log = _limits(kernel, use_log)
    if log.any():
        a, b = np.log(low[log]), np.log(high[log])
        logs = np.exp(a + unit[:, log] * (b - a))
    unit *= high - low
    unit += low
    if log.any():
        unit[:, log] = logs
    return np.clip(unit, low, high, out=unit)  # rounding must not lead outside


class _Uniform(Sampler):
    def __init__(self, kernel, seed, use_log):
        super().__init__(seed)
        self.name = "log_uniform" if use_log else "uniform"
        self.use_log = use_log
        if use_log and not _limits(kernel, True)[2].any():
            raise ValueError('no input of the kernel has scale="log"; use sampling.uniform')
        _limits(kernel, use_log)

    def rows(self, kernel, start, stop, n, seed):
        unit = np.empty((stop - start) * kernel.n_in)
        _core.random_fill("uniform", seed, _STREAM, start * kernel.n_in, unit, 1)
        return _spread(unit.reshape(stop - start, kernel.n_in), kernel, self.use_log)


def uniform(kernel, seed=None):
    """Independent samples, uniform over the valid range of every input, whatever its scale.

    Parameters
    ----------
    kernel : Kernel
        Its inputs must have both limits.
    seed : int, optional
        Default: that of ``kernel.sample``.
    """
    return _Uniform(kernel, seed, False)


def log_uniform(kernel, seed=None):
    """Independent samples; inputs with scale "log" are uniform in the logarithm, the others in the value.

    Parameters
    ----------
    kernel : Kernel
        Its inputs must have both limits.
    seed : int, optional
        Default: that of ``kernel.sample``.
    """
    return _Uniform(kernel, seed, True)


def _qmc():
    try:
        from scipy.stats import qmc
    except ImportError:
        raise ImportError("Sobol and Latin hypercube samples need SciPy: pip install simgraft[sampling]") from None
    return qmc


def _engine(cls, d, seed, **options):
    # SciPy 1.15 renamed seed to rng.
    key = "rng" if "rng" in inspect.signature(cls).parameters else "seed"
    return cls(d, **{key: np.random.default_rng(seed)}, **options)


class _Sobol(Sampler):
    name = "sobol"

    def __init__(self, kernel, seed):
        super().__init__(seed)
        _limits(kernel, True)

    def rows(self, kernel, start, stop, n, seed):
        # 30 bits are SciPy's default; a longer sequence needs more.
        engine = _engine(_qmc().Sobol, kernel.n_in, seed, scramble=True, bits=30 if n <= 1 << 30 else 62)
        if start:
            engine.fast_forward(start)
            unit = engine.random(stop - start)
        else:  # point 0 by itself: SciPy warns about a start that is not a power of two
            unit = np.concatenate([engine.random(1), engine.random(stop - 1)]) if stop > 1 else engine.random(stop)
        return _spread(unit, kernel, True)


def sobol(kernel, seed=None):
    """Scrambled Sobol points (scipy.stats.qmc.Sobol): even coverage; best with a power of two of rows.

    Inputs with scale "log" are spread in the logarithm.

    Parameters
    ----------
    kernel : Kernel
        Its inputs must have both limits; at most 21201 columns.
    seed : int, optional
        Seed of the scrambling. Default: that of ``kernel.sample``.

    References
    ----------
    Owen, Scrambling Sobol' and Niederreiter-Xing points, J. Complexity 14 (1998) 466, doi:10.1006/jcom.1998.0487.
    """
    return _Sobol(kernel, seed)


@functools.lru_cache(maxsize=1)
def _latin_design(d, n, seed):
    design = _engine(_qmc().LatinHypercube, d, seed).random(n)
    design.flags.writeable = False
    return design


class _LatinHypercube(Sampler):
    name = "latin_hypercube"

    def __init__(self, kernel, seed):
        super().__init__(seed)
        _limits(kernel, True)

    def rows(self, kernel, start, stop, n, seed):
        return _spread(_latin_design(kernel.n_in, n, seed)[start:stop].copy(), kernel, True)


def latin_hypercube(kernel, seed=None):
    """Latin hypercube of all n rows (scipy.stats.qmc.LatinHypercube): every input's range evenly covered.

    Inputs with scale "log" are spread in the logarithm. Every worker holds the whole design, n rows of 8 n_in bytes.

    Parameters
    ----------
    kernel : Kernel
        Its inputs must have both limits.
    seed : int, optional
        Default: that of ``kernel.sample``.

    References
    ----------
    McKay, Beckman & Conover, Technometrics 21 (1979) 239, doi:10.2307/1268522.
    """
    return _LatinHypercube(kernel, seed)


class _States(Sampler):
    name = "from_states"
    needs_seed = False

    def __init__(self, states, first=0, digest=None):
        super().__init__(None)
        self.states = states
        self.first = first
        self.digest = digest

    def _matrix(self, kernel):
        if isinstance(self.states, dict):
            return kernel.pack_inputs(self.states)
        return _variables.as_matrix(self.states, kernel.n_in, "states")

    def length(self):
        return self.first + len(next(iter(self.states.values())) if isinstance(self.states, dict) else self.states)

    def rows(self, kernel, start, stop, n, seed):
        return self.part(start, stop)._matrix(kernel)

    def part(self, start, stop):
        cut = slice(start - self.first, stop - self.first)
        states = (
            {name: np.asarray(v)[cut] for name, v in self.states.items()}
            if isinstance(self.states, dict)
            else self.states[cut]
        )
        return _States(states, start, self.digest)

    def describe(self):
        if self.digest is None:
            arrays = sorted(self.states.items()) if isinstance(self.states, dict) else [("states", self.states)]
            whole = "".join(
                f"{name} {np.asarray(v).dtype} {_core.sha256(np.ascontiguousarray(v))} " for name, v in arrays
            )
            self.digest = _core.sha256(whole.encode())
        return {"name": self.name, "sha256": self.digest}


def from_states(states):
    """Recorded states of a simulation, in their order.

    Parameters
    ----------
    states : dict of arrays (n, \\*shape), or (n, n_in) float64 array
        Inputs of the kernel; row i of the data is state i. Give ``groups=`` to ``kernel.sample`` where states belong
        together (site, trajectory), so that they are never torn apart by a split.
    """
    if not isinstance(states, (dict, np.ndarray)):
        raise TypeError(f"states: expected a dict of arrays or an (n, n_in) array, got {type(states).__name__}")
    if isinstance(states, dict) and not states:
        raise ValueError("states: the dict is empty")
    return _States(states)


class _Function(Sampler):
    name = "function"
    block = 4096  # rows of one call: fixed, so that row i does not depend on the shards

    def __init__(self, function, seed):
        super().__init__(seed)
        self.function = function

    def rows(self, kernel, start, stop, n, seed):
        parts = []
        for block in range(start // self.block, -(-stop // self.block)):
            first, last = block * self.block, min((block + 1) * self.block, n)
            rng = np.random.Generator(np.random.Philox(key=[seed, block]))
            x = self.function(rng, last - first)
            x = (
                kernel.pack_inputs(x)
                if isinstance(x, dict)
                else _variables.as_matrix(x, kernel.n_in, "samples of the function")
            )
            if len(x) != last - first:
                raise ValueError(f"the sampler function gave {len(x)} rows, asked for {last - first}")
            parts.append(x[max(start - first, 0) : stop - first])
        return np.concatenate(parts) if parts else np.empty((0, kernel.n_in))

    def describe(self):
        try:
            source = _core.sha256(inspect.getsource(self.function).encode())
        except (TypeError, OSError):
            source = ""
        return {
            "name": self.name,
            "seed": self.seed,
            "function": getattr(self.function, "__name__", "function"),
            "source_sha256": source,
        }


def function(f, seed=None):
    """Samples of your own.

    Parameters
    ----------
    f : callable
        ``f(rng, n)``: n samples, a dict of arrays (n, \\*shape) or an (n, n_in) float64 array, drawn with the
        ``numpy.random.Generator`` rng. It is called for every 4096 rows with a generator of their own.
    seed : int, optional
        Default: that of ``kernel.sample``.
    """
    if not callable(f):
        raise TypeError(f"f: expected a callable f(rng, n), got {type(f).__name__}")
    return _Function(f, seed)
