"""Lepton pairs of e+ e- collisions: cross-sections, asymmetries, radiation, kinematics, bits."""

import hashlib
import os
import pickle

import numpy as np
import pytest
from scipy import integrate, stats

from simgraft import _core
from simgraft.events import Dilepton, PythiaDilepton, radiator
from simgraft.events.columns import ELECTRON_MASS, MUON_MASS

Z, WIDTH = 91.1876, 2.4952
NANOBARN = 389379.3721  # (hbar c)^2 [nb GeV^2]
EPS = {"float64": 2.0**-53, "float32": 2.0**-24}  # largest relative error of one rounding
MU = {"flavours": ("mu",)}
GENERATORS = {
    "born": Dilepton(),
    "off peak": Dilepton(88.1876, flavours=("mu", "e"), scheme="Gmu", width_scheme="running"),
    "low": Dilepton(0.5),
    "radiation": Dilepton(92.0, radiation="alpha2"),
    "return": Dilepton(200.0, radiation="alpha", pair_mass_min=20.0, **MU),
    "spread": Dilepton(energy_spread=0.055),
    "spread and radiation": Dilepton(energy_spread=0.055, radiation="alpha2"),
}


@pytest.fixture(autouse=True)
def _default_isa():
    yield
    _core.isa_set("auto")


def pair(events):
    """Four-momenta (4, n) of the negative and the positive lepton, in long double, and their mass (n,)."""
    v = events.values.astype(np.longdouble).reshape(4, 4, -1)
    return v[0] + v[2], v[1] + v[3], np.where(events.present[2], MUON_MASS, ELECTRON_MASS)


def square(p):
    return p[0] ** 2 - (p[1:] ** 2).sum(axis=0)


def cosine_of(events):
    """Of the negative lepton to the beam of electrons in the frame of the pair, which moves along the beams."""
    minus, plus, mass = pair(events)
    total = minus + plus
    m2 = square(total)
    speed = np.sqrt(1 - 4 * mass**2 / m2)
    return (2 * (minus[3] * total[0] - minus[0] * total[3]) / (m2 * speed)).astype(float)


def born(s, alpha=1 / 128.9, sin2=0.2315, kappa=None, mass=Z, width=WIDTH, running=False):
    """Cross-section of one flavour [nb] and asymmetry, from the amplitudes of the four helicities."""
    kappa = 1 / (4 * sin2 * (1 - sin2)) if kappa is None else kappa
    chi = kappa * s / (s - mass**2 + 1j * (s * width / mass if running else mass * width))
    left, right = -0.5 + 2 * sin2 - 0.5, -0.5 + 2 * sin2 + 0.5  # v + a, v - a
    same = abs(1 + left**2 * chi) ** 2 + abs(1 + right**2 * chi) ** 2
    other = 2 * abs(1 + left * right * chi) ** 2
    return np.pi * alpha**2 / (3 * s) * (same + other) * NANOBARN, 0.75 * (same - other) / (same + other)


# ------------------------------------------------------------------------------------------------ cross-sections


def test_born_peak_and_asymmetries_of_the_z():
    peak = Dilepton(**MU)
    assert abs(peak.cross_section()[0] / 1.979 - 1) < 5e-4  # all digits of the number
    assert Dilepton().cross_section()[0] == 2 * peak.cross_section()[0]
    asymmetry = Dilepton().asymmetry([Z - 3, Z, Z + 2])[0]
    np.testing.assert_allclose(asymmetry, [-0.265, 0.0162, 0.192], atol=6e-4)
    assert abs(Dilepton(scheme="Gmu", **MU).cross_section()[0] / 2.008 - 1) < 5e-4
    assert abs(Dilepton(scheme="Gmu").asymmetry()[0] - 0.0340) < 1e-4
    assert abs(Dilepton(scheme="improved", **MU).cross_section()[0] / 1.984 - 1) < 5e-3  # rho = 1.0012 beyond "effective"
    assert abs(Dilepton(z_coupling=0.0, **MU).cross_section()[0] - 0.0118) < 5e-5
    assert Dilepton(z_coupling=0.0).asymmetry()[0] == 0


