"""A sample of events in memory: one array per column."""

import numpy as np

__all__ = ["Events"]


class Events:
    """Events of one process, as columns.

    Parameters
    ----------
    layout : Layout
        What the columns are.
    values : (n_columns, n) float32 or float64 array
        One row of memory for each column, as the generators write them.
    weight : (n,) float64 array, optional
        Weight of each event; None where all are 1.
    present : (n_objects, n) bool array, optional
        Which objects of the layout are there; default: those with a number other than 0.
    provenance : dict, optional
        Generator, parameters, seed (JSON values).

    Raises
    ------
    TypeError, ValueError
        If a dtype or shape does not fit. NaN and infinity are named with their event.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import DILEPTON, Events
    >>> values = np.zeros((16, 2))
    >>> values[:4, 0], values[4:8, 0] = (45, 0, 0, 45), (45, 0, 0, -45)
    >>> values[8:12, 1], values[12:, 1] = (45, 0, 45, 0), (45, 0, -45, 0)
    >>> events = Events(DILEPTON, values)
    >>> events["em_pz"], events.present.sum(axis=1)
    (array([45.,  0.]), array([1, 1, 1, 1]))
    """

    def __init__(self, layout, values, *, weight=None, present=None, provenance=None):
        if not isinstance(values, np.ndarray) or values.dtype not in (np.float32, np.float64):
            raise TypeError(
                f"values: expected a float32 or float64 array, got {getattr(values, 'dtype', type(values).__name__)}"
            )
        if values.ndim != 2 or len(values) != len(layout):
            raise ValueError(f"values: expected shape ({len(layout)}, n) for {layout.name}, got {values.shape}")
        n = values.shape[1]
        _finite("values", values, layout.names)
        if weight is not None:
            weight = np.asarray(weight, np.float64)
            if weight.shape != (n,):
                raise ValueError(f"weight: expected shape ({n},), got {weight.shape}")
            _finite("weight", weight[None], ("weight",))
        if present is not None:
            present = np.asarray(present)
            if present.dtype != bool or present.shape != (len(layout.objects), n):
                raise ValueError(
                    f"present: expected a bool array ({len(layout.objects)}, {n}), got {present.dtype} {present.shape}"
                )
        self.layout, self.values, self.weight = layout, values, weight
        self.provenance = dict(provenance or {})
        self._present = present

    def __len__(self):
        return self.values.shape[1]

    def __repr__(self):
        weighted = "" if self.weight is None else ", weighted"
        return f"<Events {self.layout.name}: {len(self)} of {len(self.layout)} columns{weighted}>"

    def __getitem__(self, name):
        """The column `name` (n,), not copied."""
        return self.values[self.layout.index(name)]

    @property
    def present(self):
        """Which objects are there, (n_objects, n) bool."""
        if self._present is None:
            self._present = np.stack(
                [(self.values[list(self.layout.of(name))] != 0).any(axis=0) for name in self.layout.objects]
            )
        return self._present

    @property
    def rows(self):
        """The events as rows (n, n_columns): a view of the columns."""
        return self.values.T

    @classmethod
    def from_rows(cls, layout, rows, **options):
        """Events from rows (n, n_columns); arguments as of the class."""
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != len(layout):
            raise ValueError(f"rows: expected shape (n, {len(layout)}) for {layout.name}, got {rows.shape}")
        return cls(layout, np.ascontiguousarray(rows.T), **options)

    def take(self, which):
        """Some events: `which` is a slice, a bool array (n,) or positions."""
        return Events(
            self.layout,
            self.values[:, which],
            weight=None if self.weight is None else self.weight[which],
            present=self.present[:, which],
            provenance=self.provenance,
        )


def _finite(what, values, names):
    good = np.isfinite(values)
    if not good.all():
        first = int(np.flatnonzero(~good.all(axis=0))[0])
        column = int(np.flatnonzero(~good[:, first])[0])
        raise ValueError(
            f"{what}: event {first} has {values[column, first]} in {names[column]} ({np.count_nonzero(~good)} such values)"
        )
