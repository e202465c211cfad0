"""Phase space of n particles: volumes, conservation, distributions, bits, and the map onto a cube."""

import os
from math import factorial

import numpy as np
import pytest

from simgraft import _core
from simgraft.events import PhaseSpace, RamboOnDiet

METHODS = ("raubold-lynch", "rambo")
B, PION = 5.27934, 0.13957039
DECAYS = {
    "two": (10.0, (1.0, 3.5)),
    "three massless": (91.0, (0.0, 0.0, 0.0)),
    "B to 3 pi": (B, (PION,) * 3),
    "four of 80": (500.0, (80.0,) * 4),
    "mixed": (173.0, (4.8, 0.0, 0.105, 0.0, 1.8)),
    "near threshold": (10.0, (3.0, 2.0, 4.9)),
    "eight": (100.0, (0.0, 0.5, 1.0, 5.0, 0.0, 10.0, 20.0, 0.0)),
}


@pytest.fixture(autouse=True)
def _default_isa():
    yield
    _core.isa_set("auto")


def massless_volume(n, mass=1.0):
    """Closed form: James, CERN 68-15; Kleiss, Stirling & Ellis, eq. 2.13."""
    return (np.pi / 2) ** (n - 1) * mass ** (2 * n - 4) / (factorial(n - 1) * factorial(n - 2))


def momentum(mass, a, b):
    return np.sqrt((mass**2 - (a + b) ** 2) * (mass**2 - (a - b) ** 2)) / (2 * mass)


def three_body_volume(mass, masses):
    """V_3 = integral of V_2(M; s, m3) V_2(s; m1, m2) ds by the midpoint rule in an angle that removes both roots."""
    m1, m2, m3 = masses
    low, high = m1 + m2, mass - m3
    angle = (np.arange(4000) + 0.5) * np.pi / 4000
    m12 = low + (high - low) * (1 - np.cos(angle)) / 2
    step = np.pi / 4000 * (high - low) * np.sin(angle) / 2
    return np.sum(step * 2 * m12 * np.pi * momentum(m12, m1, m2) / m12 * np.pi * momentum(mass, m12, m3) / mass)


def mean(values, weight):
    """Weighted mean and its error (ratio of two sums)."""
    weight = np.ones(values.shape[-1]) if weight is None else weight
    average = (values * weight).sum(-1) / weight.sum()
    return average, np.sqrt((weight**2 * (values - average[..., None]) ** 2).sum(-1)) / weight.sum()


def invariants(p):
    """Features of events that do not depend on directions: energies and squared masses of pairs over those of all, and the squares of
    both, which tell symmetric decays apart."""
    total = p[:, 0].sum(axis=0)[0]
    found = list(p[:, 0] / total)
    for i in range(len(p)):
        for j in range(i):
            s = p[i] + p[j]
            found.append((s[0] ** 2 - (s[1:] ** 2).sum(0)) / total**2)
    return np.concatenate([found, np.square(found)])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DECAYS)
def test_momentum_is_conserved_and_particles_are_on_their_shells(name, method):
    mass, masses = DECAYS[name]
    for weighted in (True, False):
        if not weighted and (name, method) == ("eight", "raubold-lynch"):
            continue  # 1 of 300 attempts is accepted
        decay = PhaseSpace(mass, masses, method=method, weighted=weighted)
        p = decay.momenta(decay.generate(4000, seed=1)).astype(np.longdouble)
        # Energies are those of the momenta: one square root, 3 roundings of numbers up to M^2. Momenta of up to M add up with some
        # roundings of 1.1e-16 M for each of up to 8 particles: 1e-14 leaves a factor of 5.
        shell = p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(1) - np.square(np.array(masses, np.longdouble))[:, None]
        assert np.abs(shell).max() <= 1e-14 * mass**2
        total = p.sum(axis=0)
        assert np.abs(total[0] - mass).max() <= 1e-14 * mass
        assert np.abs(total[1:]).max() <= 1e-14 * mass


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", DECAYS)
def test_weights_never_exceed_their_bound(name, method):
    mass, masses = DECAYS[name]
    weight = PhaseSpace(mass, masses, method=method).generate(50_000, seed=2).weight
    assert (weight >= 0).all() and weight.max() <= 1 + 1e-12


