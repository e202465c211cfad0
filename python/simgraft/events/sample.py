"""A sample of events in memory: one array per column."""

import importlib

import numpy as np

__all__ = ["Events"]


def need(module, what):
    """A package of the extra ``events``, or an ImportError that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{what} need the package {module} ({error}): pip install "simgraft[events]"'
        ) from error


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

    @classmethod
    def concatenate(cls, parts):
        """One sample of several.

        Parameters
        ----------
        parts : iterable of Events
            At least one, all of one layout.

        Returns
        -------
        Events
            With the provenance of the first; counts of events read from a file are added up.

        Examples
        --------
        >>> from simgraft.events import TWO_BODY
        >>> len(Events.concatenate([Events(TWO_BODY, np.ones((10, 2))), Events(TWO_BODY, np.ones((10, 3)))]))
        5
        """
        parts = list(parts)
        if not parts:
            raise ValueError("parts: there is none")
        layout = parts[0].layout
        for part in parts:
            if part.layout != layout:
                raise ValueError(f"parts: samples of {layout.name} and of {part.layout.name}")
        if len(parts) == 1:
            return parts[0]
        weighted = any(part.weight is not None for part in parts)
        masked = any(part._present is not None for part in parts)
        provenance = dict(parts[0].provenance)
        for name in ("read", "dropped"):
            if all(name in part.provenance for part in parts):
                provenance[name] = sum(part.provenance[name] for part in parts)
        return cls(
            layout,
            np.concatenate([part.values for part in parts], axis=1),
            weight=np.concatenate(
                [np.ones(len(part)) if part.weight is None else part.weight for part in parts]
            )
            if weighted
            else None,
            present=np.concatenate([part.present for part in parts], axis=1) if masked else None,
            provenance=provenance,
        )

    # ---------------------------------------------------------------------------------------- other libraries
    def _momenta(self, name):
        """Names in the package vector, and columns, of the four-momentum of an object."""
        if f"{name}_pT" in self.layout.names:
            columns = (f"{name}_pT", f"{name}_phi", f"{name}_eta", f"{name}_E")
            return ("pt", "phi", "eta", "E"), [self[column] for column in columns]
        form = "{q}{name}" if f"E{name}" in self.layout.names else "{name}_{q}"
        quantities = ("px", "py", "pz", "E")
        return quantities, [self[form.format(q=q, name=name)] for q in quantities]

    def to_vector(self):
        """Four-momenta of the objects for the package vector.

        Returns
        -------
        dict of str to vector.MomentumNumpy4D (n,) [GeV]
            By name of the object; px, py, pz, E, or pt, phi, eta, E where the layout has those. Absent objects are
            zeros. Vector's NumPy arrays interleave the components, so that this copies them once; `to_awkward` does
            not.

        Raises
        ------
        ImportError
            Without the package vector: ``pip install 'simgraft[events]'``.

        Examples
        --------
        >>> from simgraft.events import TWO_BODY
        >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T).to_vector()
        >>> float((pair["1"] + pair["2"]).mass[0])
        10.0
        """
        vector = need("vector", "four-vectors")
        return {name: vector.array(dict(zip(*self._momenta(name)))) for name in self.layout.objects}

    def to_awkward(self, *, jagged=False):
        """The events as an Awkward array with the behaviour of the package vector.

        Parameters
        ----------
        jagged : bool
            For top pairs, lists ``jets`` and ``leptons`` of those that are there in place of j1 ... l2. This copies;
            otherwise the array looks at the columns themselves (as they lie in memory: a sample taken with a step
            is copied).

        Returns
        -------
        awkward.Array (n,) [GeV, rad]
            A field for each object, a Momentum4D, None where it is absent; the fields ``MET`` (Momentum2D), ``m1``,
            ``m2`` where the layout has them, and ``weight`` of weighted events.

        Raises
        ------
        ImportError
            Without the packages awkward and vector: ``pip install 'simgraft[events]'``.

        Examples
        --------
        >>> from simgraft.events import DILEPTON
        >>> values = np.zeros((16, 1))
        >>> values[:4, 0], values[4:8, 0] = (45, 0, 0, 45), (45, 0, 0, -45)
        >>> array = Events(DILEPTON, values).to_awkward()
        >>> array.em.E, array.mum
        (<Array [45] type='1 * ?float64'>, <MomentumArray4D [None] type='1 * ?Momentum4D[px: float64, py: floa...'>)
        """
        ak = need("awkward", "Awkward arrays")
        need("vector", "four-vectors").register_awkward()
        c = ak.contents
        if jagged and "j1" not in self.layout.objects:
            raise ValueError(f"jagged: only top pairs have lists of jets and leptons, not {self.layout.name}")
        fields = {}

        def record(names, columns, kind):
            return c.RecordArray([c.NumpyArray(x) for x in columns], list(names), parameters={"__record__": kind})

        if "MET" in self.layout.names:
            fields["MET"] = record(("pt", "phi"), (self["MET"], self["phi_MET"]), "Momentum2D")
        if jagged:
            for field, names in (("jets", ("j1", "j2", "j3", "j4")), ("leptons", ("l1", "l2"))):
                places = [self.layout.objects.index(name) for name in names]
                there = self.present[places].T
                found = [self._momenta(name) for name in names]
                columns = [np.stack([columns[k] for _, columns in found], axis=1)[there] for k in range(4)]
                offsets = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
                inside = record(found[0][0], columns, "Momentum4D")
                fields[field] = c.ListOffsetArray(ak.index.Index64(offsets), inside)
        else:
            for name, there in zip(self.layout.objects, self.present, strict=True):
                inside = record(*self._momenta(name), "Momentum4D")
                mask = ak.index.Index8(np.ascontiguousarray(there).view(np.int8))
                fields[name] = c.ByteMaskedArray(mask, inside, valid_when=True)
        for name in ("m1", "m2"):
            if name in self.layout.names:
                fields[name] = c.NumpyArray(self[name])
        if self.weight is not None:
            fields["weight"] = c.NumpyArray(self.weight)
        return ak.Array(c.RecordArray(list(fields.values()), list(fields), length=len(self)))

    @classmethod
    def from_awkward(cls, layout, array, *, provenance=None):
        """Events of an Awkward array as `to_awkward` makes it.

        Parameters
        ----------
        layout : Layout
        array : awkward.Array (n,)
            Records with a Momentum4D [GeV] for each object, in any coordinates of the package vector, None where it is
            absent, and ``MET`` (Momentum2D), ``m1``, ``m2`` where the layout has them; or lists ``jets`` and ``leptons``,
            which are put in order of pT, and of which the first four and two are taken. ``weight``, if it is there.
        provenance : dict, optional

        Returns
        -------
        Events
            A copy.

        Raises
        ------
        ValueError
            If a field is missing.

        Examples
        --------
        >>> from simgraft.events import TWO_BODY
        >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
        >>> bool((Events.from_awkward(TWO_BODY, pair.to_awkward()).values == pair.values).all())
        True
        """
        ak = need("awkward", "Awkward arrays")
        need("vector", "four-vectors").register_awkward()
        jagged = "j1" in layout.objects and "jets" in array.fields
        wanted = ("jets", "leptons") if jagged else layout.objects
        wanted += tuple(name for name in ("MET", "m1", "m2") if name in layout.names)
        missing = [name for name in wanted if name not in array.fields]
        if missing:
            raise ValueError(
                f"array: no field {', '.join(missing)} for {layout.name}; there are {', '.join(array.fields) or 'none'}"
            )
        n = len(array)
        values, present = np.zeros((len(layout), n)), np.zeros((len(layout.objects), n), bool)
        objects = {name: array[name] for name in layout.objects} if not jagged else {}
        for field, most in (("jets", 4), ("leptons", 2)) if jagged else ():
            lists = array[field]
            lists = ak.pad_none(lists[ak.argsort(lists.pt, axis=1, ascending=False, stable=True)], most, axis=1)
            objects.update({f"{field[0]}{k + 1}": lists[:, k] for k in range(most)})
        for name, there in zip(layout.objects, present, strict=True):
            there[:] = ~np.asarray(ak.is_none(objects[name].E))
            for k in layout.of(name):
                quantity = layout.names[k].replace(name, "").strip("_")
                if quantity == "m":
                    values[k] = array[layout.names[k]]
                else:
                    column = getattr(objects[name], "pt" if quantity == "pT" else quantity)
                    values[k] = np.asarray(ak.fill_none(column, 0))
        if "MET" in layout.names:
            values[0], values[1] = np.asarray(array.MET.pt), np.asarray(array.MET.phi)
        weight = np.asarray(array.weight, np.float64) if "weight" in array.fields else None
        return cls(layout, values, weight=weight, present=present, provenance=provenance)

    def to_dataset(self, out=None, **options):
        """The events as a data set from their number to their columns.

        Parameters
        ----------
        out : path-like, optional
            Folder for shards; without it the data set stays in memory.
        **options
            Of :meth:`simgraft.Dataset.from_arrays`: ``compression``, ``dtype``.

        Returns
        -------
        simgraft.Dataset
            Of the kernel of :func:`simgraft.events.kernel.recorded`, with the weights.

        Raises
        ------
        ValueError
            If weights are negative, or objects are marked present or absent otherwise than zeros tell: a data set has
            no masks.

        Examples
        --------
        >>> from simgraft.events import TWO_BODY
        >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
        >>> len(Events.from_dataset(TWO_BODY, pair.to_dataset()))
        1
        """
        from simgraft.dataset import Dataset
        from simgraft.events.kernel import recorded

        plain = Events(self.layout, self.values).present
        if not np.array_equal(plain, self.present):
            which, event = (int(k[0]) for k in np.nonzero(plain != self.present))
            state = "present" if self.present[which, event] else "absent"
            raise ValueError(
                f"present: {self.layout.objects[which]} of event {event} is {state}, and its columns say otherwise"
            )
        return Dataset.from_arrays(
            recorded(self),
            {"event": np.arange(len(self), dtype=np.float64)},
            dict(zip(self.layout.names, self.values.astype(np.float64), strict=True)),
            weight=self.weight,
            out=out,
            provenance=self.provenance,
            **options,
        )

    @classmethod
    def from_dataset(cls, layout, dataset):
        """Events of a data set whose outputs are the columns of a layout: `to_dataset`, or ``generator.kernel(seed).sample``.

        Parameters
        ----------
        layout : Layout
        dataset : simgraft.Dataset

        Returns
        -------
        Events
            In the order of the data set.

        Raises
        ------
        ValueError
            If the outputs are others.
        """
        if tuple(dataset.kernel.outputs) != layout.names:
            raise ValueError(
                f"dataset: has the outputs {', '.join(dataset.kernel.outputs)}; {layout.name} has {', '.join(layout.names)}"
            )
        return cls(
            layout, np.ascontiguousarray(dataset.Y.T), weight=dataset.weight, provenance={"dataset": dataset.provenance}
        )

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
