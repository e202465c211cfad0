"""Encoders: the way in and back, the same bits everywhere, and errors that name the value."""

import json

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simgraft as sg
from simgraft import _core, encode

N_FIELD = 12


def every_transform():
    """One variable for each transform; a field wide enough to run across its columns."""
    variables = {
        "pressure": sg.Var("Pa", scale="log"),
        "temperature": sg.Var("K"),
        "wind": sg.Var("degree"),
        "soil": sg.Var("1"),
        "snow": sg.Var("m"),
        "field": sg.Var("K", shape=N_FIELD),
        "flux": sg.Var("W m-2"),
        "ozone": sg.Var("1"),
        "rain": sg.Var("mm"),
        "energy": sg.Var("J"),
    }
    chains = {
        "wind": encode.Angle(period=360.0),
        "soil": encode.OneHot(4),
        "snow": [encode.Mask(), encode.MinMax()],
        "field": encode.Standardise(shared="scale"),
        "flux": [encode.SignedLog(), encode.Standardise()],
        "ozone": [encode.Root(4), encode.MinMax()],
        "rain": [encode.Clip(low=0.0), encode.Root(3), encode.Standardise()],
        "energy": encode.Quantile(knots=33),
    }
    return variables, chains


def rows_of_everything(n, seed=0):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [
            np.exp(rng.normal(8, 2, n)),
            rng.normal(250, 30, n),
            rng.uniform(0, 360, n),
            rng.integers(0, 4, n).astype(float),
            np.where(rng.random(n) < 0.2, np.nan, rng.random(n)),
            rng.normal(280, 5, (n, N_FIELD)),
            rng.normal(0, 3, n) ** 3,
            rng.random(n) ** 4,
            rng.random(n) ** 2,
            rng.gamma(2.0, size=n),
        ]
    )


@pytest.fixture(scope="module")
def fitted():
    variables, chains = every_transform()
    return encode.Encoder(chains).fit(rows_of_everything(1000), variables)


def test_there_and_back_in_double(fitted):
    x = rows_of_everything(500, seed=1)
    back = fitted.inverse_transform(fitted.transform(x, dtype="float64"))
    assert np.array_equal(np.isnan(back), np.isnan(x))
    # exp, log and the powers are good to an ulp or two; a value passes six of them, and the logarithm of
    # numbers up to 1e6 multiplies
    # a relative error by ln 1e6 = 14. Values near zero of the scaled columns lose against the size of the
    # scale (100).
    scale = np.maximum(np.abs(x), 1e-2 * np.nanmax(np.abs(x), axis=0))
    assert np.nanmax(np.abs(back - x) / scale) < 100 * 14 * 6 * np.finfo(float).eps


def test_there_and_back_through_float_columns(fitted):
    x = rows_of_everything(500, seed=1)
    back = fitted.inverse_transform(fitted.transform(x))
    # An encoded value of size 4 is rounded by 2.4e-7; the steepest way back is the cube of signed logarithms
    # (14 times).
    scale = np.maximum(np.abs(x), 1e-2 * np.nanmax(np.abs(x), axis=0))
    assert np.nanmax(np.abs(back - x) / scale) < 14 * 100 * 2.4e-7


def test_vector_code_agrees_with_the_plain_version(fitted):
    x = rows_of_everything(300, seed=2)
    plain = fitted.program_.reference(x)
    # 4 ulp of the largest encoded value (about 5): libm and vmath differ by an ulp or two per step.
    assert np.max(np.abs(fitted.transform(x, dtype="float64") - plain)) < 4 * 5 * np.finfo(float).eps
    z = fitted.transform(x, dtype="float64")
    back, plain = fitted.inverse_transform(z), fitted.inverse_program_.reference(z)
    assert np.nanmax(np.abs(back - plain) / np.maximum(np.abs(plain), 1)) < 40 * np.finfo(float).eps


