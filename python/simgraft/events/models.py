"""Generative models of events: what they have in common, and the models that know nothing of the physics.

A model learns from a sample of :class:`Events` and makes new ones:

>>> model.fit(events, seed=1).sample(1000, seed=2)              # doctest: +SKIP
>>> model.stream(10**9, seed=2, to=analysis)                    # doctest: +SKIP

Event ``i`` of a seed is a pure function of the seed and of ``i``: it has the same bits whatever ``n``,
``first``, the size of the blocks and the number of threads.
"""

import copy
import json
import os
import time

import numpy as np

import simgraft
from simgraft import _core, nn
from simgraft.events.columns import Column, Layout
from simgraft.events.kernel import event_kernel
from simgraft.events.sample import Events
from simgraft.nn._params import Params
from simgraft.nn.flow_matching import normal
from simgraft.nn.network import Network, _seed

__all__ = ["BVAE", "Copy", "EventModel", "LSGAN", "Smear", "VAE", "WGAN", "load"]

_KIND, _VERSION = "event model", 1
_BLOCK = 1 << 16
# Streams of random numbers: latent, choice of a stored event, and those of simgraft.events.flows.
_LATENT, _CHOICE = (0x65766D00 << 32) + np.arange(2)
_classes = {}


def uniform(seed, stream, first, n, columns=1):
    """Uniform numbers (n, columns) in [0, 1), float64; row ``i`` belongs to event ``first + i``."""
    out = np.empty(n * columns)
    _core.random_fill("uniform", _seed(seed), int(stream), first * columns, out)
    return out.reshape(n, columns)


