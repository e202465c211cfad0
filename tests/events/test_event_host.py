"""Analyses of events: they find what was put in, within the errors that they state, and run in a trial like any host."""

import numpy as np
import pytest
import simgraft as sg
from simgraft.events import DILEPTON, TOP_PAIR, TWO_BODY, Dilepton, Events, analyses, host, kernel

ENERGY = 91.19  # GeV


def pairs(cosine, mass, muon, boost=0.0):
    """Lepton pairs at these angles and masses, in frames that move along the beam."""
    n = len(cosine)
    rng = np.random.default_rng(0)
    phi, sine = rng.uniform(-np.pi, np.pi, n), np.sqrt(1 - cosine**2)
    half = 0.5 * mass
    px, py, pz = half * sine * np.cos(phi), half * sine * np.sin(phi), half * cosine
    gamma, gb = np.cosh(boost), np.sinh(boost)
    values = np.zeros((16, n))
    for sign, offset in ((1, 0), (-1, 4)):
        p = np.stack([gamma * half + gb * sign * pz, sign * px, sign * py, gamma * sign * pz + gb * half])
        for flavour, start in ((~muon, 0), (muon, 8)):
            values[start + offset : start + offset + 4, flavour] = p[:, flavour]
    return Events(DILEPTON, values)


def cosines(asymmetry, n, seed):
    """Cosines of density 3/8 (1 + c^2) + A c."""
    rng = np.random.default_rng(seed)
    c = rng.uniform(-1, 1, 8 * n)
    return c[rng.uniform(0, 0.75 + abs(asymmetry), 8 * n) < 0.375 * (1 + c**2) + asymmetry * c][:n]


def radiated_masses(n, seed, mass, width):
    """Masses of pairs after radiation, of a Z of this mass and width."""
    generator = Dilepton(ENERGY, flavours=("mu",), mass=mass, width=width, radiation="alpha2")
    minus, plus = analyses.lepton_pair(generator.generate(n, seed))
    return analyses._mass(minus + plus)


@pytest.mark.parametrize("boost", [0.0, 0.4])
def test_asymmetry_is_found_in_the_frame_of_the_pair(boost):
    c = cosines(0.2, 40_000, 1)
    events = pairs(c, np.full(len(c), ENERGY), np.arange(len(c)) % 2 == 0, boost)
    minus, plus = analyses.lepton_pair(events)
    np.testing.assert_allclose(analyses.cos_theta_star(minus, plus), c, atol=1e-9)  # rounding of 45 GeV at small angles
    value, error = analyses.forward_backward(c)
    assert abs(value - 0.2) < 4 * error
    assert 0.8 < error * np.sqrt(len(c)) < 1.0  # that of counting is sqrt(1 - A^2) = 0.98; the likelihood knows more


def test_lineshape_fit_finds_mass_and_width():
    fit = analyses.fit_lineshape(radiated_masses(60_000, 2, 91.05, 2.7), ENERGY)
    for name, truth in (("mass", 91.05), ("width", 2.7)):
        value, error = fit[name]
        assert abs(value - truth) < 4 * error
    assert fit["mass"][1] < 0.05 and fit["width"][1] < 0.1  # GeV: the test could tell 0.2 GeV
    assert fit.chi2 < fit.degrees + 4 * np.sqrt(2 * fit.degrees)


def test_errors_of_a_fit_are_the_spread_of_its_repetitions():
    fits = [analyses.fit_lineshape(radiated_masses(10_000, seed, 91.19, 2.5), ENERGY)["mass"] for seed in range(24)]
    values, errors = np.array(fits).T
    # The spread of 24 repetitions is known to 1/sqrt(46) = 15 %: 3 standard errors
    assert values.std(ddof=1) == pytest.approx(errors.mean(), rel=0.45)


def test_two_pairs_in_one_event_are_named():
    events = pairs(np.zeros(3), np.full(3, ENERGY), np.array([True, False, True]))
    values = events.values.copy()
    values[8:, 1] = values[:8, 1]
    with pytest.raises(ValueError, match="event 1 has not exactly one lepton pair"):
        analyses.lepton_pair(Events(DILEPTON, values))


def test_weighted_events_are_refused():
    events = pairs(np.zeros(3), np.full(3, ENERGY), np.ones(3, bool))
    weighted = Events(DILEPTON, events.values, weight=np.ones(3))
    with pytest.raises(ValueError, match="unweight"):
        host.DileptonAnalysis(3).analyse(weighted)


