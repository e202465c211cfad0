"""Ready-made networks. Each is a specification that only stores, and is built for given sizes; all are made
of ``nn`` layers, so what is built here can be saved, deployed, exported and searched like any other network.

:class:`ResidualMLP`, :class:`UNet`, :class:`Sequence` and :class:`DeepSets` build a
:class:`simgraft.nn.Network`, as :class:`simgraft.nn.MLP` does. :class:`VAE`, :class:`GAN` and :class:`Flow`
build an object that holds its networks and can ``fit`` and ``sample``.
"""

import numpy as np

from simgraft.nn import adversarial
from simgraft.nn._params import Params
from simgraft.nn.flow_matching import normal
from simgraft.nn.layers import LAYERS, Input
from simgraft.nn.loss import KL, MSE, FlowNLL, Term, Terms
from simgraft.nn.network import MLP, Network, _seed
from simgraft.nn.training import fit

__all__ = ["DeepSets", "Flow", "GAN", "MLP", "ResidualMLP", "Sequence", "UNet", "VAE"]
_FLOW, _LATENT = (0x7A6F6F00 << 32) + np.arange(2)  # streams of random numbers


def _layer(name, *arguments, **attributes):
    return LAYERS[name](*arguments, **attributes)


def _columns(value, start, stop):
    return LAYERS["Slice"](start, stop)(value)


def _dense(value, units, activation):
    for n in units:
        value = _layer("Dense", n, activation)(value)
    return value


def _share(n, parts, what, of):
    if n % parts:
        raise ValueError(f"{what}: expected a multiple of {parts} ({of}), got {n}")
    return n // parts


def _part(network, inputs, outputs):
    """Network from the values of some nodes to those of others (side by side), with copies of the parameters
    between."""
    nodes, found, chunks, number = network._graph.nodes(), [], [], {}
    for i in inputs:
        number[i] = len(found)
        found.append(("input", (), {"shape": nodes[i]["shape"]}))
    needed, stack = set(), list(outputs)
    while stack:
        i = stack.pop()
        if i not in needed and i not in number:
            needed.add(i)
            stack += nodes[i]["inputs"]
    for i in sorted(needed):
        number[i] = len(found)
        found.append((nodes[i]["op"], tuple(number[k] for k in nodes[i]["inputs"]), nodes[i]["attributes"]))
        chunks += [
            network.parameters[first : first + int(np.prod(shape))]
            for _, first, shape in nodes[i]["parameters"]
        ]
    if len(outputs) > 1:
        found.append(("concatenate", tuple(number[i] for i in outputs), {}))
    return Network(found, np.concatenate(chunks) if chunks else np.empty(0, network.dtype))


class ResidualMLP(Params):
    """Multi-layer perceptron with residual blocks, ``h + Dense(Dense(norm(h)))``: deep networks that still
    train.

    Parameters
    ----------
    width : int
        Neurons of every layer.
    blocks : int
        Of two dense layers each, >= 1.
    activation : str
        One of ``nn.ACTIVATIONS``.
    norm : bool
        Layer normalisation at the start of each block.
    dropout : float
        Share of the neurons dropped within a block in training, in [0, 1).

    References
    ----------
    He et al. 2016, arXiv:1603.05027 (pre-activation).

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.zoo.ResidualMLP(width=32, blocks=2).build(5, 3, seed=1)
    <Network 5 -> 3, 4,643 parameters, float32>
    """

    def __init__(self, width=128, blocks=3, activation="swish", norm=True, dropout=0.0):
        self.width = width
        self.blocks = blocks
        self.activation = activation
        self.norm = norm
        self.dropout = dropout

    def build(self, n_in, n_out, seed, dtype="float32"):
        """Network with random start values; arguments as in :meth:`simgraft.nn.MLP.build`."""
        x = Input(n_in)
        h = _layer("Dense", self.width)(x)
        for _ in range(self.blocks):
            inner = _layer("LayerNorm")(h) if self.norm else h
            inner = _layer("Dense", self.width, self.activation)(inner)
            if self.dropout:
                inner = _layer("Dropout", self.dropout)(inner)
            h = _layer("Add")(h, _layer("Dense", self.width)(inner))
        return Network.from_graph(x, _layer("Dense", n_out)(h), seed=seed, dtype=dtype)


