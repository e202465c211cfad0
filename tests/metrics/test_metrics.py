"""Running moments, errors, percentiles and whitening against NumPy and against their own contracts."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simgraft import _core, metrics
from simgraft._core import NotFiniteError

ISAS = ["portable", "v2", "v3", "v4"]
ISAS = ISAS[: ISAS.index(_core.isa_best()) + 1]


@pytest.fixture(autouse=True)
def _default_isa():
    yield
    _core.isa_set("auto")


@pytest.fixture
def rows():
    """Columns of unlike size and offset, correlated."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(5000, 7)) @ rng.normal(size=(7, 7)) * 10.0 ** np.arange(-3, 4) + 1e3


def test_examples_of_the_docstrings():
    assert doctest.testmod(metrics).failed == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_agree_with_numpy(rows, dtype):
    x = rows.astype(dtype)
    m = metrics.Moments(covariance=True).update(x)
    wide = x.astype(np.longdouble)
    assert m.count_ == 5000 and m.weight_ == 5000
    # n roundings of eps / 2 each in random walk: sqrt(5000) eps = 71 eps on the mean, relative to its size
    np.testing.assert_allclose(m.mean_, wide.mean(0).astype(float), rtol=71 * 2.3e-16)
    # the deviations x - mean inherit eps |mean| / std (1e3 / 1e-3) and are summed over 5000 rows
    np.testing.assert_allclose(m.variance_, wide.var(0).astype(float), rtol=71 * 2.3e-16 * 1e6)
    np.testing.assert_array_equal(m.minimum_, x.min(0))
    np.testing.assert_array_equal(m.maximum_, x.max(0))
    scale = np.sqrt(np.outer(m.variance_, m.variance_))
    np.testing.assert_allclose(m.covariance_ / scale, np.cov(x.T.astype(float), bias=True) / scale, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(m.covariance_, m.covariance_.T)
    np.testing.assert_array_equal(np.diag(m.covariance_), m.variance_)


@pytest.mark.parametrize("cut", [1, 2, 7, 1000, 1024, 1025])
def test_any_cut_into_blocks_gives_the_same_bits(rows, cut):
    weight = np.random.default_rng(2).uniform(size=5000)
    whole = metrics.Moments(covariance=True).update(rows, weight)
    parts = metrics.Moments(covariance=True)
    errors, error_parts = metrics.Errors().update(rows, rows[::-1], weight), metrics.Errors()
    for i in range(0, 5000, cut):
        parts.update(rows[i:i + cut], weight[i:i + cut])
        error_parts.update(rows[i:i + cut], rows[::-1][i:i + cut], weight[i:i + cut])
    for a, b in zip(whole._state + errors._state, parts._state + error_parts._state):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ISAS)
def test_moments_and_errors_have_the_same_bits_on_every_instruction_set(rows, isa):
    results = []
    for choice in (isa, "auto"):
        _core.isa_set(choice)
        results.append(metrics.Moments(covariance=True).update(rows)._state + metrics.Errors().update(rows, rows[::-1])._state)
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_weight_of_two_equals_the_row_twice(rows):
    weight = np.random.default_rng(3).integers(0, 3, 5000)
    a = metrics.Moments(covariance=True).update(rows, weight.astype(float))
    b = metrics.Moments(covariance=True).update(np.repeat(rows, weight, axis=0))
    assert a.count_ == (weight > 0).sum() and a.weight_ == b.weight_
    # both orders of summation differ by round-off only, see the limits above
    np.testing.assert_allclose(a.mean_, b.mean_, rtol=1e-13)
    np.testing.assert_allclose(a.variance_, b.variance_, rtol=1e-9)
    np.testing.assert_array_equal(a.minimum_, b.minimum_)
    e = metrics.rmse(rows, rows[::-1], weight=weight.astype(float))
    assert e == pytest.approx(metrics.rmse(np.repeat(rows, weight, axis=0), np.repeat(rows[::-1], weight, axis=0)), rel=1e-12)