@pytest.mark.parametrize("running", [False, True], ids=["fixed", "running"])
def test_cross_section_is_that_of_the_helicity_amplitudes(running):
    energies = np.array([0.3, 10.0, 60.0, 89.0, 91.19, 93.0, 200.0])
    generator = Dilepton(width_scheme="running" if running else "fixed", alpha_inverse=130.0, sin2=0.23, **MU)
    want = born(energies**2, 1 / 130, 0.23, running=running)
    # sums of four squares that do not cancel below 1e-3 of the largest: some 1e-13
    np.testing.assert_allclose(generator.cross_section(energies)[0], want[0], rtol=1e-12)
    np.testing.assert_allclose(generator.asymmetry(energies)[0], want[1], rtol=1e-12, atol=1e-13)


def test_resonance_is_that_of_the_partial_widths():
    # At s = M^2 photon and Z do not interfere: sigma_Z = 12 pi (Gamma_ll / M Gamma)^2, Gamma_ll = alpha M kappa (v^2 + a^2) / 3
    c = Dilepton().couplings
    partial = c["alpha"] * Z * c["z_coupling"] * ((0.5 - 2 * c["sin2"]) ** 2 + 0.25) / 3
    assert abs(partial - 0.0833) < 1e-4  # 83.4 MeV measured
    resonance = Dilepton(**MU).cross_section()[0] - Dilepton(z_coupling=0.0, **MU).cross_section()[0]
    assert abs(resonance / (12 * np.pi * (partial / (Z * WIDTH)) ** 2 * NANOBARN) - 1) < 1e-9


def test_running_width_shifts_the_peak_by_34_MeV():
    energies = np.linspace(91.0, 91.4, 40_001)
    peaks = [energies[Dilepton(width_scheme=s).cross_section(energies)[0].argmax()] for s in ("fixed", "running")]
    # Gamma^2 / 2M = 34.14 MeV; the peak of sigma is the mass and a shift of the same size in both, to Gamma^2/M^2 of it; steps of 0.01
    assert abs(1e3 * (peaks[0] - peaks[1]) - 34.14) < 0.1


def radiator_by_hand(x, s, order):
    a, log = 1 / 137.035999084 / np.pi, np.log(s / ELECTRON_MASS**2)
    beta, zeta2, zeta3 = 2 * a * (log - 1), np.pi**2 / 6, 1.2020569031595942
    soft = 1 + a * (1.5 * log + np.pi**2 / 3 - 2)
    hard = -beta * (1 - x / 2)
    if order == "alpha2":
        soft += a**2 * ((9 / 8 - 2 * zeta2) * log**2 - (45 / 16 - 11 / 2 * zeta2 - 3 * zeta3) * log
                        - 6 / 5 * zeta2**2 - 9 / 2 * zeta3 - 6 * zeta2 * np.log(2) + 3 / 8 * zeta2 + 57 / 12)  # fmt: skip
        hard += beta**2 / 8 * ((2 - x) * (3 * np.log1p(-x) - 4 * np.log(x)) - 4 * np.log1p(-x) / x - 6 + x)
    return beta, soft, hard


@pytest.mark.parametrize("order", ["alpha", "alpha2"])
def test_radiator_is_its_formula(order):
    x = np.array([1e-20, 1e-9, 1e-3, 0.1, 0.49, 0.51, 0.9, 0.9999])
    beta, soft, hard = radiator_by_hand(x, Z**2, order)
    np.testing.assert_allclose(radiator(x, Z, order), beta * x ** (beta - 1) * soft + hard, rtol=1e-12)


def radiated(energy, order, least, times=lambda s: 1.0):
    """Cross-section [nb], times a function of s, by SciPy's adaptive quadrature in t = x^beta, which takes the singularity."""
    s = energy**2
    beta = radiator_by_hand(0.5, s, order)[0]

    def integrand(t):
        x = max(t ** (1 / beta), 1e-300)
        _, soft, hard = radiator_by_hand(x, s, order)
        return (soft + hard * x ** (1 - beta) / beta) * born(s * (1 - x))[0] * times(s * (1 - x))

    last = 1 - least**2 / s
    cuts = np.array([0, 1e-9, 1e-4, 0.01, 0.03, 0.1, 0.3, 0.5, 0.7, 0.76, 0.8, 0.84, 0.9, 0.95, 0.99, 0.999, 1])
    cuts = np.unique(np.minimum(cuts, last)) ** beta
    return sum(integrate.quad(integrand, a, b, epsabs=0, epsrel=1e-10, limit=200)[0] for a, b in zip(cuts, cuts[1:]))