class Sequence(Params):
    """Recurrent layers over the steps of a series (a column, a time series).

    Input row: (steps, channels), steps one after the other. Output row: (steps, channels out), or one vector
    with ``output="last"``.

    Parameters
    ----------
    steps : int
        Length of the series.
    units : list of int
        Of the recurrent layers.
    cell : {"lstm", "gru"}
    output : {"sequence", "last"}
    bidirectional : bool
        Run each layer in both directions, side by side, so that every step sees the whole series.

    References
    ----------
    Hochreiter & Schmidhuber 1997, doi:10.1162/neco.1997.9.8.1735; Cho et al. 2014, arXiv:1406.1078.

    Examples
    --------
    A column of 60 levels with 4 inputs and 2 outputs per level, in both directions:

    >>> from simgraft import nn
    >>> nn.zoo.Sequence(60, [16], bidirectional=True).build(60 * 4, 60 * 2, seed=1)
    <Network 240 -> 120, 2,754 parameters, float32>
    """

    def __init__(self, steps, units=(64,), cell="lstm", output="sequence", bidirectional=False):
        self.steps = steps
        self.units = units
        self.cell = cell
        self.output = output
        self.bidirectional = bidirectional

    def build(self, n_in, n_out, seed, dtype="float32"):
        """Network with random start values; arguments as in :meth:`simgraft.nn.MLP.build`, whole rows."""
        if self.cell not in ("lstm", "gru"):
            raise ValueError(f"cell: expected lstm or gru, got {self.cell!r}")
        if self.output not in ("sequence", "last"):
            raise ValueError(f"output: expected sequence or last, got {self.output!r}")
        x = Input((self.steps, _share(n_in, self.steps, "n_in", "steps")))
        name, h = self.cell.upper(), x
        for i, n in enumerate(self.units):
            output = self.output if i == len(self.units) - 1 else "sequence"
            both = [_layer(name, n, output=output)(h)]
            if self.bidirectional:
                both.append(_layer(name, n, output=output, reverse=1)(h))
            h = _layer("Concatenate")(*both) if self.bidirectional else both[0]
        channels = n_out if self.output == "last" else _share(n_out, self.steps, "n_out", "steps")
        return Network.from_graph(x, _layer("Dense", channels)(h), seed=seed, dtype=dtype)


class UNet(Params):
    """Convolutions on a field, down to coarser grids and up again, with the finer levels handed across.

    Input row: (*shape, channels in), output row: (*shape, channels out), last dimension fastest.

    Parameters
    ----------
    shape : int or tuple of int
        Cells of the field in one, two or three dimensions, each a multiple of ``2 ** levels``.
    channels : int
        At the finest level, twice as many at each coarser one.
    levels : int
        How often the grid is halved, >= 1.
    kernel : int
        Width of the convolutions.
    padding : {"same", "periodic", "replicate"}
        What lies beyond the edge.
    activation : str
        One of ``nn.ACTIVATIONS``.

    References
    ----------
    Ronneberger, Fischer & Brox 2015, arXiv:1505.04597.

    Examples
    --------
    >>> from simgraft import nn
    >>> network = nn.zoo.UNet((16, 16), channels=4, levels=2).build(16 * 16 * 3, 16 * 16, seed=1)
    >>> network.n_in, network.n_out
    (768, 256)
    """

    def __init__(self, shape, channels=16, levels=2, kernel=3, padding="same", activation="relu"):
        self.shape = shape
        self.channels = channels
        self.levels = levels
        self.kernel = kernel
        self.padding = padding
        self.activation = activation

    def build(self, n_in, n_out, seed, dtype="float32"):
        """Network with random start values; arguments as in :meth:`simgraft.nn.MLP.build`, whole rows."""
        shape = (self.shape,) if isinstance(self.shape, (int, np.integer)) else tuple(self.shape)
        cells = int(np.prod(shape))
        for n in shape:
            _share(n, 2**self.levels, "shape", f"2 ** {self.levels} levels")
        c_in, c_out = _share(n_in, cells, "n_in", "cells"), _share(n_out, cells, "n_out", "cells")

        def block(value, channels):
            for _ in range(2):
                value = _layer(
                    "Conv", channels, self.kernel, padding=self.padding, activation=self.activation
                )(value)
            return value

        x = h = Input((*shape, c_in))
        fine = []
        for level in range(self.levels):
            fine.append(block(h, self.channels * 2**level))
            h = _layer("MaxPool", 2)(fine[-1])
        h = block(h, self.channels * 2**self.levels)
        for level in reversed(range(self.levels)):
            h = _layer("Upsample", 2)(h)
            h = block(_layer("Concatenate")(fine[level], h), self.channels * 2**level)
        return Network.from_graph(x, _layer("Conv", c_out, 1)(h), seed=seed, dtype=dtype)