@pytest.mark.parametrize("cut", [1, 100, 4999])
def test_merged_moments_are_those_of_all_rows(rows, cut):
    weight = np.random.default_rng(4).uniform(size=5000)
    a = metrics.Moments(covariance=True).update(rows[:cut], weight[:cut])
    a.merge(metrics.Moments(covariance=True).update(rows[cut:], weight[cut:]))
    b = metrics.Moments(covariance=True).update(rows, weight)
    np.testing.assert_allclose(a.mean_, b.mean_, rtol=1e-13)
    np.testing.assert_allclose(a.variance_, b.variance_, rtol=1e-9)
    scale = np.sqrt(np.outer(b.variance_, b.variance_))
    np.testing.assert_allclose(a.covariance_ / scale, b.covariance_ / scale, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(a.maximum_, b.maximum_)
    assert a.count_ == 5000


def test_merging_with_nothing_changes_nothing(rows):
    a = metrics.Moments().update(rows)
    before = [x.copy() for x in a._state[:5]]
    a.merge(metrics.Moments())
    b = metrics.Moments().merge(a)
    for x, y, z in zip(before, a._state, b._state):
        np.testing.assert_array_equal(x, y)
        np.testing.assert_array_equal(x, z)


def test_large_offset_does_not_destroy_the_variance():
    """The textbook form mean(x^2) - mean(x)^2 gives 0 or less here."""
    x = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])[:, None]
    assert metrics.Moments().update(x).variance_[0] == 22.5


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_moments_of_what_is_not_finite_are_refused(bad):
    x = np.zeros((3, 2))
    x[1, 1] = bad
    with pytest.raises(NotFiniteError, match=r"x\[1, 1\] is "):
        metrics.Moments().update(x)


def test_moments_without_rows_say_so():
    for m in (metrics.Moments(), metrics.Moments().update(np.zeros((0, 2))), metrics.Moments().update(np.ones((2, 2)), np.zeros(2))):
        with pytest.raises(ValueError, match="no row of positive weight"):
            m.mean_


def test_wrong_weight_is_named():
    with pytest.raises(ValueError, match=r"weight\[1\]: expected a number >= 0, got -0.5"):
        metrics.Moments().update(np.ones((2, 2)), np.array([1, -0.5]))
    with pytest.raises(ValueError, match=r"weight: expected shape \(n=2,\), got \(3,\)"):
        metrics.rmse(np.ones((2, 2)), np.ones((2, 2)), weight=np.ones(3))


def test_columns_may_not_change_between_blocks():
    with pytest.raises(ValueError, match=r"x: expected rows of shape \(2,\) as before, got \(3,\)"):
        metrics.Moments().update(np.ones((2, 2))).update(np.ones((2, 3)))


def test_running_out_of_memory_is_a_clean_error():
    m = metrics.Moments(covariance=True).update(np.ones((3, 2)))
    _core.memory_fail_after(0)
    try:
        with pytest.raises(MemoryError):
            m.update(np.ones((3, 2)))
        _core.memory_fail_after(0)
        with pytest.raises(MemoryError):
            metrics.squared_distance(np.ones((3, 2)), np.ones(2), np.eye(2))
    finally:
        _core.memory_fail_after(-1)
    assert m.count_ == 3


