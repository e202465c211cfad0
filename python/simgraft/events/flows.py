"""Generative models in independent coordinates of an event: discrete class first, then a flow, then the
columns.

An event is a class (which objects are there, whether anything was radiated) and coordinates that are free of
each other: no mass shell, no conservation law and no order of momenta connects them, so whatever a network
makes of them is an event. :class:`Coordinates` says what they are for a process; :class:`FlowModel` learns
their distribution, also given conditions (masses, energy of the collision, process).

Each coordinate is mapped to a normal number by its own quantiles (:class:`simgraft.encode.Quantile`) before a spline-coupling flow (Durkan et al.
2019, arXiv:1906.04032) or flow matching (Lipman et al. 2023, arXiv:2210.02747) learns how they depend on each
other; coordinates that a class lacks are filled with normal noise.
"""

import numpy as np

from simgraft import encode, nn
from simgraft.events.models import EventModel, Stored, count, pack, uniform, unpack
from simgraft.nn._params import Params
from simgraft.nn.flow_matching import normal
from simgraft.variables import Var

__all__ = ["Condition", "Coordinates", "FlowModel"]

_CLASS, _BASE, _SYMMETRY, _FILL = (0x65766D00 << 32) + np.arange(2, 6)  # streams of random numbers
_SAME = 1e-6  # relative spread of a coordinate that is a constant: rounding of float32 columns


class Condition(Params):
    """What an event is made for: a number in a range, or one of some choices.

    Parameters
    ----------
    unit : str
    choices : tuple of str, optional
        Names of the choices; their numbers are 0, 1, ... in this order. Without it the condition is a number.

    Examples
    --------
    >>> from simgraft.events import flows
    >>> flows.Condition("1", ("born", "isr"))
    Condition(choices=('born', 'isr'))
    """

    def __init__(self, unit="1", choices=()):
        self.unit = unit
        self.choices = choices


class Coordinates(Stored):
    """Independent coordinates of the events of a process: what a :class:`FlowModel` needs to know of it.

    Attributes
    ----------
    layout : Layout
    names : tuple of str
        Of the coordinates.
    classes : tuple of str
        Of the discrete classes of events.
    features : (n_classes, n_features) float32 array
        What a network is told of a class.
    alive : (n_classes, n_coordinates) bool array
        Which coordinates a class has.
    restrictions : dict of str to dict of str to tuple of int
        Conditions that choose among classes, as ``{"flavour": {"e": (0, 1), "mu": (2, 3)}}``.
    n_uniform : int
        Random numbers that symmetries need in :meth:`decode`.
    constants : dict of str to number
        Learnt by :meth:`fit`.
    recipes : dict of str to dict
        Parameters of a :class:`FlowModel` that does well: "quick" in seconds, "full" as good as it gets.
    """

    layout = None
    names, classes = (), ("all",)
    features = np.zeros((1, 0), np.float32)
    restrictions = {}
    n_uniform = 0
    recipes = {"quick": {}, "full": {}}

    @property
    def alive(self):
        return np.ones((len(self.classes), len(self.names)), bool)

    def conditions(self):
        """Conditions that can be given, dict of str to :class:`Condition`."""
        return {}

    def derive(self, name, events):
        """The condition `name` (n,) of events, where their columns tell it; None where they do not."""
        return None

    def fit(self, events):
        """Learn constants from events."""
        self.constants = {}
        return self

    def encode(self, events, condition):
        """Class (n,) int and coordinates (n, n_coordinates) float64 of events; those a class lacks may be
        anything finite.

        Raises
        ------
        ValueError
            For an event that is none of the process; the message names it.
        """
        raise NotImplementedError

    def decode(self, label, x, u, condition):
        """Columns (n_columns, n) float64 and presence (n_objects, n) bool or None of events with class
        `label` (n,), coordinates `x` (n, n_coordinates), `u` (n, n_uniform) uniform in (0, 1) and condition
        (dict of (n,) arrays)."""
        raise NotImplementedError