def test_bound_of_rambo_is_close_for_equal_masses():
    # The largest weight of n equal masses is v^(3n-5), v = sqrt(1 - (sum m / M)^2), where all speeds are the same; the bound is
    # above it by at most (n / (n - 1))^((n - 1) / 2) < sqrt(e), near threshold.
    for mass, n in ((500.0, 4), (321.0, 4), (245.0, 3), (1000.0, 6)):
        decay = PhaseSpace(mass, (80.0,) * n, method="rambo")
        v = np.sqrt(1 - (80 * n / mass) ** 2)
        assert 1 <= decay.unit / (massless_volume(n, mass) * v ** (3 * n - 5)) < np.sqrt(np.e)


@pytest.mark.parametrize("n", [3, 4, 6])
def test_volume_without_masses_is_the_closed_form(n):
    value, error = PhaseSpace(1.0, (0.0,) * n).volume(300_000, seed=n)
    assert 0 < error < 0.004 * value  # weights of spread 0.4 (n = 3) to 2 (n = 6) times their mean
    assert abs(value - massless_volume(n)) < 4 * error
    assert PhaseSpace(1.0, (0.0,) * n, method="rambo").volume(10) == (pytest.approx(massless_volume(n), rel=1e-13), 0.0)


@pytest.mark.parametrize("method", METHODS)
def test_volume_of_two_particles_is_exact(method):
    value, error = PhaseSpace(10.0, (1.0, 3.5), method=method).volume(2)
    assert error == 0 and value == pytest.approx(np.pi * momentum(10.0, 1.0, 3.5) / 10.0, rel=1e-14)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("decay", [DECAYS["B to 3 pi"], DECAYS["near threshold"], (173.0, (4.8, 0.0, 90.0))], ids=str)
def test_volume_of_three_particles_is_that_of_a_quadrature(decay, method):
    value, error = PhaseSpace(*decay, method=method).volume(200_000, seed=7)
    assert error < 0.01 * value
    assert abs(value - three_body_volume(*decay)) < 4 * error


def test_volume_of_four_heavy_particles():
    # James' and RAMBO's estimates of independent programs: 1.6733(11)e9 and 1.6732(13)e9 GeV^4
    for method in METHODS:
        value, error = PhaseSpace(*DECAYS["four of 80"], method=method).volume(400_000, seed=5)
        assert abs(value - 1.6733e9) < 4 * np.hypot(error, 0.0011e9)


@pytest.mark.parametrize("name", ["mixed", "eight"])
def test_both_methods_fill_the_same_phase_space(name):
    values = [PhaseSpace(*DECAYS[name], method=method).volume(300_000, seed=3) for method in METHODS]
    assert abs(values[0][0] - values[1][0]) < 4 * np.hypot(values[0][1], values[1][1])


def test_efficiency_of_genbod():
    # <w> / bound of B -> 3 pi: .27175 with the code of ROOT's TGenPhaseSpace
    weight = PhaseSpace(*DECAYS["B to 3 pi"]).generate(400_000, seed=1).weight
    assert abs(weight.mean() - 0.27175) < 4 * weight.std() / np.sqrt(weight.size) + 5e-5


@pytest.mark.parametrize("method", METHODS)
def test_dalitz_plot_of_massless_particles_is_flat(method):
    n = 100_000
    decay = PhaseSpace(1.0, (0.0,) * 3, method=method, weighted=False)
    x = 2 * decay.momenta(decay.generate(n, seed=4))[:, 0]
    # x1 + x2 + x3 = 2, each at most 1; flat in (x1, x2): x1 has density 2 x1. Kolmogorov-Smirnov at P = 2 exp(-8)
    for energy in x:
        assert np.abs(np.sort(energy) ** 2 - (np.arange(n) + 0.5) / n).max() < 2 / np.sqrt(n)
    # four triangles of equal area by the lines x_i = 1/2: counts within 4 standard deviations of n / 4
    inner = (x > 0.5).all(axis=0).mean()
    assert abs(inner - 0.25) < 4 * np.sqrt(0.25 * 0.75 / n)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["B to 3 pi", "four of 80", "mixed", "near threshold"])
def test_unweighted_events_have_the_distribution_of_weighted_ones(name, method):
    mass, masses = DECAYS[name]
    weighted = PhaseSpace(mass, masses)  # both methods against the weights of one
    events = weighted.generate(200_000, seed=8)
    want, want_error = mean(invariants(weighted.momenta(events)), events.weight)
    plain = PhaseSpace(mass, masses, method=method, weighted=False)
    got, got_error = mean(invariants(plain.momenta(plain.generate(40_000, seed=9))), None)
    # up to 30 correlated means of independent samples: one beyond 4.5 sigma in 5000 seeds
    assert (np.abs(got - want) < 4.5 * np.hypot(want_error, got_error)).all()


