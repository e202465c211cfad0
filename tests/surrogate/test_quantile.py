"""Quantile: marginals become normal, the way back is exact, tails go on, points are refused."""

import numpy as np
import pytest
from scipy import stats

import simgraft as sg
from simgraft import _core, encode

SAMPLES = {
    "gamma": lambda rng, n: rng.gamma(2.0, size=n),
    "uniform": lambda rng, n: rng.uniform(-np.pi, np.pi, n),
    "two peaks": lambda rng, n: np.where(rng.random(n) < 0.3, rng.normal(91, 2, n), rng.normal(30, 10, n)),
    "wide": lambda rng, n: 1e8 * rng.normal(size=n) + 3e9,
}


def fitted(values, **options):
    return encode.Encoder({"x": encode.Quantile(**options)}).fit(values[:, None], {"x": sg.Var("1")})


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_new_rows_of_the_same_distribution_become_normal(sample):
    rng = np.random.default_rng(3)
    encoder = fitted(sample(rng, 40_000))
    z = encoder.transform(sample(rng, 40_000)[:, None], dtype="float64")[:, 0]
    # Two samples of 40,000 differ by sqrt(2) 0.87 / 200 = 0.0061 in the median, and by 0.0138 with probability 1e-3.
    assert stats.kstest(z, "norm").statistic < 0.0138


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_the_way_back_is_the_inverse_tails_included(sample):
    values = sample(np.random.default_rng(4), 5_000)
    encoder = fitted(values)
    low, high = values.min(), values.max()
    x = np.concatenate([values, np.linspace(low - (high - low), high + (high - low), 1001)])[:, None]
    z = encoder.transform(x, dtype="float64")
    assert np.all(np.diff(z[np.argsort(x[:, 0]), 0]) >= 0)
    # 100 ulp of the largest number, times slopes of up to 30 between neighbouring pieces
    np.testing.assert_allclose(encoder.inverse_transform(z), x, rtol=0, atol=1e-12 * np.abs(x).max())
    z = np.random.default_rng(5).normal(0, 2, (2_000, 1)).astype(np.float32)
    back = encoder.transform(encoder.inverse_transform(z, dtype="float64"))
    np.testing.assert_allclose(back, z, rtol=0, atol=2e-6)  # float32 rounds z itself to 5e-7


def test_vector_code_is_the_plain_version_at_and_between_knots():
    values = np.random.default_rng(6).gamma(2.0, size=3_000)
    encoder = fitted(values, knots=21)
    quantile = encoder.chains_["x"][0]
    x = np.concatenate([quantile.x_[0], values, [-5.0, 100.0]])[:, None]
    out = encoder.program_.run(x, np.empty_like(x))
    np.testing.assert_allclose(out, encoder.program_.reference(x), rtol=0, atol=1e-12)
    np.testing.assert_allclose(out[:21, 0], quantile.z_[0], rtol=0, atol=1e-12)
    z = np.linspace(-8, 8, 4001)[:, None]
    run, plain = encoder.inverse_program_.run(z, np.empty_like(z)), encoder.inverse_program_.reference(z)
    np.testing.assert_allclose(run, plain, rtol=1e-13, atol=1e-13)


def test_density_has_no_steps():
    """The slope is continuous: between neighbours 1e-4 apart it changes by as much everywhere."""
    encoder = fitted(np.random.default_rng(7).normal(size=20_000), knots=65)
    z = np.linspace(-4.5, 4.5, 90_001)[:, None]
    slope = np.diff(encoder.inverse_transform(z)[:, 0]) / 1e-4
    assert slope.min() > 0
    # A straight-line map would jump by several per cent at its knots; the curvature here gives less than 0.2 %.
    assert np.abs(np.diff(np.log(slope))).max() < 5e-3


def test_a_value_that_many_rows_share_is_refused_by_name():
    values = np.where(np.arange(1000) % 5 == 0, 0.0, np.random.default_rng(8).normal(size=1000))
    with pytest.raises(_core.DomainError, match=r"x: the value 0 takes up 0\.2 of the rows.*Mask"):
        fitted(values)
    masked = encode.Encoder({"x": [encode.Mask(missing=0.0), encode.Quantile()]})
    encoded = masked.fit(values[:, None], {"x": sg.Var("1")}).transform(values[:, None], dtype="float64")
    np.testing.assert_array_equal(encoded[:, 1], values != 0)
    np.testing.assert_allclose(encoded[values == 0, 0], 0, atol=1e-12)
    np.testing.assert_allclose(masked.inverse_transform(encoded)[:, 0], values, atol=1e-12)


def test_many_rows_are_thinned_and_blocks_do_not_matter():
    values = np.random.default_rng(9).normal(size=(10_000, 1))
    whole = encode.Quantile(most_rows=2_000)
    whole._start(1), whole._update(values, None), whole._finish()
    parts = encode.Quantile(most_rows=2_000)
    parts._start(1)
    for block in np.array_split(values, 7):
        parts._update(block, None)
    parts._finish()
    np.testing.assert_array_equal(whole.x_, parts.x_)


@pytest.mark.parametrize("change", ["descending", "outside", "not a knot", "in a column"])
def test_forged_curves_are_refused(change):
    column, op, value = (np.array(a) for a in fitted(np.random.default_rng(1).normal(size=100), knots=5)._forward)
    if change == "descending":
        value[2] = value[1]
    elif change == "outside":
        value[0, 1] = 2
    elif change == "not a knot":
        op[3] = 2
    else:
        column[0, 4] = 2
    with pytest.raises(ValueError, match="not allowed"):
        _core.Program(1, column, op, value)