@pytest.mark.parametrize(
    "energy, order, least", [(Z, "alpha", 1.0), (Z, "alpha2", 1.0), (93.0, "alpha2", 10.0), (60.0, "alpha2", 1.0), (200.0, "alpha2", 5.0)]
)
def test_radiated_cross_section_and_asymmetry_are_their_integrals(energy, order, least):
    generator = Dilepton(energy, radiation=order, pair_mass_min=least, **MU)
    value, error = generator.cross_section()
    total = radiated(energy, order, least)
    assert error < 1e-9 * value
    assert abs(value / total - 1) < 1e-8  # both integrate to 1e-9
    assert abs(generator.asymmetry()[0] - radiated(energy, order, least, lambda s: born(s)[1]) / total) < 1e-8


def test_radiation_lowers_the_peak_to_the_numbers_of_the_literature():
    for scheme, order, want in (("effective", "alpha", 1.465), ("effective", "alpha2", 1.461), ("Gmu", "alpha", 1.485),
                                ("Gmu", "alpha2", 1.481)):  # fmt: skip
        # The numbers go down to the threshold of muons: 0.45 % more than from 10 GeV, by the pole of the photon.
        found = Dilepton(scheme=scheme, radiation=order, pair_mass_min=0.22, **MU).cross_section()[0]
        assert abs(found / want - 1) < 1e-3
        assert abs(Dilepton(scheme=scheme, radiation=order, **MU).cross_section()[0] / want - 1) < 5e-3


def test_spread_of_the_energy_averages_the_cross_section():
    sigma = 0.3
    for radiation in (None, "alpha2"):
        line = Dilepton(Z, radiation=radiation, **MU)
        mean = integrate.quad(lambda t: stats.norm.pdf(t) * line.cross_section(Z + sigma * t)[0], -6, 6, epsrel=1e-9)[0]
        assert abs(Dilepton(Z, energy_spread=sigma, radiation=radiation, **MU).cross_section()[0] / mean - 1) < 1e-7  # 6 sigma: 2e-9


# ---------------------------------------------------------------------------------------------------- kinematics


@pytest.mark.parametrize("name", GENERATORS)
def test_leptons_are_on_their_shells_and_balance(name):
    generator = GENERATORS[name]
    events = generator.generate(50_000, seed=1)
    minus, plus, mass = pair(events)
    total = minus + plus
    # The unit roundoff of double is 1.1e-16. Each component is a product of some ten numbers rounded on the scale of the pair, of which
    # E^2 - p^2 cancels.
    for p in (minus, plus):
        assert (np.abs(square(p) - mass**2) <= 40 * EPS["float64"] * p[0] * total[0]).all()
    assert (total[1:3] == 0).all()  # p2 = -p1 across the beams
    if generator.radiation is None and not generator.energy_spread:
        assert (minus[0] == generator.energy / 2).all() and (total == [[generator.energy], [0], [0], [0]]).all()
    else:
        one, two = total[0] + total[3], total[0] - total[3]  # what is left of both beams
        if not generator.energy_spread:
            assert max(one.max(), two.max()) <= generator.energy * (1 + 1e-14)
        least = generator.pair_mass_min if generator.radiation else generator.energy - 6.1 * generator.energy_spread
        assert np.sqrt(square(total).min()) >= least * (1 - 1e-12)


@pytest.mark.parametrize("name", GENERATORS)
def test_flavours_are_one_half_each_and_the_absent_one_is_zero(name):
    generator, n = GENERATORS[name], 40_000
    events = generator.generate(n, seed=2)
    muon = events.present[2]
    assert (events.present == np.stack([~muon, ~muon, muon, muon])).all()
    assert (events.values[:8, muon] == 0).all() and (events.values[8:, ~muon] == 0).all()
    if len(generator.flavours) == 1:
        assert muon.all()
        assert not Dilepton(flavours=("e",)).generate(100, seed=1).present[2:].any()
    else:
        assert abs(muon.mean() - 0.5) < 4 * 0.5 / np.sqrt(n)