def count(value, name, lowest):
    """`value` as an int that is at least `lowest`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < lowest:
        raise ValueError(f"{name}: expected an integer >= {lowest}, got {value!r}")
    return int(value)


class Stored(Params):
    """What a file of a model can hold: found again by the name of its class."""

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        _classes[cls.__name__] = cls


class EventModel(Stored):
    """What all generative models of events share.

    A subclass stores its parameters in the constructor and has

    ``_fit(events, condition, seed, progress, num_threads)``
        learns; networks go into ``self.networks_`` (dict of name to :class:`simgraft.nn.Network`), other
        arrays into ``self.arrays_`` (dict), numbers and texts into ``self.state_`` (JSON values). They are
        what a file holds.
    ``_start()``
        makes of these whatever sampling needs; called after a fit and after reading a file.
    ``_draw(n, seed, first, condition, num_threads)``
        columns (n_columns, n) float64 and the presence (n_objects, n) or None of events ``first`` to
        ``first + n``.
    ``_condition(condition, n, what)``
        optional: the checked condition of a sample, sliceable by :func:`slice_condition`.

    Attributes
    ----------
    name : str
        As tables call the model.
    layout_ : Layout
        Of the events it was fitted on.
    n_train_ : int
        How many these were.
    cpu_seconds_ : float
        CPU time of the fit in this process [s].
    provenance_ : dict
        Of the training events, with seed and version (JSON values).
    """

    name = "model"

    # ----------------------------------------------------------------------------------------------- training
    def fit(self, events, *, seed, condition=None, progress=False, num_threads=None):
        """Learn from events.

        Parameters
        ----------
        events : Events
            Without weights: unweight first.
        seed : int
            Of start values and of the order of the events. The same seed and events give the same model.
        condition : dict of str to (n,) array, optional
            What each event was made with, for conditional models.
        progress : bool
            Show a bar.
        num_threads : int, optional

        Returns
        -------
        EventModel
            self

        Raises
        ------
        TypeError, ValueError
            For what are no events, weighted events, or fewer than 100 of them.
        """
        if not isinstance(events, Events):
            raise TypeError(f"events: expected Events, got {type(events).__name__}")
        if events.weight is not None:
            raise ValueError(
                "events: carry weights; unweight them first (a model learns from events that count alike)"
            )
        if len(events) < 100:
            raise ValueError(f"events: expected at least 100, got {len(events)}")
        start = time.process_time()
        self.layout_, self.n_train_ = events.layout, len(events)
        self.networks_, self.arrays_, self.state_ = {}, {}, {}
        given = self._training_condition(events, condition)
        self._fit(events, given, _seed(seed), progress, num_threads)
        self.cpu_seconds_ = time.process_time() - start
        self.provenance_ = {
            "events": events.provenance,
            "n_train": len(events),
            "seed": seed,
            "version": simgraft.__version__,
        }
        self._start()
        return self

    def _training_condition(self, events, condition):
        if condition is not None:
            raise ValueError(f"condition: {self.name} takes none")
        return None

    def _condition(self, condition, n, first):
        return self._training_condition(None, condition)

    def _start(self):
        pass

    def _fitted(self):
        if not hasattr(self, "layout_"):
            raise ValueError(f"{self.name} has not been fitted: call fit(events, seed=...) or load a file")

    # ----------------------------------------------------------------------------------------------- sampling
    @property
    def layout(self):
        """Columns of the events."""
        self._fitted()
        return self.layout_

    def sample(self, n, seed, *, first=0, condition=None, num_threads=None, dtype="float64"):
        """New events.

        Parameters
        ----------
        n : int
        seed : int
        first : int
            Number of the first event.
        condition : dict of str to number, text or (n,) array, optional
            What to make, for conditional models; arrays belong to events ``first`` to ``first + n``.
        num_threads : int, optional
            Default: ``OMP_NUM_THREADS`` or all CPUs.
        dtype : {"float64", "float32"}
            Of the columns; they are computed in float64 (networks in float32).

        Returns
        -------
        Events
        """
        n, first = count(n, "n", 0), count(first, "first", 0)
        if dtype not in ("float64", "float32"):
            raise ValueError(f"dtype: expected float64 or float32, got {dtype!r}")
        self._fitted()
        given = self._condition(condition, n, first)
        values = np.empty((len(self.layout_), n), dtype)
        present = None
        for start in range(0, max(n, 1), _BLOCK):  # bounded scratch; rows do not depend on it
            part = slice(start, min(start + _BLOCK, n))
            columns, there = self._draw(
                part.stop - start, _seed(seed), first + start, slice_condition(given, part), num_threads
            )
            values[:, part] = columns
            if there is not None:
                if present is None:
                    present = np.empty((len(self.layout_.objects), n), bool)
                present[:, part] = there
        source = {
            "model": self.name,
            "seed": seed,
            "first": first,
            "trained": getattr(self, "provenance_", {}),
        }
        return Events(self.layout_, values, present=present, provenance=source)

    def stream(
        self,
        n,
        seed,
        to,
        *,
        first=0,
        condition=None,
        block=_BLOCK,
        num_threads=None,
        executor=None,
        progress=False,
    ):
        """Many events without holding them.

        Parameters
        ----------
        n, seed, first, condition, num_threads
            As in :meth:`sample`.
        to : callable or path
            Called with :class:`Events` of at most `block` events, in order; or the folder of a
            :class:`simgraft.Dataset` with the number of each event as input and its columns as outputs. An
            interrupted data set is resumed by repeating the call.
        block : int
            Events per call, >= 1; they do not depend on it.
        executor : concurrent.futures.Executor, optional
            Where shards of the data set are made.
        progress : bool
            Show a bar while a data set is made.

        Returns
        -------
        int or simgraft.Dataset
            How many events `to` was given, or the data set.
        """
        n, first, block = count(n, "n", 0), count(first, "first", 0), count(block, "block", 1)
        if callable(to):
            given = self._condition(condition, n, first)
            for start in range(0, n, block):
                part = slice(start, min(start + block, n))
                to(
                    self.sample(
                        part.stop - start,
                        seed,
                        first=first + start,
                        condition=slice_condition(given, part),
                        num_threads=num_threads,
                    )
                )
            return n
        if not isinstance(to, (str, os.PathLike)):
            raise TypeError(f"to: expected a callable or a path, got {type(to).__name__}")
        kernel = self.kernel(seed, condition=condition, num_threads=num_threads)
        numbers = simgraft.sampling.from_states({"event": np.arange(first, first + n, dtype=np.float64)})
        return kernel.sample(numbers, n, out=to, block_rows=block, executor=executor, progress=progress)

    def kernel(self, seed, *, condition=None, num_threads=None):
        """The sampler as a :class:`simgraft.Kernel` from the number of an event to its columns.

        Parameters
        ----------
        seed : int
        condition : dict of str to number or text, optional
            The same for all events.

        Returns
        -------
        simgraft.Kernel
        """
        self._fitted()
        return event_kernel(
            _Sampler(self, seed, condition, num_threads),
            self.layout_,
            self.name,
            version=simgraft.__version__,
            parameters={"seed": seed, "condition": dict(condition or {})},
        )

    # -------------------------------------------------------------------------------------------------- files
    def save(self, path):
        """Write the model to one file, which :func:`load` reads."""
        self._fitted()
        items = {f"array/{name}": np.ascontiguousarray(array) for name, array in self.arrays_.items()}
        items |= {f"network/{name}": network.parameters for name, network in self.networks_.items()}
        items["model"] = json.dumps(
            {
                "class": type(self).__name__,
                "parameters": pack(self),
                "layout": [self.layout_.name, [[c.name, c.unit, c.of] for c in self.layout_.columns]],
                "n_train": self.n_train_,
                "cpu_seconds": self.cpu_seconds_,
                "provenance": self.provenance_,
                "state": self.state_,
                "networks": {name: network.spec for name, network in self.networks_.items()},
            }
        )
        _core.container_write(os.fspath(path), _KIND, _VERSION, items)

    @classmethod
    def load(cls, path):
        """Read a model of this class (of any, from :class:`EventModel`) that :meth:`save` wrote.

        Raises
        ------
        OSError
            If the file is damaged or none of a model; the message names it.
        """
        items = _core.container_read(os.fspath(path), _KIND, _VERSION)
        head = json.loads(items["model"])
        if head["class"] not in _classes:
            raise ValueError(f"{os.fspath(path)}: holds a model {head['class']}, which is not known here")
        found = _classes[head["class"]]
        if not issubclass(found, cls):
            raise ValueError(f"{os.fspath(path)}: holds a {found.__name__}, expected a {cls.__name__}")
        model = unpack(found, head["parameters"])
        name, columns = head["layout"]
        model.layout_ = Layout(name, tuple(Column(*column) for column in columns))
        model.n_train_, model.cpu_seconds_ = head["n_train"], head["cpu_seconds"]
        model.provenance_, model.state_ = head["provenance"], head["state"]
        model.arrays_ = {key[6:]: value for key, value in items.items() if key.startswith("array/")}
        model.networks_ = {
            key: Network.from_spec(spec, items[f"network/{key}"]) for key, spec in head["networks"].items()
        }
        model._start()
        return model


class _Sampler:
    """What the kernel of a model calls; importable, so that processes can be sent it."""

    def __init__(self, model, seed, condition, num_threads):
        self.model, self.seed, self.condition, self.num_threads = model, seed, condition, num_threads

    def __call__(self, inputs):
        numbers = inputs["event"]
        whole = numbers.astype(np.int64)
        if (whole != numbers).any():
            row = int(np.flatnonzero(whole != numbers)[0])
            raise ValueError(f"event[{row}]: expected a whole number, got {numbers[row]}")
        out = np.empty((len(self.model.layout), len(numbers)))
        # Runs of consecutive numbers are made at once.
        edges = np.flatnonzero(np.diff(whole) != 1) + 1
        for run in np.split(np.arange(len(whole)), edges):
            if len(run):
                part = self.model.sample(
                    len(run),
                    self.seed,
                    first=int(whole[run[0]]),
                    condition=self.condition,
                    num_threads=self.num_threads,
                )
                out[:, run] = part.values
        return dict(zip(self.model.layout.names, out))


def slice_condition(given, part):
    """Events `part` (a slice) of a condition: arrays are cut, everything else is for all."""
    if given is None:
        return None
    return {k: v[part] if isinstance(v, np.ndarray) and v.ndim else v for k, v in given.items()}


def pack(thing):
    """Constructor arguments as JSON values; nested objects of this room become a dict with their class."""

    def plain(value):
        if isinstance(value, Params):
            return {"class": type(value).__name__, "parameters": pack(value)}
        return list(map(plain, value)) if isinstance(value, (list, tuple)) else value

    return {name: plain(value) for name, value in thing.get_params(deep=False).items()}


def unpack(cls, parameters):
    """The object that :func:`pack` wrote."""

    def rich(value):
        if isinstance(value, dict) and "class" in value:
            return unpack(_classes[value["class"]], value["parameters"])
        return tuple(map(rich, value)) if isinstance(value, list) else value

    return cls(**{name: rich(value) for name, value in parameters.items()})


def load(path):
    """Read a model that :meth:`EventModel.save` wrote; the same as ``EventModel.load``."""
    return EventModel.load(path)


# ----------------------------------------------------------------------------------------------- trivial rows
class Copy(EventModel):
    """Gives the training events back, in their order and again from the start.

    No metric of two samples can tell it from the truth: it is the row of a table that shows which metrics
    need a test of memorisation beside them.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, models
    >>> events = Events(TWO_BODY, np.random.default_rng(1).random((10, 100)))
    >>> copy = models.Copy().fit(events, seed=1).sample(3, seed=1, first=99)
    >>> bool((copy.values[:, 1] == events.values[:, 0]).all())
    True
    """

    name = "copy of training set"

    def __init__(self):
        pass

    def _fit(self, events, condition, seed, progress, num_threads):
        self.arrays_ = {"values": events.values.copy(), "present": events.present.astype(np.uint8)}

    def _draw(self, n, seed, first, condition, num_threads):
        which = (first + np.arange(n)) % self.n_train_
        return self.arrays_["values"][:, which], self.arrays_["present"][:, which].astype(bool)


class Smear(Copy):
    """Training events with every column multiplied by ``1 + share * N(0, 1)``, as the field's simplest way to
    more events.

    Parameters
    ----------
    share : float
        >= 0.

    Examples
    --------
    >>> from simgraft.events import models
    >>> models.Smear(0.05).name
    '5 % smear of training set'
    """

    def __init__(self, share=0.05):
        self.share = share

    @property
    def name(self):
        return f"{100 * self.share:g} % smear of training set"

    def _fit(self, events, condition, seed, progress, num_threads):
        if not self.share >= 0:
            raise ValueError(f"share: expected a number >= 0, got {self.share!r}")
        super()._fit(events, condition, seed, progress, num_threads)

    def _draw(self, n, seed, first, condition, num_threads):
        values, present = super()._draw(n, seed, first, condition, num_threads)
        noise = normal(seed, _LATENT, first, (n, len(values)), np.float64).T
        return values * (1 + self.share * noise), present


# ------------------------------------------------------------------------------------ variational autoencoder
class VAE(EventModel):
    """Variational autoencoder of whole events as it was published for them, sampled from N(0, 1).

    Columns divided by their largest magnitude; encoder and decoder of `depth` layers of `units` ELU neurons,
    from the third on with the output of the layer two before added; output tanh; loss ``(1 - beta) * mean
    squared error + beta * divergence``; start values N(0, sqrt(1.55 / units)). Seven stages, in each of which
    the rate is half of that before, the first four with Adam for `epochs` epochs, the last three with
    Nesterov momentum for half as many. The weights of the smallest validation loss (a tenth of the events) go
    into the next stage.

    Parameters
    ----------
    latent : int
        Numbers of a code.
    units, depth : int
    beta : float
        In (0, 1).
    epochs : int
        Of each of the first four stages; published: 240, which is 1320 in all.
    rate : float
        Of the first stage.
    batch_size : int

    References
    ----------
    Otten et al. 2021, doi:10.1038/s41467-021-22616-z, and the settings of its published program.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, models
    >>> events = Events(TWO_BODY, np.random.default_rng(1).normal(size=(10, 500)))
    >>> model = models.VAE(latent=2, units=8, epochs=2).fit(events, seed=1)
    >>> model.sample(5, seed=2)
    <Events two-body decay: 5 of 10 columns>
    """

    name = "VAE"

    def __init__(self, latent=20, units=128, depth=6, beta=1e-6, epochs=240, rate=1e-3, batch_size=1024):
        self.latent = latent
        self.units = units
        self.depth = depth
        self.beta = beta
        self.epochs = epochs
        self.rate = rate
        self.batch_size = batch_size

    def _tower(self, x):
        dense, elu = nn.LAYERS["Dense"], nn.LAYERS["Activation"]
        hidden = [dense(self.units, "elu")(x)]
        hidden.append(dense(self.units, "elu")(hidden[0]))
        for _ in range(self.depth - 2):
            hidden.append(elu("elu")(nn.LAYERS["Add"]()(dense(self.units)(hidden[-1]), hidden[-2])))
        return hidden[-1]

    def _network(self, n, seed):
        for value, name, lowest in (
            (self.latent, "latent", 1),
            (self.units, "units", 1),
            (self.depth, "depth", 2),
        ):
            count(value, name, lowest)
        if not 0 < self.beta < 1:
            raise ValueError(f"beta: expected a number in (0, 1), got {self.beta!r}")
        dense, x = nn.LAYERS["Dense"], nn.Input(n)
        h = self._tower(x)
        mean, log_variance = dense(self.latent)(h), dense(self.latent)(h)
        h = self._tower(nn.LAYERS["GaussianSample"]()(mean, log_variance))
        out = nn.LAYERS["Concatenate"]()(dense(n, "tanh")(h), mean, log_variance)
        network = Network.from_graph(x, out, seed=seed)
        first = 0
        for node in network._graph.nodes():
            for name, offset, shape in node["parameters"]:
                size = int(np.prod(shape))
                part = network.parameters[offset : offset + size]
                part[:] = 0
                if name == "weight":
                    draws = normal(seed, _LATENT, first, (size,), np.float32)
                    part[:] = draws * np.float32(np.sqrt(1.55 / self.units))
                    first += size
        return network

    def _fit(self, events, condition, seed, progress, num_threads):
        epochs = count(self.epochs, "epochs", 1)
        rows = np.ascontiguousarray(events.rows, np.float64)
        scale = np.abs(rows).max(axis=0)
        scale[scale == 0] = 1
        rows = (rows / scale).astype(np.float32)
        network = self._network(rows.shape[1], seed)
        # Half the squared error summed over columns is how the zoo weighs the divergence.
        vae = nn.zoo.VAENetwork(network, self.latent, 0.5 * rows.shape[1] * self.beta / (1 - self.beta))
        held = len(rows) // 10
        order = _core.nn_shuffle(seed, 0, len(rows), 1)
        train, validation = rows[order[held:]], rows[order[:held]]
        self.history_ = []
        for stage in range(7):
            rate = self.rate * 0.5**stage
            optimizer = nn.Adam(rate) if stage < 4 else nn.SGD(rate, momentum=0.9, nesterov=True)
            history = vae.fit(
                train,
                validation=validation,
                optimizer=optimizer,
                epochs=epochs if stage < 4 else -(-epochs // 2),
                batch_size=self.batch_size,
                seed=seed + stage,
                progress=progress,
                num_threads=num_threads,
            )
            self.history_.append(history)
        self.networks_ = {"encoder": vae.encoder, "decoder": vae.decoder}
        self.arrays_ = {"scale": scale}
        self._keep(rows)

    def _keep(self, rows):
        """What else of the training events sampling needs."""

    def _codes(self, n, seed, first):
        return normal(seed, _LATENT, first, (n, self.latent), np.float32)

    def _draw(self, n, seed, first, condition, num_threads):
        rows = self.networks_["decoder"].predict(self._codes(n, seed, first), num_threads=num_threads)
        return rows.T.astype(np.float64) * self.arrays_["scale"][:, None], None

    def _posterior(self, rows):
        """Mean and standard deviation (n, latent) of the codes of scaled rows."""
        mean, log_variance = np.split(self.networks_["encoder"].predict(rows), 2, axis=1)
        return mean, np.exp(0.5 * log_variance)

    def encode(self, events):
        """Mean and standard deviation (n, latent) of the codes of events."""
        self._fitted()
        if events.layout != self.layout_:
            raise ValueError(f"events: expected {self.layout_.name}, got {events.layout.name}")
        return self._posterior((events.rows / self.arrays_["scale"]).astype(np.float32))

    def reconstruct(self, rows):
        """Rows (n, n_columns) passed through encoder (mean) and decoder: what the code can hold, also of rows
        that are no events."""
        self._fitted()
        rows = (np.asarray(rows, np.float64) / self.arrays_["scale"]).astype(np.float32)
        codes = np.ascontiguousarray(self._posterior(rows)[0])
        return self.networks_["decoder"].predict(codes) * self.arrays_["scale"]


class BVAE(VAE):
    """The same autoencoder sampled around the codes of its training events (density information buffer).

    Event ``k`` is decoded from ``mu_i + (alpha * sigma_i + gamma) * N(0, 1)``, with the code ``i`` of a
    training event: a kernel density estimate in the space of codes. It stands or falls with a test of
    memorisation.

    Parameters
    ----------
    latent, units, depth, beta, epochs, rate, batch_size
        As for :class:`VAE`.
    alpha, gamma : float
        Width of the kernels, >= 0; may be changed after the fit.
    draw : {"cyclic", "random"}
        Event ``k`` takes code ``k mod n``, or one at random.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, models
    >>> events = Events(TWO_BODY, np.random.default_rng(1).normal(size=(10, 500)))
    >>> model = models.BVAE(latent=2, units=8, epochs=2).fit(events, seed=1)
    >>> len(model.near(events.take(slice(0, 1)), share=0.1).arrays_["use"])
    50
    """

    def __init__(
        self,
        latent=20,
        units=128,
        depth=6,
        beta=1e-6,
        epochs=240,
        rate=1e-3,
        batch_size=1024,
        alpha=1.0,
        gamma=0.05,
        draw="cyclic",
    ):
        super().__init__(latent, units, depth, beta, epochs, rate, batch_size)
        self.alpha = alpha
        self.gamma = gamma
        self.draw = draw

    name = "B-VAE"

    def _keep(self, rows):
        mean, sigma = self._posterior(rows)
        self.arrays_ |= {
            "mu": np.ascontiguousarray(mean),
            "sigma": sigma,
            "use": np.arange(len(rows)),
        }

    def _codes(self, n, seed, first):
        if self.draw not in ("cyclic", "random"):
            raise ValueError(f"draw: expected cyclic or random, got {self.draw!r}")
        for name in ("alpha", "gamma"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}: expected a number >= 0, got {getattr(self, name)!r}")
        use = self.arrays_["use"]
        if self.draw == "cyclic":
            which = (first + np.arange(n)) % len(use)
        else:
            which = (uniform(seed, _CHOICE, first, n)[:, 0] * len(use)).astype(np.int64)
        mu, sigma = self.arrays_["mu"][use[which]], self.arrays_["sigma"][use[which]]
        width = np.float32(self.alpha) * sigma + np.float32(self.gamma)
        return mu + width * super()._codes(n, seed, first)

    def principal_components(self):
        """Principal components of the codes.

        Returns
        -------
        mean : (latent,) array
        axes : (latent, latent) array
            Rows are the directions, those of the largest spread first.
        spread : (latent,) array
            Standard deviation along each.
        """
        self._fitted()
        mu = self.arrays_["mu"].astype(np.float64)
        mean = mu.mean(axis=0)
        spread, axes = np.linalg.eigh(np.cov((mu - mean).T, bias=True).reshape(self.latent, self.latent))
        return mean, axes.T[::-1], np.sqrt(np.maximum(spread[::-1], 0))

    def near(self, events, share=0.01, components=2):
        """A model that makes events like given ones: only the codes nearest to theirs are used.

        Nearest in the plane of the first principal components of the codes, each in units of its spread; the
        mean of the codes of `events` is the centre.

        Parameters
        ----------
        events : Events
            One or several.
        share : float
            Of the codes, in (0, 1].
        components : int
            Of the plane, 1 to latent.

        Returns
        -------
        BVAE
        """
        if not 0 < share <= 1:
            raise ValueError(f"share: expected a number in (0, 1], got {share!r}")
        if count(components, "components", 1) > self.latent:
            raise ValueError(f"components: expected at most {self.latent}, got {components}")
        mean, axes, spread = self.principal_components()
        plane = axes[:components].T / np.maximum(spread[:components], np.finfo(float).tiny)
        centre = (self.encode(events)[0].astype(np.float64).mean(axis=0) - mean) @ plane
        distance = (((self.arrays_["mu"] - mean) @ plane - centre) ** 2).sum(axis=1)
        found = copy.copy(self)
        use = np.argsort(distance, kind="stable")[: max(1, round(share * len(distance)))]
        found.arrays_ = {**self.arrays_, "use": np.sort(use)}
        return found


# --------------------------------------------------------------------------------------- adversarial networks
class LSGAN(EventModel):
    """Generator and critic of dense layers on whole events, with the least-squares loss.

    Columns are standardised. The published one has noise 100, four layers of 512 and 96,000 steps of 1024
    events.

    Parameters
    ----------
    noise : int
        Random numbers of an event.
    generator, critic : tuple of int
        Dense layers.
    epochs, batch_size : int
    rate : float
        Of both, by Adam with beta1 = 0.5, falling along half a cosine.
    critic_steps : int
        Of the critic per step of the generator.

    References
    ----------
    Mao et al. 2017, arXiv:1611.04076.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events import TWO_BODY, Events, models
    >>> events = Events(TWO_BODY, np.random.default_rng(1).normal(size=(10, 500)))
    >>> model = models.LSGAN(noise=4, generator=(8,), critic=(8,), epochs=1).fit(events, seed=1)
    >>> model.sample(5, seed=2)
    <Events two-body decay: 5 of 10 columns>
    """

    name = "LSGAN"
    _loss = "lsgan"

    def __init__(
        self,
        noise=32,
        generator=(128, 128, 128),
        critic=(128, 128, 128),
        epochs=40,
        batch_size=512,
        rate=2e-4,
        critic_steps=1,
    ):
        self.noise = noise
        self.generator = generator
        self.critic = critic
        self.epochs = epochs
        self.batch_size = batch_size
        self.rate = rate
        self.critic_steps = critic_steps

    def _fit(self, events, condition, seed, progress, num_threads):
        values = events.values.astype(np.float64)
        mean, std = values.mean(axis=1), values.std(axis=1)
        # A column that is the same in all events has only rounding as spread.
        std[std <= 1e-12 * np.abs(mean)] = 1
        rows = np.ascontiguousarray(((values - mean[:, None]) / std[:, None]).T, np.float32)
        gan = nn.zoo.GAN(self.noise, list(self.generator), list(self.critic), loss=self._loss).build(
            rows.shape[1], seed
        )

        def adam():
            return nn.Adam(nn.schedule.Cosine(self.rate), beta1=0.5)

        self.history_ = gan.fit(
            rows,
            optimizer=adam(),
            critic_optimizer=adam(),
            critic_steps=self.critic_steps,
            epochs=self.epochs,
            batch_size=self.batch_size,
            seed=seed,
            progress=progress,
            num_threads=num_threads,
        )
        self.networks_ = {"generator": gan.generator}
        self.arrays_ = {"mean": mean, "std": std}

    def _draw(self, n, seed, first, condition, num_threads):
        noise = normal(seed, _LATENT, first, (n, self.noise), np.float32)
        rows = self.networks_["generator"].predict(noise, num_threads=num_threads)
        return rows.T * self.arrays_["std"][:, None] + self.arrays_["mean"][:, None], None


class WGAN(LSGAN):
    """Generator and critic with the Wasserstein loss, the critic's slope bounded by spectral normalisation.

    Parameters
    ----------
    noise, generator, critic, epochs, batch_size, rate, critic_steps
        As for :class:`LSGAN`.

    References
    ----------
    Arjovsky et al. 2017, arXiv:1701.07875; Miyato et al. 2018, arXiv:1802.05957.

    Examples
    --------
    >>> from simgraft.events import models
    >>> models.WGAN(epochs=100).critic_steps
    2
    """

    name = "WGAN, spectral norm"
    _loss = "wgan"

    def __init__(
        self,
        noise=32,
        generator=(128, 128, 128),
        critic=(128, 128, 128),
        epochs=40,
        batch_size=512,
        rate=1e-3,
        critic_steps=2,
    ):
        super().__init__(noise, generator, critic, epochs, batch_size, rate, critic_steps)