FUNCTIONS = {
    "bias": lambda e: e.mean(0),
    "mae": lambda e: np.abs(e).mean(0),
    "rmse": lambda e: np.sqrt((e**2).mean(0)),
    "max_error": lambda e: np.abs(e).max(0),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtypes", [(np.float32, np.float32), (np.float64, np.float64), (np.float32, np.float64)])
def test_error_measures_agree_with_numpy(name, dtypes):
    rng = np.random.default_rng(5)
    p, t = rng.normal(size=(1000, 3, 2)).astype(dtypes[0]), rng.normal(size=(1000, 3, 2)).astype(dtypes[1])
    e = p.astype(float) - t.astype(float)
    measure = getattr(metrics, name)
    # 1000 terms in another order: sqrt(1000) eps = 32 eps of the mean size 1
    np.testing.assert_allclose(measure(p, t, columns=True), FUNCTIONS[name](e), rtol=0, atol=32 * 2.3e-16)
    assert measure(p, t) == pytest.approx(float(FUNCTIONS[name](e.reshape(-1))), abs=32 * 2.3e-16)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nan_in_a_prediction_is_never_hidden(name):
    p = np.zeros((5, 2))
    p[2, 1] = np.nan
    assert np.isnan(getattr(metrics, name)(p, np.zeros((5, 2))))
    assert np.isnan(getattr(metrics, name)(p, np.zeros((5, 2)), columns=True)).tolist() == [False, True]


def test_rows_of_weight_zero_take_no_part_in_any_measure():
    p, t, w = np.array([1.0, np.nan, 3.0]), np.zeros(3), np.array([1.0, 0.0, 1.0])
    assert metrics.max_error(p, t, weight=w) == 3
    assert metrics.bias(p, t, weight=w) == 2


def test_perfect_prediction_has_no_error(rows):
    for name in FUNCTIONS:
        assert getattr(metrics, name)(rows, rows) == 0


@pytest.mark.parametrize("call, error, message", [
    (lambda: metrics.rmse(np.ones(3), np.ones(4)), ValueError, r"truth: expected shape \(3,\) of prediction, got \(4,\)"),
    (lambda: metrics.rmse(np.ones(3, int), np.ones(3)), TypeError, "prediction: expected a float32 or float64 array, got int64"),
    (lambda: metrics.rmse(1.0, np.ones(3)), ValueError, "prediction: expected an array of shape"),
    (lambda: metrics.relative_error(np.ones(3), np.ones(3), floor=0.0), ValueError, "floor: expected numbers above 0"),
    (lambda: metrics.percentiles(np.ones(0), 50), ValueError, "x: expected at least one element"),
    (lambda: metrics.percentiles(np.ones(3), [50, 101]), ValueError, r"percent\[1\]: expected 0 to 100, got 101.0"),
])
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, 1.0, np.inf])),
       st.lists(st.floats(0, 100) | st.sampled_from([0.0, 50.0, 100.0]), min_size=1, max_size=4))
def test_percentiles_agree_with_numpy(x, percent):
    if np.isinf(x).any():
        x = np.where(np.isinf(x), 2e6, x)
    got = metrics.percentiles(x, percent)
    # the position p (n - 1) / 100 rounds twice, times the step to the neighbour
    np.testing.assert_allclose(got, np.percentile(x, percent), rtol=1e-14, atol=60 * 4.5e-16 * 4e6)


@pytest.mark.parametrize("x", [np.arange(10001.0), np.arange(10001.0)[::-1], np.repeat([1.0, 2.0], [9000, 1001]), np.ones(10001),
                               np.abs(np.arange(10001.0) - 5000)])
def test_percentiles_of_ordered_and_repeated_values_are_exact(x):
    np.testing.assert_array_equal(metrics.percentiles(x, [0, 25, 50, 75, 100]), np.sort(x)[[0, 2500, 5000, 7500, 10000]])


def test_percentiles_leave_the_argument_alone_and_pass_nan_on():
    x = np.array([3.0, 1.0, 2.0])
    metrics.percentiles(x, 50)
    assert x.tolist() == [3, 1, 2]
    assert np.isnan(metrics.percentiles(np.array([1.0, np.nan]), 50))


def test_relative_error_is_judged_against_the_floor_for_small_truth():
    p, t = np.array([[1.1, 2e-9], [2.0, 0.0]]), np.array([[1.0, 1e-9], [2.0, 0.0]])
    assert metrics.relative_error(p, t, floor=[1e-3, 1e-8], percent=100) == pytest.approx(0.1)
    assert metrics.relative_error(p[:, 1:], t[:, 1:], floor=1e-8, percent=100) == pytest.approx(0.1)