def chi2_of(values, edges, cdf):
    """Chi-squared of bins with at least 10 expected events over its degrees of freedom, in standard deviations."""
    expected = np.diff(cdf) / (cdf[-1] - cdf[0]) * len(values)
    counts = np.histogram(values, edges)[0]
    assert counts.sum() == len(values)
    full = expected > 10
    chi2, degrees = ((counts - expected)[full] ** 2 / expected[full]).sum(), full.sum() - 1
    return (chi2 - degrees) / np.sqrt(2 * degrees)


@pytest.mark.parametrize("name", [name for name in GENERATORS if name != "low"])
def test_directions_follow_the_asymmetry(name):
    n = 300_000
    generator = GENERATORS[name]
    events = generator.generate(n, seed=3)
    c, edges = cosine_of(events), np.linspace(-1, 1, 41)
    asymmetry = generator.asymmetry()[0]
    # density 3/8 (1 + c^2) + A c; a chi-squared of 39 degrees is 4 sigma too large once in 2,000 seeds
    assert abs(chi2_of(np.clip(c, -1, 1), edges, 3 / 8 * (edges + edges**3 / 3) + asymmetry * edges**2 / 2)) < 4
    assert abs(np.sign(c).mean() - asymmetry) < 4 * np.sqrt((1 - asymmetry**2) / n)
    minus, *_ = pair(events)
    phi, edges = np.arctan2(minus[2], minus[1]).astype(float), np.linspace(-np.pi, np.pi, 41)
    assert abs(chi2_of(phi, edges, edges)) < 4


# ----------------------------------------------------------------------------------------------------- radiation


@pytest.mark.parametrize("energy, order, least", [(Z, "alpha2", 1.0), (93.0, "alpha", 10.0), (200.0, "alpha2", 5.0)])
def test_radiated_share_follows_radiator_times_cross_section(energy, order, least):
    events = Dilepton(energy, radiation=order, pair_mass_min=least).generate(400_000, seed=4)
    total = sum(pair(events)[:2])
    x = 1 - (square(total) / np.longdouble(energy) ** 2).astype(float)
    last = 1 - least**2 / energy**2
    edges = np.concatenate([[-1e-9], np.geomspace(1e-9, last / 2, 60), last - np.geomspace(last / 2.05, last / 1e3, 40), [last * (1 + 1e-9)]])
    s = energy**2
    beta = radiator_by_hand(0.5, s, order)[0]
    node, weight = np.polynomial.legendre.leggauss(40)
    t = np.clip(edges, 0, last) ** beta
    y = (t[:-1, None] + t[1:, None] + np.diff(t)[:, None] * node) / 2
    y = np.maximum(y ** (1 / beta), 1e-300)
    _, soft, hard = radiator_by_hand(y, s, order)
    density = (soft + hard * y ** (1 - beta) / beta) * born(s * (1 - y))[0]
    cdf = np.concatenate([[0], np.cumsum((density * weight).sum(axis=1) * np.diff(t) / 2)])
    assert abs(chi2_of(x, edges, cdf)) < 4