@pytest.mark.parametrize("single_in", [False, True])
@pytest.mark.parametrize("single_out", [False, True])
def test_bits_depend_neither_on_batch_nor_strides_nor_instruction_set(fitted, single_in, single_out):
    x = rows_of_everything(500, seed=3).astype(np.float32 if single_in else np.float64)
    out = np.float32 if single_out else np.float64
    seen = set()
    for isa in ("v3", "v4"):
        try:
            _core.isa_set(isa)
        except NotImplementedError:
            continue
        for step in (1, 2, 3, 7, 16, 100, 500):
            z = np.concatenate([fitted.transform(x[i : i + step], dtype=out) for i in range(0, len(x), step)])
            back = np.concatenate(
                [fitted.inverse_transform(z[i : i + step], dtype=out) for i in range(0, len(x), step)]
            )
            seen.add(z.tobytes() + back.tobytes())
        other = np.full(
            (fitted.n_out_, len(x)), 7, dtype=out
        ).T  # Fortran order, and every other row of a larger array
        z = fitted.transform(np.repeat(np.asfortranarray(x), 2, axis=0)[::2], out=other)
        wide = np.zeros((len(x), 2 * fitted.n_in_ + 3), dtype=out)[::-1, 1::2][:, : fitted.n_in_]
        seen.add(
            np.ascontiguousarray(z).tobytes()
            + np.ascontiguousarray(fitted.inverse_transform(z, out=wide)).tobytes()
        )
    _core.isa_set("auto")
    assert len(seen) == 1


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 400))
def test_blocks_teach_what_the_whole_teaches(seed, n, step):
    """Streaming statistics are those of all rows together."""
    x = np.random.default_rng(seed).normal(5, 2, (n * 10, 3)) ** 3

    class Blocks:
        kernel = sg.Kernel(None, inputs={"a": sg.Var("1", shape=3)}, outputs={"b": sg.Var("1")})

        def blocks(self):
            return ((x[i : i + step], None) for i in range(0, len(x), step))

    chain = [encode.SignedLog(), encode.Standardise(), encode.MinMax()]
    streamed = encode.Encoder({"a": chain}).fit(Blocks())
    whole = encode.Encoder({"a": chain}).fit(x, Blocks.kernel.inputs)
    # Sums over 400 rows in another order: 400 eps, and encoded values of at most 1.
    assert np.allclose(
        streamed.transform(x, dtype="float64"),
        whole.transform(x, dtype="float64"),
        rtol=0,
        atol=400 * 2.3e-16,
    )
    z = whole.transform(x, dtype="float64")
    assert np.allclose(z.min(axis=0), 0, atol=1e-14) and np.allclose(z.max(axis=0), 1, atol=1e-14)


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1e30, 1e30)))
def test_signed_log_keeps_order_and_sign(values):
    x = np.sort(values)[:, None]
    encoder = encode.Encoder.from_chains({"a": [encode.SignedLog(scale=0.5)]}, {"a": sg.Var("1")})
    z = encoder.transform(x, dtype="float64")
    assert np.all(np.diff(z[:, 0]) >= 0) and np.array_equal(np.sign(z), np.sign(x))


@given(hnp.arrays(np.float64, st.integers(1, 50), elements=st.floats(-720, 720)))
def test_angles_come_back_within_one_period(values):
    encoder = encode.Encoder.from_chains({"a": [encode.Angle(period=360.0)]}, {"a": sg.Var("degree")})
    back = encoder.inverse_transform(encoder.transform(values[:, None], dtype="float64"))[:, 0]
    assert np.all((back >= 0) & (back < 360))
    away = (back - values + 180) % 360 - 180  # 720 degrees are reduced with an error of 720 eps
    assert np.max(np.abs(away)) < 8 * 720 * 2.3e-16


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 16, 64])
def test_root_of_zero_is_zero_and_power_undoes_it(n):
    encoder = encode.Encoder.from_chains({"a": [encode.Root(n)]}, {"a": sg.Var("1")})
    x = np.array([[0.0], [1.0], [3.7e-12], [2.9e5]])
    z = encoder.transform(x, dtype="float64")
    assert z[0, 0] == 0 and z[1, 0] == 1
    assert np.allclose(
        encoder.inverse_transform(z), x, rtol=4 * n * 2.3e-16, atol=0
    )  # n-fold power of an error of 2 ulp


def test_missing_values_encode_to_zero_and_come_back_missing():
    x = np.array([[3.0], [-999.0], [5.0], [7.0]])
    encoder = encode.Encoder({"a": [encode.Mask(missing=-999.0), encode.Log(), encode.Standardise()]}).fit(
        x, {"a": sg.Var("1")}
    )
    z = encoder.transform(x, dtype="float64")
    assert abs(z[1, 0]) < 1e-15 and np.array_equal(z[:, 1], [1, 0, 1, 1])
    assert abs(z[[0, 2, 3], 0].mean()) < 1e-15  # the missing value is not in the statistics
    back = encoder.inverse_transform(z)
    assert back[1, 0] == -999.0 and np.allclose(back, x, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 3, 100])