@pytest.mark.parametrize("method", METHODS)
def test_directions_are_isotropic(method):
    n = 100_000
    decay = PhaseSpace(*DECAYS["mixed"], method=method, weighted=False)
    p = decay.momenta(decay.generate(n, seed=2))[:, 1:]
    d = p / np.sqrt((p**2).sum(axis=1, keepdims=True))
    # 5 particles x 6 moments of n independent directions
    assert (np.abs(d.mean(axis=-1)) < 4.2 * np.sqrt(1 / 3 / n)).all()
    assert (np.abs((d**2).mean(axis=-1) - 1 / 3) < 4.2 * np.sqrt(4 / 45 / n)).all()


@pytest.mark.parametrize("method", METHODS)
def test_float_events_conserve_momentum_to_float(method):
    mass, masses = DECAYS["mixed"]
    decay = PhaseSpace(mass, masses, method=method)
    one, two = (decay.generate(20_000, seed=2, dtype=d) for d in ("float32", "float64"))
    p = decay.momenta(one).astype(np.float64)
    total = p.sum(axis=0) - np.array([mass, 0, 0, 0])[:, None]
    assert np.abs(total).max() <= 100 * 2.0**-24 * mass  # as 1e-14 is to 2^-53
    assert np.median(np.abs(one.weight - two.weight)) < 1e-5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("weighted", [True, False])
def test_event_depends_on_seed_and_number_alone(method, weighted, dtype):
    decay = PhaseSpace(*DECAYS["four of 80"], method=method, weighted=weighted)
    n = 34_000  # several blocks of a thread, and large enough to be written past the caches
    whole = decay.generate(n, seed=5, dtype=dtype, num_threads=1)
    again = decay.generate(n, seed=5, dtype=dtype, num_threads=2)
    np.testing.assert_array_equal(whole.values, again.values)
    for first, count in ((0, 1), (1, 7), (13, 33), (8190, 9)):
        part = decay.generate(count, seed=5, first=first, dtype=dtype)
        np.testing.assert_array_equal(part.values, whole.values[:, first : first + count])
        if weighted:
            np.testing.assert_array_equal(part.weight, whole.weight[first : first + count])
    assert not np.array_equal(whole.values[:, :9], decay.generate(9, seed=6, dtype=dtype).values)


SCRIPT = """
import hashlib, json, sys
sys.path.insert(0, {folder!r})
import numpy as np
from simgraft.events import PhaseSpace, RamboOnDiet
from test_phase_space import DECAYS, METHODS
found = {{}}
for name, (mass, masses) in DECAYS.items():
    for method in METHODS:
        for dtype in ("float64", "float32"):
            for weighted in (True, False):
                if name != "eight" or weighted:
                    events = PhaseSpace(mass, masses, method=method, weighted=weighted).generate(501, seed=11, first=3, dtype=dtype)
                    bits = events.values.tobytes() + (events.weight.tobytes() if weighted else b"")
                    found[f"{{name}} {{method}} {{dtype}} {{weighted}}"] = hashlib.sha256(bits).hexdigest()
    diet = RamboOnDiet(mass, masses)
    p, weight = diet.forward(np.random.default_rng(1).uniform(size=(501, diet.dimension)))
    found[name] = hashlib.sha256(p.tobytes() + weight.tobytes() + diet.inverse(p).tobytes()).hexdigest()
print(json.dumps(found))
"""


@pytest.mark.skipif(_core.isa_best() != "v4", reason="needs a CPU with AVX-512")
def test_avx2_and_avx512_give_the_same_bits(bits_by_isa):
    found = bits_by_isa(("v3", "v4"), "-c", SCRIPT.format(folder=os.path.dirname(__file__)))
    assert found["v3"] == found["v4"]


@pytest.mark.parametrize("isa", ["portable", "v2"])
def test_other_instruction_sets_differ_by_rounding_only(isa):
    want = {m: PhaseSpace(*DECAYS["mixed"], method=m).generate(2000, seed=5) for m in METHODS}
    try:
        _core.isa_set(isa)
    except NotImplementedError:
        pytest.skip("another machine")
    for method, events in want.items():
        plain = PhaseSpace(*DECAYS["mixed"], method=method).generate(2000, seed=5)
        # a rounding of the sum of massless momenta is larger in its rest frame, by its Lorentz factor squared
        np.testing.assert_allclose(plain.values, events.values, rtol=0, atol=1e-9)
        np.testing.assert_allclose(plain.weight, events.weight, rtol=1e-9)