@pytest.mark.parametrize("energy", [60.0, Z, 200.0])
def test_tables_of_radiation_are_inverses_of_the_cumulative(energy):
    """Without the noise of draws: shares of the intervals, and places at a quarter, a half and three quarters of each."""
    k, generator = 512, Dilepton(energy, radiation="alpha2")
    row = _core.dilepton_rows(generator._process(), np.array([energy]))[0]
    keep, other, c = row[:k], row[k : 2 * k].astype(int), row[2 * k : 6 * k].reshape(4, k)
    share = (keep + np.bincount(other, 1 - keep, k)) / k
    node, weight = np.polynomial.legendre.leggauss(16)

    def integral(a, b):
        y = (a + b)[:, None] / 2 + (b - a)[:, None] / 2 * node
        x = np.exp(y)
        return (x * radiator(x, energy) * born(energy**2 * -np.expm1(y))[0]) @ weight * (b - a) / 2

    low, high = c[0, 1:], c[:, 1:].sum(axis=0)
    whole = integral(low, high)
    soft = 1 - share[0]
    np.testing.assert_allclose(share[1:] / soft, whole / whole.sum(), rtol=1e-8, atol=1e-12)
    assert abs(row[6 * k] * radiator_by_hand(0.5, energy**2, "alpha2")[0] - 1) < 1e-12
    for v in (0.25, 0.5, 0.75):
        place = c[0, 1:] + v * (c[1, 1:] + v * (c[2, 1:] + v * c[3, 1:]))
        # The density varies by exp(0.06) or so within an interval: 3 x 0.06^3 / 384 = 2e-6 of its width is the error of a cubic.
        error = np.abs(integral(low, place) / whole - v)
        assert np.median(error) < 5e-6 and error.max() < 5e-5


def test_both_beams_share_radiation_as_two_soft_radiators_do():
    energy = Z
    events = Dilepton(energy, radiation="alpha2", **MU).generate(400_000, seed=5)
    total = sum(pair(events)[:2])
    left = np.stack([total[0] + total[3], total[0] - total[3]]) / energy  # z of both beams
    loss = -np.log(np.minimum(left, 1)).astype(float)
    hard = loss.sum(axis=0) > 1e-3  # where rounding of sums of energies, some 1e-15, is a share of some 1e-12
    ratio = loss[0, hard] / loss[:, hard].sum(axis=0)
    beta = radiator_by_hand(0.5, energy**2, "alpha2")[0]
    edges = np.concatenate([[0], np.geomspace(1e-8, 0.5, 25), 1 - np.geomspace(0.4, 1e-6, 12), [1]])
    assert abs(chi2_of(ratio, edges, stats.beta.cdf(edges, beta / 2, beta / 2))) < 4
    assert 0.7 < (np.abs(ratio - 0.5) > 0.49).mean() < 0.8  # mostly one beam: 1 - beta/2 ln(99)


# ------------------------------------------------------------------------------------------- energies of collisions


@pytest.mark.parametrize("radiation", [None, "alpha2"])
def test_energies_are_spread_and_weighted_by_the_cross_section(radiation):
    sigma, n = 0.5, 200_000
    generator = Dilepton(Z - 1, energy_spread=sigma, radiation=radiation, **MU)
    events = generator.generate(n, seed=6)
    total = sum(pair(events)[:2])
    t = np.linspace(-6, 6, 401)
    density = stats.norm.pdf(t) * generator.cross_section(Z - 1 + sigma * t)[0]
    cdf = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    if radiation is None:
        roots = np.sqrt(square(total)).astype(float)
        distance = np.abs(np.interp(np.sort(roots), Z - 1 + sigma * t, cdf / cdf[-1]) - (np.arange(n) + 0.5) / n).max()
        assert distance < 2 / np.sqrt(n)  # Kolmogorov-Smirnov: P = 2 exp(-8) = 7e-4
        rapidity = np.arctanh((total[3] / total[0]).astype(float))
        assert abs(rapidity.std() / (sigma / (Z - 1)) - 1) < 4 / np.sqrt(2 * n)
    else:
        # The mean mass of the pairs, from integrals at seven energies: both factors of the integrand are smooth in the energy.
        mass = np.sqrt(square(total)).astype(float)
        node, weight = np.polynomial.hermite_e.hermegauss(7)
        parts = [[radiated(Z - 1 + sigma * u, "alpha2", 1.0, f) for f in (np.sqrt, lambda s: 1.0)] for u in node]
        mean = (weight @ parts)[0] / (weight @ parts)[1]
        assert abs(mass.mean() - mean) < 4 * mass.std() / np.sqrt(n)