class DeepSets(Params):
    """A function of a set of items that does not depend on their order: a network for each item, a pool over
    the items that are present, and a network for the result.

    Input row: the items (items, channels), then a mask (items), 1 where an item is present and 0 elsewhere.

    Parameters
    ----------
    items : int
        Most items of a set.
    item_units, units : list of int
        Dense layers for each item, and after the pool.
    pool : {"mean", "sum", "max"}
    activation : str
        One of ``nn.ACTIVATIONS``.

    References
    ----------
    Zaheer et al. 2017, arXiv:1703.06114.

    Examples
    --------
    Up to 20 particles with 4 numbers each:

    >>> from simgraft import nn
    >>> nn.zoo.DeepSets(20, [32], [16]).build(20 * 4 + 20, 3, seed=1)
    <Network 100 -> 3, 739 parameters, float32>
    """

    def __init__(self, items, item_units=(64, 64), units=(64,), pool="sum", activation="swish"):
        self.items = items
        self.item_units = item_units
        self.units = units
        self.pool = pool
        self.activation = activation

    def build(self, n_in, n_out, seed, dtype="float32"):
        """Network with random start values; arguments as in :meth:`simgraft.nn.MLP.build`, whole rows with
        the mask."""
        channels = _share(n_in, self.items, "n_in", "items") - 1
        if channels < 1:
            raise ValueError(
                f"n_in: expected at least one channel and the mask for each of {self.items} items, got {n_in}"
            )
        x, mask = Input((self.items, channels)), Input(self.items)
        pooled = _layer("SetPool", pool=self.pool)(_dense(x, self.item_units, self.activation), mask)
        return Network.from_graph(
            [x, mask],
            _layer("Dense", n_out)(_dense(pooled, self.units, self.activation)),
            seed=seed,
            dtype=dtype,
        )


# ------------------------------------------------------------------------------------------ generative models
class VAE(Params):
    """Variational autoencoder of rows, with a Gaussian code.

    Parameters
    ----------
    latent : int
        Numbers of the code.
    encoder, decoder : list of int
        Dense layers; None of ``decoder`` takes those of the encoder in reverse.
    activation : str
        One of ``nn.ACTIVATIONS``.
    beta : float
        Weight of the divergence of the code from N(0, 1) relative to a reconstruction error of unit variance:
        the evidence lower bound for 1, when the data have a noise of standard deviation 1; smaller for a
        sharper reconstruction.

    References
    ----------
    Kingma & Welling 2014, arXiv:1312.6114; Higgins et al. 2017 (beta).

    Examples
    --------
    Rows that lie on a line through ten dimensions need one number:

    >>> import numpy as np
    >>> from simgraft import nn
    >>> rows = np.random.default_rng(1).normal(size=(500, 1)) @ np.linspace(-2, 2, 10)[None]
    >>> vae = nn.zoo.VAE(latent=1, encoder=[32], beta=0.01).build(10, seed=1, dtype="float64")
    >>> history = vae.fit(rows, optimizer=nn.Adam(5e-3), epochs=40, batch_size=50, seed=1, progress=False)
    >>> bool(np.abs(vae.decode(vae.encode(rows)[0]) - rows).mean() < 0.2)
    True
    """

    def __init__(self, latent, encoder=(64, 64), decoder=None, activation="swish", beta=1.0):
        self.latent = latent
        self.encoder = encoder
        self.decoder = decoder
        self.activation = activation
        self.beta = beta

    def build(self, n, seed, dtype="float32"):
        """Networks for rows of ``n`` numbers, with random start values.

        Returns
        -------
        VAENetwork
        """
        x = Input(n)
        h = _dense(x, self.encoder, self.activation)
        mean, log_variance = _layer("Dense", self.latent)(h), _layer("Dense", self.latent)(h)
        code = _layer("GaussianSample")(mean, log_variance)
        h = _dense(code, list(self.encoder)[::-1] if self.decoder is None else self.decoder, self.activation)
        out = _layer("Concatenate")(_layer("Dense", n)(h), mean, log_variance)
        return VAENetwork(Network.from_graph(x, out, seed=seed, dtype=dtype), self.latent, self.beta)


