"""Losses. Each is a mean over rows and columns, weighted by ``weight`` per row (given with the data) and
``column_weight``.

Weights are not normalised: give them a mean of 1 to keep the size of the loss. The formulas are in the table
of the C core (``simgraft._core.nn_losses()``), which checks how many columns of prediction and target go
together.
"""

import math

import numpy as np

from simgraft import _core
from simgraft.nn._params import Params


def _weights(weights, argument, dtype):
    """Weights >= 0 as an array, or None."""
    if weights is None:
        return None
    try:
        weights = np.ascontiguousarray(weights, dtype)
    except (TypeError, ValueError):
        raise TypeError(f"{argument}: expected numbers, got {weights!r}") from None
    if not (weights >= 0).all():
        raise ValueError(f"{argument}: expected numbers >= 0, got {weights}")
    return weights


class _Loss(Params):
    _name = None
    _attributes = ()
    column_weight = None
    rows_per_group = 1

    def _pair(self):
        return self._name, {name: getattr(self, name) for name in self._attributes}

    def _column_weight(self, dtype):
        return _weights(self.column_weight, "column_weight", dtype)

    def _n_target(self, n_out):
        """Columns of target that naturally go with n_out columns of prediction."""
        return _core.nn_loss_sizes(*self._pair(), n_out)["n_target"]

    def _terms(self, n_out, n_target, dtype):
        """Terms for ``_core.Trainer``: (name, attributes, column_weight, first_out, n_out, first_target,
        n_target, weight)."""
        return [(*self._pair(), self._column_weight(dtype), 0, n_out, 0, n_target, 1.0)]


class MSE(_Loss):
    """Mean squared error.

    Parameters
    ----------
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.MSE(column_weight=[1.0, 0.1]).get_params()["column_weight"]
    [1.0, 0.1]
    """

    _name = "mse"

    def __init__(self, column_weight=None):
        self.column_weight = column_weight


class MAE(_Loss):
    """Mean absolute error.

    Parameters
    ----------
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.MAE(column_weight=[1.0, 0.1]).get_params()["column_weight"]
    [1.0, 0.1]
    """

    _name = "mae"

    def __init__(self, column_weight=None):
        self.column_weight = column_weight


class Huber(_Loss):
    """Half the squared error up to ``delta``, ``delta * (|error| - delta / 2)`` beyond.

    Parameters
    ----------
    delta : float
        > 0, in units of the network's outputs.
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Huber(delta=0.1).get_params()["delta"]
    0.1
    """

    _name = "huber"
    _attributes = ("delta",)

    def __init__(self, delta=1.0, column_weight=None):
        self.delta = delta
        self.column_weight = column_weight


class Hybrid(_Loss):
    """Squared error, and absolute error of differences between samples that belong together.

    ``alpha * MAE(differences of neighbouring rows in a group) + (1 - alpha) * MSE``. Rows ``k * group .. k *
    group + group - 1`` of the data are a group, for instance the same profile with and without a perturbed
    gas; groups are shuffled as a whole and batches must hold whole groups.

    Parameters
    ----------
    alpha : float
        Share of the differences, in [0, 1].
    group : int
        Rows per group, >= 2.
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    References
    ----------
    Ukkonen & Hogan 2023, doi:10.5194/gmd-16-3241-2023.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Hybrid(alpha=0.6, group=2).get_params()["alpha"]
    0.6
    """

    _name = "hybrid"
    _attributes = ("alpha", "group")

    def __init__(self, alpha=0.5, group=2, column_weight=None):
        self.alpha = alpha
        self.group = group
        self.column_weight = column_weight

    @property
    def rows_per_group(self):
        """Rows that must stay together."""
        return self.group