def test_neighbours_with_different_roots(n):
    """Columns that run side by side share their steps, not their exponents."""
    orders = [2, 2, 3, 3, 4, 5, 8, 8, 8]
    variables = {f"x{k}": sg.Var("1") for k in range(len(orders))}
    encoder = encode.Encoder.from_chains(
        {name: encode.Root(order) for name, order in zip(variables, orders)}, variables
    )
    x = np.random.default_rng(1).random((n, len(orders)))
    z = encoder.transform(x, dtype="float64")
    assert np.allclose(z, x ** (1 / np.array(orders)), rtol=1e-15) and np.allclose(
        encoder.inverse_transform(z), x, rtol=1e-14
    )


@pytest.mark.parametrize("n", [1, 3, 100])
def test_a_field_with_holes(n):
    x = np.random.default_rng(2).random((n, 6))
    x[np.random.default_rng(3).random((n, 6)) < 0.4] = np.nan
    encoder = encode.Encoder.from_chains(
        {"a": [encode.Mask(), encode.MinMax(low=0.0, high=2.0)]}, {"a": sg.Var("1", shape=6)}
    )
    z = encoder.transform(x, dtype="float64")
    assert np.array_equal(z, np.hstack([np.where(np.isnan(x), 0, x / 2), ~np.isnan(x)]))
    assert np.array_equal(encoder.inverse_transform(z), x, equal_nan=True)


def test_clip_limits_both_ways():
    encoder = encode.Encoder.from_chains(
        {"a": [encode.Clip(low=0.0, high=2.0)], "b": [encode.Clip(low=0.0)]},
        {"a": sg.Var("1"), "b": sg.Var("1")},
    )
    x = np.array([[-1.0, -1.0], [0.5, 1e300], [3.0, 0.0]])
    limited = [[0, 0], [0.5, 1e300], [2, 0]]
    assert np.array_equal(encoder.transform(x, dtype="float64"), limited) and np.array_equal(
        encoder.inverse_transform(x), limited
    )


def test_of_equal_categories_the_first_wins():
    encoder = encode.Encoder.from_chains({"a": encode.OneHot(3)}, {"a": sg.Var("1")})
    z = np.array([[0.5, 0.5, 0.1], [0.0, 0.2, 0.2], [0.1, 0.2, 0.3], [-1.0, -2.0, -1.0]])
    assert list(encoder.inverse_transform(z)[:, 0]) == [0, 1, 2, 0]


def test_a_constant_column_is_only_shifted():
    x = np.column_stack([np.full(50, 4e-4), np.arange(50.0)])
    encoder = encode.Encoder().fit(x, {"a": sg.Var("1"), "b": sg.Var("1")})
    assert (
        np.max(np.abs(encoder.transform(x)[:, 0])) < 50 * 2.3e-16 * 4e-4
    )  # the mean of 50 numbers is rounded


@pytest.mark.parametrize(("shared", "means", "stds"), [(False, 3, 3), (True, 1, 1), ("scale", 3, 1)])
def test_shared_statistics(shared, means, stds):
    x = np.random.default_rng(0).normal([1, 10, 100], [1, 2, 3], (500, 3))
    encoder = encode.Encoder({"a": encode.Standardise(shared=shared)}).fit(x, {"a": sg.Var("1", shape=3)})
    (chain,) = encoder.chains_["a"]
    assert len(set(chain.mean_)) == means and len(set(chain.std_)) == stds
    if shared is True:
        assert np.isclose(chain.std_[0], x.std(), rtol=1e-12) and np.isclose(
            chain.mean_[0], x.mean(), rtol=1e-12
        )
    if shared == "scale":
        assert np.isclose(chain.std_[0], np.sqrt(np.mean(x.var(axis=0))), rtol=1e-12)


@pytest.mark.parametrize(
    ("chain", "value", "error", "words"),
    [
        ([encode.Log()], 0.0, sg.DomainError, "logarithm"),
        ([encode.Log()], -3.0, sg.DomainError, "-3"),
        ([encode.Root(4)], -1e-9, sg.DomainError, "root"),
        ([encode.Standardise()], np.nan, sg.NotFiniteError, "NaN"),
        ([encode.OneHot(3)], 3.0, sg.DomainError, "category"),
        ([encode.OneHot(3)], 0.5, sg.DomainError, "category"),
        ([encode.Log(), encode.Standardise()], np.inf, sg.NotFiniteError, "infinite"),
    ],
)
def test_what_cannot_be_encoded_is_named(chain, value, error, words):
    x = np.full((40, 2), 1.0)
    x[17, 1] = value
    with pytest.raises(error, match=words) as caught:
        encode.Encoder({"b": chain}).fit(x, {"a": sg.Var("1"), "b": sg.Var("1")}).transform(
            x, dtype="float64"
        )
    assert str(caught.value).startswith("b: ") and "row 17" in str(caught.value)