def test_whitened_rows_are_uncorrelated_with_variance_one(rows):
    m = metrics.Moments(covariance=True).update(rows)
    w = metrics.whitening(m.covariance_)
    np.testing.assert_array_equal(w, np.tril(w))
    again = metrics.Moments(covariance=True).update((rows - m.mean_) @ w.T)
    # condition of the correlation matrix (below 1e4 here) times the 1e-10 of the covariance
    np.testing.assert_allclose(again.covariance_, np.eye(7), atol=1e-6)


def test_ridge_adds_its_share_of_each_variance():
    c = np.array([[4.0, 2.0], [2.0, 9.0]])
    w = metrics.whitening(c, ridge=0.5)
    np.testing.assert_allclose(w @ (c + 0.5 * np.diag([4.0, 9.0])) @ w.T, np.eye(2), atol=1e-15)


@pytest.mark.parametrize("spoil, column", [(lambda x: np.column_stack([x, x[:, 0] + 2 * x[:, 1]]), 3),
                                           (lambda x: np.insert(x, 1, 5.0, axis=1), 1)])
def test_dependent_or_constant_column_is_named_and_a_ridge_helps_the_first(spoil, column):
    x = spoil(np.random.default_rng(6).normal(size=(500, 3)))
    c = metrics.Moments(covariance=True).update(x).covariance_
    with pytest.raises(ValueError, match=f"covariance: column {column} is constant or a combination"):
        metrics.whitening(c)
    if column == 3:
        assert np.isfinite(metrics.whitening(c, ridge=1e-6)).all()


@pytest.mark.parametrize("excess", [0.0, 2.0**-52, 2.0**-47])
def test_pivot_that_is_only_round_off_does_not_pass(excess):
    """1 + 2^-52 - 1 is positive, so the factorisation alone would accept it and scale noise to variance 1."""
    with pytest.raises(ValueError, match="covariance: column 1 is constant or a combination"):
        metrics.whitening(np.array([[1.0, 1.0], [1.0, 1.0 + excess]]))


@pytest.mark.parametrize("ridge", [-1.0, np.nan, np.inf])
def test_wrong_ridge_is_named(ridge):
    with pytest.raises(ValueError, match="ridge: expected a finite number >= 0"):
        metrics.whitening(np.eye(2), ridge)


def test_squared_distance_of_normal_rows_is_chi_square():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(20000, 5)) @ rng.normal(size=(5, 5)) + 3
    m = metrics.Moments(covariance=True).update(x)
    d = metrics.squared_distance(x, m.mean_, metrics.whitening(m.covariance_))
    # with the sample's own mean and covariance the mean is exactly the dimension, up to round-off
    assert d.mean() == pytest.approx(5, rel=1e-10)
    assert d.var() == pytest.approx(2 * 5, rel=5 * np.sqrt((2 + 12 / 5) / 20000) + 0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_squared_distance_has_the_same_bits_for_any_rows_threads_and_fma_machine(dtype):
    rng = np.random.default_rng(8)
    x, mean, w = rng.normal(size=(3000, 11)).astype(dtype), rng.normal(size=11).astype(dtype), np.tril(rng.normal(size=(11, 11))).astype(dtype)
    whole = metrics.squared_distance(x, mean, w)
    np.testing.assert_allclose(whole, (((x - mean).astype(float) @ w.astype(float).T) ** 2).sum(1), rtol=60 * np.finfo(dtype).eps)
    for n in (1, 2, 3, 7, 16, 100):
        np.testing.assert_array_equal(metrics.squared_distance(x[5:5 + n], mean, w), whole[5:5 + n])
    np.testing.assert_array_equal(metrics.squared_distance(x, mean, w, 2), whole)
    for isa in ISAS:
        if isa in ("v3", "v4"):
            _core.isa_set(isa)
            np.testing.assert_array_equal(metrics.squared_distance(x, mean, w), whole)
