"""Comparisons of samples against SciPy and scikit-learn, their invariance, and what they refuse."""

import math

import numpy as np
import pytest
from scipy import linalg, stats

from simgraft import _core, metrics
from simgraft._core import NotFiniteError

# Two sums of 1e3 terms of order 1 in other orders differ by a few hundred roundings: 1e-13. The limit asked for is 1e-10.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def samples(n_a=700, n_b=450, m=3, shift=0.2, seed=1, dtype=np.float64):
    """Columns of unlike size, with equal values within and between the samples."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** np.arange(-1, m - 1)
    a, b = rng.normal(size=(n_a, m)) * scale, rng.normal(shift, 1.3, size=(n_b, m)) * scale
    a[: n_a // 5, 0] = 0.0
    b[: n_b // 7, 0] = 0.0
    return a.astype(dtype), b.astype(dtype)


def weighted(seed=2, n_a=700, n_b=450):
    rng = np.random.default_rng(seed)
    wa, wb = rng.exponential(size=n_a), rng.exponential(size=n_b)
    wa[3] = 0.0
    return wa, wb


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("with_weights", [False, True])
def test_distances_of_columns_are_those_of_scipy(dtype, with_weights):
    a, b = samples(dtype=dtype)
    wa, wb = weighted() if with_weights else (None, None)
    found = metrics.wasserstein(a, b, weight_a=wa, weight_b=wb)
    for k in range(3):
        x, y = a[:, k].astype(float), b[:, k].astype(float)
        np.testing.assert_allclose(found[k], stats.wasserstein_distance(x, y, wa, wb), **CLOSE)
        energy = metrics.energy_distance(a[:, k], b[:, k], weight_a=wa, weight_b=wb)
        np.testing.assert_allclose(energy, stats.energy_distance(x, y, wa, wb), **CLOSE)
    scale = np.array([2.0, 3.0, 4.0])
    np.testing.assert_allclose(metrics.wasserstein(a, b, weight_a=wa, weight_b=wb, scale=scale), found / scale, rtol=1e-15)


def test_weights_count_like_repeated_rows():
    a, b = samples(60, 50)
    times = np.random.default_rng(4).integers(1, 4, 60)
    repeated = np.repeat(a, times, axis=0)
    for metric in (metrics.wasserstein, metrics.energy_distance):
        np.testing.assert_allclose(metric(a, b, weight_a=times.astype(float)), metric(repeated, b), **CLOSE)
    got = metrics.histogram_test(a[:, 1], b[:, 1], [-4.0, 0.0, 1.0, 4.0], weight_a=times.astype(float))
    want = metrics.histogram_test(repeated[:, 1], b[:, 1], [-4.0, 0.0, 1.0, 4.0])
    np.testing.assert_allclose(got.discriminator, want.discriminator, **CLOSE)


@pytest.mark.parametrize(("n_a", "n_b", "shift"), [(30, 30, 1.0), (50, 70, 0.3), (300, 400, 0.0), (7, 4, 0.5)])
def test_kolmogorov_smirnov_is_that_of_scipy(n_a, n_b, shift):
    rng = np.random.default_rng(n_a)
    a, b = rng.normal(size=(n_a, 2)), rng.normal(shift, 1, size=(n_b, 2))
    found = metrics.ks_test(a, b, method="exact")
    for k in range(2):
        want = stats.ks_2samp(a[:, k], b[:, k], method="exact")
        np.testing.assert_allclose(found.statistic[k], want.statistic, **CLOSE)
        np.testing.assert_allclose(found.p_value[k], want.pvalue, rtol=1e-10)


def test_the_limit_of_kolmogorov_smirnov_for_large_samples():
    a, b = np.random.default_rng(3).normal(size=(2, 20_000))
    found, want = metrics.ks_test(a, b, method="limit"), stats.ks_2samp(a, b, method="asymp")
    # Stephens' correction moves the argument by 0.12 / s + 0.11 / s^2 = 1e-3 of itself for s = 100
    np.testing.assert_allclose(found.p_value, want.pvalue, rtol=2e-2)


def test_energy_distance_of_rows_is_that_over_all_pairs():
    a, b = samples(90, 70)

    def mean(x, y):
        return np.sqrt(((x[:, None] - y[None]) ** 2).sum(axis=2)).mean()

    want = np.sqrt(2 * mean(a, b) - mean(a, a) - mean(b, b))
    np.testing.assert_allclose(metrics.energy_distance(a, b), want, rtol=1e-10)
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    np.testing.assert_allclose(metrics.energy_distance(a32, b32), want, rtol=1e-4)  # its square is a difference


def test_frechet_distance_is_that_of_the_square_root_of_a_matrix():
    a, b = samples(500, 400, 4)
    parts = [(x.mean(axis=0), np.cov(x.T)) for x in (a, b)]
    (mean_a, ca), (mean_b, cb) = parts
    root = linalg.sqrtm(ca @ cb).real
    want = ((mean_a - mean_b) ** 2).sum() + np.trace(ca + cb - 2 * root)
    value, error = metrics.frechet_distance(a, b, scale=None, extrapolate=False)
    np.testing.assert_allclose(value, want, rtol=1e-10)
    assert math.isnan(error)


def test_extrapolation_takes_the_bias_of_finite_samples_off():
    a, b = np.random.default_rng(5).normal(size=(2, 20_000, 8))
    biased, _ = metrics.frechet_distance(a[:2000], b[:2000], scale=None, extrapolate=False)
    value, error = metrics.frechet_distance(a, b, scale=None, sizes=[1000, 1500, 2000, 4000, 8000])
    # Draws with replacement from these 20,000 rows extrapolate to their own distance, a tenth of that of 2,000.
    assert biased > 5e-3 and abs(value) < 0.25 * biased and error < 0.1 * biased


def test_kernel_distance_is_the_unbiased_estimate():
    a, b = samples(300, 300)
    x, y = a / np.abs(a).max(axis=0), b / np.abs(a).max(axis=0)

    def kernel(u, v):
        return (u @ v.T / 3 + 1) ** 4

    n = 300
    want = sum((kernel(u, u).sum() - np.trace(kernel(u, u))) / (n * (n - 1)) for u in (x, y)) - 2 * kernel(x, y).mean()
    value, spread = metrics.kernel_distance(a, b, batches=1, batch_size=n)
    np.testing.assert_allclose(value, want, rtol=1e-10)
    assert spread == 0


def test_sliced_distance_of_a_shift_is_its_mean_projection():
    a = samples()[0]
    value, error = metrics.sliced_wasserstein(a, a + 1.0, 4000, scale=np.ones(3))
    # |shift . direction| of a shift of length sqrt(3) on the sphere: half its length on average
    assert abs(value - 3**0.5 / 2) < 4 * error and error < 0.01
    assert metrics.sliced_wasserstein(a, a)[0] == 0


def test_histogram_test_by_its_formulas():
    rng = np.random.default_rng(6)
    a, b = rng.normal(size=4000), rng.normal(0.1, 1, size=3000)
    edges = np.linspace(-3, 3, 13)
    p, q = (np.histogram(x, edges)[0].astype(float) for x in (a, b))
    variance = p / p.sum() ** 2 + q / q.sum() ** 2
    p, q = p / p.sum(), q / q.sum()
    found = metrics.histogram_test(a, b, edges)
    np.testing.assert_allclose(found.discriminator, 0.5 * ((p - q) ** 2 / (p + q)).sum(), rtol=1e-12)
    np.testing.assert_allclose(found.pulls, (p - q) / np.sqrt(variance), rtol=1e-12)
    assert found.ndf == 11
    np.testing.assert_allclose(found.chi2, (found.pulls**2).sum(), rtol=1e-12)


def test_a_histogram_filled_in_blocks_is_that_of_all_events():
    x, w = np.random.default_rng(7).normal(size=(2, 1000))
    w = np.abs(w)
    edges = np.array([-2.0, -0.5, 0.1, 2.5])
    whole, parts = metrics.Histogram(edges).update(x, w), metrics.Histogram(edges)
    for start in range(0, 1000, 37):
        parts.update(x[start : start + 37], w[start : start + 37])
    np.testing.assert_allclose(parts.sum_, whole.sum_, rtol=1e-12)
    np.testing.assert_allclose(whole.sum_, np.histogram(x, edges, weights=w)[0], rtol=1e-12)
    np.testing.assert_allclose(whole.outside_, w[(x < -2) | (x > 2.5)].sum(), rtol=1e-12)
    assert parts.count_ == 1000


def test_pulls_of_one_distribution_are_standard_normal():
    rng = np.random.default_rng(8)
    pulls = np.concatenate([metrics.histogram_test(*rng.normal(size=(2, 5000)), bins=20).pulls for _ in range(50)])
    # 50 times 19 degrees of freedom: the mean square is 0.95 +- sqrt(2 * 19 / 20^2 / 50) = 0.044
    assert abs(np.mean(pulls**2) - 0.95) < 4 * 0.044


def test_correlations_are_those_of_numpy():
    a, b = samples()
    found = metrics.correlation_difference(a, b)
    np.testing.assert_allclose(found, np.corrcoef(a.T) - np.corrcoef(b.T), rtol=0, atol=1e-12)


def test_effective_sample_size():
    assert metrics.effective_sample_size(np.ones(7)) == 7
    assert metrics.effective_sample_size(np.array([3.0, 1.0])) == pytest.approx(1.6)


def test_floor_draws_different_rows_and_repeats_itself():
    truth = np.arange(400.0)[:, None]
    seen = []

    def metric(a, b):
        seen.append((set(a[:, 0]), set(b[:, 0])))
        return metrics.wasserstein(a, b)[0]

    first = metrics.floor(metric, truth, 100, repeats=4, seed=3)
    assert all(len(a) == len(b) == 100 and not a & b for a, b in seen) and len({min(a) for a, _ in seen}) > 1
    again = metrics.floor(metric, truth, 100, repeats=4, seed=3)
    np.testing.assert_array_equal(first.values, again.values)
    assert first.std == pytest.approx(np.std(first.values, ddof=1))


# --------------------------------------------------------------------------------------------------- neighbours


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_rows_are_those_of_all_pairs(dtype):
    a, b = samples(130, 201, dtype=dtype)
    distance, index = metrics.nearest(a, b, 4)
    square = ((a[:, None].astype(float) - b[None].astype(float)) ** 2).sum(axis=2)
    order = np.argsort(square, axis=1, kind="stable")[:, :4]
    want = np.sqrt(np.take_along_axis(square, order, axis=1))
    np.testing.assert_allclose(distance, want, rtol=1e-12 if dtype == np.float64 else 1e-5)
    if dtype == np.float64:
        np.testing.assert_array_equal(index, order)


def test_a_row_is_not_its_own_neighbour():
    a = np.array([[0.0], [0.0], [5.0]])
    distance, index = metrics.nearest(a, a, same=True)
    np.testing.assert_array_equal(distance[:, 0], [0, 0, 5])
    np.testing.assert_array_equal(index[:, 0], [1, 0, 0])


def test_precision_recall_density_and_coverage_by_their_definitions():
    real, generated = samples(150, 120, seed=9)
    k, std = 3, real.std(axis=0)
    x, y = real / std, generated / std

    def pairs(u, v):
        return np.sqrt(((u[:, None] - v[None]) ** 2).sum(axis=2))

    own = [np.sort(pairs(u, u), axis=1)[:, k] for u in (x, y)]  # place 0 is the row itself
    across = pairs(x, y)
    inside_real, inside_generated = across < own[0][:, None], across < own[1][None]
    found = metrics.coverage(real, generated, k=k)
    assert found.precision == pytest.approx(inside_real.any(axis=0).mean())
    assert found.recall == pytest.approx(inside_generated.any(axis=1).mean())
    assert found.density == pytest.approx(inside_real.sum() / (k * 120))
    assert found.coverage == pytest.approx(inside_real.any(axis=1).mean())


def test_coverage_of_equal_distributions_is_the_expected_one():
    rng = np.random.default_rng(13)
    found = [metrics.coverage(*rng.normal(size=(2, 400, 3)), k=3) for _ in range(40)]
    scatter = np.std([f.coverage for f in found], ddof=1)
    assert abs(np.mean([f.coverage for f in found]) - found[0].expected_coverage) < 4 * scatter / 40**0.5 < 0.02


def test_memorisation_of_copies_of_smear_and_of_fresh_rows():
    training, truth, fresh = np.random.default_rng(10).normal(size=(3, 3000, 4))
    copied = metrics.memorisation(training, training, truth)
    assert copied.ratio == 0 and copied.share_closer == 1
    near = metrics.memorisation(training + 1e-3, training, truth)
    assert 0 < near.ratio < 0.05
    half = np.concatenate([training[:1500], fresh[:1500]])
    assert metrics.memorisation(half, training, truth).ratio == pytest.approx(0.5, abs=0.05)
    new = metrics.memorisation(fresh, training, truth)
    assert abs(new.ratio - 1) < 4 * new.error and new.share_closer < 0.025  # 0.01 +- sqrt(0.01 / 3000) of each


# ------------------------------------------------------------------------------------------------ amplification


def test_cells_hold_equal_shares_and_assign_what_they_were_fitted_on():
    truth = np.random.default_rng(11).normal(size=(6400, 3))
    cells = metrics.Cells(6).fit(truth)
    assert cells.n_cells == 64
    np.testing.assert_array_equal(cells.share_, 1 / 64)
    np.testing.assert_allclose(cells.shares(truth), cells.share_, rtol=1e-12)


def test_a_copied_sample_is_worth_itself_and_a_perfect_model_more():
    rng = np.random.default_rng(12)
    truth, training = rng.normal(size=(200_000, 2)), rng.normal(size=(1000, 2))
    copied = metrics.amplification(np.tile(training, (50, 1)), truth, 1000)
    # 127 squares: relative spread sqrt(2 / 127) = 0.125
    assert abs(copied.factor - 1) < 4 * 0.125
    assert metrics.amplification(rng.normal(size=(50_000, 2)), truth, 1000).factor > 20


# ------------------------------------------------------------------------------------------- bits and refusals

ISAS = ["v3", "v4"] if _core.isa_best() == "v4" else [_core.isa_best()]


@pytest.fixture
def any_isa():
    yield
    _core.isa_set("auto")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_do_not_depend_on_threads_and_instruction_set(dtype, any_isa):
    a, b = samples(400, 333, dtype=dtype)

    def readings(num_threads):
        return [
            metrics.wasserstein(a, b, num_threads=num_threads),
            metrics.sliced_wasserstein(a, b, 20, num_threads=num_threads),
            metrics.energy_distance(a, b, num_threads=num_threads),
            metrics.kernel_distance(a, b, batches=2, batch_size=200, num_threads=num_threads),
            metrics.nearest(a, b, 3, num_threads=num_threads)[0],
            metrics.coverage(a, b, num_threads=num_threads).density,
        ]

    found = []
    for isa in ISAS:
        _core.isa_set(isa)
        found += [readings(1), readings(2)]
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


METRICS = {
    "wasserstein": metrics.wasserstein,
    "sliced_wasserstein": metrics.sliced_wasserstein,
    "ks_test": metrics.ks_test,
    "energy_distance": metrics.energy_distance,
    "correlation_difference": metrics.correlation_difference,
}


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_rows_and_weights_that_are_no_numbers_are_named(metric):
    a, b = samples(50, 40)
    bad = b.copy()
    bad[7, 2] = np.nan
    with pytest.raises(NotFiniteError, match=r"b: row 7, column 2 is nan \(1 such values\)"):
        metric(a, bad)
    weight = np.ones(50)
    weight[9] = np.nan
    with pytest.raises(ValueError, match="weight_a: event 9 has nan; expected finite numbers >= 0"):
        metric(a, b, weight_a=weight)
    with pytest.raises(ValueError, match="b: expected 3 columns as in a, got 2"):
        metric(a, b[:, :2])
    with pytest.raises(TypeError, match="a: expected a float32 or float64 array, got int64"):
        metric(np.ones((5, 3), int), b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: metrics.coverage(a, a, k=len(a)), "k: expected 1 to 49, got 50"),
        (lambda a: metrics.nearest(a, a, len(a) + 1), "k: expected 1 to 50"),
        (lambda a: metrics.memorisation(a, a, a), "truth: every row is a row of the training sample"),
        (lambda a: metrics.frechet_distance(a, a, scale=[1.0, 0.0, 1.0]), "scale: expected numbers above 0"),
        (lambda a: metrics.floor(metrics.wasserstein, a, 30), "truth: expected at least 2 n = 60 rows, got 50"),
        (lambda a: metrics.Cells(7).fit(a), "truth: expected at least 128 rows, got 50"),
        (lambda a: metrics.Histogram([0.0, 0.0]), "edges: expected at least two finite rising numbers"),
        (lambda a: metrics.ks_test(a, a, weight_a=np.ones(50), method="exact"), "method: there is no exact"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(samples(50, 40)[0])