class VAENetwork:
    """A variational autoencoder with its parameters; made by :meth:`VAE.build`.

    Attributes
    ----------
    network : Network
        Row to ``[reconstruction, mean, log-variance]``; in inference the code is the mean.
    loss : Terms
        Squared error and divergence.
    """

    def __init__(self, network, latent, beta):
        self.network, self.latent, self.n = network, latent, network.n_in
        # Half the squared error summed over columns, as the mean over columns: the divergence is divided by n
        # / 2 too.
        self.loss = Terms(
            [
                Term(MSE(), (0, self.n), name="reconstruction"),
                Term(KL(), (self.n, self.n + 2 * latent), weight=2 * beta / self.n, name="kl"),
            ]
        )

    def __repr__(self):
        return f"<VAENetwork of {self.latent} numbers, {self.network!r}>"

    def fit(self, rows, *, validation=None, **options):
        """Train on rows (n, columns); options as in :func:`simgraft.nn.fit`. Returns the History."""
        pair = None if validation is None else (validation, validation)
        return fit(self.network, (rows, rows), validation=pair, loss=self.loss, **options)

    def _node(self, op):
        return next(i for i, node in enumerate(self.network._graph.nodes()) if node["op"] == op)

    @property
    def encoder(self):
        """Network from a row to ``[mean, log-variance]`` of its code, a copy."""
        return _part(self.network, [0], self.network._graph.nodes()[self._node("gaussian_sample")]["inputs"])

    @property
    def decoder(self):
        """Network from a code to a row, a copy."""
        return _part(
            self.network, [self._node("gaussian_sample")], self.network._graph.nodes()[-1]["inputs"][:1]
        )

    def encode(self, rows):
        """Mean and log-variance (n, latent) of the codes."""
        return np.split(self.encoder.predict(rows), 2, axis=1)

    def decode(self, codes):
        """Rows of codes (n, latent)."""
        return self.decoder.predict(codes)

    def sample(self, n, *, seed):
        """``n`` new rows, from codes drawn from N(0, 1); row i has the same bits whatever ``n``."""
        return self.decode(normal(_seed(seed), _LATENT, 0, (n, self.latent), self.network.dtype))

    def summary(self):
        """Table of layers, as text."""
        return self.network.summary()


class GAN(Params):
    """Generator and critic of dense layers, for :mod:`simgraft.nn.adversarial`.

    Parameters
    ----------
    noise : int
        Random numbers the generator takes.
    generator, critic : list of int
        Dense layers.
    activation : str
        Of the generator; the critic's is leaky_relu.
    loss : {"wgan", "lsgan", "hinge", "gan"}
        As in :func:`simgraft.nn.adversarial.fit`.

    References
    ----------
    Goodfellow et al. 2014, arXiv:1406.2661; Arjovsky et al. 2017, arXiv:1701.07875; Miyato et al. 2018,
    arXiv:1802.05957.

    Examples
    --------
    >>> from simgraft import nn
    >>> gan = nn.zoo.GAN(noise=4).build(2, seed=1)
    >>> gan.sample(10, seed=1).shape
    (10, 2)
    """

    def __init__(self, noise=8, generator=(64, 64), critic=(64, 64), activation="leaky_relu", loss="wgan"):
        self.noise = noise
        self.generator = generator
        self.critic = critic
        self.activation = activation
        self.loss = loss

    def build(self, n, seed, n_condition=0, dtype="float32"):
        """Networks for samples of ``n`` numbers and conditions of ``n_condition``, with random start values.

        Returns
        -------
        GANNetworks
        """
        seeds = np.random.SeedSequence(_seed(seed)).generate_state(2, np.uint32)
        generator = MLP(self.generator, self.activation).build(
            n_condition + self.noise, n, int(seeds[0]), dtype
        )
        return GANNetworks(
            generator,
            MLP(self.critic, "leaky_relu").build(n_condition + n, 1, int(seeds[1]), dtype),
            self.loss,
        )


class GANNetworks:
    """Generator and critic with their parameters; made by :meth:`GAN.build`.

    Attributes
    ----------
    generator, critic : Network
    """

    def __init__(self, generator, critic, loss):
        self.generator, self.critic, self.loss = generator, critic, loss

    def __repr__(self):
        return f"<GANNetworks {self.generator!r}, {self.critic!r}>"

    def fit(self, samples, condition=None, **options):
        """Train on samples (n, columns); options as in :func:`simgraft.nn.adversarial.fit`. Returns the
        History."""
        return adversarial.fit(
            self.generator, self.critic, (condition, samples), **{"loss": self.loss} | options
        )

    def sample(self, n, condition=None, *, seed, num_threads=None):
        """New samples; as :func:`simgraft.nn.adversarial.sample`."""
        return adversarial.sample(self.generator, n, condition, seed=seed, num_threads=num_threads)

    def summary(self):
        """Tables of layers, as text."""
        return f"generator\n{self.generator.summary()}\n\ncritic\n{self.critic.summary()}"


