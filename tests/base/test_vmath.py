"""Accuracy, special values and bits of the vector functions (csrc/base/vmath.h)."""

import numpy as np
import pytest
from vmath_accuracy import POWERS, REFERENCE, ROOTS, SINCOS_MAX, TURN, points, ulp_error, worst, worst_of, worst_of_turn

from simgraft import _core

ISAS = ["portable", "v2", "v3", "v4"]
ISAS = ISAS[: ISAS.index(_core.isa_best()) + 1]
TYPES = [np.float32, np.float64]
WORD = {np.float32: np.uint32, np.float64: np.uint64}

# Bounds in ulp: half an ulp per rounding that reaches the last place of the result, doubled where the result can fall into the
# binade below the rounded term, plus 0.1 for the polynomial.
BOUND = {
    "exp": 1.5,       # r, the sum 1 + q, and the binade below 1
    "expm1": 2.0,     # q in the binade below the result, then one sum
    "log": 1.0,       # one sum, a quarter each for the two inner ones
    "log1p": 1.0,     # the same
    "tanh": 2.0,      # exp, sum, quotient at half weight, difference
    "sigmoid": 2.6,   # exp 1.1, sum 0.5, quotient 0.5, and the binade below 1/2
    "softplus": 2.0,  # exp at weight <= 1, log1p 1
    "sin": 1.6,       # r 0.5, polynomial 0.5, sum 0.5
    "cos": 1.6,
    "atan": 2.0,      # quotient and its two terms 1.0, sums 0.5 each in the binade of the result or the one below
    "erf": 1.1,
}
FLOAT = {"tanh": 2.6}  # expm1 and the sum below it, half an ulp each in the binade below the quotient, and the quotient 0.5
NO_FMA = {"sin": 2.6, "cos": 2.6}  # each step of the argument reduction rounds


@pytest.fixture(autouse=True)
def _default_isa():
    yield
    _core.isa_set("auto")


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", REFERENCE)
def test_error_stays_below_bound(name, dtype, isa):
    bound = FLOAT.get(name, BOUND[name]) if dtype is np.float32 else BOUND[name]
    if isa not in ("v3", "v4"):
        bound = NO_FMA.get(name, bound)
    error, where = worst(name, dtype, 20_000 if name != "erf" else 400, isa, seed=7)
    assert error <= bound, f"{error} ulp at {where!r}"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", ROOTS)
def test_roots_are_good_to_one_and_a_quarter_ulp(n, dtype):
    # the last step rounds once (0.5) a value whose own relative error n x 0.5 ulp of the power was divided by n (0.5, up to 0.75
    # where the quotient falls into the binade below)
    assert worst_of("root", n, dtype, 20_000, _core.isa_best()) <= 1.25


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", POWERS)
def test_integer_power_rounds_no_more_than_its_multiplications(n, dtype):
    # k multiplications make at most (|n| - 1) relative half ulps, of up to two ulps of the result each; the reciprocal one more
    limit = abs(n) - 1 + (1 if n < 0 else 0)
    assert worst_of("powi", n, dtype, 20_000, _core.isa_best()) <= max(0.5, limit)


@pytest.mark.parametrize("dtype", TYPES)
def test_float_results_cover_every_binade(dtype):
    """exp over its whole range against the exact exponent: a wrong scale by 2 would pass an absolute limit."""
    k = np.arange(np.finfo(dtype).minexp + 1, np.finfo(dtype).maxexp - 1)
    x = (k * np.log(2.0)).astype(dtype)
    np.testing.assert_allclose(np.log2(_core.vmath("exp", x).astype(np.longdouble)), k, atol=float(2e-7 * abs(x).max()))


SPECIAL = {  # result at: NaN, +inf, -inf, +0, -0
    "exp": (np.nan, np.inf, 0.0, 1.0, 1.0),
    "expm1": (np.nan, np.inf, -1.0, 0.0, -0.0),
    "log": (np.nan, np.inf, np.nan, -np.inf, -np.inf),
    "log1p": (np.nan, np.inf, np.nan, 0.0, -0.0),
    "tanh": (np.nan, 1.0, -1.0, 0.0, -0.0),
    "sigmoid": (np.nan, 1.0, 0.0, 0.5, 0.5),
    "softplus": (np.nan, np.inf, 0.0, np.log(2.0), np.log(2.0)),
    "sin": (np.nan, np.nan, np.nan, 0.0, -0.0),
    "cos": (np.nan, np.nan, np.nan, 1.0, 1.0),
    "erf": (np.nan, 1.0, -1.0, 0.0, -0.0),
    "atan": (np.nan, np.pi / 2, -np.pi / 2, 0.0, -0.0),
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values_and_signs_of_zero(name, dtype, isa):
    _core.isa_set(isa)
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0], dtype)
    y = _core.vmath(name, x)
    want = np.array(SPECIAL[name], dtype)
    np.testing.assert_array_equal(y, want)
    finite = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(y[finite]), np.signbit(want[finite]))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", REFERENCE)
