"""Deep ensembles: the same network from several start values, trained together in one pass over the data."""

import numpy as np

from simgraft import _core
from simgraft.nn._params import Params
from simgraft.nn.loss import MSE, Term, Terms
from simgraft.nn.network import Network, _seed
from simgraft.nn.training import fit

_WIDTH = 8  # inputs of one node


class _Members(Params):
    """The same loss on the columns of every member; the sum, so that each member has the gradient it would
    have alone."""

    def __init__(self, loss, members):
        self.loss = loss
        self.members = members

    rows_per_group = property(lambda self: self.loss.rows_per_group)

    def _n_target(self, n_out):
        return self.loss._n_target(n_out // self.members)

    def _terms(self, n_out, n_target, dtype):
        n = n_out // self.members
        terms = [Term(self.loss, (m * n, (m + 1) * n), targets=(0, n_target)) for m in range(self.members)]
        return Terms(terms)._terms(n_out, n_target, dtype)


def _joined(members):
    """Nodes of a network that computes all members on the same input, and the nodes at which they end."""
    nodes, ends, shared = [], [], []
    for network in members:
        number, own = {}, network._graph.nodes()
        for i, node in enumerate(own):
            if node["op"] == "input" and ends:
                number[i] = shared[sum(n["op"] == "input" for n in own[:i])]
                continue
            number[i] = len(nodes)
            if node["op"] == "input":
                shared.append(len(nodes))
            nodes.append((node["op"], tuple(number[k] for k in node["inputs"]), node["attributes"]))
        ends.append(number[len(own) - 1])
    return nodes, ends


def _tree(nodes, ends, op):
    """Brings many nodes together, a few at a time."""
    while len(ends) > 1:
        ends, rest = [], list(ends)
        while rest:
            part, rest = rest[:_WIDTH], rest[_WIDTH:]
            if len(part) > 1:
                nodes.append((op, tuple(part), {}))
                part = [len(nodes) - 1]
            ends += part
    return ends[0]


class Ensemble(Params):
    """Several networks of one specification with different start values (deep ensemble).

    Parameters
    ----------
    spec : specification
        Anything with ``build``, as :class:`MLP` or :class:`Model`; its output is one row.
    members : int
        >= 2.

    References
    ----------
    Lakshminarayanan, Pritzel & Blundell 2017, arXiv:1612.01474.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> x = np.random.default_rng(1).uniform(-1, 1, (256, 1)).astype(np.float32)
    >>> ensemble = nn.Ensemble(nn.MLP([16], "tanh"), members=4).build(1, 1, seed=1)
    >>> history = ensemble.fit(
    ...     (x, np.sin(3 * x)), epochs=60, batch_size=32, optimizer=nn.Adam(1e-2), progress=False)
    >>> mean, spread = ensemble.predict(np.array([[0.0], [4.0]], np.float32))
    >>> bool(spread[1, 0] > spread[0, 0])                     # far from the data they disagree
    True
    """

    def __init__(self, spec, members=5):
        self.spec = spec
        self.members = members

    def build(self, n_in, n_out, seed, dtype="float32"):
        """Ensemble with random start values, different for each member.

        Parameters
        ----------
        n_in, n_out : int
            Elements of one input and output row of a member, >= 1.
        seed : int
        dtype : {"float32", "float64"}

        Returns
        -------
        EnsembleNetwork
        """
        if not isinstance(self.members, (int, np.integer)) or self.members < 2:
            raise ValueError(f"members: expected an integer >= 2, got {self.members!r}")
        seeds = np.random.SeedSequence(_seed(seed)).generate_state(self.members, np.uint64)
        return EnsembleNetwork([self.spec.build(n_in, n_out, int(s >> np.uint64(1)), dtype) for s in seeds])


class EnsembleNetwork:
    """Networks with the same input and output, and one network of all of them.

    Made by :meth:`Ensemble.build`, or from trained networks.

    Parameters
    ----------
    members : list of Network
        Of one dtype and the same sizes; their output is one row (rank 1). Copied.

    Attributes
    ----------
    network : Network
        Its output row is that of the first member, then of the second ...
    members : list of Network
        Their parameters are parts of ``network.parameters``.
    n_in, n_out : int
        Of one member.
    """

    def __init__(self, members):
        first = members[0]
        for network in members:
            if (network.n_in, network.n_out, network.dtype) != (first.n_in, first.n_out, first.dtype):
                raise ValueError(f"members: expected {first!r}, got {network!r}")
        if len(first._graph.nodes()[-1]["shape"]) != 1:
            raise ValueError("members: expected networks whose output has rank 1")
        nodes, ends = _joined(members)
        _tree(nodes, ends, "concatenate")
        self.network = Network(nodes, np.concatenate([network.parameters for network in members]))
        self.n_in, self.n_out = first.n_in, first.n_out
        n = first.n_parameters
        self.members = [
            Network.from_spec(network.spec, self.network.parameters[i * n : (i + 1) * n])
            for i, network in enumerate(members)
        ]

    def fit(self, batches, *, loss=None, **options):
        """Train all members in one pass over the data.

        Parameters
        ----------
        batches, **options
            As in :func:`fit`. Every member sees the same batches; the loss in the history is the sum over the
            members, and ``clip_norm`` holds for the gradient of all.
        loss : loss, optional
            Of one member, default :class:`MSE`.

        Returns
        -------
        History
        """
        return fit(self.network, batches, loss=_Members(loss or MSE(), len(self.members)), **options)

    def predict_members(self, x, *, num_threads=None):
        """Outputs of every member, (members, n, n_out)."""
        rows = self.network.predict(x, num_threads=num_threads)
        return np.moveaxis(rows.reshape(len(rows), len(self.members), self.n_out), 1, 0)

    def predict(self, x, *, num_threads=None):
        """Mean and spread of the members.

        Parameters
        ----------
        x : (n, n_in) array
        num_threads : int, optional

        Returns
        -------
        mean, spread : (n, n_out) array
            Spread is the standard deviation of the members (n - 1 in the denominator).
        """
        rows = self.predict_members(x, num_threads=num_threads)
        return rows.mean(axis=0), rows.std(axis=0, ddof=1)

    def predict_gaussian(self, x, *, num_threads=None):
        """Mean and standard deviation of the mixture of the members' Gaussians, for members trained with
        :class:`GaussianNLL` or :class:`CRPS`: the noise they see and the spread between them.

        Returns
        -------
        mean, deviation : (n, n_out / 2) array
        """
        mean, log_variance = np.split(self.predict_members(x, num_threads=num_threads), 2, axis=2)
        return mean.mean(axis=0), np.sqrt(np.exp(log_variance).mean(axis=0) + mean.var(axis=0))

    def mean_network(self):
        """One network that gives the mean of the members, to be deployed like any other.

        Returns
        -------
        Network
        """
        nodes, ends = _joined(self.members)
        nodes.append(("affine", (_tree(nodes, ends, "add"),), {}))
        graph_size = _core.Graph(nodes).n_parameters
        share = np.full(graph_size - self.network.n_parameters, 0, self.network.dtype)
        share[: len(share) // 2] = 1 / len(self.members)
        return Network(nodes, np.concatenate([self.network.parameters, share]))

    def __repr__(self):
        return f"<EnsembleNetwork of {len(self.members)} x {self.members[0]!r}>"
