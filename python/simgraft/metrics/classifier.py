"""A classifier as the judge: how well can two samples be told apart?"""

import copy
from dataclasses import dataclass, field

import numpy as np

from simgraft import _core
from simgraft.metrics._rows import pair, rows, weights

__all__ = ["ClassifierTest", "Isotonic", "ReconstructionTest", "auc", "classifier_test", "reconstruction_test"]


def _scores(array, name):
    array = rows(array, name)
    if array.shape[1] != 1:
        raise ValueError(f"{name}: expected shape (n,), got {array.shape}")
    return np.ascontiguousarray(array[:, 0], np.float64)


def auc(positive, negative, *, weight_positive=None, weight_negative=None):
    """Area under the ROC curve of a score, and its standard error.

    Parameters
    ----------
    positive, negative : (n,) float32 or float64 array
        Scores of the two classes, finite, at least one each.
    weight_positive, weight_negative : (n,) float64 array [1], optional
        Weights of the events, finite and >= 0; default 1.

    Returns
    -------
    auc : float [1]
        Probability that a positive scores above a negative, ties counted half.
    error : float [1]
        After DeLong, DeLong & Clarke-Pearson 1988, doi:10.2307/2531595.

    Raises
    ------
    NotFiniteError, ValueError
        If a score is NaN or infinite (the message names it), or a weight negative or NaN (it names the event).

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> value, error = metrics.auc(np.array([0.9, 0.4]), np.array([0.1, 0.6]))
    >>> value
    0.75
    """
    positive, negative = _scores(positive, "positive"), _scores(negative, "negative")
    return _core.auc(
        positive,
        weights(weight_positive, len(positive), "weight_positive"),
        negative,
        weights(weight_negative, len(negative), "weight_negative"),
    )


class Isotonic:
    """Rising function of one number that fits y best: calibrates the score of a classifier to a probability.

    Attributes
    ----------
    x_, y_ : (k,) float64 array
        Knots; between them linear, beyond them constant.

    Notes
    -----
    Least squares by pooling adjacent violators, Ayer et al. 1955, doi:10.1214/aoms/1177728423.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> fit = metrics.Isotonic().fit(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0.0, 1.0, 0.0, 1.0]))
    >>> fit.predict(np.array([0.0, 2.5, 4.0]))
    array([0. , 0.5, 1. ])
    """

    def fit(self, x, y, weight=None):
        """Fit to rows.

        Parameters
        ----------
        x, y : (n,) float32 or float64 array
            Finite, n >= 1.
        weight : (n,) float64 array [1], optional
            Finite and >= 0; default 1.

        Returns
        -------
        Isotonic
            self
        """
        x, y = _scores(x, "x"), _scores(y, "y")
        if x.shape != y.shape:
            raise ValueError(f"y: expected shape {x.shape} of x, got {y.shape}")
        weight = weights(weight, len(x), "weight")
        self.x_, self.y_ = _core.isotonic(x, y, np.ones(len(x)) if weight is None else weight)
        return self

    def predict(self, x):
        """Values at x (n,), float64."""
        if not hasattr(self, "x_"):
            raise ValueError("this Isotonic has not been fitted: call fit(x, y) first")
        return np.interp(_scores(x, "x"), self.x_, self.y_)


class _Inputs:
    """Columns as a network likes them: standardised and cut at 8 standard deviations, and next to that their ranks among the
    training rows, which resolve heavy tails and thin peaks. Constant columns are left out."""

    def __init__(self, x):
        mean, std = x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64)
        self.keep = np.flatnonzero(x.min(axis=0) < x.max(axis=0))
        if not len(self.keep):
            raise ValueError("real: all columns are constant, in both samples")
        self.mean, self.std = mean[self.keep], std[self.keep]
        self.values = [np.sort(x[:, k]) for k in self.keep]

    def __call__(self, x):
        out = np.empty((len(x), 2 * len(self.keep)), np.float32)
        for i, k in enumerate(self.keep):
            column, known = x[:, k], self.values[i]
            out[:, 2 * i] = np.clip((column - self.mean[i]) / self.std[i], -8, 8)
            below = np.searchsorted(known, column, "left") + np.searchsorted(known, column, "right")
            out[:, 2 * i + 1] = 12**0.5 * (below / (2 * len(known)) - 0.5)
        return out


class _Network:
    """Our own multi-layer perceptron behind the interface of an estimator."""

    def __init__(self, hidden, epochs, patience, batch_size, rate, seed, num_threads):
        self.options = (hidden, epochs, patience, batch_size, rate, seed, num_threads)

    def fit(self, x, y, weight, validation):
        from simgraft import nn  # the workshop's networks use metrics themselves

        hidden, epochs, patience, batch_size, rate, seed, self.num_threads = self.options
        self.inputs = _Inputs(x)

        def batch(x, y, weight):
            w = None if weight is None else (weight * (len(weight) / weight.sum())).astype(np.float32)
            data = (self.inputs(x), y[:, None].astype(np.float32))
            return data if w is None else (*data, w)

        train = batch(x, y, weight)
        self.network = nn.MLP(list(hidden), "swish").build(train[0].shape[1], 1, seed=seed)
        self.history = nn.fit(
            self.network,
            train,
            validation=batch(*validation),
            loss=nn.BinaryCrossEntropy(),
            optimizer=nn.Adam(nn.schedule.Cosine(rate)),
            epochs=epochs,
            batch_size=batch_size,
            seed=seed,
            callbacks=[nn.EarlyStopping(patience=patience)],
            num_threads=self.num_threads,
            progress=False,
        )
        return self

    def score(self, x):
        return self.network.predict(self.inputs(x), num_threads=self.num_threads)[:, 0].astype(np.float64)