@pytest.mark.parametrize(
    ("chains", "words"),
    [
        ({"x": encode.Log()}, "no variable is called 'x'"),
        ({"a": [encode.Log(), encode.Mask()]}, "Mask must be the first"),
        ({"a": [encode.OneHot(2), encode.Standardise()]}, "OneHot must be the last"),
        ({"a": encode.Root(1)}, "2 to 64"),
        ({"a": encode.Clip(low=1.0, high=0.0)}, "low <= high"),
        ({"a": encode.Log(floor=0.0)}, "floor"),
        ({"a": encode.Standardise(shared="yes")}, "shared"),
        ({"a": encode.OneHot(1)}, "at least 2"),
    ],
)
def test_chains_that_cannot_work_are_refused(chains, words):
    with pytest.raises(ValueError, match=words):
        encode.Encoder(chains).fit(np.ones((3, 1)), {"a": sg.Var("1")})


def test_an_encoder_survives_json(fitted):
    x = rows_of_everything(100, seed=4)
    copy = encode.Encoder.from_dict(
        json.loads(json.dumps(fitted.to_dict(), allow_nan=False)), fitted.variables_
    )
    assert np.array_equal(copy.transform(x), fitted.transform(x)) and repr(copy) == repr(fitted)


def test_fitting_leaves_the_given_transforms_alone():
    chain = encode.Standardise()
    first = encode.Encoder({"a": chain, "b": chain}).fit(
        np.array([[1.0, 10.0], [2.0, 30.0]]), {"a": sg.Var("1"), "b": sg.Var("1")}
    )
    assert not hasattr(chain, "mean_") and first.chains_["b"][0].mean_[0] == 20.0


def test_an_unfitted_encoder_says_so():
    with pytest.raises(RuntimeError, match="call fit"):
        encode.Encoder().transform(np.ones((2, 1)))


def test_affine_is_the_way_back_of_linear_chains():
    rng = np.random.default_rng(1)
    variables = {"a": sg.Var("K", shape=(3,)), "b": sg.Var("Pa"), "c": sg.Var("1")}
    x = rng.normal([270, 280, 290, 1e5, 0.5], [10, 20, 30, 1e4, 0.1], (200, 5))
    encoder = encode.Encoder({"b": [encode.MinMax(), encode.Standardise()], "c": []}).fit(x, variables)
    shift, scale = encoder.affine()
    z = rng.normal(size=(50, 5))
    # Composed in another order than the program does: a few roundings of numbers of this size.
    size = abs(shift) + abs(scale * z)
    assert (abs(shift + scale * z - encoder.inverse_transform(z)) <= 4 * np.finfo(float).eps * size).all()
    with pytest.raises(ValueError, match=r"chains\['b'\]: expected linear transforms, got Log\(\)"):
        encode.Encoder({"b": [encode.Log(), encode.Standardise()]}).fit(x, variables).affine()


def test_rare_values_get_large_weights():
    rng = np.random.default_rng(5)
    kernel = sg.Kernel(None, inputs={"a": sg.Var("1", 0, 1)}, outputs={"b": sg.Var("1")})
    x = np.clip(rng.normal(0.3, 0.05, (20_000, 1)), 0, 1)
    x[:200] = rng.random((200, 1))
    data = sg.Dataset.from_arrays(kernel, x, np.zeros((20_000, 1)))
    weight = encode.InverseDensity("a", bins=40, max_ratio=1e4).fit(data)
    w = weight.weights(x, np.zeros_like(x))
    assert abs(w.mean() - 1) < 1e-12
    # weighted, the histogram is flat: each half of the range holds half of the weight, within the noise of
    # 100 rows (3 / sqrt(100))
    upper = w[x[:, 0] > 0.5].sum() / w.sum()
    assert abs(upper - 0.5) < 0.3 * 0.5
    limited = encode.InverseDensity("a", bins=40, max_ratio=5.0).fit(data).weights(x, np.zeros_like(x))
    assert limited.max() / limited.min() <= 5 * (1 + 1e-12)
    equal = encode.InverseDensity("a", power=0.0).fit(data).weights(x, np.zeros_like(x))
    assert np.allclose(equal, 1, rtol=1e-12)


def test_weights_of_an_unknown_variable_are_refused(data):
    with pytest.raises(ValueError, match="no input or output is called 'hail'"):
        encode.InverseDensity("hail").fit(data)
