"""The guard: exact counts, policies, and what counts as inside."""

import numpy as np
import pytest

import simgraft as sg
from simgraft import encode
from simgraft.surrogate import OutsideDomainWarning


@pytest.fixture
def spoilt(rows):
    """Row 5 out of range, row 900 NaN, row 1000 infinite."""
    x = rows.copy()
    x[5, 1] = 500.0
    x[900, 0] = np.nan
    x[1000, 4] = -np.inf
    return x


def test_training_rows_are_inside(surrogate, rows):
    report = surrogate.guard_check(rows)
    assert (
        report.n_rows == len(rows) and report.n_outside == 0 and not report.flags.any() and report.first == ""
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_training_rows_are_inside_in_both_precisions(surrogate, rows, dtype):
    assert surrogate.guard_check(rows.astype(dtype)).n_outside == 0


@pytest.mark.parametrize("threads", [1, 2])
def test_counts_are_exact(surrogate, spoilt, threads):
    surrogate.reset_guard_report()
    surrogate.evaluate(spoilt, guard="count", num_threads=threads)
    report = surrogate.guard_report
    assert (report.n_rows, report.n_outside, report.n_not_finite) == (len(spoilt), 3, 2)
    assert report.n_box == 1 and report.inputs == {"temperature": 1, "pressure": 1, "mix[2]": 1}
    assert "temperature" in report.first and "row 5 " in report.first
    assert list(np.flatnonzero(surrogate.guard_check(spoilt).flags)) == [5, 900, 1000]
    surrogate.evaluate(spoilt, guard="count", num_threads=threads)
    assert surrogate.guard_report.n_outside == 6  # adds up
    surrogate.reset_guard_report()


def test_raise_names_variable_row_value_and_limit(surrogate, spoilt):
    with pytest.raises(
        sg.DomainError, match=r"^temperature: value 500 K in row 5 lies outside the domain \(200 to 400 K\)$"
    ):
        surrogate.evaluate(spoilt)
    with pytest.raises(sg.NotFiniteError, match=r"^pressure: row 894 is NaN$"):
        surrogate.evaluate(spoilt[6:])


def test_raise_names_the_first_row_for_any_number_of_threads(surrogate, rows):
    x = np.tile(rows, (8, 1))
    x[5000:, 1] = 999.0
    for threads in (1, 2):
        with pytest.raises(sg.DomainError, match="in row 5000 "):
            surrogate.evaluate(x, num_threads=threads)


def test_warn_evaluates_and_warns(surrogate, spoilt):
    with pytest.warns(OutsideDomainWarning, match="3 of 2048 rows"):
        out = surrogate.evaluate(spoilt, guard="warn")
    assert np.isfinite(out[[0, 5]]).all()


def test_fallback_rows_are_the_kernels_and_the_others_the_networks(kernel, surrogate, rows):
    """Per row: bits of the kernel outside, bits of the network inside."""
    narrow = sg.Surrogate.from_network(
        sg.Kernel(kernel.function, inputs=kernel.inputs, outputs=kernel.outputs, name="rates"),
        [w for w, _, _ in surrogate.network_.layers],
        [b for _, b, _ in surrogate.network_.layers],
        ["softsign", "softsign", "linear"],
        encoder=surrogate.encoder_,
        decoder=surrogate.decoder_,
        guard="fallback",
        domain=(np.array([1e2, 250.0, 0, 0, 0]), np.array([1e5, 350.0, 1, 1, 1])),
    )
    outside = (rows[:, 1] < 250) | (rows[:, 1] > 350)
    assert 500 < outside.sum() < 1500
    out = narrow.evaluate(rows)
    assert np.array_equal(out[outside], kernel.evaluate(rows)[outside])
    assert np.array_equal(out[~outside], surrogate.evaluate(rows, guard="off")[~outside])
    assert narrow.guard_report.n_fallback == narrow.guard_report.n_outside == outside.sum()


def test_fallback_of_float_rows(kernel, surrogate, rows):
    narrow = sg.Surrogate.from_network(
        kernel,
        *map(list, zip(*surrogate.network_.layers)),
        encoder=surrogate.encoder_,
        decoder=surrogate.decoder_,
        guard="fallback",
        domain=(np.full(5, 2.0), np.full(5, 3.0)),
    )
    x = np.clip(rows, rows.min(axis=0), rows.max(axis=0) * 0.999).astype(np.float32)
    assert np.array_equal(narrow.evaluate(x), kernel.evaluate(x.astype(np.float64)).astype(np.float32))


def test_fallback_without_a_kernel_says_what_is_missing(surrogate, spoilt, tmp_path):
    surrogate.save(tmp_path / "rates.sg")
    loaded = sg.load(tmp_path / "rates.sg")
    with pytest.raises(RuntimeError, match="pass kernel= to Surrogate.load"):
        loaded.evaluate(spoilt, guard="fallback")
    assert np.array_equal(loaded.evaluate(spoilt[:5], guard="fallback"), surrogate.evaluate(spoilt[:5]))


def test_density_sees_a_combination_that_no_box_sees(kernel):
    """Two inputs that were always nearly equal in training: the corner is far away, in range or not."""
    rng = np.random.default_rng(1)
    pair = sg.Kernel(
        None, inputs={"a": sg.Var("1", 0, 1), "b": sg.Var("1", 0, 1)}, outputs={"y": sg.Var("1")}
    )
    a = rng.random((4000, 1))
    x = np.clip(np.hstack([a, a + rng.normal(0, 0.02, a.shape)]), 0, 1)
    data = sg.Dataset.from_arrays(pair, x, x[:, :1])
    # min-max: the mean of the encoded rows is not 0
    surrogate = sg.Surrogate(
        pair, sg.nn.MLP([4]), encoder={"a": encode.MinMax(), "b": encode.MinMax()}, guard=sg.Guard("count")
    )
    surrogate.fit(data, seed=1, epochs=1, progress=False)
    report = surrogate.guard_check(np.array([[0.2, 0.8], [0.5, 0.51]]))
    assert list(report.flags) == [2, 0] and "far from the training data" in report.first
    # The distance is Mahalanobis' of the encoded rows, in float32: 1e-5 of a distance up to 30, from the
    # cancellation of nearly equal inputs.
    e = surrogate.encoder_.transform(x, dtype="float64")
    c = np.linalg.inv(np.cov(e.T, bias=True))
    d = np.sqrt(np.einsum("ni,ij,nj->n", e - e.mean(axis=0), c, e - e.mean(axis=0)))
    assert np.allclose(surrogate.distance(x), d, rtol=1e-5, atol=1e-4)
    assert np.isclose(
        surrogate._core.describe()["max_distance"], 1.25 * surrogate.distance(x).max(), rtol=1e-12
    )


def unlimited(n, low=None, high=None, dtype=np.float64):
    """The sum of n inputs."""
    kernel = sg.Kernel(None, inputs={"x": sg.Var("1", shape=n)}, outputs={"y": sg.Var("1")})
    domain = None if low is None else (np.full(n, low), np.full(n, high))
    return sg.Surrogate.from_network(
        kernel, [np.ones((n, 1), dtype)], [np.zeros(1, dtype)], ["linear"], domain=domain, guard="count"
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_each_of_many_inputs_is_watched(dtype, order):
    n = 37  # more than two vectors of any width, and a rest
    surrogate = unlimited(n, -1.0, 1.0)
    x = np.zeros((3 * n, n), dtype, order=order)
    for j in range(n):
        x[3 * j, j], x[3 * j + 1, j] = 1.5, -1.5
    flags = surrogate.guard_check(x).flags.reshape(n, 3)
    assert (flags == [1, 1, 0]).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_infinity_is_outside_where_there_is_no_limit(dtype):
    x = np.array(
        [[np.inf, 0.0], [0.0, -np.inf], [np.nan, 0.0], [np.finfo(dtype).max, -np.finfo(dtype).max]], dtype
    )
    assert list(unlimited(2).guard_check(x).flags) == [4, 4, 4, 0]


def test_a_limit_rounded_to_float_is_inside():
    """float32(0.1) > 0.1 and float32(0.7) < 0.7: rounding must not push a host in float out of the domain."""
    assert float(np.float32(0.1)) > 0.1 and float(np.float32(0.7)) < 0.7
    for low, high, value in ((-1.0, 0.1, 0.1), (0.7, 1.0, 0.7)):
        surrogate = unlimited(1, low, high)
        assert not surrogate.guard_check(np.array([[value]], np.float32)).n_outside
        assert not surrogate.guard_check(np.array([[value]])).n_outside
        outside = np.nextafter(np.float32(value), np.float32(np.sign(value - 0.5) * -10))
        assert surrogate.guard_check(np.array([[outside]], np.float32)).n_outside == 1


def test_density_can_be_left_unchecked(kernel, data):
    surrogate = sg.Surrogate(kernel, sg.nn.MLP([4]), guard=sg.Guard("count", quantile=None)).fit(
        data, seed=1, epochs=1, progress=False
    )
    assert np.isinf(surrogate._core.describe()["max_distance"])
    x = np.tile(data.X[:1], (3, 1))
    x[1, 0] = 5.0
    assert list(surrogate.guard_check(x).flags) == [0, 1, 0]


def test_box_is_widened_by_the_margin_within_the_declared_limits():
    kernel = sg.Kernel(
        None,
        inputs={"a": sg.Var("1", 0, 100), "b": sg.Var("1"), "c": sg.Var("Pa", scale="log")},
        outputs={"y": sg.Var("1")},
    )
    x = np.array([[1.0, -10.0, 1.0], [99.0, 10.0, 100.0]])
    data = sg.Dataset.from_arrays(kernel, x, x[:, :1])
    options = dict(seed=1, epochs=1, progress=False)
    trained = sg.Surrogate(kernel, sg.nn.MLP([4]), guard=sg.Guard(margin=0.1)).fit(data, **options)
    inputs = trained._core.describe()["inputs"]
    assert [i[0] for i in inputs] == ["a", "b", "c"]
    assert np.allclose([i[2:] for i in inputs], [(0, 100), (-12, 12), (10**-0.2, 10**2.2)], rtol=1e-12)
    declared = sg.Surrogate(kernel, sg.nn.MLP([4]), guard=sg.Guard(box="declared", margin=0.0)).fit(
        data, **options
    )
    assert np.allclose(
        [i[2:] for i in declared._core.describe()["inputs"]], [(0, 100), (-10, 10), (1, 100)], rtol=1e-12
    )


def test_a_missing_value_is_inside_and_other_nan_is_not():
    kernel = sg.Kernel(None, inputs={"snow": sg.Var("m"), "soil": sg.Var("1")}, outputs={"y": sg.Var("1")})
    rng = np.random.default_rng(2)
    x = np.column_stack(
        [np.where(rng.random(500) < 0.3, -1.0, rng.random(500)), rng.integers(0, 3, 500).astype(float)]
    )
    data = sg.Dataset.from_arrays(kernel, x, x[:, 1:])
    surrogate = sg.Surrogate(
        kernel,
        sg.nn.MLP([4]),
        encoder={"snow": [encode.Mask(missing=-1.0), encode.Standardise()], "soil": encode.OneHot(3)},
        guard="count",
    ).fit(data, seed=1, epochs=1, progress=False)
    low, high = surrogate._core.describe()["inputs"][0][2:]
    assert low > -0.1 and high < 1.1  # -1 did not widen the box
    flags = surrogate.guard_check(
        np.array([[-1.0, 0.0], [-0.9, 0.0], [0.5, 1.5], [np.nan, 0.0], [0.5, 2.0]])
    ).flags
    assert list(flags & 5) == [0, 1, 1, 4, 0]


@pytest.mark.parametrize(
    "options", [{"policy": "shout"}, {"margin": -1.0}, {"quantile": 0.0}, {"slack": 0.0}, {"box": "large"}]
)
def test_wrong_guard_options_are_refused(options):
    with pytest.raises(ValueError, match=list(options)[0] if "policy" not in options else "guard"):
        sg.Guard(**options)