class _Estimator:
    """A scikit-learn-like classifier of the user."""

    def __init__(self, classifier):
        self.classifier = copy.deepcopy(classifier)
        self.history = None

    def fit(self, x, y, weight, validation):
        self.classifier.fit(x, y, **({} if weight is None else {"sample_weight": weight}))
        return self

    def score(self, x):
        if hasattr(self.classifier, "decision_function"):
            return np.asarray(self.classifier.decision_function(x), np.float64).ravel()
        return np.asarray(self.classifier.predict_proba(x), np.float64)[:, 1]


@dataclass(frozen=True)
class ClassifierTest:
    """What a classifier made of two samples.

    Attributes
    ----------
    auc, auc_error : float [1]
        Area under the ROC curve on rows that took no part in the training, and its standard error: 0.5 for equal distributions,
        1 for separate ones.
    jsd : float [1]
        Lower bound of the Jensen-Shannon divergence, (ln 2 - cross-entropy) / ln 2 of the calibrated classifier on test rows: 0
        to 1, near 0 also slightly negative.
    score_real, score_generated : (n_test,) float64 array
        Scores of the test rows.
    rows_real, rows_generated : (n_test,) int64 array
        Which rows these were.
    history : nn.History or None
        Of the training of our own network.
    """

    auc: float
    auc_error: float
    jsd: float
    score_real: np.ndarray = field(repr=False)
    score_generated: np.ndarray = field(repr=False)
    rows_real: np.ndarray = field(repr=False)
    rows_generated: np.ndarray = field(repr=False)
    history: object = field(repr=False, default=None)
    _model: object = field(repr=False, default=None)
    _calibration: Isotonic = field(repr=False, default=None)
    _least: float = field(repr=False, default=0.0)

    @property
    def sigma(self):
        """(auc - 0.5) / auc_error [1]: significance of the separation."""
        return (self.auc - 0.5) / self.auc_error if self.auc_error else np.inf

    def score(self, x):
        """Score of rows (n, m), larger for what looks real, (n,) float64."""
        return self._model.score(rows(x, "x"))

    def probability(self, x):
        """Calibrated probability (n,) [1] that rows (n, m) are real, among as many real as generated ones."""
        return np.clip(self._calibration.predict(self.score(x)), self._least, 1 - self._least)

    def weight(self, x):
        """Weights D / (1 - D) (n,) [1] that would move generated rows (n, m) to the truth; long tails show where the model is
        wrong."""
        p = self.probability(x)
        return p / (1 - p)