class Pinball(_Loss):
    """Quantile regression: the network's outputs become quantiles of the target.

    ``(1 - level) * e`` for ``e = prediction - target >= 0``, ``-level * e`` below. Columns of the prediction
    are all targets at the first level, then all at the second, and so on.

    Parameters
    ----------
    levels : sequence of float
        Probabilities, each in (0, 1).
    column_weight : (n_target,) array or None
        Weight of each target column, >= 0.

    References
    ----------
    Koenker & Bassett 1978, doi:10.2307/1913643.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> rng = np.random.default_rng(1)
    >>> x, y = np.ones((2000, 1)), rng.normal(size=(2000, 1))
    >>> network = nn.MLP([]).build(1, 2, seed=1, dtype="float64")
    >>> loss = nn.Pinball([0.1, 0.9])
    >>> history = nn.fit(network, (x, y), loss=loss, optimizer=nn.Adam(0.02), epochs=40, progress=False)
    >>> bool(np.abs(network.predict(x[:1]) - np.quantile(y, [0.1, 0.9])).max() < 0.1)
    True
    """

    _name = "pinball"

    def __init__(self, levels=(0.05, 0.5, 0.95), column_weight=None):
        self.levels = levels
        self.column_weight = column_weight

    def _n_target(self, n_out):
        if n_out % len(self.levels):
            raise ValueError(
                f"loss: Pinball with {len(self.levels)} levels needs a multiple of that many outputs, "
                f"got {n_out}"
            )
        return n_out // len(self.levels)

    def _terms(self, n_out, n_target, dtype):
        n, share = self._n_target(n_out), 1 / len(self.levels)
        return [
            ("pinball", {"level": float(level)}, self._column_weight(dtype), i * n, n, 0, n_target, share)
            for i, level in enumerate(self.levels)
        ]


class BinaryCrossEntropy(_Loss):
    """Cross-entropy of probabilities in [0, 1] and logits: the network's last layer is linear.

    Parameters
    ----------
    positive_weight : float
        Weight of the class 1, > 0: above 1 for rare events.
    column_weight : (n_out,) array or None
        Weight of each output column, >= 0.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.BinaryCrossEntropy(positive_weight=10.0)
    BinaryCrossEntropy(positive_weight=10.0)
    """

    _name = "binary_cross_entropy"
    _attributes = ("positive_weight",)

    def __init__(self, positive_weight=1.0, column_weight=None):
        self.positive_weight = positive_weight
        self.column_weight = column_weight


class CrossEntropy(_Loss):
    """Cross-entropy of classes and logits: the network's last layer is linear.

    The target is either one column with the number of the class, or one column of probability per class.

    Parameters
    ----------
    class_weight : (classes,) array or None
        Weight of each class, >= 0.
    classes : int
        Classes of one distribution where several lie side by side in the output row; 0: all outputs are one
        distribution.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> x = np.random.default_rng(1).uniform(-1, 1, (500, 2)).astype(np.float32)
    >>> y = (x[:, :1] > 0).astype(np.float32) + (x[:, 1:] > 0)
    >>> network = nn.MLP([16], "tanh").build(2, 3, seed=1)
    >>> history = nn.fit(network, (x, y), loss=nn.CrossEntropy(), optimizer=nn.Adam(0.02), epochs=40,
    ...                  batch_size=50, progress=False)
    >>> bool(np.mean(network.predict(x).argmax(axis=1) == y[:, 0]) > 0.95)
    True
    """

    _name = "cross_entropy"
    _attributes = ("classes",)

    def __init__(self, class_weight=None, classes=0):
        self.class_weight = class_weight
        self.classes = classes

    def _column_weight(self, dtype):
        return _weights(self.class_weight, "class_weight", dtype)


class GaussianNLL(_Loss):
    """Negative log-likelihood of Gaussians whose mean and variance the network predicts.

    Columns of the prediction are all means, then all logarithms of variances.

    Parameters
    ----------
    column_weight : (n_target,) array or None
        Weight of each target column, >= 0.

    References
    ----------
    Nix & Weigend 1994, doi:10.1109/ICNN.1994.374138.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import nn
    >>> rng = np.random.default_rng(1)
    >>> x = rng.uniform(-1, 1, (2000, 1))
    >>> y = x + np.exp(x) * rng.normal(size=x.shape)          # the noise grows with x
    >>> network = nn.MLP([]).build(1, 2, seed=1, dtype="float64")
    >>> history = nn.fit(network, (x, y), loss=nn.GaussianNLL(), optimizer=nn.Adam(0.02), epochs=30,
    ...                  progress=False)
    >>> slope = np.diff(network.predict(np.array([[0.0], [1.0]])), axis=0)[0]
    >>> bool(abs(slope[0] - 1) < 0.2 and abs(slope[1] - 2) < 0.2)
    True
    """

    _name = "gaussian_nll"

    def __init__(self, column_weight=None):
        self.column_weight = column_weight


class MixtureNLL(_Loss):
    """Negative log-likelihood of a mixture of diagonal Gaussians (mixture density network).

    Columns of the prediction are the logits (components), the means (components, n_target) and the logarithms
    of the variances (components, n_target).

    Parameters
    ----------
    components : int
        >= 1.

    References
    ----------
    Bishop 1994, Mixture density networks, Aston University NCRG/94/004.

    Examples
    --------
    >>> from simgraft import nn
    >>> loss = nn.MixtureNLL(components=5)
    >>> network = nn.MLP([32]).build(3, 5 * (1 + 2 * 2), seed=1)          # two targets
    """

    _name = "mixture_nll"
    _attributes = ("components",)

    def __init__(self, components=3):
        self.components = components


