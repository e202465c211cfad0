"""The table that tells a good model from an easy problem: each metric of each model beside its floor and the trivial rows.

Two judges (classifiers) look for differences, a network on columns alone and with composite quantities, and gradient-boosted trees
with composites. What lies below the precision of the columns is left out: by its rounding anything could be told from anything.
"""

from dataclasses import dataclass

import numpy as np

from simgraft import metrics
from simgraft.events import observables
from simgraft.events.sample import Events

__all__ = ["Judgement", "judge"]

DIGITS = {np.dtype(np.float32): 6, np.dtype(np.float64): 9}
JUDGE = {"hidden": (64, 64), "epochs": 25, "patience": 5, "batch_size": 512, "rate": 3e-3}


@dataclass(frozen=True)
class Judgement:
    """What the judges find between a sample and the truth.

    Attributes
    ----------
    name : str
    n : int
        Events of each sample; a fifth of them tests the classifiers.
    raw, full : float
        Area under the ROC curve of the network judge, on columns and with composites; 0.5 is a coin.
    trees : float or None
        The same with composites by gradient-boosted trees; None without scikit-learn.
    error : float
        Standard error of `full`.
    neighbours, neighbours_error : float
        Distance to the nearest training event in units of that of fresh truth: below 1 is memorised.
    wasserstein : float
        Mean distance of the one-dimensional distributions in standard deviations.
    kolmogorov : float
        Largest Kolmogorov-Smirnov statistic of any column or composite.
    sliced : float
        Mean distance along random directions of standardised columns and composites.
    frechet, kernel : float
        FPD and KPD of columns and composites.
    coverage : float
        Share of balls around true events that hold one of the sample, in units of what is expected of truth.
    correlation : float
        Largest change of a rank correlation of two columns.
    shown : tuple of arrays
        Scores of the network judge with composites for unseen truth and unseen sample.
    """

    name: str
    n: int
    raw: float
    full: float
    trees: float | None
    error: float
    neighbours: float
    neighbours_error: float
    wasserstein: float
    kolmogorov: float
    sliced: float
    frechet: float
    kernel: float
    coverage: float
    correlation: float
    shown: tuple

    COLUMNS = (
        "sample", "events", "AUC columns", "AUC + composites", "AUC trees", "error of AUC", "neighbour ratio", "error of it",
        "mean W1 [sigma]", "largest KS", "sliced W1 [sigma]", "FPD", "KPD", "coverage", "correlation",
    )  # fmt: skip

    def row(self):
        """Values under :attr:`COLUMNS`."""
        return [
            self.name, self.n, *(None if x is None else round(x, 4) for x in (self.raw, self.full, self.trees, self.error)),
            self.neighbours, self.neighbours_error, self.wasserstein, self.kolmogorov, self.sliced, self.frechet, self.kernel,
            self.coverage, self.correlation,
        ]  # fmt: skip

    @property
    def worst(self):
        """The largest area of any judge."""
        return max(self.raw, self.full, self.full if self.trees is None else self.trees)


def features(events, full):
    """Columns, with composites where `full`, (n, k) float64."""
    columns = [events.rows.astype(np.float64)]
    if full:
        columns.append(observables.composites(events)[0].astype(np.float64))
    return np.hstack(columns)


def _to_digits(digits, *samples):
    """Features to so many digits of the largest value of each, of 1 (or 1 GeV) where all are smaller: residuals of conservation are
    rounding as well."""
    scale = np.maximum(np.max([np.abs(x).max(axis=0) for x in samples], axis=0), 1.0) / 10.0**digits
    # Off-centre, so that constants such as half the energy of the beams do not lie on an edge.
    return [np.floor(x / scale + 0.4321) * scale for x in samples]


def _trees(truth, sample, seed):
    """Area of gradient-boosted trees, or None without scikit-learn."""
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError:
        return None
    trees = HistGradientBoostingClassifier(max_iter=150, early_stopping=True, random_state=seed)
    return metrics.classifier_test(truth, sample, classifier=trees, seed=seed).auc


def _ranks(rows):
    """Columns of rows as ranks: correlations of momenta are not those of their few largest."""
    return np.stack([np.searchsorted(np.sort(column), column) for column in rows.T], axis=1).astype(np.float64)


def judge(name, truth, sample, train, seed, most=4000):
    """Hold a sample against the truth.

    Parameters
    ----------
    name : str
        Of the sample.
    truth, sample, train : Events
        Unseen truth, what is judged, and what it was trained on. Truth beyond the length of the sample is not looked at.
    seed : int
        Of the judges.
    most : int
        Events whose neighbours are looked for, and in the distances of whole samples.

    Returns
    -------
    Judgement

    Examples
    --------
    >>> from simgraft.events import TWO_BODY
    >>> a, b, c = (Events(TWO_BODY, np.random.default_rng(i).normal(size=(10, 300)) + 5) for i in (1, 2, 3))
    >>> 0.8 < judge("fresh", a, b, c, seed=1).neighbours < 1.2
    True
    """
    n = min(len(truth), len(sample))
    truth, sample = truth.take(slice(0, n)), sample.take(slice(0, n))
    if sample.values.dtype != truth.values.dtype:  # of one precision, or rounding alone would tell
        sample = Events(sample.layout, sample.values.astype(truth.values.dtype), present=sample.present)
    digits = DIGITS[truth.values.dtype]
    x, y = _to_digits(digits, features(truth, False), features(sample, False))
    raw = metrics.classifier_test(x, y, seed=seed, **JUDGE)
    x, y = _to_digits(digits, features(truth, True), features(sample, True))
    full = metrics.classifier_test(x, y, seed=seed, **JUDGE)
    trees = _trees(x, y, seed)
    spread = x.std(axis=0)
    # What has no spread in the truth (residuals, constants) has no scale for a distance: it is left to the judges.
    moves = spread > 1e-5 * np.maximum(np.abs(x).max(axis=0), 1.0)
    a, b = (np.ascontiguousarray((v[:, moves] - x[:, moves].mean(axis=0)) / spread[moves]) for v in (x, y))
    some = slice(0, 5 * most)
    fresh = truth.take(slice(max(n - most, n // 2), n))
    rows, made, known, fresh = (
        np.ascontiguousarray(e.rows, np.float64) for e in (truth.take(slice(0, most)), sample.take(slice(0, most)), train, fresh)
    )
    memory = metrics.memorisation(made, known, fresh)
    covered = metrics.coverage(rows, made)
    change = metrics.correlation_difference(_ranks(truth.take(some).rows), _ranks(sample.take(some).rows))
    return Judgement(
        name,
        n,
        raw.auc,
        full.auc,
        trees,
        full.auc_error,
        memory.ratio,
        memory.error,
        float(metrics.wasserstein(a, b).mean()),
        float(metrics.ks_test(a, b).statistic.max()),
        metrics.sliced_wasserstein(a[some], b[some], 100)[0],
        metrics.frechet_distance(a[some], b[some], draws=4)[0],
        metrics.kernel_distance(a[some], b[some], batches=4, batch_size=min(most, 2000))[0],
        covered.coverage / covered.expected_coverage,
        float(np.nanmax(np.abs(change))),
        (full.score_real, full.score_generated),
    )
