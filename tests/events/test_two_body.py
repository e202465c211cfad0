"""Two-body decays: kinematics, laws of the masses, isotropy, boosts, bits."""

import hashlib
import os

import numpy as np
import pytest

from simgraft import _core
from simgraft.events import BreitWigner, Fixed, Gaussian, TwoBody, Uniform

EPS = {"float64": 2.0**-53, "float32": 2.0**-24}  # largest relative error of one rounding

GENERATORS = {
    "fixed": TwoBody(mass=10.0, m1=1.0, m2=3.5),
    "threshold": TwoBody(mass=10.0, m1=4.0, m2=5.999999),
    "massless": TwoBody(mass=91.1876, m1=0.0, m2=0.0),
    "uniform": TwoBody(mass=10.0, m1=Uniform(0.0, 5.0), m2=Uniform(1.0, 9.5)),
    "resonances": TwoBody(mass=BreitWigner(172.5, 1.5), m1=BreitWigner(80.4, 2.1), m2=Gaussian(4.8, 0.5)),
}
BOOSTED = TwoBody(mass=Gaussian(5.0, 0.2), m1=Uniform(0.1, 1.0), m2=0.5,
                  momentum=(Uniform(-3.0, 3.0), Gaussian(0.0, 1.0), Uniform(0.0, 40.0)))  # fmt: skip


@pytest.fixture(autouse=True)
def _default_isa():
    yield
    _core.isa_set("auto")


def sums(events):
    """Energy and momentum (4, n) of both particles together, in long double."""
    v = events.values.astype(np.longdouble)
    return np.stack([v[0] + v[1], v[2] + v[5], v[3] + v[6], v[4] + v[7]])


def off_shell(events):
    """E^2 - p^2 - m^2 [GeV^2] of both particles, (2, n)."""
    v = events.values.astype(np.longdouble)
    return np.stack([v[0] ** 2 - (v[2:5] ** 2).sum(0) - v[8] ** 2, v[1] ** 2 - (v[5:8] ** 2).sum(0) - v[9] ** 2])


@pytest.mark.parametrize("name", GENERATORS)
def test_momentum_is_conserved_and_particles_are_on_their_shells(name):
    events = GENERATORS[name].generate(50_000, seed=1)
    energy, *momentum = sums(events)
    assert all((p == 0).all() for p in momentum)  # p2 = -p1
    # The unit roundoff of double is 1.1e-16. E = (M^2 +- d) / 2M: at most 4 roundings of numbers below M each; p: 5 factors and
    # products of one rounding each under the root, and the polynomials of the azimuth: 1e-14 leaves a factor of 10.
    assert (np.abs(off_shell(events)) <= 1e-14 * energy**2).all()
    mass = GENERATORS[name].mass
    if isinstance(mass, Fixed):
        assert (np.abs(energy - mass.value) <= 1e-14 * mass.value).all()
    else:
        assert (np.abs(energy) > events["m1"] + events["m2"]).all()


@pytest.mark.parametrize("name", [name for name in GENERATORS if name != "threshold"])  # float does not hold its masses
def test_float_events_are_those_of_double_rounded(name):
    one, two = (GENERATORS[name].generate(2000, seed=4, dtype=d) for d in ("float32", "float64"))
    energy = sums(two)[0]
    # Breit-Wigner: float angles of up to pi/2 with rounding 2^-24 are 1/cos^2 = 1 + 30^2 times worse for m^2 at 15 widths, of the
    # scale M Gamma: 172.5 x 1.5 x 900 x 2^-23 / 172.5^2 = 1e-6 of M^2; the draws of uniforms differ by 2^-24 of their ranges alike.
    # A momentum p ~ sqrt(M - m1 - m2) near threshold halves the digits: medians are compared there too.
    worst = np.abs(one.values - two.values).max(axis=0) / energy
    assert np.median(worst) < 1e-6
    assert np.quantile(worst, 0.99) < 1e-4


def test_energies_and_momentum_of_a_known_decay():
    # K0_S -> pi+ pi-: p = 206.0 MeV/c in the tables of the Particle Data Group (masses 497.611 and 139.57039 MeV)
    events = TwoBody(mass=0.497611, m1=0.13957039, m2=0.13957039).generate(100, seed=1)
    np.testing.assert_allclose(np.sqrt((events.values[2:5] ** 2).sum(0)), 0.2060, atol=5e-5)
    # Lambda -> p pi-: 101 MeV/c (1115.683, 938.27209 MeV)
    events = TwoBody(mass=1.115683, m1=0.93827209, m2=0.13957039).generate(100, seed=1)
    np.testing.assert_allclose(np.sqrt((events.values[5:8] ** 2).sum(0)), 0.101, atol=5e-4)