def test_energies_of_each_event():
    energies = np.linspace(85.0, 100.0, 1001)
    events = Dilepton(**MU).generate(1001, seed=1, energy=energies)
    np.testing.assert_array_equal(events["mum_E"], energies / 2)
    generator = Dilepton(radiation="alpha2", **MU)
    whole = generator.generate(1001, seed=1, energy=energies).values
    # An event depends on its own energy, not on what is asked for with it.
    np.testing.assert_array_equal(generator.generate(10, seed=1, first=500, energy=energies[500:510]).values, whole[:, 500:510])
    with pytest.raises(ValueError, match="energy: event 117 has 1.05 GeV, expected a finite number of more than 1.1"):
        generator.generate(20, seed=1, first=100, energy=np.where(np.arange(20) == 17, 1.05, 91.0))
    with pytest.raises(ValueError, match="energy: event 3 has nan GeV"):
        generator.generate(4, seed=1, energy=np.array([90.0, 90.0, 90.0, np.nan]))
    with pytest.raises(ValueError, match=r"energy: expected an array of shape \(4,\), got \(3,\)"):
        generator.generate(4, seed=1, energy=np.full(3, 90.0))
    with pytest.raises(ValueError, match="energy: expected none with energy_spread"):
        Dilepton(energy_spread=0.1).generate(1, seed=1, energy=np.array([90.0]))
    with pytest.raises(ValueError, match="energy: 20 to 200 GeV need 9[0-9]* tables"):
        generator.generate(2, seed=1, energy=np.array([20.0, 200.0]))


def test_tables_between_energies_follow_the_energy():
    """At an energy between two tables the share of hard radiation is that of the integral."""
    energy, n = 90.0123, 200_000
    events = Dilepton(radiation="alpha2", **MU).generate(n, seed=9, energy=np.full(n, energy))
    x = 1 - square(sum(pair(events)[:2])).astype(float) / energy**2
    for cut in (1e-3, 0.03):
        soft = radiated(energy, "alpha2", energy * np.sqrt(1 - cut)) / radiated(energy, "alpha2", 1.0)
        assert abs((x > cut).mean() - (1 - soft)) < 4 * np.sqrt(soft * (1 - soft) / n)


# ---------------------------------------------------------------------------------------------------------- bits


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ["born", "radiation", "spread and radiation"])
def test_event_depends_on_seed_and_number_alone(name, dtype):
    generator, n = GENERATORS[name], 40_000  # beyond the block of a thread, and large enough to be written past the caches
    whole = generator.generate(n, seed=5, dtype=dtype, num_threads=1).values
    np.testing.assert_array_equal(whole, generator.generate(n, seed=5, dtype=dtype, num_threads=2).values)
    for first, count in ((0, 1), (1, 7), (13, 33), (8_187, 9), (32_767, 100)):
        part = generator.generate(count, seed=5, first=first, dtype=dtype).values
        np.testing.assert_array_equal(part, whole[:, first : first + count])
    assert not np.array_equal(whole[:, :10], generator.generate(10, seed=6, dtype=dtype).values)
    assert not np.array_equal(whole[:, :4], generator.generate(4, seed=5, first=2**40, dtype=dtype).values)


@pytest.mark.parametrize("name", GENERATORS)
def test_float_events_are_those_of_double_rounded(name):
    one, two = (GENERATORS[name].generate(4000, seed=4, dtype=d) for d in ("float32", "float64"))
    assert (one.present == two.present).mean() == 1
    # A uniform number of 24 bits moves cos(theta) by 6e-8 and x by 2^-24 of an interval of ln(x): a few 1e-6 of the energy. Where a
    # draw falls between two intervals the event may be another one, as it is with a probability of 1e-6 per decision.
    worst = np.abs(one.values - two.values).max(axis=0) / GENERATORS[name].energy
    assert np.median(worst) < 1e-6 and np.quantile(worst, 0.99) < 1e-4


SCRIPT = """
import hashlib, json, sys
sys.path.insert(0, {folder!r})
from test_dilepton import GENERATORS
found = {{}}
for name, generator in GENERATORS.items():
    for dtype in ("float64", "float32"):
        values = generator.generate(2003, seed=11, first=3, dtype=dtype).values
        found[name + dtype] = hashlib.sha256(values.tobytes()).hexdigest()
print(json.dumps(found))
"""