def classifier_test(
    real,
    generated,
    *,
    weight_real=None,
    weight_generated=None,
    classifier=None,
    hidden=(128, 128),
    epochs=40,
    patience=5,
    batch_size=512,
    rate=1e-3,
    seed=0,
    num_threads=None,
):
    """Train a classifier to tell two samples apart, and score it on rows it has not seen.

    Parameters
    ----------
    real, generated : (n, m) float32 or float64 array
        Rows of the two samples, at least 20 each: 60 % train, 20 % stop and calibrate, 20 % test. Raw columns, or with derived
        ones (masses, residuals) that a network finds hard to build.
    weight_real, weight_generated : (n,) float64 array [1], optional
        Weights of the rows, finite and >= 0; default 1. Both samples get the same total.
    classifier : object, optional
        Any estimator with ``fit(x, y, sample_weight=...)`` and ``decision_function`` or ``predict_proba`` (a copy is trained),
        for example scikit-learn's ``HistGradientBoostingClassifier``. Default our own network on standardised columns and their
        ranks.
    hidden, epochs, patience, batch_size, rate
        Of our own network: neurons of its layers, most epochs, epochs without improvement before the end, rows per step,
        starting learning rate.
    seed : int
        Of the split and the network.
    num_threads : int, optional
        Threads of our own network; the bits do not depend on it.

    Returns
    -------
    ClassifierTest

    Raises
    ------
    NotFiniteError
        If a row holds NaN or infinity; the message names argument, row and column.
    ValueError
        If columns do not fit, a sample is too small, or a weight is negative or NaN (the message names the event).

    Notes
    -----
    Lopez-Paz & Oquab 2017, arXiv:1610.06545; in particle physics Krause & Shih 2021, arXiv:2106.05285, section IV. The value is a
    lower bound: what this classifier does not find another may, so hand in derived columns and use a second judge. A value near
    0.5 needs many rows: the error is about 0.41 sqrt(1 / n_test). A copy of the training sample scores 0.5: see `memorisation`.
    Continuous models of columns that are exactly zero for absent objects score 1 for that reason alone.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> a, b = np.random.default_rng(1).normal(size=(2, 4000, 2))
    >>> test = metrics.classifier_test(a, b + [0.0, 2.0], epochs=5)
    >>> abs(test.auc - 0.921) < 4 * test.auc_error  # two normal distributions 2 apart
    True
    """
    real, generated = pair(real, generated, ("real", "generated"), 20)
    samples = []
    for k, (x, w, name) in enumerate(
        ((real, weight_real, "weight_real"), (generated, weight_generated, "weight_generated"))
    ):
        w = weights(w, len(x), name)
        order = np.random.default_rng((seed, k)).permutation(len(x))
        cut = int(0.6 * len(x)), int(0.8 * len(x))
        samples.append((x, w, np.split(order, cut)))
    weighted = any(w is not None for _, w, _ in samples) or len(real) != len(generated)

    def part(i):
        x = np.concatenate([x[order[i]] for x, _, order in samples])
        y = np.concatenate([np.full(len(order[i]), k == 0, np.float64) for k, (_, _, order) in enumerate(samples)])
        if not weighted:
            return x, y, None
        w = [np.ones(len(order[i])) if w is None else w[order[i]] for _, w, order in samples]
        if not all(v.sum() > 0 for v in w):
            raise ValueError("weight_real: all rows of a part of a sample have weight 0; expected more of positive weight")
        return x, y, np.concatenate([v / v.mean() * (len(y) / 2 / len(v)) for v in w])

    train, validation, test = part(0), part(1), part(2)
    if classifier is None:
        model = _Network(hidden, epochs, patience, batch_size, rate, seed, num_threads)
    else:
        model = _Estimator(classifier)
    model.fit(*train, validation)
    calibration = Isotonic().fit(model.score(validation[0]), validation[1], validation[2])
    score, y, w = model.score(test[0]), test[1] == 1, test[2]
    value, error = auc(
        score[y],
        score[~y],
        weight_positive=None if w is None else w[y],
        weight_negative=None if w is None else w[~y],
    )
    least = 0.5 / len(validation[0])  # a calibrated probability of 0 or 1 is not known better than that
    p = np.clip(calibration.predict(score), least, 1 - least)
    entropy = -np.average(np.where(y, np.log(p), np.log1p(-p)), weights=w)
    return ClassifierTest(
        value,
        error,
        float(1 - entropy / np.log(2)),
        score[y],
        score[~y],
        samples[0][2][2],
        samples[1][2][2],
        model.history,
        model,
        calibration,
        least,
    )


@dataclass(frozen=True)
class ReconstructionTest:
    """Reconstruction of real rows against that of noise.

    Attributes
    ----------
    real, noise : (n,) float64 array [1]
        Root mean square error of each row, columns in standard deviations of the real sample.
    auc, auc_error : float [1]
        Probability that a row of noise is reconstructed worse than a real one: 1 for a model that knows what real rows are, 0.5
        for one that copies whatever comes.
    """

    real: np.ndarray = field(repr=False)
    noise: np.ndarray = field(repr=False)
    auc: float
    auc_error: float


def reconstruction_test(reconstruct, real, n=None, *, seed=0):
    """Does an autoencoder reconstruct real rows better than uniform noise?

    Parameters
    ----------
    reconstruct : callable
        ``reconstruct(rows) -> rows`` of the same shape.
    real : (n_real, m) float32 or float64 array
        Rows of the truth, at least 2.
    n : int, optional
        Rows of noise, uniform between the smallest and largest value of each column; default as many as real ones.
    seed : int
        Of the noise.

    Returns
    -------
    ReconstructionTest

    Raises
    ------
    NotFiniteError, ValueError
        If a row is NaN or infinite or a reconstruction has another shape.

    Notes
    -----
    Otten et al. 2021, doi:10.1038/s41467-021-22616-z. Shows that the model has learnt where events lie; says nothing about
    their density.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft import metrics
    >>> x = np.random.default_rng(1).normal(size=(500, 1)) * [1.0, -1.0]
    >>> on_the_line = lambda rows: (rows @ [[1.0, -1.0], [-1.0, 1.0]]) / 2
    >>> metrics.reconstruction_test(on_the_line, x).auc
    1.0
    """
    real = rows(real, "real", 2)
    low, high = real.min(axis=0), real.max(axis=0)
    noise = low + (high - low) * np.random.default_rng(seed).random((len(real) if n is None else n, real.shape[1]))
    std = real.std(axis=0, dtype=np.float64)
    std = np.where(std > 0, std, 1.0)
    errors = []
    for x in (real, noise.astype(real.dtype)):
        out = rows(reconstruct(x), "reconstruct")
        if out.shape != x.shape:
            raise ValueError(f"reconstruct: expected rows of shape {x.shape}, got {out.shape}")
        errors.append(np.sqrt((((out - x) / std) ** 2).mean(axis=1, dtype=np.float64)))
    return ReconstructionTest(*errors, *auc(errors[1], errors[0]))
