"""Counter-based random numbers (csrc/base/philox.h). Seeds are fixed, so the 5 sigma limits below cannot flicker."""

import numpy as np
import pytest
from scipy import stats

from simgraft import _core

ISAS = ["portable", "v2", "v3", "v4"]
ISAS = ISAS[: ISAS.index(_core.isa_best()) + 1]
TYPES = [np.float32, np.float64]
KINDS = ["uniform", "normal", "exponential"]
N = 400_000


@pytest.fixture(autouse=True)
def _default_isa():
    yield
    _core.isa_set("auto")


def draw(kind, n=N, dtype=np.float64, seed=1, stream=0, first=0, threads=1):
    return _core.random_fill(kind, seed, stream, first, np.empty(n, dtype), threads)


@pytest.mark.parametrize("counter, key, words", [  # Random123, kat_vectors, lines "philox4x32 10"
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
])
def test_known_answers_of_random123(counter, key, words):
    c = [int(w, 16) for w in counter.split()]
    k = [int(w, 16) for w in key.split()]
    got = _core.philox_blocks(k[0] | k[1] << 32, c[2] | c[3] << 32, c[0] | c[1] << 32, 1)
    assert " ".join(f"{w:08x}" for w in got[0]) == words


def test_uniforms_are_the_high_bits_of_the_words():
    words = _core.philox_blocks(5, 6, 0, 100).astype(np.uint64)
    single = (words.ravel() >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)
    double = ((words[:, ::2] << np.uint64(32) | words[:, 1::2]) >> np.uint64(11)).ravel() * 2.0**-53
    np.testing.assert_array_equal(draw("uniform", 400, np.float32, 5, 6), single)
    np.testing.assert_array_equal(draw("uniform", 200, np.float64, 5, 6), double)


@pytest.mark.parametrize("dtype", TYPES)
def test_normals_and_exponentials_follow_from_the_uniforms_as_documented(dtype):
    u = draw("uniform", 1000, dtype).astype(float)
    radius, angle = np.sqrt(-2 * np.log1p(-u[::2])), 2 * np.pi * u[1::2]
    want = np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]).ravel()
    # log, root, sine and product: 1 + 0.5 + 1.6 + 0.5 ulp of the radius, which is at most 8.6; 2 ulp for the NumPy side
    limit = 8.6 * 5.6 * np.finfo(dtype).eps
    np.testing.assert_allclose(draw("normal", 1000, dtype), want, rtol=0, atol=limit)
    np.testing.assert_allclose(draw("exponential", 1000, dtype), -np.log1p(-u), rtol=3 * np.finfo(dtype).eps)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_any_split_of_a_range_gives_the_same_numbers(kind, dtype):
    whole = draw(kind, 5000, dtype, first=3)
    for cut in (1, 2, 3, 5, 64, 255, 256, 257, 1000, 4999):
        parts = np.concatenate([draw(kind, cut, dtype, first=3), draw(kind, 5000 - cut, dtype, first=3 + cut)])
        np.testing.assert_array_equal(parts, whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_threads_do_not_change_the_numbers(kind, dtype):
    np.testing.assert_array_equal(draw(kind, 200_001, dtype, threads=2), draw(kind, 200_001, dtype, threads=1))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_instruction_sets_agree(kind, dtype):
    """Uniforms everywhere, the others on v3 and v4; without FMA they differ in the last places only."""
    results = {}
    for isa in ISAS:
        _core.isa_set(isa)
        results[isa] = draw(kind, 20_001, dtype)
    for isa in ISAS:
        if kind == "uniform" or isa in ("v3", "v4"):
            np.testing.assert_array_equal(results[isa], results[_core.isa_best()])
        else:
            np.testing.assert_allclose(results[isa], results[_core.isa_best()], rtol=0, atol=60 * np.finfo(dtype).eps)


def test_seed_stream_and_index_each_matter():
    reference = draw("uniform", 8, seed=1, stream=2, first=0)
    for other in (dict(seed=2, stream=2), dict(seed=1 + 2**32, stream=2), dict(seed=1, stream=3), dict(seed=1, stream=2 + 2**32),
                  dict(seed=1, stream=2, first=8), dict(seed=1, stream=2, first=2**33)):
        assert not np.isin(draw("uniform", 8, **other), reference).any()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind, law", [("uniform", stats.uniform()), ("normal", stats.norm()), ("exponential", stats.expon())])
def test_distribution(kind, law, dtype):
    x = draw(kind, N, dtype, seed=11).astype(float)
    # Kolmogorov: sqrt(N) D exceeds 1.95 with probability 0.001
    assert stats.kstest(x, law.cdf).statistic < 1.95 / np.sqrt(N)
    mean, variance, skew, kurtosis = (float(m) for m in law.stats("mvsk"))
    assert abs(x.mean() - mean) < 5 * np.sqrt(variance / N)
    # variance of the sample variance: sigma^4 (excess kurtosis + 2) / N
    assert abs(x.var() - variance) < 5 * variance * np.sqrt((kurtosis + 2) / N)
    standard = (x - mean) / np.sqrt(variance)
    # third standardised moment: variance E z^6 - (E z^3)^2 of the law, over N
    z6 = law.expect(lambda v: ((v - mean) / np.sqrt(variance)) ** 6, epsabs=1e-9)
    assert abs((standard**3).mean() - skew) < 5 * np.sqrt((z6 - skew**2) / N)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 256])
def test_neighbours_are_uncorrelated(kind, lag):
    x = draw(kind, N, seed=4)
    assert abs(np.corrcoef(x[:-lag], x[lag:])[0, 1]) < 5 / np.sqrt(N)


def test_streams_and_seeds_are_uncorrelated():
    x = draw("normal", N, seed=4)
    for other in (draw("normal", N, seed=5), draw("normal", N, seed=4, stream=1)):
        assert abs(np.corrcoef(x, other)[0, 1]) < 5 / np.sqrt(N)


@pytest.mark.parametrize("dtype", TYPES)
def test_ranges(dtype):
    u, e = draw("uniform", N, dtype), draw("exponential", N, dtype)
    assert u.min() >= 0 and u.max() < 1
    assert e.min() >= 0 and not np.signbit(e).any()
    assert np.isfinite(draw("normal", N, dtype)).all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 1000])
def test_shuffle_is_a_permutation(n):
    order = _core.shuffle(7, 0, n)
    assert order.dtype == np.int64
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_all_orders_of_four_are_equally_likely():
    repeats = 24_000
    orders = np.array([_core.shuffle(seed, 9, 4) for seed in range(repeats)])
    counts = np.unique(orders @ [64, 16, 4, 1], return_counts=True)[1]
    assert counts.size == 24
    # chi square with 23 degrees of freedom exceeds 49.7 with probability 0.001
    assert ((counts - repeats / 24) ** 2 / (repeats / 24)).sum() < 49.7


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_outside_64_bits_is_refused(seed):
    with pytest.raises(ValueError, match=r"expected integers from 0 to 2\*\*64 - 1"):
        _core.shuffle(seed, 0, 3)


def test_output_must_be_given():
    with pytest.raises(TypeError, match="out: expected a float32 or float64 array"):
        _core.random_fill("uniform", 1, 0, 0, None)


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match='kind: expected uniform, normal or exponential, got "cauchy"'):
        _core.random_fill("cauchy", 1, 0, 0, np.empty(3))