@pytest.mark.no_asan
@pytest.mark.skipif(_core.isa_best() != "v4", reason="needs a CPU with AVX-512")
def test_avx2_and_avx512_give_the_same_bits(bits_by_isa):
    found = bits_by_isa(("v3", "v4"), "-c", SCRIPT.format(folder=os.path.dirname(__file__)))
    assert found["v3"] == found["v4"]


@pytest.mark.parametrize("isa", ["portable", "v2"])
def test_other_instruction_sets_differ_by_rounding_only(isa):
    generator = GENERATORS["spread and radiation"]
    try:
        _core.isa_set(isa)
    except NotImplementedError:
        pytest.skip("another machine")
    plain = generator.generate(3000, seed=5).values
    _core.isa_set("auto")
    # products that FMA does not round; numbers of up to 50 GeV, some tens of roundings, 1/beta = 9 times those of a logarithm
    np.testing.assert_allclose(plain, generator.generate(3000, seed=5).values, rtol=1e-11, atol=50 * 300 * EPS["float64"])


def test_bits_stay_what_they_were():
    """Samples that others hold can be made again: these bits change only with a new major version."""
    digest = hashlib.sha256(GENERATORS["born"].generate(1000, seed=1).values.tobytes()).hexdigest()
    if _core.isa() not in ("v3", "v4"):
        pytest.skip("bits of processors with FMA")
    assert digest == "bce5e8d6540edc52c8fa39b4ef9bd9a8caed8ece0b49f8d9c125b5e8c2a09db2"


def test_kernels_give_the_events_of_the_generator_in_any_order():
    generator = GENERATORS["radiation"]
    order = np.append(np.random.default_rng(1).permutation(300)[:200], 7).astype(float)
    events, found = generator.generate(300, seed=5), pickle.loads(pickle.dumps(generator.kernel(seed=5)))({"event": order})
    np.testing.assert_array_equal(found["mup_pz"], events["mup_pz"][order.astype(int)])
    energies = np.linspace(88.0, 94.0, 300)
    events, kernel = generator.generate(300, seed=5, energy=energies), generator.kernel(seed=5, energy=(88.0, 94.0))
    found = pickle.loads(pickle.dumps(kernel))({"event": order, "energy": energies[order.astype(int)]})
    np.testing.assert_array_equal(found["em_E"], events["em_E"][order.astype(int)])
    with pytest.raises(ValueError, match=r"event\[1\]: expected a whole number of at least 0, got 2.5"):
        kernel({"event": np.array([1.0, 2.5]), "energy": np.array([90.0, 90.0])})