def test_every_nan_stays_nan(name, dtype, isa):
    """NaN payloads must not leak into exponents that are built from bits."""
    _core.isa_set(isa)
    quiet = {np.float32: 0x7FC00000, np.float64: 0x7FF8000000000000}[dtype]
    payload = np.arange(1000, dtype=WORD[dtype])
    sign = WORD[dtype](1) << WORD[dtype](8 * np.dtype(dtype).itemsize - 1)
    x = np.concatenate([payload + WORD[dtype](quiet), (payload + WORD[dtype](quiet)) | sign]).view(dtype)
    assert np.isnan(_core.vmath(name, x)).all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["exp", "sigmoid", "softplus"])
def test_exponentials_make_no_denormal_numbers(name, dtype):
    info = np.finfo(dtype)
    x = np.linspace(1.1 * np.log(info.tiny), 0.99 * np.log(info.tiny), 10_001).astype(dtype)
    y = _core.vmath(name, x)
    assert ((y == 0) | (y >= info.tiny)).all()
    assert y[0] == 0 and y[-1] > 0


@pytest.mark.parametrize("dtype", TYPES)
def test_exp_overflows_exactly_where_the_result_leaves_the_format(dtype):
    edge = dtype(np.log(np.finfo(dtype).max.astype(np.longdouble)))
    if np.longdouble(edge) > np.log(np.longdouble(np.finfo(dtype).max)):
        edge = np.nextafter(edge, dtype(0))
    y = _core.vmath("exp", np.array([edge, np.nextafter(edge, dtype(np.inf))], dtype))
    assert np.isfinite(y[0]) and y[1] == np.inf


@pytest.mark.parametrize("dtype", TYPES)
def test_sin_and_cos_refuse_arguments_beyond_the_reduction(dtype):
    edge = dtype(SINCOS_MAX[dtype])
    x = np.array([edge, -edge, np.nextafter(edge, dtype(np.inf)), dtype(1e30)], dtype)
    for name in ("sin", "cos"):
        assert np.isnan(_core.vmath(name, x)).tolist() == [False, False, True, True]


@pytest.mark.parametrize("dtype", TYPES)
def test_sin_squared_plus_cos_squared_is_one(dtype):
    x = points("sin", dtype, 10_000)
    s, c = (_core.vmath(name, x).astype(np.longdouble) for name in ("sin", "cos"))
    # d(s^2 + c^2) = 2 |s| ds + 2 |c| dc, both within 1.6 ulp, ulp <= eps |value|: at most 3.2 eps
    assert np.abs(s * s + c * c - 1).max() <= 3.2 * np.finfo(dtype).eps


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", TYPES)
def test_angle_of_a_point_is_good_to_two_ulp_in_all_quadrants(dtype, isa):
    _core.isa_set(isa)
    rng = np.random.default_rng(4)
    y, x = (rng.normal(size=40_000) * np.exp(rng.normal(0, 5, 40_000)) for _ in range(2))
    y, x = y.astype(dtype), x.astype(dtype)
    exact = np.arctan2(y.astype(np.longdouble), x.astype(np.longdouble))
    # quotient and its two terms 1.0, sums 0.5 each in the binade of the result or the one below, as for atan
    assert ulp_error(_core.vmath_atan2(y, x), exact).max() <= 2.0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", TYPES)
def test_angle_on_the_axes_and_of_nothing(dtype, isa):
    _core.isa_set(isa)
    y = np.array([0, 0, 1, -1, 0, -0.0, np.nan, 1], dtype)
    x = np.array([1, -1, 0, 0, 0, 2, 1, np.nan], dtype)
    want = np.array([0, np.pi, np.pi / 2, -np.pi / 2, 0, -0.0, np.nan, np.nan], dtype)
    np.testing.assert_array_equal(_core.vmath_atan2(y, x), want)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", TYPES)
