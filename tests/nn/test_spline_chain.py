"""Chains of conditional one-dimensional laws: inverse, bounds, bits, what they learn."""

import numpy as np
import pytest

from simgraft import _core, nn
from simgraft.nn.spline_chain import quantile_curve


def pair(n, seed):
    """y | x ~ N(sin 3 x, 0.3 + 0.2 x): a mean and a width that depend on the number before."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1, 1, n)
    return np.stack([x, np.sin(3 * x) + (0.3 + 0.2 * x) * rng.normal(size=n)])


def features(values):
    return np.stack([np.ones_like(values[0]), values[0]]).astype(np.float32)


@pytest.fixture(scope="module")
def chain():
    x = pair(20_000, 1)
    return nn.SplineChain(units=(24, 24), bins=12, epochs=20, batch_size=256, rate=5e-3, weight_decay=0.1).fit(
        x, features(x), (1, 2), seed=1, num_threads=1
    )


def test_law_of_the_second_number_follows_the_first(chain):
    x, y = chain.sample(60_000, lambda step, values: features(values), seed=2).astype(np.float64)
    # 5 standard errors of 3000 values, and as much again that 20,000 training rows leave open.
    for at in (-0.8, -0.3, 0.3, 0.8):
        near = np.abs(x - at) < 0.05
        width = 0.3 + 0.2 * at
        assert abs(y[near].mean() - np.sin(3 * x[near]).mean()) < 10 * width / np.sqrt(near.sum())
        inner = np.quantile(np.abs(y[near] - np.sin(3 * x[near])), 0.6827)  # one standard deviation, blind to far tails
        assert abs(inner / width - 1) < 10 / np.sqrt(2 * near.sum())


def test_held_out_loss_is_that_of_the_law(chain):
    # Entropy of z: that of y | x less the mean of log dy/dz; by numbers: -log p(y | x) + log p(y), averaged.
    x, y = pair(200_000, 5)
    width = 0.3 + 0.2 * x
    exact = np.mean(0.5 * ((y - np.sin(3 * x)) / width) ** 2 + np.log(width))
    density, edges = np.histogram(y, 400, density=True)
    marginal = -np.mean(np.log(np.maximum(density[np.clip(np.digitize(y, edges) - 1, 0, 399)], 1e-12))) - 0.5 * np.log(2 * np.pi)
    normal = 0.5 + 0.5 * np.log(2 * np.pi)
    # 600 held-out rows: standard error of their mean 0.03; one number that depends on nothing has 1.419.
    assert abs(chain.losses_[1] - (normal + exact - marginal)) < 0.1
    assert abs(chain.losses_[0] - normal) < 0.1


def test_step_is_the_inverse_of_the_trained_spline(chain):
    core, rng = chain.core(), np.random.default_rng(3)
    x = pair(3000, 4)
    f = np.ascontiguousarray(features(x))
    z = rng.normal(size=3000).astype(np.float32)
    value = core.run(1, f, z)
    curve, edge = chain.curves_[1], chain.edges_[1]
    inner = (value > curve[0]) & (value < curve[-1])
    scaled = ((f - chain.mean_[:2, None]) / chain.scale_[:2, None]).astype(np.float32)
    middle = np.interp(value, curve, np.linspace(-edge, edge, len(curve))).astype(np.float32)
    back = chain.networks_[1].predict(np.ascontiguousarray(np.vstack([middle, scaled]).T))[:, 0]
    # Slopes of the spline and of the curve between 1e-3 and some 1e1 amplify rounding of 1e-7.
    assert inner.sum() > 2900 and np.abs(back - z)[inner].max() < 2e-3
    assert np.median(np.abs(back - z)[inner]) < 2e-6


def test_values_stay_within_those_of_the_training(chain):
    z = np.array([-50, -6, 0, 6, 50, np.nan], np.float32)
    f = features(np.zeros((2, 6)))
    value = chain.core().run(1, f, z)
    assert value.min() >= chain.curves_[1][0] and value.max() <= chain.curves_[1][-1]
    assert value[0] == chain.curves_[1][0] and value[4] == chain.curves_[1][-1]


def test_row_has_the_same_bits_in_any_block_and_instruction_set(chain):
    f = lambda step, values: features(values)  # noqa: E731
    whole = chain.sample(2000, f, seed=7)
    parts = [chain.sample(b - a, f, seed=7, first=a) for a, b in ((0, 1), (1, 386), (386, 2000))]
    np.testing.assert_array_equal(whole, np.hstack(parts))
    found = []
    try:
        for isa in ("v3", "v4"):
            _core.isa_set(isa)
            found.append(chain.sample(500, f, seed=7))
    except (RuntimeError, ValueError, NotImplementedError) as error:
        pytest.skip(str(error))
    finally:
        _core.isa_set("auto")
    np.testing.assert_array_equal(found[0], found[1])


def test_number_that_never_changes_is_a_constant():
    x = pair(500, 1)
    x[1] = 4.25
    chain = nn.SplineChain(units=(4,), bins=4, epochs=1).fit(x, features(x), (1, 2), seed=1)
    assert (chain.sample(100, lambda step, values: features(values), seed=1)[1] == np.float32(4.25)).all()


def test_number_that_is_hardly_present_is_a_constant():
    x = pair(500, 1)
    there = np.ones(x.shape, bool)
    there[1, 10:] = False
    chain = nn.SplineChain(units=(4,), bins=4, epochs=1).fit(x, features(x), (1, 2), present=there, seed=1)
    assert len(np.unique(chain.sample(100, lambda step, values: features(values), seed=1)[1])) == 1


def test_curve_of_quantiles_ends_at_least_and_largest_value_and_never_falls():
    x = np.round(np.random.default_rng(1).exponential(size=999), 1)
    curve = quantile_curve(x, 64, 3.0)
    assert curve[0] == np.float32(x.min()) and curve[-1] == np.float32(x.max()) and (np.diff(curve) >= 0).all()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"n_features": (1, 3)}, "n_features: expected 2 numbers from 1 to 2"),
        ({"features": np.zeros((2, 500))}, "features: expected a float32 array"),
        ({"units": [(4,)]}, "units: expected one tuple for each of 2 numbers, got 1"),
        ({"hold_out": 0.9}, "hold_out: expected a share"),
    ],
)
def test_wrong_use_names_the_argument(change, message):
    x = pair(500, 1)
    chain = nn.SplineChain(units=change.get("units", (4,)), bins=4, epochs=1, hold_out=change.get("hold_out", 0.1))
    with pytest.raises(ValueError, match=message):
        chain.fit(x, change.get("features", features(x)), change.get("n_features", (1, 2)), seed=1)


def test_core_refuses_what_is_no_chain():
    w, b, knots = np.zeros((2, 11), np.float32), np.zeros(11, np.float32), np.linspace(0, 1, 5, dtype=np.float32)
    step = ((w,), (b,), "swish", 4, 5.0, knots, 3.0)
    assert _core.SplineChain([step]).flops == (44.0,)
    for change, message in (
        ((3, 5), r"steps\[0\]: expected a network with 14 outputs for 5 bins, got 11"),
        ((5, knots[::-1].copy()), r"steps\[0\]: expected finite knots that do not fall"),
        ((4, -1.0), r"steps\[0\]: expected finite bound and edge > 0"),
        ((3, 40), r"steps\[0\]: expected 2 to 32 bins, got 40"),
    ):
        bad = list(step)
        bad[change[0]] = change[1]
        with pytest.raises(ValueError, match=message):
            _core.SplineChain([tuple(bad)])
    with pytest.raises(ValueError, match="steps: expected at least one"):
        _core.SplineChain([])