def test_directions_are_isotropic():
    n = 400_000
    v = TwoBody(mass=2.0, m1=0.0, m2=0.0).generate(n, seed=3).values[2:5]  # unit vectors
    # Each moment of an isotropic direction is a mean of n independent numbers; 9 of them within 4 sigma fail once in 1800 seeds.
    for i in range(3):
        assert abs(v[i].mean()) < 4 * np.sqrt(1 / 3 / n)
        assert abs((v[i] ** 2).mean() - 1 / 3) < 4 * np.sqrt((1 / 5 - 1 / 9) / n)
        assert abs((v[i] * v[(i + 1) % 3]).mean()) < 4 * np.sqrt(1 / 15 / n)
    # 20 x 20 bins of cos(theta) and phi: chi^2 of 399 degrees of freedom, standard deviation sqrt(2 x 399) = 28
    count, *_ = np.histogram2d(v[2], np.arctan2(v[1], v[0]), bins=20, range=[[-1, 1], [-np.pi, np.pi]])
    assert abs(((count - n / 400) ** 2 / (n / 400)).sum() - 399) < 4 * 28.2


def cdf_of(law, x):
    if isinstance(law, Uniform):
        return (x - law.low) / (law.high - law.low)
    if isinstance(law, BreitWigner):
        _, mass, width, low, high = law.code()
        a, b, c = (np.arctan((m**2 - mass**2) / (mass * width)) for m in (low, x, high))
        return (b - a) / (c - a)
    from math import erf

    def normal(y):
        return 0.5 * np.array([1 + erf((t - law.mean) / law.sigma / 2**0.5) for t in np.atleast_1d(y)])

    low = normal(0.0 if law.low is None else law.low)
    high = 1.0 if law.high is None else normal(law.high)
    return (normal(x) - low) / (high - low)


@pytest.mark.parametrize(
    "law", [Uniform(1.0, 2.0), BreitWigner(2.0, 0.1), BreitWigner(2.0, 0.3, low=1.9, high=4.0), Gaussian(2.0, 0.5),
            Gaussian(2.0, 0.5, low=2.0, high=2.2)], ids=repr)  # fmt: skip
def test_masses_follow_their_law(law):
    n = 40_000
    # far from threshold for all but 1e-8 of the draws
    for events, column in ((TwoBody(mass=50.0, m1=law, m2=0.0), "m1"), (TwoBody(mass=50.0, m1=0.0, m2=law), "m2"),
                           (TwoBody(mass=law, m1=0.0, m2=0.0), None)):  # fmt: skip
        events = events.generate(n, seed=6)
        drawn = np.sort(events[column] if column else events["E1"] + events["E2"])
        # Kolmogorov-Smirnov: P(D > 2 / sqrt(n)) = 2 exp(-8) = 7e-4
        distance = np.abs(cdf_of(law, drawn) - (np.arange(n) + 0.5) / n).max()
        assert distance < 2 / np.sqrt(n)


def test_masses_at_threshold_are_their_laws_where_the_decay_is_open():
    n = 200_000
    events = TwoBody(mass=10.0, m1=Uniform(0.0, 8.0), m2=Uniform(0.0, 8.0)).generate(n, seed=2)
    m1, m2 = events["m1"], events["m2"]
    assert (m1 + m2 < 10).all()
    # Area of the square below the line: 64 - 36 / 2 = 46; of it m1 < 2 takes 2 x 8 = 16
    share = 16 / 46
    assert abs((m1 < 2).mean() - share) < 4 * np.sqrt(share * (1 - share) / n)
    assert abs(m1.mean() - m2.mean()) < 4 * np.sqrt(2 * m1.var() / n)