def test_kernel_gives_the_events_of_the_generator():
    decay = PhaseSpace(*DECAYS["B to 3 pi"], weighted=False, names=("a", "b", "c"))
    events = decay.generate(100, seed=5)
    order = np.random.default_rng(1).permutation(100)
    found = decay.kernel(seed=5)({"event": order.astype(float)})
    np.testing.assert_array_equal(found["b_px"], events["b_px"][order])
    with pytest.raises(ValueError, match="weighted: expected False"):
        PhaseSpace(*DECAYS["B to 3 pi"]).kernel(seed=5)
    assert PhaseSpace(1.0, (0.0,) * 4, method="rambo").kernel(seed=5).n_out == 16  # all weights are 1


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1.0, (0.5, 0.5)), "mass: the phase space is closed: expected more than the sum of masses 1 GeV, got 1"),
        ((0.0, (0.0, 0.0)), "mass: expected a finite mass > 0 GeV, got 0"),
        ((float("nan"), (0.0, 0.0)), "mass: expected a finite mass > 0 GeV, got nan"),
        ((1.0, (0.1, -0.1)), "masses: expected finite masses of at least 0 GeV, got -0.1 for particle 1"),
        ((1.0, (0.1, float("nan"), 0.1)), "masses: expected finite masses of at least 0 GeV, got nan for particle 1"),
        ((1.0, (0.1,)), "masses: expected 2 to 16 particles, got 1"),
        ((100.0, (0.1,) * 17), "masses: expected 2 to 16 particles, got 17"),
    ],
)
@pytest.mark.parametrize("cls", [PhaseSpace, RamboOnDiet])
def test_impossible_decays_are_refused_by_name(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(*arguments)


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(TypeError, match="masses: expected a sequence of numbers, got 3"):
        PhaseSpace(1.0, 3)
    with pytest.raises(TypeError, match="mass: expected a number, got 'B'"):
        PhaseSpace("B", (0.1, 0.1))
    with pytest.raises(ValueError, match="method: expected one of raubold-lynch, rambo, got 'genbod'"):
        PhaseSpace(1.0, (0.1, 0.1), method="genbod")
    with pytest.raises(ValueError, match="names: expected 2 different names"):
        PhaseSpace(1.0, (0.1, 0.1), names=("a", "a"))
    with pytest.raises(ValueError, match="n: expected at least 2, got 1"):
        PhaseSpace(1.0, (0.1, 0.1)).volume(1)
    decay = PhaseSpace(1.0, (0.1, 0.1))
    with pytest.raises(ValueError, match="events: expected those of 2-body phase space"):
        decay.momenta(PhaseSpace(1.0, (0.1, 0.1, 0.1)).generate(3, seed=1))
    with pytest.raises(ValueError, match="seed: "):
        decay.generate(3, seed=-1)


# ------------------------------------------------------------------------------------------------------ RAMBO on diet


@pytest.mark.parametrize("name", DECAYS)
def test_map_is_inverted_and_conserves_momentum(name):
    mass, masses = DECAYS[name]
    diet = RamboOnDiet(mass, masses)
    u = np.random.default_rng(3).uniform(size=(5000, diet.dimension))
    p, weight = diet.forward(u)
    assert np.abs(p.sum(axis=1) - np.array([mass, 0, 0, 0])).max() <= 1e-14 * mass
    shell = p[..., 0] ** 2 - (p[..., 1:] ** 2).sum(-1) - np.square(masses)
    assert np.abs(shell).max() <= 1e-14 * mass**2
    assert (weight > 0).all()
    back = np.abs(diet.inverse(p) - u)
    back = np.minimum(back, 1 - back)  # phi = 0 is phi = 2 pi
    # A system of mass M_i and energy E_i in the frame of the parent is known to 2^-53 (E_i / M_i)^2: for up to 5 particles M_i
    # comes below M / 50 in few of 5000 events; with 8, five masses in a row shrink.
    assert np.quantile(back, 0.999) <= 1e-12
    assert back.max() <= (1e-12 if len(masses) <= 4 else 1e-9)


@pytest.mark.parametrize("name", DECAYS)
def test_weight_of_the_map_is_the_volume_of_phase_space(name):
    mass, masses = DECAYS[name]
    diet = RamboOnDiet(mass, masses)
    weight = diet.forward(np.random.default_rng(4).uniform(size=(200_000, diet.dimension)))[1]
    value, error = PhaseSpace(mass, masses, method="rambo").volume(200_000, seed=1)
    if not any(masses) or len(masses) == 2:
        np.testing.assert_allclose(weight, value, rtol=1e-12)
    else:
        assert abs(weight.mean() - value) < 4 * np.hypot(error, weight.std() / np.sqrt(weight.size))


def test_even_phase_space_is_mapped_to_an_even_cube():
    n = 20_000
    decay = PhaseSpace(7.0, (0.0,) * 5, method="rambo")
    p = np.ascontiguousarray(decay.momenta(decay.generate(n, seed=6)).transpose(2, 0, 1))
    u = RamboOnDiet(7.0, (0.0,) * 5).inverse(p)
    even = (np.arange(n) + 0.5) / n
    # 11 Kolmogorov-Smirnov distances at P = 2 exp(-8), and 55 correlations of independent numbers at 4.2 sigma
    assert np.abs(np.sort(u, axis=0) - even[:, None]).max() < 2 / np.sqrt(n)
    correlation = np.corrcoef(u.T)[np.triu_indices(11, 1)]
    assert np.abs(correlation).max() < 4.2 / np.sqrt(n)


def test_weighted_map_has_the_distribution_of_phase_space():
    mass, masses = DECAYS["mixed"]
    diet, decay = RamboOnDiet(mass, masses), PhaseSpace(mass, masses)
    p, weight = diet.forward(np.random.default_rng(5).uniform(size=(100_000, diet.dimension)))
    got, got_error = mean(invariants(p.transpose(1, 2, 0)), weight)
    events = decay.generate(100_000, seed=1)
    want, want_error = mean(invariants(decay.momenta(events)), events.weight)
    assert (np.abs(got - want) < 4.5 * np.hypot(want_error, got_error)).all()


def test_corners_of_the_cube_are_events():
    diet = RamboOnDiet(173.0, (4.8, 0.0, 0.0, 1.0))
    corners = np.array(np.meshgrid(*[[0.0, 1.0]] * 8)).reshape(8, -1).T.copy()
    p, weight = diet.forward(corners)
    assert np.isfinite(p).all() and np.isfinite(weight).all()
    assert np.abs(p.sum(axis=1) - np.array([173.0, 0, 0, 0])).max() <= 1e-13 * 173.0
    assert np.isfinite(diet.inverse(p)).all()


def test_map_does_not_depend_on_the_place_of_a_row():
    diet = RamboOnDiet(*DECAYS["mixed"])
    u = np.random.default_rng(3).uniform(size=(20_000, diet.dimension))
    p, weight = diet.forward(u, num_threads=2)
    for start in (0, 3, 8190):
        part, w = diet.forward(u[start : start + 5])
        np.testing.assert_array_equal(part, p[start : start + 5])
        np.testing.assert_array_equal(w, weight[start : start + 5])
        np.testing.assert_array_equal(diet.inverse(part), diet.inverse(p, num_threads=2)[start : start + 5])


def test_what_the_map_cannot_take_is_refused_by_name():
    diet = RamboOnDiet(10.0, (1.0, 1.0, 1.0))
    u = np.full((4, 5), 0.5)
    with pytest.raises(TypeError, match="u: expected a float64 array, got float32"):
        diet.forward(u.astype(np.float32))
    with pytest.raises(ValueError, match=r"u: expected shape \(n, 5\), got \(4, 4\)"):
        diet.forward(u[:, :4])
    for bad in (1.5, np.nan):
        v = u.copy()
        v[2, 1] = bad
        with pytest.raises(ValueError, match="u: expected numbers from 0 to 1, got .* in row 2"):
            diet.forward(v)
    p = diet.forward(u)[0]
    for bad in (p[3, 0, 1] + 0.1, np.nan):
        q = p.copy()
        q[3, 0, 1] = bad
        with pytest.raises(ValueError, match="momenta: event 3 adds up to"):
            diet.inverse(q)
    with pytest.raises(ValueError, match="momenta: event 0 has particles of other masses"):
        RamboOnDiet(10.0, (1.0, 1.0, 2.0)).inverse(p)
    with pytest.raises(ValueError, match=r"momenta: expected shape \(n, 3, 4\)"):
        diet.inverse(p[:, :2])