# -------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"energy": 0.2}, "energy: expected more than 0.211316751 GeV, got 0.2"),
        ({"energy": 0.00102, "flavours": ("e",), "pair_mass_min": 0.1}, "energy: expected more than 0.0010219979 GeV"),
        ({"energy": 1.05, "radiation": "alpha"}, "energy: expected more than 1.1 GeV, got 1.05"),
        ({"energy": float("nan")}, "energy: expected a finite number, got nan"),
        ({"mass": -91.0}, "mass: expected more than 0 GeV, got -91.0"),
        ({"width": 0.0}, "width: expected more than 0 GeV, got 0.0"),
        ({"sin2": 0.0}, "sin2: expected more than 0 and less than 1, got 0.0"),
        ({"sin2": 1.0}, "sin2: expected more than 0 and less than 1, got 1.0"),
        ({"alpha_inverse": -128.9}, "alpha_inverse: expected more than 0, got -128.9"),
        ({"z_coupling": -1.0}, "z_coupling: expected at least 0, got -1.0"),
        ({"scheme": "on-shell"}, "scheme: expected one of 'effective', 'Gmu', 'improved', got 'on-shell'"),
        ({"width_scheme": None}, "width_scheme: expected one of 'fixed', 'running', got None"),
        ({"radiation": "alpha3"}, "radiation: expected one of None, 'alpha', 'alpha2', got 'alpha3'"),
        ({"flavours": ()}, "flavours: expected some of"),
        ({"flavours": ("e", "tau")}, "flavours: expected some of"),
        ({"flavours": "mu"}, "flavours: expected some of"),
        ({"pair_mass_min": 0.2}, "pair_mass_min: expected more than 0.211316751 GeV, got 0.2"),
        ({"energy_spread": -0.1}, "energy_spread: expected at least 0 GeV, got -0.1"),
        ({"energy_spread": 20.0}, "energy_spread: energies down to 6"),
        ({"energy": 200.0, "energy_spread": 15.0, "radiation": "alpha2"}, "energy: 110 to 290 GeV need 9[0-9]* tables"),
    ],
)  # fmt: skip
def test_impossible_parameters_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Dilepton(**options)


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(TypeError, match="mass: expected a number, got 'heavy'"):
        Dilepton(mass="heavy")
    for options, message in (({"n": -1, "seed": 1}, "n: "), ({"n": 1, "seed": -1}, "seed: "), ({"n": 1, "seed": 1, "first": 0.5}, "first: "),
                             ({"n": 1, "seed": 1, "dtype": "float16"}, "dtype: ")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            Dilepton().generate(**options)
    with pytest.raises(ValueError, match="energy: expected finite numbers of more than 0.211316751 GeV, got 0.1 at place 1"):
        Dilepton().cross_section([90.0, 0.1])
    with pytest.raises(ValueError, match="energy: expected low < high, got 95 and 90 GeV"):
        Dilepton().kernel(1, energy=(95.0, 90.0))
    with pytest.raises(ValueError, match="x: expected numbers between 0 and 1, got 1.0 at place 1"):
        radiator([0.5, 1.0], Z)
    with pytest.raises(ValueError, match='order: expected "alpha" or "alpha2"'):
        radiator(0.5, Z, order=None)
    assert len(Dilepton(radiation="alpha2").generate(0, seed=1)) == 0
    changed = Dilepton().set_params(flavours=("e",))
    assert changed != Dilepton() and changed.get_params()["flavours"] == ("e",)


# ------------------------------------------------------------------------------------------------------- at length


@pytest.mark.slow
@pytest.mark.parametrize("energy, want", [(Z - 3, -0.265), (Z, 0.0162), (Z + 2, 0.192)])
def test_asymmetry_of_ten_million_events(energy, want):
    n, counted = 10_000_000, 0.0
    generator = Dilepton(energy, **MU)
    for first in range(0, n, 1_000_000):
        counted += np.sign(generator.generate(1_000_000, seed=1, first=first)["mum_pz"]).sum()
    sigma = np.sqrt((1 - want**2) / n)
    assert abs(counted / n - generator.asymmetry()[0]) < 3 * sigma
    assert abs(counted / n - want) < 3 * sigma + 5e-4 * (abs(want) > 0.1)  # whose number has three digits


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.no_asan
@pytest.mark.parametrize("isr", [False, True], ids=["born", "isr"])
def test_pythia_agrees_at_its_own_parameters(isr):
    for package in ("pythia8mc", "awkward"):
        pytest.importorskip(package, reason="pip install 'simgraft[events]'")
    reference = PythiaDilepton(energy=91.19, isr=isr)
    pythia = reference.pythia(1, hard_process_only=True)
    z, model = pythia.particleData, pythia.settings
    sin2 = model.parm("StandardModel:sin2thetaW")
    ours = Dilepton(
        91.19, mass=z.m0(23), width=z.mWidth(23), width_scheme="running", sin2=model.parm("StandardModel:sin2thetaWbar"),
        alpha_inverse=1 / model.parm("StandardModel:alphaEMmZ"), z_coupling=1 / (4 * sin2 * (1 - sin2)),
        radiation="alpha2" if isr else None, pair_mass_min=z.mMin(23),
    )  # fmt: skip
    value, error = reference.cross_section()
    if not isr:
        # alpha runs from the mass of the Z to 91.19 GeV, by 1e-6; the same formula otherwise
        assert abs(ours.cross_section()[0] / value - 1) < 1e-4
    else:
        # Pythia's distributions of electrons are exponentiated to leading logarithms: 0.5 %
        assert abs(ours.cross_section()[0] - value) < 4 * error + 5e-3 * value
    n = 100_000
    one, two = (np.sign(cosine_of(g.generate(n, seed=3))).mean() for g in (reference, ours))
    assert abs(one - two) < 4 * np.sqrt(2 / n)