def test_boosted_decays_conserve_momentum_and_are_isotropic_in_the_rest_frame():
    n = 100_000
    events = BOOSTED.generate(n, seed=9)
    total = sums(events)
    mass = np.sqrt(total[0] ** 2 - (total[1:] ** 2).sum(0))
    # A square of up to E_P^2 cancels to M^2: each shell is good to some roundings of E_P^2.
    assert (np.abs(off_shell(events)) <= 32 * EPS["float64"] * total[0] ** 2).all()
    # Momenta of the parent, from their laws: within the limits; the sum of two numbers of up to E_P.
    assert (np.abs(total[1]) <= 3 + 1e-13).all() and (total[3] <= 40 + 1e-13).all()
    assert abs(total[2].mean()) < 4 / np.sqrt(n)
    # Back in the rest frame the invariants give the angle between particle 1 and the parent's direction:
    # E1 = gamma (E1* + beta p* cos theta*)
    momentum = np.sqrt((total[1:] ** 2).sum(0))
    e1 = (mass**2 + events["m1"] ** 2 - events["m2"] ** 2) / (2 * mass)
    p = np.sqrt(e1**2 - events["m1"].astype(np.longdouble) ** 2)
    cos = (events["E1"] * mass / total[0] - e1) / (p * momentum / total[0])
    assert abs(cos.mean()) < 4 * np.sqrt(1 / 3 / n)
    assert abs((cos**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / n)
    # The masses are those of the decays at rest: a boost changes no draw.
    rest = TwoBody(mass=BOOSTED.mass, m1=BOOSTED.m1, m2=BOOSTED.m2).generate(n, seed=9)
    np.testing.assert_array_equal(rest["m1"], events["m1"])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("generator", [GENERATORS["fixed"], GENERATORS["uniform"], BOOSTED], ids=["fixed", "uniform", "boosted"])
def test_event_depends_on_seed_and_number_alone(generator, dtype):
    n = 70_000  # beyond the block of a thread, and large enough to be written past the caches
    whole = generator.generate(n, seed=5, dtype=dtype, num_threads=1).values
    np.testing.assert_array_equal(whole, generator.generate(n, seed=5, dtype=dtype, num_threads=2).values)
    for first, count in ((0, 1), (1, 7), (13, 33), (16_380, 9), (65_537, 100)):
        part = generator.generate(count, seed=5, first=first, dtype=dtype).values
        np.testing.assert_array_equal(part, whole[:, first : first + count])
    assert not np.array_equal(whole[:, :10], generator.generate(10, seed=6, dtype=dtype).values)
    far = generator.generate(4, seed=5, first=2**40, dtype=dtype).values
    assert not np.array_equal(far, whole[:, :4])


SCRIPT = """
import hashlib, json, sys
sys.path.insert(0, {folder!r})
from test_two_body import BOOSTED, GENERATORS
found = {{}}
for name, generator in [*GENERATORS.items(), ("boosted", BOOSTED)]:
    for dtype in ("float64", "float32"):
        values = generator.generate(5003, seed=11, first=3, dtype=dtype).values
        found[name + dtype] = hashlib.sha256(values.tobytes()).hexdigest()
print(json.dumps(found))
"""


@pytest.mark.skipif(_core.isa_best() != "v4", reason="needs a CPU with AVX-512")
def test_avx2_and_avx512_give_the_same_bits(bits_by_isa):
    found = bits_by_isa(("v3", "v4"), "-c", SCRIPT.format(folder=os.path.dirname(__file__)))
    assert found["v3"] == found["v4"]


@pytest.mark.parametrize("isa", ["portable", "v2"])
def test_other_instruction_sets_differ_by_rounding_only(isa):
    try:
        _core.isa_set(isa)
    except NotImplementedError:
        pytest.skip("another machine")
    plain = BOOSTED.generate(3000, seed=5).values
    _core.isa_set("auto")
    # products that FMA does not round; numbers of up to 50 GeV, a handful of roundings each
    np.testing.assert_allclose(plain, BOOSTED.generate(3000, seed=5).values, rtol=1e-12, atol=50 * 32 * EPS["float64"])


@pytest.mark.parametrize("n", range(20))
def test_every_length_is_written_and_nothing_beyond(n):
    for dtype in (np.float32, np.float64):
        values = np.full(10 * n + 20, np.nan, dtype)
        out = values[10 : 10 + 10 * n].reshape(10, n)
        _core.two_body(GENERATORS["fixed"]._laws(), 1, 0, None, out, 1)
        assert np.isfinite(out).all() and np.isnan(values[:10]).all() and np.isnan(values[10 + 10 * n :]).all()


def test_large_samples_at_any_address_are_the_same():
    n = 80_000
    want = GENERATORS["uniform"].generate(n, seed=1).values
    for shift in range(0, 8, 3):  # from whole cache lines on, and from within
        room = np.empty(10 * n + 8)
        out = room[shift : shift + 10 * n].reshape(10, n)
        _core.two_body(GENERATORS["uniform"]._laws(), 1, 0, None, out, 1)
        np.testing.assert_array_equal(out, want)


def test_kernel_gives_the_events_of_the_generator_in_any_order():
    kernel = BOOSTED.kernel(seed=5)
    events = BOOSTED.generate(300, seed=5)
    order = np.random.default_rng(1).permutation(300)[:200]
    found = kernel({"event": np.append(order, order[0]).astype(float)})
    np.testing.assert_array_equal(found["E1"], events["E1"][np.append(order, order[0])])
    np.testing.assert_array_equal(found["pz2"][:200], events["pz2"][order])
    with pytest.raises(ValueError, match=r"event\[1\]: expected a whole number of at least 0, got 2.5"):
        kernel({"event": np.array([1.0, 2.5])})


def test_parent_masses_of_each_event():
    mass = np.linspace(5.0, 20.0, 1000)
    events = TwoBody(mass=10.0, m1=Uniform(1.0, 3.0), m2=1.0).generate(1000, seed=1, mass=mass)
    np.testing.assert_allclose(events["E1"] + events["E2"], mass, rtol=1e-14)
    mass[17] = 1.5
    with pytest.raises(ValueError, match="event 117: mass: the decay is closed: expected more than m1 \\+ m2 = 2 GeV, got 1.5"):
        TwoBody(mass=10.0, m1=1.0, m2=1.0).generate(1000, seed=1, first=100, mass=mass)
    mass[3] = np.nan
    with pytest.raises(ValueError, match=r"mass.*3"):
        TwoBody(mass=10.0, m1=1.0, m2=1.0).generate(1000, seed=1, mass=mass)
    with pytest.raises(TypeError, match="mass: .*float32"):
        TwoBody(mass=10.0, m1=1.0, m2=1.0).generate(1000, seed=1, mass=mass.astype(np.float32))


@pytest.mark.parametrize(
    "options, message",
    [
        ({"mass": 2.0, "m1": 1.0, "m2": 1.0}, "mass: the decay is closed: expected more than m1 . m2 = 2 GeV, got at most 2"),
        ({"mass": Uniform(1.0, 2.0), "m1": Uniform(1.5, 3), "m2": 1.0}, "mass: the decay is closed"),
        ({"mass": 10.0, "m1": -1.0, "m2": 1.0}, "m1: expected a mass of at least 0 GeV, got -1"),
        ({"mass": 10.0, "m1": 1.0, "m2": float("nan")}, "m2: expected finite numbers, got nan"),
        ({"mass": float("inf"), "m1": 1.0, "m2": 1.0}, "mass: expected finite numbers, got inf"),
        ({"mass": Uniform(12.0, 10.0), "m1": 1.0, "m2": 1.0}, "mass: expected low < high, got 12 and 10 GeV"),
        ({"mass": BreitWigner(90.0, 0.0), "m1": 1.0, "m2": 1.0}, "mass: expected (low < high|a mass and a width)"),
        ({"mass": 10.0, "m1": Gaussian(5.0, -1.0), "m2": 1.0}, "m1: expected a standard deviation > 0 GeV, got -1"),
        ({"mass": 10.0, "m1": Gaussian(20.0, 1.0), "m2": 1.0}, "m1: less than 0.1 % of the Gaussian"),
        ({"mass": 10.0, "m1": 1.0, "m2": 1.0, "momentum": (0.0, 1.0)}, "momentum: expected three components"),
        ({"mass": 10.0, "m1": 1.0, "m2": 1.0, "momentum": (0.0, 0.0, BreitWigner(9.0, 1.0))}, "momentum: a Breit-Wigner"),
    ],
)  # fmt: skip
def test_impossible_decays_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        TwoBody(**options)


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(TypeError, match="m1: expected a number or one of Fixed, Uniform"):
        TwoBody(mass=10.0, m1="heavy", m2=1.0)
    generator = GENERATORS["fixed"]
    for options, message in (({"n": -1, "seed": 1}, "n: "), ({"n": 1, "seed": -1}, "seed: "), ({"n": 1, "seed": 1, "first": 0.5}, "first: "),
                             ({"n": 1, "seed": 1, "dtype": "float16"}, "dtype: ")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            generator.generate(**options)


def test_hopeless_masses_name_the_event():
    # M - m1 - m2 is normal of mean -7 and standard deviation sqrt(1.5): positive with probability 5e-9
    generator = TwoBody(mass=Gaussian(10.0, 1.0), m1=Gaussian(8.5, 0.5), m2=Gaussian(8.5, 0.5))
    with pytest.raises(ValueError, match="event [0-9]+ found no open decay in 65536 draws"):
        generator.generate(4000, seed=1, first=1000)


def test_bits_stay_what_they_were():
    """Samples that others hold can be made again: these bits change only with a new major version."""
    digest = hashlib.sha256(GENERATORS["fixed"].generate(1000, seed=1).values.tobytes()).hexdigest()
    if _core.isa() not in ("v3", "v4"):
        pytest.skip("bits of processors with FMA")
    assert digest == "883236ea5489266345957c8247b8a5a71c9e45a0eb8392029eb02b39ffc013ef"