class CRPS(_Loss):
    """Continuous ranked probability score of Gaussians; columns as in :class:`GaussianNLL`. In units of the
    target, and less moved by outliers than the likelihood.

    Parameters
    ----------
    column_weight : (n_target,) array or None
        Weight of each target column, >= 0.

    References
    ----------
    Gneiting & Raftery 2007, doi:10.1198/016214506000001437.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.CRPS(column_weight=[1.0, 0.1]).get_params()["column_weight"]
    [1.0, 0.1]
    """

    _name = "crps"

    def __init__(self, column_weight=None):
        self.column_weight = column_weight


class EnsembleCRPS(_Loss):
    """Continuous ranked probability score of an ensemble in the output row: all targets of the first member,
    then of the second ...

    Parameters
    ----------
    members : int
        >= 2.
    fair : bool
        Unbiased for a small ensemble (Ferro 2014); else the score of the empirical distribution.
    column_weight : (n_target,) array or None
        Weight of each target column, >= 0.

    References
    ----------
    Ferro 2014, doi:10.1002/qj.2270.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.EnsembleCRPS(members=10)
    EnsembleCRPS(members=10)
    """

    _name = "ensemble_crps"
    _attributes = ("members", "fair")

    def __init__(self, members=5, fair=True, column_weight=None):
        self.members = members
        self.fair = fair
        self.column_weight = column_weight


class KL(_Loss):
    """Kullback-Leibler divergence of diagonal Gaussians from N(0, 1), summed over the latent variables; it
    has no target.

    Columns of the prediction are all means, then all logarithms of variances.

    References
    ----------
    Kingma & Welling 2014, arXiv:1312.6114, appendix B.

    Examples
    --------
    >>> from simgraft import nn
    >>> elbo = nn.Terms([nn.Term(nn.MSE(), (0, 20)), nn.Term(nn.KL(), (20, 28), weight=1e-3)])
    """

    _name = "kl"

    def __init__(self):
        pass


class FlowNLL(_Loss):
    """Negative log-likelihood of a normalising flow with a standard normal base; it has no target.

    Columns of the prediction are the latent variables, then the log-determinant of the map to them.

    References
    ----------
    Dinh, Sohl-Dickstein & Bengio 2017, arXiv:1605.08803.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.FlowNLL()
    FlowNLL()
    """

    _name = "flow_nll"

    def __init__(self):
        pass


class Wasserstein(_Loss):
    """``-target * prediction`` with target 1 for real and -1 for generated rows: a critic's loss in a
    Wasserstein GAN.

    References
    ----------
    Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Wasserstein()
    Wasserstein()
    """

    _name = "wasserstein"

    def __init__(self):
        pass


class Hinge(_Loss):
    """``max(0, 1 - target * prediction)`` with targets -1 and 1: a classifier's or critic's margin.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Hinge()
    Hinge()
    """

    _name = "hinge"

    def __init__(self):
        pass


class Term(Params):
    """One loss on a part of the output row; see :class:`Terms`.

    Parameters
    ----------
    loss : loss
    columns : (start, stop) or None
        Columns of the output row; None: all.
    targets : (start, stop) or None
        Columns of the target row; None: as many as the loss needs, after those of the term before.
    weight : float
        Of the term in the sum.
    name : str or None
        In the history, as ``validation_NAME``; None: that of the loss.

    Examples
    --------
    >>> from simgraft import nn
    >>> nn.Term(nn.KL(), (20, 28), weight=1e-3)
    Term(loss=KL(), columns=(20, 28), weight=0.001)
    """

    def __init__(self, loss, columns=None, targets=None, weight=1.0, name=None):
        self.loss = loss
        self.columns = columns
        self.targets = targets
        self.weight = weight
        self.name = name


def _part(part, n, what):
    start, stop = (0, n) if part is None else part
    if not 0 <= start <= stop <= n:
        raise ValueError(f"{what}: expected (start, stop) within {n} columns, got {part}")
    return start, stop