def top_pairs(n, seed, mass=172.5):
    """Back-to-back top pairs, decayed to massless jets, lepton and neutrino, without any blur."""
    rng = np.random.default_rng(seed)

    def direction():
        c, phi = rng.uniform(-1, 1, n), rng.uniform(-np.pi, np.pi, n)
        return np.stack([np.sqrt(1 - c * c) * np.cos(phi), np.sqrt(1 - c * c) * np.sin(phi), c])

    def boosted(p, beta):
        b2 = (beta**2).sum(axis=0)
        gamma, along = 1 / np.sqrt(1 - b2), (beta * p[1:]).sum(axis=0)
        return np.concatenate([[gamma * (p[0] + along)], p[1:] + beta * ((gamma - 1) * along / b2 + gamma * p[0])])

    def decay():
        energy = (mass**2 - analyses.W_MASS**2) / (2 * mass)
        axis = direction()
        b = np.concatenate([np.full((1, n), energy), energy * axis])
        beta = -energy * axis / (mass - energy)
        way, half = direction(), analyses.W_MASS / 2
        one, two = (np.concatenate([np.full((1, n), half), sign * half * way]) for sign in (1, -1))
        return b, boosted(one, beta), boosted(two, beta)

    values = np.zeros((26, n))
    b1, q1, q2 = decay()
    b2, lepton, neutrino = decay()
    # At rest, both tops would have one mass even with their b jets exchanged.
    flight = direction() * rng.uniform(0.2, 0.8, n)
    b1, q1, q2 = (boosted(p, flight) for p in (b1, q1, q2))
    b2, lepton, neutrino = (boosted(p, -flight) for p in (b2, lepton, neutrino))
    values[0], values[1] = np.hypot(*neutrino[1:3]), np.arctan2(neutrino[2], neutrino[1])
    for i, p in enumerate((b1, q1, q2, b2, lepton)):
        pt = np.hypot(p[1], p[2])
        values[2 + 4 * i : 6 + 4 * i] = p[0], pt, np.arcsinh(p[3] / pt), np.arctan2(p[2], p[1])
    return Events(TOP_PAIR, values)


def test_reconstruction_finds_the_tops_that_were_there():
    candidates = analyses.reconstruct_top(top_pairs(400, 3))
    # Without blur the right assignment has chi2 = 0, but for (rounding of some 1e-13 GeV / 20 GeV)^2, and none fits better.
    assert candidates.chi2.max() < 1e-20
    np.testing.assert_allclose(candidates.mass_hadronic, 172.5, atol=1e-10)
    np.testing.assert_allclose(candidates.mass_w, analyses.W_MASS, atol=1e-10)


def test_event_without_lepton_is_not_reconstructed():
    events = top_pairs(2, 4)
    values = events.values.copy()
    values[18:22, 1] = 0
    candidates = analyses.reconstruct_top(Events(TOP_PAIR, values))
    assert candidates.chosen.tolist() == [True, False] and np.isinf(candidates.chi2[1])


def test_agreement_of_equal_samples_is_a_standard_normal():
    rng = np.random.default_rng(5)
    edges = np.linspace(-2, 2, 21)
    found = []
    for _ in range(200):
        a, b = ({"x": s, "x_error": e} for s, e in (host.spectrum(rng.normal(size=4000), edges) for _ in range(2)))
        found.append(host.agreement(a, b)[0][-1])
    assert abs(np.mean(found)) < 0.3 and 0.8 < np.std(found) < 1.2  # 4 standard errors of 200 numbers


def test_trial_runs_an_analysis_as_any_host():
    c = cosines(0.05, 6_000, 6)
    truth = kernel.recorded(pairs(c[:3000], np.full(3000, ENERGY), np.arange(3000) % 2 == 0), "generator")
    stand_in = pairs(c[3000:], np.full(3000, ENERGY), np.arange(3000) % 2 == 0)

    class Model:
        def kernel(self, seed):
            return kernel.recorded(stand_in, "model")

    surrogate = kernel.EventSurrogate(Model(), truth, seed=1, provenance={"training_seconds": 1.0, "data": {"rows": 3000}})
    trial = sg.Trial(surrogate, gates=[sg.gate.host("A_FB", max=0.2)])
    analysis = host.DileptonAnalysis(3000)
    trial.a_posteriori(analysis, units=analysis.units)
    assert trial.passed
    assert {"A_FB", "cos_theta"} <= {row[0] for row in trial.tables_["a posteriori"]["rows"]}


def test_model_of_another_layout_does_not_fit_into_the_slot():
    class Model:
        def kernel(self, seed):
            return kernel.recorded(Events(TWO_BODY, np.ones((10, 2))))

    with pytest.raises(ValueError, match="model: makes the columns E1"):
        kernel.EventSurrogate(Model(), kernel.recorded(pairs(np.zeros(1), np.ones(1), np.ones(1, bool))), seed=1)


@pytest.mark.parametrize("number", [0.5, 7.0])
def test_recorded_events_have_whole_numbers_below_their_count(number):
    slot = kernel.recorded(Events(TWO_BODY, np.ones((10, 2))), "two events")
    with pytest.raises(ValueError, match=r"event\[1\].*two events"):
        slot({"event": np.array([1.0, number])})


@pytest.mark.data
def test_analyses_of_pythia_events_find_the_z_and_the_top(data_dir):
    path = data_dir / "events" / "z_pythia8_16col_50k.npz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with np.load(path) as file:
        isr = Events.from_rows(DILEPTON, file["isr"].astype(np.float64))
    fields = host.DileptonAnalysis(len(isr), energy=ENERGY, radiation=True).analyse(isr)
    for name, value in (("Z_mass", 91.1876), ("Z_width", 2.4952)):
        assert abs(fields[name][0] - value) < 4 * fields[f"{name}_error"][0]
    with np.load(data_dir / "events" / "ttbar_pythia8_13tev_26col_40k.npz") as file:
        top = Events.from_rows(TOP_PAIR, file["X"])
    fields = host.TopPairAnalysis(len(top)).analyse(top)
    assert 155 < fields["top_mass"][0] < 180  # GeV: jets of radius 0.4 lose some of the 172.5
    assert fields["top_mass_error"][0] < 1.5