def test_sin_and_cos_of_a_turn_are_good_to_rounding_near_one(dtype, isa):
    rng = np.random.default_rng(5)
    edges = [0.0, -0.0, 0.25, -0.25, 0.5, -0.5, np.finfo(dtype).tiny]
    x = np.concatenate([rng.uniform(-0.5, 0.5, 50_000), edges]).astype(dtype)
    # In eps, the ulp of 1, at worst, for the cosine polynomial 1 + z (c1 + z (c2 + ...)), z <= 1/16, c1 = -19.7, c2 = 65: the result
    # 1/4; c1 and the sum below it 1/2 each (half an ulp of 16 .. 32 times z); c2 and its sum 0.2; z 1/4 (half its ulp, 1/64, times
    # 16); w 0.4 (1/16 times 2 pi). The sine polynomial w (6.3 - 41 z + ...) likewise: 1/2, twice 1/2, twice 1/4, 0.2 and 0.3.
    # Without FMA every product rounds too: the first 1/2, the others together less.
    for name in TURN:
        assert worst_of_turn(name, x, isa) <= (2.5 if isa in ("v3", "v4") else 3.5)
    _core.isa_set(isa)
    ends = np.array([0.0, 0.25, -0.25], dtype)
    np.testing.assert_array_equal(_core.vmath("sin_turn", ends)[1:], [1, -1])
    np.testing.assert_array_equal(_core.vmath("cos_turn", ends), _core.vmath("cos_turn", -ends))
    assert _core.vmath("cos_turn", ends)[1] == 0


@pytest.mark.skipif("v4" not in ISAS, reason="this CPU has no AVX-512")
@pytest.mark.parametrize("dtype", TYPES)
def test_angle_of_a_point_has_the_same_bits_on_v3_and_v4(dtype):
    y, x = np.random.default_rng(5).normal(size=(2, 20_001)).astype(dtype)
    bits = []
    for isa in ("v3", "v4"):
        _core.isa_set(isa)
        bits.append(_core.vmath_atan2(y, x))
    np.testing.assert_array_equal(*bits)


@pytest.mark.skipif("v4" not in ISAS, reason="this CPU has no AVX-512")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["sin_turn", "cos_turn"])
def test_v3_and_v4_give_the_same_bits_of_a_turn(name, dtype):
    x = np.random.default_rng(6).uniform(-0.5, 0.5, 20_003).astype(dtype)
    bits = []
    for isa in ("v3", "v4"):
        _core.isa_set(isa)
        bits.append(_core.vmath(name, x).view(WORD[dtype]))
    np.testing.assert_array_equal(*bits)


@pytest.mark.parametrize("dtype", TYPES)
def test_roots_of_zero_negative_and_infinite(dtype):
    for n in (2, 3, 5, 8):
        y = _core.vmath("root", np.array([0.0, -1.0, np.inf, np.nan, 1.0], dtype), n)
        np.testing.assert_array_equal(y, np.array([0, np.nan, np.inf, np.nan, 1], dtype))


def test_root_below_one_is_refused():
    with pytest.raises(ValueError, match="n: expected a root of degree at least 1, got 0"):
        _core.vmath("root", np.ones(3), 0)


@pytest.mark.skipif("v4" not in ISAS, reason="this CPU has no AVX-512")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", REFERENCE)
def test_v3_and_v4_give_the_same_bits_on_any_bit_pattern(name, dtype):
    rng = np.random.default_rng(3)
    word = WORD[dtype]
    x = np.concatenate([
        rng.integers(0, np.iinfo(word).max, 200_003, dtype=word, endpoint=True).view(dtype),
        points(name, dtype, 50_000),
    ])
    bits = []
    for isa in ("v3", "v4"):
        _core.isa_set(isa)
        y = _core.vmath(name, x)
        bits.append(np.where(np.isnan(y), word(0), y.view(word)))
    np.testing.assert_array_equal(*bits)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", REFERENCE)
def test_result_does_not_depend_on_the_position_in_the_array(name, dtype, isa):
    _core.isa_set(isa)
    x = points(name, dtype, 20)[:37]
    whole = _core.vmath(name, x)
    for start in range(0, 37, 5):
        np.testing.assert_array_equal(_core.vmath(name, x[start:start + 3]), whole[start:start + 3])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", range(70))
def test_tail_lanes_are_computed_and_nothing_is_written_beyond(dtype, n):
    y = _core.vmath("exp", np.zeros(n, dtype))
    assert y.shape == (n,) and (y == 1).all()
