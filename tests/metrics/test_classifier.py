"""The classifier as judge: areas and calibration against scikit-learn, what it finds and what it must not find."""

import math

import numpy as np
import pytest

from simgraft import metrics
from simgraft._core import NotFiniteError

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="compares with scikit-learn")
isotonic = pytest.importorskip("sklearn.isotonic", reason="compares with scikit-learn")
ensemble = pytest.importorskip("sklearn.ensemble", reason="compares with scikit-learn")


@pytest.mark.parametrize("weighted", [False, True])
def test_area_is_that_of_scikit_learn_with_ties(weighted):
    rng = np.random.default_rng(1)
    positive, negative = np.round(rng.normal(0.5, 1, 400), 1), np.round(rng.normal(size=300), 1)
    w = rng.exponential(size=700) if weighted else np.ones(700)
    given = {"weight_positive": w[:400], "weight_negative": w[400:]} if weighted else {}
    want = sklearn_metrics.roc_auc_score(np.repeat([1, 0], [400, 300]), np.concatenate([positive, negative]), sample_weight=w)
    np.testing.assert_allclose(metrics.auc(positive, negative, **given)[0], want, rtol=1e-12)


def test_error_of_the_area_is_its_scatter():
    rng = np.random.default_rng(2)
    found = np.array([metrics.auc(rng.normal(0.5, 1, 200), rng.normal(size=150)) for _ in range(400)])
    # scatter of 400 values: 1 / sqrt(800) = 3.5 % of itself
    assert abs(found[:, 1].mean() / found[:, 0].std(ddof=1) - 1) < 4 * 0.036
    expected = 0.5 * (1 + math.erf(0.5 / 2))  # of two normal distributions half a deviation apart
    assert abs(found[:, 0].mean() - expected) < 4 * found[:, 0].std() / 20


@pytest.mark.parametrize("weighted", [False, True])
def test_calibration_is_the_isotonic_regression_of_scikit_learn(weighted):
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=500), 1)
    y = (rng.random(500) < 1 / (1 + np.exp(-x))).astype(float)
    w = rng.exponential(size=500) if weighted else None
    at = np.linspace(x.min(), x.max(), 201)
    want = isotonic.IsotonicRegression().fit(x, y, w).predict(at)
    np.testing.assert_allclose(metrics.Isotonic().fit(x, y, w).predict(at), want, rtol=0, atol=1e-10)


def test_samples_of_one_distribution_cannot_be_told_apart():
    a, b = np.random.default_rng(4).normal(size=(2, 6000, 5))
    test = metrics.classifier_test(a, b, epochs=6, seed=5)
    assert abs(test.auc - 0.5) < 4 * test.auc_error and 0.005 < test.auc_error < 0.02
    assert abs(test.jsd) < 0.02


@pytest.mark.parametrize("judge", [None, ensemble.HistGradientBoostingClassifier(max_iter=40)], ids=["network", "trees"])
def test_a_correlation_that_no_column_shows_is_found(judge):
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=(2, 6000, 2))
    b[:, 1] = 0.8 * b[:, 0] + 0.6 * b[:, 1]
    assert np.all(metrics.ks_test(a, b).p_value > 1e-4)
    test = metrics.classifier_test(a, b, classifier=judge, epochs=15, seed=1)
    # The likelihood ratio of the two normal distributions gives about 0.75.
    assert 0.70 < test.auc < 0.80 and test.jsd > 0.1


def test_weights_of_the_classifier_move_the_sample_to_the_truth():
    rng = np.random.default_rng(7)
    truth, model = rng.normal(size=(8000, 1)), rng.normal(0.5, 1, size=(8000, 1))
    test = metrics.classifier_test(truth, model, epochs=15)
    x = rng.normal(0.5, 1, size=(8000, 1))
    w = test.weight(x)
    assert abs(np.average(x[:, 0], weights=w)) < 0.1 < 0.4 < x.mean()


def test_rows_of_the_test_took_no_part_in_the_training():
    a, b = np.random.default_rng(8).normal(size=(2, 500, 2))
    seen = []

    class Spy:
        def fit(self, x, y, sample_weight=None):
            seen.append(x)
            return self

        def decision_function(self, x):
            return x[:, 0]

    test = metrics.classifier_test(a, b, classifier=Spy())
    assert len(test.rows_real) == len(test.rows_generated) == 100
    np.testing.assert_array_equal(test.score_real, a[test.rows_real, 0])
    trained = {row.tobytes() for row in seen[0]}
    assert len(trained) == 600
    assert not any(x[row].tobytes() in trained for x, kept in ((a, test.rows_real), (b, test.rows_generated)) for row in kept)


def test_the_judge_repeats_itself_on_any_number_of_threads():
    a, b = np.random.default_rng(9).normal(size=(2, 1000, 3))
    one, two = (metrics.classifier_test(a, b + 0.1, epochs=3, seed=2, num_threads=n) for n in (1, 2))
    np.testing.assert_array_equal(one.score_real, two.score_real)
    assert one.auc == two.auc


def test_an_autoencoder_that_copies_everything_is_found_out():
    real = np.random.default_rng(10).normal(size=(500, 3))
    blind = metrics.reconstruction_test(lambda rows: rows + np.random.default_rng(1).normal(size=rows.shape), real)
    assert abs(blind.auc - 0.5) < 4 * blind.auc_error < 0.1
    toward_the_mean = metrics.reconstruction_test(lambda rows: 0.5 * rows, real)
    assert toward_the_mean.auc > 0.7  # noise lies farther out


def test_what_cannot_be_judged_is_refused_by_name():
    a = np.random.default_rng(11).normal(size=(100, 2))
    with pytest.raises(ValueError, match="generated: expected at least 20 rows, got 19"):
        metrics.classifier_test(a, a[:19])
    bad = a.copy()
    bad[3, 1] = np.inf
    with pytest.raises(NotFiniteError, match="generated: row 3, column 1 is inf"):
        metrics.classifier_test(a, bad)
    with pytest.raises(ValueError, match="weight_real: event 5 has -1.0"):
        metrics.classifier_test(a, a, weight_real=np.where(np.arange(100) == 5, -1.0, 1.0))
    with pytest.raises(ValueError, match="reconstruct: expected rows of shape"):
        metrics.reconstruction_test(lambda rows: rows[:, :1], a)
    with pytest.raises(ValueError, match="has not been fitted"):
        metrics.Isotonic().predict(np.zeros(2))