class Terms(Params):
    """Sum of losses on parts of the output row; parts may overlap.

    Parameters
    ----------
    terms : list of Term

    Examples
    --------
    Reconstruction and divergence of a variational autoencoder whose output row is the reconstruction (20
    columns), the latent means and the latent log-variances (4 each):

    >>> from simgraft import nn
    >>> loss = nn.Terms([nn.Term(nn.MSE(), (0, 20)), nn.Term(nn.KL(), (20, 28), weight=1e-3)])
    """

    def __init__(self, terms):
        self.terms = terms

    @property
    def rows_per_group(self):
        """Rows that must stay together."""
        return math.lcm(*(term.loss.rows_per_group for term in self.terms))

    def _n_target(self, n_out):
        end = 0
        for term in self.terms:
            start, stop = _part(term.columns, n_out, "columns")
            end = max(end, term.targets[1]) if term.targets else end + term.loss._n_target(stop - start)
        return end

    def _terms(self, n_out, n_target, dtype):
        found, end = [], 0
        for term in self.terms:
            start, stop = _part(term.columns, n_out, "columns")
            targets = term.targets or (end, end + term.loss._n_target(stop - start))
            end = targets[1]
            first, last = _part(targets, n_target, "targets")
            found += [
                (name, attributes, weight, start + out, n, first + target, m, share * term.weight)
                for name, attributes, weight, out, n, target, m, share in term.loss._terms(
                    stop - start, last - first, dtype
                )
            ]
        return found

    def _parts(self, values, n_out, n_target, dtype):
        """Loss of every term by its name, from the means of all values."""
        found, used = {}, 0
        for i, term in enumerate(self.terms):
            one = Terms(self.terms[: i + 1])._terms(n_out, n_target, dtype)[
                len(Terms(self.terms[:i])._terms(n_out, n_target, dtype)) :
            ]
            total = 0.0
            for name, attributes, _, _, n, _, m, weight in one:
                n_values = _core.nn_loss_sizes(name, attributes, n, m)["n_values"]
                total += weight * float(np.mean(values[used : used + n_values]))
                used += n_values
            key = term.name or type(term.loss).__name__.lower()
            found[key if key not in found else f"{key}_{i}"] = total
        return found


class Custom(Params):
    """A loss of one's own, for instance the residual of a physical law, with its gradient.

    Parameters
    ----------
    function : callable
        ``function(prediction, target, x, weight) -> (value, d_prediction)`` of a batch: arrays (n, n_out),
        (n, n_target), (n, n_in) and (n,) or None. ``value`` is the loss of the batch, ``d_prediction`` (n,
        n_out) its derivative with respect to the prediction, of the network's dtype.
    loss : loss or None
        Added to the value; computed in the C core.
    n_target : int or None
        Columns of the target; None: those of ``loss``, else as many as outputs.

    Examples
    --------
    Two outputs that must sum to zero, as a soft constraint on top of the squared error:

    >>> import numpy as np
    >>> from simgraft import nn
    >>> def imbalance(prediction, target, x, weight):
    ...     total = prediction.sum(axis=1, keepdims=True)
    ...     return float(np.mean(total**2)), np.broadcast_to(2 * total / len(total), prediction.shape)
    >>> loss = nn.Custom(imbalance, loss=nn.MSE())
    >>> x = np.random.default_rng(1).normal(size=(200, 2))
    >>> network = nn.MLP([8]).build(2, 2, seed=1, dtype="float64")
    >>> history = nn.fit(network, (x, np.hstack([x[:, :1], -x[:, :1]])), loss=loss, epochs=2, progress=False)
    """

    def __init__(self, function, loss=None, n_target=None):
        self.function = function
        self.loss = loss
        self.n_target = n_target

    @property
    def rows_per_group(self):
        """Rows that must stay together."""
        return self.loss.rows_per_group if self.loss is not None else 1

    def _n_target(self, n_out):
        if self.n_target is not None:
            return self.n_target
        return n_out if self.loss is None else self.loss._n_target(n_out)

    def _terms(self, n_out, n_target, dtype):
        return [] if self.loss is None else self.loss._terms(n_out, n_target, dtype)

    def evaluate(self, prediction, target, x, weight):
        """Value and gradient of the function, checked."""
        result = self.function(prediction, target, x, weight)
        if not isinstance(result, tuple) or len(result) != 2:
            raise TypeError(f"function: expected it to return (value, d_prediction), got {type(result).__name__}")
        value, d_prediction = result[0], np.asarray(result[1])
        if d_prediction.shape != prediction.shape or d_prediction.dtype != prediction.dtype:
            raise ValueError(
                f"function: expected d_prediction as {prediction.dtype} {prediction.shape}, "
                f"got {d_prediction.dtype} {d_prediction.shape}"
            )
        bad = ~np.isfinite(d_prediction)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise _core.NotFiniteError(f"function: d_prediction[{row}, {column}] is {d_prediction[row, column]}")
        return float(value), np.ascontiguousarray(d_prediction)