def refuse(bad, what):
    """ValueError naming the first event of a mask (n,)."""
    if bad.any():
        raise ValueError(
            f"events: event {int(np.flatnonzero(bad)[0])} {what} ({np.count_nonzero(bad)} such events)"
        )


class FlowModel(EventModel):
    """Class, then flow in independent coordinates, then columns.

    Parameters
    ----------
    coordinates : Coordinates
        Of the process.
    conditions : tuple of str
        Names of the conditions to learn, out of ``coordinates.conditions()``.
    method : {"flow", "matching"}
        Spline-coupling flow, or flow matching.
    layers, units, bins, bound, activation, shuffle
        As of :class:`simgraft.nn.zoo.Flow`; flow matching has `units` and `activation` alone.
    epochs, batch_size : int
    rate : float
        At the start; falls along half a cosine.
    knots : int
        Of the quantile map of each coordinate.
    steps : int
        Of the Runge-Kutta method (order 4) that solves the equation of flow matching.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, flows, models, small_coordinates
    >>> c = np.random.default_rng(1).uniform(-1, 1, 500)
    >>> v = 40 * np.array([np.sqrt(1 - c * c), 0 * c, c])
    >>> events = Events(TWO_BODY, np.concatenate([np.full((2, 500), 50.0), v, -v, np.full((2, 500), 30.0)]))
    >>> model = flows.FlowModel(small_coordinates.TwoBodyCoordinates(), layers=2, units=(8,), epochs=1)
    >>> new = model.fit(events, seed=1).sample(1000, seed=2)
    >>> bool(abs(new["px1"] + new["px2"]).max() < 1e-13)
    True
    """

    def __init__(
        self,
        coordinates,
        *,
        conditions=(),
        method="flow",
        layers=6,
        units=(64, 64),
        bins=8,
        bound=5.0,
        activation="swish",
        shuffle=1,
        epochs=20,
        batch_size=512,
        rate=3e-3,
        knots=128,
        steps=12,
    ):
        self.coordinates = coordinates
        self.conditions = conditions
        self.method = method
        self.layers = layers
        self.units = units
        self.bins = bins
        self.bound = bound
        self.activation = activation
        self.shuffle = shuffle
        self.epochs = epochs
        self.batch_size = batch_size
        self.rate = rate
        self.knots = knots
        self.steps = steps

    @classmethod
    def for_layout(cls, layout, recipe="full", *, coordinates=None, **options):
        """The model that does well for events of a layout.

        Parameters
        ----------
        layout : Layout
        recipe : {"quick", "full"}
            Of the coordinates of this layout.
        coordinates : dict, optional
            Parameters of the coordinates.
        **options
            Parameters of the model that are to differ from the recipe.

        Returns
        -------
        FlowModel
            Not fitted.

        Raises
        ------
        ValueError
            If there are no coordinates for the layout, or no such recipe.

        Examples
        --------
        >>> from simgraft.events import DILEPTON, flows
        >>> flows.FlowModel.for_layout(DILEPTON, "quick", coordinates={"sqrt_s": 93.0}, conditions=("process",)).coordinates.sqrt_s
        93.0
        """
        for kind in Coordinates.__subclasses__():
            if kind.layout == layout:
                break
        else:
            raise ValueError(f"layout: no coordinates of {layout.name} for a flow")
        if recipe not in kind.recipes:
            raise ValueError(f"recipe: expected one of {', '.join(kind.recipes)}, got {recipe!r}")
        return cls(kind(**(coordinates or {})), **(kind.recipes[recipe] | options))

    @property
    def name(self):
        return "flow in coordinates" if self.method == "flow" else "flow matching in coordinates"

    # --------------------------------------------------------------------------------------------- conditions
    def _specs(self):
        known = self.coordinates.conditions()
        for name in self.conditions:
            if name not in known:
                raise ValueError(f"conditions: expected some of {', '.join(known) or 'none'}, got {name!r}")
        return {name: known[name] for name in self.conditions}

    def _training_condition(self, events, condition):
        condition, found = dict(condition or {}), {}
        for name, spec in self._specs().items():
            value = condition.pop(name, None)
            if value is None:
                value = self.coordinates.derive(name, events)
            if value is None:
                raise ValueError(f"condition: expected {name!r}, which the columns of the events do not tell")
            found[name] = _values(name, spec, value, len(events), 0)
        if condition:
            raise ValueError(
                f"condition: {', '.join(map(repr, condition))} not among the conditions of this model "
                f"({', '.join(self.conditions) or 'none'})"
            )
        return found

    def _condition(self, condition, n, first):
        """Numbers (n,) of each trained condition within its range, and the choice of classes."""
        condition, found = dict(condition or {}), {}
        for name, spec in self._specs().items():
            if name not in condition:
                raise ValueError(f"condition: expected {name!r}, for which this model was trained")
            value = _values(name, spec, condition.pop(name), n, first)
            low, high = self.state_["range"][name]
            bad = (value < low) | (value > high)
            if bad.any():
                event = int(np.flatnonzero(bad)[0])
                raise ValueError(
                    f"condition: {name} = {value[event]:g} {spec.unit} of event {first + event} lies "
                    f"outside what the model was trained for ({low:g} to {high:g})"
                )
            found[name] = value
        for name, groups in self.coordinates_.restrictions.items():
            if name not in condition:
                continue
            value = condition.pop(name)
            value = np.broadcast_to(np.asarray(value), (n,)) if np.ndim(value) == 0 else np.asarray(value)
            if value.shape != (n,):
                raise ValueError(f"condition: expected {name} of shape ({n},), got {value.shape}")
            unknown = ~np.isin(value.astype(str), list(groups))
            if unknown.any():
                event = int(np.flatnonzero(unknown)[0])
                raise ValueError(
                    f"condition: {name} of event {first + event}: expected one of {', '.join(groups)}, "
                    f"got {str(value[event])!r}"
                )
            found[name] = value
        if condition:
            known = [*self.conditions, *self.coordinates_.restrictions]
            raise ValueError(
                f"condition: {', '.join(map(repr, condition))} not among the conditions of this model "
                f"({', '.join(known) or 'none'})"
            )
        return found

    def _scaled(self, condition, n):
        """Conditions (n, n_conditions) float32, numbers between -1 and 1."""
        rows = np.zeros((n, len(self.conditions)), np.float32)
        for k, name in enumerate(self.conditions):
            low, high = self.state_["range"][name]
            rows[:, k] = (2 * condition[name] - (low + high)) / (high - low) if high > low else 0
        return rows

    # ----------------------------------------------------------------------------------------------- training
    def _fit(self, events, condition, seed, progress, num_threads):
        if self.method not in ("flow", "matching"):
            raise ValueError(f"method: expected flow or matching, got {self.method!r}")
        knots = count(self.knots, "knots", 2)
        if events.layout != self.coordinates.layout:
            raise ValueError(f"events: expected {self.coordinates.layout.name}, got {events.layout.name}")
        n = len(events)
        coordinates = unpack(type(self.coordinates), pack(self.coordinates))  # the given ones only store
        self.coordinates_ = coordinates.fit(events)
        label, x = coordinates.encode(events, condition)
        self.state_ = {
            "constants": coordinates.constants,
            "range": {name: [float(v.min()), float(v.max())] for name, v in condition.items()},
        }
        given = self._scaled(condition, n)
        self._fit_classes(label, condition, given, seed, progress, num_threads)
        alive = coordinates.alive[label]
        live, chains = [], {}
        for k, name in enumerate(coordinates.names):
            here = alive[:, k]
            values = x[here, k]
            if not len(values) or np.ptp(values) <= _SAME * np.abs(values).max():
                self.state_["constants"][name] = float(np.median(values)) if len(values) else 0.0
                continue
            live.append(k)
            chain = [encode.Clip(low=float(values.min()), high=float(values.max())), encode.Quantile(knots=knots)]
            learnt = encode.Encoder({name: chain}).fit(np.ascontiguousarray(values[:, None]), {name: Var("1")})
            chains |= learnt.to_dict()["chains"]
        self.state_ |= {"live": live, "encoder": {"side": "inputs", "chains": chains}}
        self._encoder()
        fill = normal(seed, _FILL, 0, (n, len(live) + 2), np.float32)
        rows = self.encoder_.transform(x[:, live]) if live else np.empty((n, 0), np.float32)
        rows = np.where(alive[:, live], rows, fill[:, : len(live)])
        if len(live) < 2:  # a coupling needs two parts: noise makes the number up
            rows = np.hstack([rows, fill[:, len(live) : 2]])
        given = np.hstack([coordinates.features[label], given])
        self._train(rows, given if given.shape[1] else None, seed, progress, num_threads)

    def _fit_classes(self, label, condition, given, seed, progress, num_threads):
        """Probability of each class: a table over choices, a network where a condition is a number."""
        n_classes, specs = len(self.coordinates_.classes), self._specs()
        choices = [name for name, spec in specs.items() if spec.choices]
        shape = tuple(len(specs[name].choices) for name in choices)
        cell = np.zeros(len(label), np.int64)
        for name, size in zip(choices, shape):
            cell = cell * size + condition[name].astype(np.int64)
        table = np.zeros((int(np.prod(shape)), n_classes))
        np.add.at(table, (cell, label), 1)
        self.arrays_["classes"] = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        if n_classes > 1 and len(choices) < len(specs):
            network = nn.MLP([32, 32], "swish").build(given.shape[1], n_classes, seed=seed)
            nn.fit(
                network,
                (given, label[:, None].astype(np.float32)),
                loss=nn.CrossEntropy(),
                optimizer=nn.Adam(nn.schedule.Cosine(5e-3)),
                epochs=self.epochs,
                batch_size=self.batch_size,
                seed=seed,
                progress=progress,
                num_threads=num_threads,
            )
            self.networks_["classes"] = network

    def _encoder(self):
        """Coordinates to normal numbers and back."""
        chains = self.state_["encoder"]["chains"]
        self.encoder_ = encode.Encoder.from_dict(self.state_["encoder"], dict.fromkeys(chains, Var("1")))

    def _flow(self, n, n_condition, seed=0):
        spec = nn.zoo.Flow(
            self.layers,
            list(self.units),
            bins=self.bins,
            bound=self.bound,
            activation=self.activation,
            shuffle=self.shuffle,
        )
        return spec.build(n, seed, n_condition)

    def _train(self, rows, given, seed, progress, num_threads):
        options = {
            "optimizer": nn.Adam(nn.schedule.Cosine(self.rate), clip_norm=5.0),
            "epochs": self.epochs,
            "seed": seed,
            "progress": progress,
            "num_threads": num_threads,
        }
        self.state_["n_rows"], self.state_["n_given"] = rows.shape[1], 0 if given is None else given.shape[1]
        if self.method == "flow":
            flow = self._flow(rows.shape[1], self.state_["n_given"], seed)
            self.history_ = flow.fit(rows, given, batch_size=self.batch_size, **options)
            self.networks_["flow"] = flow.network
            return
        network = nn.MLP(list(self.units), self.activation).build(
            rows.shape[1] + 1 + self.state_["n_given"], rows.shape[1], seed=seed
        )
        pairs = nn.flow_matching.Pairs(rows, given, batch_size=self.batch_size)
        self.history_ = nn.fit(network, pairs, **options)
        self.networks_["velocity"] = network

    def _start(self):
        if not hasattr(self, "coordinates_"):
            self.coordinates_ = unpack(type(self.coordinates), pack(self.coordinates))
        self.coordinates_.constants = self.state_["constants"]
        self._encoder()
        if "flow" in self.networks_:
            flow = self._flow(self.state_["n_rows"], self.state_["n_given"])
            flow.network.parameters[:] = self.networks_["flow"].parameters
            self._inverse = flow.inverse

    # ----------------------------------------------------------------------------------------------- sampling
    def _labels(self, n, seed, first, condition, given):
        coordinates, specs = self.coordinates_, self._specs()
        n_classes = len(coordinates.classes)
        if n_classes == 1:
            return np.zeros(n, np.int64)
        cell = np.zeros(n, np.int64)
        for name, spec in specs.items():
            if spec.choices:
                cell = cell * len(spec.choices) + condition[name].astype(np.int64)
        share = self.arrays_["classes"][cell]
        if "classes" in self.networks_:
            logits = self.networks_["classes"].predict(given).astype(np.float64)
            share = np.where(share > 0, np.exp(logits - logits.max(axis=1, keepdims=True)), 0)
        for name, groups in coordinates.restrictions.items():
            if name in condition:
                mask = np.zeros((len(groups), n_classes), bool)
                for k, members in enumerate(groups.values()):
                    mask[k, list(members)] = True
                position = {choice: k for k, choice in enumerate(groups)}
                names, where = np.unique(condition[name].astype(str), return_inverse=True)
                share = share * mask[np.array([position[v] for v in names], np.int64)[where]]
        total = share.sum(axis=1)
        if n and not (total > 0).all():
            event = int(np.flatnonzero(total <= 0)[0])
            raise ValueError(
                f"condition: no event like event {first + event} was among those of the training"
            )
        u = uniform(seed, _CLASS, first, n) * total[:, None]
        return np.minimum((u > np.cumsum(share, axis=1)).sum(axis=1), n_classes - 1)

    def _draw(self, n, seed, first, condition, num_threads):
        coordinates = self.coordinates_
        given = self._scaled(condition, n)
        label = self._labels(n, seed, first, condition, given)
        given = np.hstack([coordinates.features[label], given])
        given = given if given.shape[1] else None
        base = normal(seed, _BASE, first, (n, self.state_["n_rows"]), np.float32)
        if self.method == "flow":
            row = base if given is None else np.hstack([base, given])
            rows = self._inverse.predict(row, num_threads=num_threads)
        else:
            rows = nn.flow_matching.solve(
                self.networks_["velocity"], base, given, steps=self.steps, num_threads=num_threads
            )
        x = np.empty((n, len(coordinates.names)))
        for k, name in enumerate(coordinates.names):
            if name in self.state_["constants"]:
                x[:, k] = self.state_["constants"][name]
        live = self.state_["live"]
        if live:
            x[:, live] = self.encoder_.inverse_transform(np.ascontiguousarray(rows[:, : len(live)]))
        u = uniform(seed, _SYMMETRY, first, n, coordinates.n_uniform)
        return coordinates.decode(label, x, u, condition)


def _values(name, spec, value, n, first):
    """Numbers (n,) float64 of a condition."""
    if spec.choices:
        names = np.asarray(value)
        if names.dtype.kind != "U":
            raise TypeError(
                f"condition: expected {name} as text, one of {', '.join(spec.choices)}, got {value!r}"
            )
        kinds, where = np.unique(names, return_inverse=True)
        for kind in kinds:
            if kind not in spec.choices:
                raise ValueError(
                    f"condition: expected {name} among {', '.join(spec.choices)}, got {str(kind)!r}"
                )
        number = np.array([spec.choices.index(kind) for kind in kinds], np.float64)[where].reshape(
            names.shape
        )
    else:
        number = np.asarray(value)
        if number.dtype.kind not in "iuf":
            raise TypeError(f"condition: expected numbers [{spec.unit}] for {name}, got {value!r}")
        number = number.astype(np.float64)
    if number.shape not in ((), (n,)):
        raise ValueError(f"condition: expected {name} of shape ({n},) or one number, got {number.shape}")
    number = np.broadcast_to(number, (n,))
    if not np.isfinite(number).all():
        event = int(np.flatnonzero(~np.isfinite(number))[0])
        raise ValueError(f"condition: {name} of event {first + event} is {number[event]}")
    return number
