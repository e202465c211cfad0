"""What the generators of this room share that are written in C: numbers of events to columns."""

import numpy as np

import simgraft
from simgraft.events.kernel import event_kernel
from simgraft.events.sample import Events
from simgraft.nn._params import Params

__all__ = ["Generator", "Numbered", "check_count", "check_dtype", "check_seed"]


def check_seed(seed):
    """`seed` as an int; ValueError unless it is an integer from 0 to 2**64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 64:
        raise ValueError(f"seed: expected an integer from 0 to 2**64 - 1, got {seed!r}")
    return int(seed)


def check_count(name, value):
    """`value` as an int; ValueError that names the argument unless it is an integer of at least 0."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise ValueError(f"{name}: expected an integer of at least 0, got {value!r}")
    return int(value)


def check_dtype(dtype):
    """`dtype` as float32 or float64; ValueError for any other."""
    if dtype not in ("float64", "float32", np.float64, np.float32):
        raise ValueError(f'dtype: expected "float64" or "float32", got {dtype!r}')
    return np.dtype(dtype)


class Generator(Params):
    """A generator of events: subclasses give ``layout`` and ``_fill``.

    ``_fill(seed, first, values, num_threads, *given)`` puts the events first, first + 1, ... of a seed into `values`, a float32 or
    float64 array (n_columns, n), and returns their weights (n,) or None; `given` is what the events are made for, if anything.
    """

    def _provenance(self, seed, first):
        return {"generator": repr(self), "simgraft": simgraft.__version__, "seed": seed, "first": first}

    def _make(self, n, seed, first, dtype, num_threads, *given):
        """Check the arguments of :meth:`generate` and make its events."""
        n, seed, first = check_count("n", n), check_seed(seed), check_count("first", first)
        values = np.empty((len(self.layout), n), check_dtype(dtype))
        weight = self._fill(seed, first, values, num_threads or 0, *given)
        return Events(self.layout, values, weight=weight, provenance=self._provenance(seed, first))

    def generate(self, n, seed, *, first=0, dtype="float64", num_threads=None):
        """Events first, first + 1, ... first + n - 1 of a seed.

        Parameters
        ----------
        n : int
        seed : int
            0 to 2**64 - 1.
        first : int
            Number of the first event. An event depends on the seed and its number alone.
        dtype : {"float64", "float32"}
        num_threads : int, optional
            Default: OMP_NUM_THREADS, or all CPUs.

        Returns
        -------
        Events
        """
        return self._make(n, seed, first, dtype, num_threads)

    def kernel(self, seed):
        """The generator as a :class:`simgraft.Kernel` from the number of an event to its columns.

        Parameters
        ----------
        seed : int

        Returns
        -------
        simgraft.Kernel
            Of the input ``event`` and one output for each column.
        """
        return event_kernel(
            Numbered(self, check_seed(seed)),
            self.layout,
            type(self).__name__,
            version=simgraft.__version__,
            parameters={"seed": int(seed), "generator": repr(self)},
        )


class Numbered:
    """Columns of events by their numbers, in any order: one call of the core for each run of consecutive numbers.

    Inputs of the names `conditions` go to ``_fill`` as arrays, event by event, and what is `shared` by all events after them.
    """

    def __init__(self, generator, seed, conditions=(), shared=()):
        self.generator, self.seed, self.conditions, self.shared = generator, seed, conditions, shared

    def __call__(self, inputs):
        wish = np.asarray(inputs["event"])
        bad = np.flatnonzero((wish != np.floor(wish)) | (wish < 0))
        if bad.size:
            raise ValueError(f"event[{bad[0]}]: expected a whole number of at least 0, got {wish[bad[0]]:g}")
        if self.conditions:  # in which events of one number can differ
            order = np.argsort(wish, kind="stable")
            numbers, back = wish[order].astype(np.int64), np.argsort(order)
            given = [np.asarray(inputs[name], np.float64)[order] for name in self.conditions]
        else:
            numbers, back = np.unique(wish.astype(np.int64), return_inverse=True)
            given = []
        values = np.empty((len(self.generator.layout), numbers.size))
        starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
        for start, stop in zip(starts, [*starts[1:], numbers.size], strict=True):
            run = np.empty((len(values), stop - start))
            mine = (x[start:stop] for x in given)
            self.generator._fill(self.seed, int(numbers[start]), run, 1, *mine, *self.shared)
            values[:, start:stop] = run
        return dict(zip(self.generator.layout.names, values[:, back], strict=True))