class Flow(Params):
    """Normalising flow: an invertible map of the data to normal numbers, with density and samples.

    Coupling layers transform one half of the numbers by a map whose parameters are a network of the other
    half (and of a condition); halves change places from layer to layer. Scale the data to about unit
    variance.

    Parameters
    ----------
    layers : int
        >= 2.
    units : list of int
        Dense layers of each coupling's network.
    coupling : {"spline", "affine"}
        Monotone rational-quadratic splines, or shift and scale.
    bins : int
        Of each spline.
    bound : float
        Splines act within [-bound, bound] and are the identity beyond.
    activation : str
        One of ``nn.ACTIVATIONS``.
    shuffle : int or None
        Seed of random orders in which the numbers enter every second coupling, so that each pair of couplings
        splits them into other halves (and still transforms each once): better for more than a few numbers.
        None: the same halves throughout.

    References
    ----------
    Durkan et al. 2019, arXiv:1906.04032; Dinh et al. 2017, arXiv:1605.08803.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> a, e = np.random.default_rng(1).normal(size=(2, 2000))
    >>> data = np.stack([a, 0.5 * a + 0.5 * e], axis=1)
    >>> flow = nn.zoo.Flow(layers=2, units=[16]).build(2, seed=1, dtype="float64")
    >>> history = flow.fit(data, optimizer=nn.Adam(1e-2), epochs=20, seed=1, progress=False)
    >>> exact = -0.5 * (a**2 + e**2) - np.log(2 * np.pi * 0.5)
    >>> bool(abs(np.mean(exact - flow.log_prob(data))) < 0.05)
    True
    """

    def __init__(
        self,
        layers=6,
        units=(64, 64),
        coupling="spline",
        bins=8,
        bound=5.0,
        activation="swish",
        shuffle=None,
    ):
        self.layers = layers
        self.units = units
        self.coupling = coupling
        self.bins = bins
        self.bound = bound
        self.activation = activation
        self.shuffle = shuffle

    def _shuffled(self, value, number, direction):
        """The value in another order before coupling `number`, where there is one."""
        if self.shuffle is None or number == 0 or number % 2:
            return value
        return _layer("Shuffle", (int(self.shuffle) + number // 2) % 2**31, direction)(value)

    def _coupling(self, direction):
        if self.coupling == "spline":
            return _layer(
                "SplineCoupling", bins=self.bins, bound=self.bound, direction=direction
            ), 3 * self.bins - 1
        return _layer("AffineCoupling", direction=direction), 2

    def _step(self, a, b, condition, direction):
        """The other half b transformed given a, the log-determinant, and the last layer of the network in
        between."""
        layer, per_channel = self._coupling(direction)
        h = _layer("Concatenate")(a[0], condition) if condition is not None else a[0]
        head = _layer("Dense", per_channel * b[1])(_dense(h, self.units, self.activation))
        both = layer(b[0], head)
        return _columns(both, 0, b[1]), _columns(both, b[1], b[1] + 1)

    def _graph(self, n, n_condition, dtype, inverse):
        """Network of the flow or its inverse; a value is a pair of what and how many."""
        first = n // 2
        x, condition = Input(n), Input(n_condition) if n_condition else None
        sizes = [(first, n - first)]
        for _ in range(self.layers - 1):
            sizes.append(sizes[-1][::-1])
        value, logs = x, []
        if not inverse:
            for number, (k, m) in enumerate(sizes):
                value = self._shuffled(value, number, "forward")
                a, b = _columns(value, 0, k), _columns(value, k, n)
                b, log = self._step((a, k), (b, m), condition, "forward")
                value, logs = _layer("Concatenate")(b, a), [*logs, log]
        else:
            for number, (k, m) in reversed(list(enumerate(sizes))):
                b, a = _columns(value, 0, m), _columns(value, m, n)
                b, _ = self._step((a, k), (b, m), condition, "inverse")
                value = self._shuffled(_layer("Concatenate")(a, b), number, "inverse")
        if logs:
            total = logs[0]
            for log in logs[1:]:
                total = _layer("Add")(total, log)
            value = _layer("Concatenate")(value, total)
        return Network.from_graph([x, condition] if n_condition else x, value, seed=0, dtype=dtype)

    def build(self, n, seed, n_condition=0, dtype="float32"):
        """Flow of rows of ``n`` numbers, given conditions of ``n_condition``, close to the identity at the
        start.

        Returns
        -------
        FlowNetwork
        """
        if n < 2:
            raise ValueError(f"n: a coupling needs two parts, expected at least 2 columns, got {n}")
        if self.layers < 2:
            raise ValueError(
                f"layers: expected at least 2, so that every number is transformed, got {self.layers}"
            )
        if self.coupling not in ("spline", "affine"):
            raise ValueError(f"coupling: expected spline or affine, got {self.coupling!r}")
        if self.shuffle is not None:
            _seed(self.shuffle)
        return FlowNetwork(self, n, n_condition, _seed(seed), dtype)


class FlowNetwork:
    """A normalising flow with its parameters; made by :meth:`Flow.build`.

    Attributes
    ----------
    network : Network
        Row ``[x, condition]`` to ``[z, log-determinant]``.
    """

    def __init__(self, spec, n, n_condition, seed, dtype):
        self.spec, self.n, self.n_condition = spec, n, n_condition
        self.network = spec._graph(n, n_condition, dtype, inverse=False)
        self.network._graph.initialise(self.network.parameters, "glorot_uniform", seed)
        for _, head in self._chunks(self.network):
            for array in head:
                array *= 0.01  # a conditioner of zero is the identity

    @staticmethod
    def _chunks(network):
        """Parameters of the network of each coupling in order, and those of its last layer."""
        nodes = network._graph.nodes()

        def arrays(i):
            return [
                network.parameters[first : first + int(np.prod(shape))]
                for _, first, shape in nodes[i]["parameters"]
            ]

        for i, node in enumerate(nodes):
            if not node["op"].endswith("_coupling"):
                continue
            head = k = node["inputs"][1]
            found = []
            while nodes[k]["op"] == "dense":
                found = arrays(k) + found
                k = nodes[k]["inputs"][0]
            yield found, arrays(head)

    def __repr__(self):
        return f"<FlowNetwork of {self.n} numbers, {self.n_condition} conditions, {self.network!r}>"

    def _row(self, x, condition):
        if (condition is None) != (self.n_condition == 0):
            raise ValueError(
                f"condition: expected {self.n_condition} columns, "
                f"got {'none' if condition is None else condition.shape}"
            )
        return (
            x if condition is None else np.hstack([x, np.broadcast_to(condition, (len(x), self.n_condition))])
        )

    def fit(self, samples, condition=None, *, weight=None, validation=None, **options):
        """Maximum likelihood.

        Parameters
        ----------
        samples : (n, columns) array
        condition : (n, n_condition) array, optional
        weight : (n,) array, optional
        validation : (samples, condition) or array, optional
        **options
            As in :func:`simgraft.nn.fit`.

        Returns
        -------
        History
            The loss is the mean of ``-log_prob``.
        """
        if validation is not None:
            validation = (
                self._row(*(validation if isinstance(validation, tuple) else (validation, None))),
                None,
            )
        return fit(
            self.network,
            (self._row(samples, condition), None, weight),
            loss=FlowNLL(),
            validation=validation,
            **options,
        )

    def log_prob(self, samples, condition=None, *, num_threads=None):
        """Logarithm of the density (n,) at samples (n, columns)."""
        z = self.network.predict(self._row(samples, condition), num_threads=num_threads)
        return z[:, -1] - 0.5 * (z[:, :-1] ** 2).sum(axis=1) - 0.5 * self.n * np.log(2 * np.pi)

    @property
    def inverse(self):
        """Network from ``[z, condition]`` to x, with copies of the parameters."""
        network = self.spec._graph(self.n, self.n_condition, self.network.dtype, inverse=True)
        for (mine, _), (theirs, _) in zip(reversed(list(self._chunks(network))), self._chunks(self.network)):
            for to, value in zip(mine, theirs):
                to[:] = value
        return network

    def sample(self, n, condition=None, *, seed, num_threads=None):
        """New samples (n, columns); sample i has the same bits whatever ``n`` and ``num_threads``."""
        z = normal(_seed(seed), _FLOW, 0, (n, self.n), self.network.dtype)
        return self.inverse.predict(self._row(z, condition), num_threads=num_threads)

    def summary(self):
        """Table of layers, as text."""
        return self.network.summary()
