"""What is replaced: a generator, as a kernel from the number of an event to its columns.

Every generator of this room has ``kernel(seed)``, and so has every generative model. It is a pure function: event ``i`` of a seed is
the same event on any machine, so that a data set of events is one like any other (executors, shards, resumption), and a model fits
into the slot of its generator. Only the meaning of a comparison is of another kind: event ``i`` of a model is not event ``i`` of the
generator, so that what a host finds is compared, within its statistical error, and not single events.
"""

import numpy as np

from simgraft.events.sample import Events
from simgraft.kernel import Kernel
from simgraft.variables import Var

__all__ = ["EventSurrogate", "event_kernel", "events_of", "recorded"]

LARGEST = 2.0**53  # numbers of events beyond are not exact in float64


def event_kernel(function, layout, name, *, conditions=None, **options):
    """A kernel from the number of an event, and what it is made for, to its columns.

    Parameters
    ----------
    function : callable
        ``function(inputs) -> outputs`` of a :class:`~simgraft.Kernel`, with the input ``event``.
    layout : Layout
        Of the events.
    name : str
    conditions : dict of str to Var, optional
        Further inputs, as the energy of the collision.
    **options
        Of the kernel: ``version``, ``parameters``.

    Returns
    -------
    Kernel

    Examples
    --------
    >>> from simgraft.events import TWO_BODY
    >>> event_kernel(None, TWO_BODY, "decays").n_out
    10
    """
    return Kernel(
        function,
        inputs={"event": Var("1", 0, LARGEST, doc="number of the event")} | dict(conditions or {}),
        outputs={column.name: Var(column.unit) for column in layout.columns},
        name=name,
        **options,
    )


class _Lookup:
    """Columns of recorded events by their position."""

    def __init__(self, events, name):
        self.events, self.name = events, name

    def __call__(self, inputs):
        number = np.asarray(inputs["event"])
        bad = np.flatnonzero((number != np.floor(number)) | (number < 0) | (number >= len(self.events)))
        if bad.size:
            raise ValueError(
                f"event[{bad[0]}]: expected a whole number below {len(self.events)}, the events of {self.name}, got {number[bad[0]]:g}"
            )
        values = self.events.values[:, number.astype(np.int64)].astype(np.float64)
        return dict(zip(self.events.layout.names, values, strict=True))


def recorded(events, name="recorded events"):
    """A sample as a kernel: event ``i`` is that of position ``i``.

    Parameters
    ----------
    events : Events
    name : str
        For messages and files.

    Returns
    -------
    Kernel
        Of the input ``event``, the number of the event from 0, and one output for each column. Numbers beyond the sample are
        refused.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> kernel = recorded(Events(TWO_BODY, np.arange(20.0).reshape(10, 2)))
    >>> kernel({"event": np.array([1.0])})["E2"]
    array([3.])
    """
    return event_kernel(_Lookup(events, name), events.layout, name)


def events_of(slot, layout, n, *, first=0, block=65_536):
    """Ask a slot for events: what a host does where it would call its generator.

    Parameters
    ----------
    slot : callable
        A kernel of events or what stands in for it: dict of arrays in, dict of arrays out.
    layout : Layout
        Of the events.
    n, first : int
        How many events, and the number of the first.
    block : int
        Events of one call.

    Returns
    -------
    Events

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> events_of(recorded(Events(TWO_BODY, np.ones((10, 5)))), TWO_BODY, 4, first=1)
    <Events two-body decay: 4 of 10 columns>
    """
    values = np.empty((len(layout), n))
    for start in range(0, n, block):
        stop = min(start + block, n)
        columns = slot({"event": np.arange(first + start, first + stop, dtype=np.float64)})
        for row, name in zip(values, layout.names, strict=True):
            row[start:stop] = columns[name]
    return Events(layout, values)


class EventSurrogate:
    """A generative model in the place of its generator: what a trial puts into the slot of a host.

    Parameters
    ----------
    model : object
        With ``kernel(seed) -> Kernel``: any generative model of this room.
    kernel : Kernel
        Of the generator that it replaces.
    seed : int
        Of the model's events.
    provenance : dict, optional
        As of a :class:`~simgraft.Surrogate`: ``training_seconds`` [s] and ``data`` with ``rows`` give the break-even count.

    Examples
    --------
    A trial needs the kernel and a call, whatever stands behind them:

    >>> from simgraft.events import TWO_BODY, Events
    >>> class Ones:
    ...     def kernel(self, seed):
    ...         return recorded(Events(TWO_BODY, np.ones((10, 9))), name="ones")
    >>> truth = recorded(Events(TWO_BODY, np.ones((10, 4))))
    >>> EventSurrogate(Ones(), truth, seed=2)({"event": np.arange(2.0)})["m1"]
    array([1., 1.])
    """

    def __init__(self, model, kernel, seed, provenance=None):
        self.model, self.kernel, self.seed = model, kernel, seed
        self.provenance = dict(provenance or {})
        self._slot = model.kernel(seed)
        if tuple(self._slot.outputs) != tuple(kernel.outputs):
            raise ValueError(
                f"model: makes the columns {', '.join(self._slot.outputs)}; the kernel has {', '.join(kernel.outputs)}"
            )

    def __call__(self, inputs):
        """Columns of the events of these numbers, as of the kernel."""
        return self._slot(inputs)
