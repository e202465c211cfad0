"""Top quark pairs at leading order: cross-sections, what the decays must obey, columns, bits, refusals."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import binom, kstest

import simgraft as sg
from simgraft import _core
from simgraft.events import TOP_PAIR, PythiaTopPair, TopPair, ttbar
from simgraft.events.pdf import Grv94Lo, open_pdf, pythia_pdf_folder

M_TOP, M_W, M_B, ALPHA_S = 172.5, 80.369, 4.78, 0.108
GEV2_PB = 0.3893793721e9
JETS, LEPTONS = ("j1", "j2", "j3", "j4"), ("l1", "l2")
ISAS = ["portable", "v2", "v3", "v4"]
ISAS = ISAS[: ISAS.index(_core.isa_best()) + 1]


@pytest.fixture(scope="module")
def generator():
    """With the default parameters: its grid is adapted once."""
    return TopPair()


@pytest.fixture(scope="module")
def sharp():
    """Semileptonic events without smearing."""
    return TopPair(smear=False).generate(100_000, seed=1)


@pytest.fixture(scope="module")
def smeared(generator):
    return generator.generate(20_000, seed=1)


@pytest.fixture(scope="module")
def pdfdata():
    folder = pythia_pdf_folder()
    if folder is None:
        pytest.skip("no package pythia8mc, which brings grids: pip install 'simgraft[events]'")
    return folder


def momenta(events, names=JETS + LEPTONS):
    """E, px, py, pz of objects, (n_objects, 4, n)."""
    out = []
    for name in names:
        e, pt, eta, phi = (events[f"{name}_{q}"].astype(float) for q in ("E", "pT", "eta", "phi"))
        out.append([e, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)])
    return np.array(out)


def product(p, q):
    return p[0] * q[0] - p[1] * q[1] - p[2] * q[2] - p[3] * q[3]


# --------------------------------------------------------------------------------------------------- cross-section


def f_qq(rho):
    """Nason, Dawson & Ellis, Nucl. Phys. B303 (1988) 607, eq. 14: total cross-section in units of alpha_s^2 / m^2."""
    beta = np.sqrt(1 - rho)
    return np.pi * beta * rho / 27 * (2 + rho)


def f_gg(rho):
    """The same, eq. 15."""
    beta = np.sqrt(1 - rho)
    return np.pi * beta * rho / 192 * ((rho**2 + 16 * rho + 16) / beta * np.log((1 + beta) / (1 - beta)) - 28 - 31 * rho)


class Flat:
    """x f = 1 for gluons, or u and ubar with x u x ubar + x ubar x u = 1."""

    name = "flat"

    def __init__(self, gluons):
        self.gluons = gluons

    def xfxQ(self, flavour, x, Q):
        there = flavour == 21 if self.gluons else abs(flavour) == 2
        return np.full(np.shape(x), float(there) * (1 if self.gluons else np.sqrt(0.5)))


@pytest.mark.parametrize(("channel", "total"), [("gg", f_gg), ("qq", f_qq)])
def test_matrix_elements_integrate_to_the_closed_totals(channel, total):
    """With x f = 1 the cross-section is an integral of the closed totals over tau and rapidity."""
    generator = TopPair(pdf=Flat(channel == "gg"), channels=channel)
    tau_min = (2 * M_TOP / 13_000) ** 2
    # dtau / tau dy with |y| < ln(1 / tau) / 2; in l = ln(tau)
    expected = quad(lambda l: total(tau_min / np.exp(l)) * -l, np.log(tau_min), 0, epsrel=1e-9)[0]
    expected *= GEV2_PB * ALPHA_S**2 / M_TOP**2
    value, error = generator.cross_section(1 << 18)
    assert error < 1e-3 * expected
    assert abs(value - expected) < 4 * error


@pytest.mark.parametrize("flavour", range(1, 6))
def test_quarks_need_antiquarks_of_their_flavour(flavour):
    """Two quarks make no pair: in the table the product of differences must cancel that of sums, for each flavour."""

    class Of:
        name = "quarks"

        def __init__(self, *flavours):
            self.flavours = flavours

        def xfxQ(self, f, x, Q):
            return np.full(np.shape(x), float(f in self.flavours))

    with pytest.raises(ValueError, match="quarks gives no cross-section"):
        TopPair(pdf=Of(flavour)).cross_section()
    both = TopPair(pdf=Of(flavour, -flavour)).cross_section(1 << 14)[0]
    assert both == pytest.approx(2 * TopPair(pdf=Flat(gluons=False)).cross_section(1 << 14)[0], rel=1e-5)  # floats in the table


def by_quadrature(pdf, energy):
    """Cross-section [pb] by Gauss-Legendre over tau and y, from the parton distributions themselves."""
    node, weight = np.polynomial.legendre.leggauss(60)
    tau_min = (2 * M_TOP / energy) ** 2
    total = 0.0
    # beta as the variable near threshold: tau = tau_min / (1 - beta^2)
    beta, w_beta = (node + 1) / 2 * np.sqrt(1 - tau_min), weight / 2 * np.sqrt(1 - tau_min)
    for b, w in zip(beta, w_beta):
        rho = 1 - b * b
        tau = tau_min / rho
        y = node * -np.log(tau) / 2
        x1, x2 = np.sqrt(tau) * np.exp(y), np.sqrt(tau) * np.exp(-y)
        f1, f2 = ({f: pdf.xfxQ(f, x, M_TOP) for f in (21, *range(-5, 0), *range(1, 6))} for x in (x1, x2))
        gg = f1[21] * f2[21]
        qq = sum(f1[f] * f2[-f] for f in (*range(-5, 0), *range(1, 6)))
        inner = np.sum(weight * (gg * f_gg(rho) + qq * f_qq(rho))) * -np.log(tau) / 2
        total += w * inner * 2 * b / rho  # dtau / tau
    return total * GEV2_PB * ALPHA_S**2 / M_TOP**2


@pytest.mark.parametrize(("energy", "expected"), [(13_000.0, 499.8), (8_000.0, 148.9), (7_000.0, 104.4)])
def test_cross_section_of_the_analytic_set(energy, expected):
    value, error = TopPair(energy=energy).cross_section(1 << 18)
    assert value == pytest.approx(expected, rel=3e-3)
    # table of 2048 knots, linear between them: 1e-5; Gauss-Legendre far below
    assert abs(value - by_quadrature(Grv94Lo(), energy)) < 4 * error + 3e-5 * value
    assert error < 6e-4 * value


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "energy", "expected"),
    [
        ("NNPDF23_lo_as_0130_qed", 13_000.0, 474.6),
        ("NNPDF23_lo_as_0130_qed", 8_000.0, 146.8),
        ("NNPDF31_lo_as_0118", 13_000.0, 488.7),
    ],
)  # fmt: skip
def test_cross_section_with_grids(pdfdata, name, energy, expected):
    value, _ = TopPair(pdf=pdfdata / f"{name}_0000.dat", energy=energy).cross_section(1 << 18)
    assert value == pytest.approx(expected, rel=3e-3)


def test_gluons_make_most_pairs_and_the_less_the_lower_the_energy():
    for energy, share in ((13_000.0, 0.868), (8_000.0, 0.795)):
        parts = [TopPair(energy=energy, channels=channel).cross_section(1 << 18)[0] for channel in ("gg", "qq", "all")]
        assert parts[0] / parts[2] == pytest.approx(share, abs=2e-3)  # three digits of the reference, GRV94 LO
        assert parts[0] + parts[1] == pytest.approx(parts[2], rel=4e-3)  # 4 sigma of three independent integrals


def test_cross_section_goes_with_the_square_of_the_coupling_and_falls_with_the_mass(generator):
    value = generator.cross_section(1 << 16)[0]
    assert TopPair(alpha_s=2 * ALPHA_S).cross_section(1 << 16)[0] == pytest.approx(4 * value, rel=1e-12)  # the same points
    assert TopPair(mass=180.0, scale=M_TOP).cross_section(1 << 16)[0] < 0.9 * value


class OfPythia:
    """Parton distributions as Pythia evaluates them."""

    def __init__(self, name):
        self.pythia = PythiaTopPair.leading_order(pdf=name).pythia(1, hard_process_only=True)
        self.pdf, self.name = self.pythia.getPDFPtr(2212), name

    def xfxQ(self, flavour, x, Q):
        return np.array([self.pdf.xf(flavour, float(a), Q * Q) for a in np.atleast_1d(x)])


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.no_asan
@pytest.mark.parametrize(
    ("pdf", "of_pythia", "expected"),
    [
        (None, "GRV94L", 499.8),
        ("NNPDF23_lo_as_0130_qed", "NNPDF2.3LO", 474.6),
        ("NNPDF31_lo_as_0118", "NNPDF3.1LO_as0118", 488.7),
        ("CTEQ6L1", "CTEQ6L1", 429.6),
    ],
)  # fmt: skip
def test_pythia_finds_the_same_cross_section(pdfdata, pdf, of_pythia, expected):
    pytest.importorskip("pythia8mc")
    if pdf == "CTEQ6L1":
        pdf = OfPythia(pdf)  # its file is in a format of Pythia
    elif pdf is not None:
        pdf = pdfdata / f"{pdf}_0000.dat"
    value, error = TopPair(pdf=pdf).cross_section()
    theirs, their_error = PythiaTopPair.leading_order(pdf=of_pythia).cross_section()
    assert value == pytest.approx(expected, rel=3e-3)
    assert abs(value - theirs) < 3 * np.hypot(error, their_error)
    assert their_error < 3e-3 * theirs


# ------------------------------------------------------------------------------------------- points and their weights


def test_weighted_events_sum_to_the_cross_section(generator):
    events = generator.generate(200_000, seed=3, weighted=True)
    error = events.weight.std() / np.sqrt(len(events))
    assert abs(events.weight.mean() - generator.cross_section()[0]) < 4 * error


def test_weighted_and_unweighted_events_have_the_same_distributions(sharp):
    weighted = TopPair(smear=False).generate(100_000, seed=2, weighted=True)
    for column in ("j1_pT", "l1_pT", "MET", "j1_eta", "j4_E"):
        means = []
        for events in (sharp, weighted):
            x, w = np.abs(events[column]), events.weight / events.weight.sum()
            mean = np.sum(w * x)
            means.append((mean, np.sum(w**2 * (x - mean) ** 2)))
        (a, va), (b, vb) = means
        assert abs(a - b) < 4 * np.sqrt(va + vb), column


def test_events_keep_what_their_points_had_above_the_largest_weight(sharp):
    weight = sharp.weight
    assert weight.min() == 1
    # share of the cross-section above: 1e-3 by construction on 262144 points; of the 600 such events here 4 % per sigma
    assert np.sum(weight - 1) / weight.sum() == pytest.approx(1e-3, rel=0.3)
    none = TopPair(overweight=0.0).generate(20_000, seed=1)
    assert (none.weight > 1).mean() < 1e-3


def test_efficiency_is_what_it_says(sharp, generator):
    sampling = generator.sampling
    rate = len(sharp) / sharp.provenance["attempts"]
    # both are binomial: 100,000 accepted of 180,000, and 262,144 points
    assert rate == pytest.approx(sampling["efficiency"], abs=4 * np.sqrt(0.25 / 180_000 + 0.25 / 262_144))
    assert sampling["efficiency"] > 0.5 and sampling["ess_weighted"] > 0.9 and sampling["ess_unweighted"] > 0.999


# ------------------------------------------------------------------------------------------------ what decays obey


def test_jets_and_leptons_are_on_their_mass_shells(sharp):
    """Two b quarks, two light quarks, one lepton: E^2 - p^2 is m_b^2 twice and 0 elsewhere, to rounding of E^2."""
    p = momenta(sharp)
    m2 = np.array([product(q, q) for q in p])
    heavy = np.abs(m2[:4] - M_B**2) < 1e-9 * p[:4, 0] ** 2
    light = np.abs(m2[:4]) < 1e-9 * p[:4, 0] ** 2
    np.testing.assert_array_equal((heavy & ~light).sum(axis=0), 2)
    np.testing.assert_array_equal((light & ~heavy).sum(axis=0), 2)
    assert (np.abs(m2[4]) < 1e-9 * p[4, 0] ** 2).all()


def test_transverse_momentum_balances_with_and_without_smearing():
    """The missing momentum is minus the sum of all that is seen, also when that is smeared, but for its own noise."""
    for smear in (False, True):
        events = TopPair(smear=smear, met_resolution=0.0, b_mass=0.0).generate(5000, seed=4)
        p = momenta(events).sum(axis=0)
        for q, component in ((1, np.cos), (2, np.sin)):
            missing = events["MET"] * component(events["phi_MET"])
            np.testing.assert_allclose(p[q], -missing, rtol=0, atol=1e-9 * p[0].max())


@pytest.fixture(scope="module")
def hadronic_side(sharp):
    """Momenta of both light jets, of the b of their top and of the other b; the former by the mass of the three."""
    p = momenta(sharp)
    jets = p[:4]
    light = np.abs(np.array([product(q, q) for q in jets])) < 1e-6 * jets[:, 0] ** 2
    rank = np.argsort(~light, axis=0, kind="stable")
    ordered = np.take_along_axis(jets, rank[:, None, :], axis=0)
    w = ordered[0] + ordered[1]
    mass = [np.sqrt(product(w + b, w + b)) for b in ordered[2:]]
    first = np.abs(mass[0] - M_TOP) < np.abs(mass[1] - M_TOP)
    own, other = np.where(first, ordered[2], ordered[3]), np.where(first, ordered[3], ordered[2])
    return ordered[0], ordered[1], own, other, p[4]


def law(mass, width, cut=10.0):
    """Distribution function of a mass whose square follows a Breit-Wigner law within cut widths."""
    low, high = (np.arctan(((mass + s * cut * width) ** 2 - mass**2) / (mass * width)) for s in (-1, 1))
    return lambda m: (np.arctan((m**2 - mass**2) / (mass * width)) - low) / (high - low)


def test_mass_of_the_w_follows_its_law(hadronic_side):
    a, b, *_ = hadronic_side
    m = np.sqrt(product(a + b, a + b))
    assert kstest(m, law(M_W, 2.085)).pvalue > 1e-3
    assert m.min() > M_W - 10 * 2.085 and m.max() < M_W + 10 * 2.085


def test_mass_of_the_top_peaks_at_its_mass(hadronic_side):
    a, b, own, *_ = hadronic_side
    m = np.sqrt(product(a + b + own, a + b + own))
    # a Breit-Wigner law has half of its events within half a width (0.51 within 10 widths); pairs near threshold lose some above
    assert np.median(m) == pytest.approx(M_TOP, abs=0.05)
    assert np.mean(np.abs(m - M_TOP) < 0.66) == pytest.approx(0.51, abs=0.02)


def cosine(b, product_of_w, m_top=M_TOP, m_w=M_W):
    """Helicity angle of a product of the W: 2 b.p = m_W (E_b + p_b cos) with the b in the rest frame of the W."""
    energy = (m_top**2 - m_w**2 - M_B**2) / (2 * m_w)
    return (2 * product(b, product_of_w) / m_w - energy) / np.sqrt(energy**2 - M_B**2)


def test_longitudinal_fraction_of_the_w(hadronic_side):
    """<cos^2> = F0 / 5 + 2 (1 - F0) / 5 whichever quark is taken; F0 = m_t^2 / (m_t^2 + 2 m_W^2) = 0.697."""
    a, b, own, *_ = hadronic_side
    m_w, m_top = np.sqrt(product(a + b, a + b)), np.sqrt(product(a + b + own, a + b + own))
    right = np.abs(m_top - M_TOP) < 5
    c2 = cosine(own, a, m_top, m_w)[right] ** 2
    expected = M_TOP**2 / (M_TOP**2 + 2 * M_W**2)
    assert expected == pytest.approx(0.697, abs=5e-4)
    error = 5 * c2.std() / np.sqrt(len(c2))
    assert abs(2 - 5 * c2.mean() - expected) < 3 * error + 1e-3  # 1e-3: the spread of both masses
    assert error < 5e-3


def test_w_is_left_handed(hadronic_side):
    """<cos> of the charged lepton is -(1 - F0) / 2: leptons go against the W. Right-handed ones would have the other sign."""
    *_, other, lepton = hadronic_side
    c = cosine(other, lepton)
    c = c[np.abs(c) < 1.3]  # the wrong b was taken
    assert c.mean() == pytest.approx(-(1 - 0.697) / 2, abs=0.01)


def test_pair_of_tops_needs_no_more_energy_than_the_partons_have():
    """Just above threshold masses are drawn again until they fit: else 8 % of the pairs would weigh more than the 350 GeV there are,
    and where the neutrino goes across the beam one would see it."""
    events = TopPair(energy=350.0, smear=False).generate(5000, seed=1)
    assert (momenta(events)[:, 0].sum(axis=0) + events["MET"]).max() < 350 * (1 + 1e-9)


# ---------------------------------------------------------------------------------------------------- columns and masks


def test_objects_are_in_order_of_transverse_momentum(smeared):
    jets = np.stack([smeared[f"{name}_pT"] for name in JETS])
    assert (np.diff(jets, axis=0) <= 0).all() and (jets[3] > 0).all()
    both = TopPair(decays="dileptonic").generate(2000, seed=1)
    assert (both["l1_pT"] >= both["l2_pT"]).all() and (both["l2_pT"] > 0).all()
    for events in (smeared, both):
        for name in ("phi_MET", *(f"{o}_phi" for o in JETS + LEPTONS)):
            assert np.abs(events[name]).max() <= np.pi


@pytest.mark.parametrize(
    ("decays", "present"),
    [
        ("semileptonic", (1, 1, 1, 1, 1, 0)),
        ("dileptonic", (1, 1, 0, 0, 1, 1)),
        ("hadronic", (1, 1, 1, 1, 0, 0)),
    ],
)  # fmt: skip
def test_absent_objects_are_zero(decays, present):
    events = TopPair(decays=decays).generate(1001, seed=1)
    np.testing.assert_array_equal(events.present.mean(axis=1), present)
    for name, there in zip(TOP_PAIR.objects, present):
        columns = events.values[list(TOP_PAIR.of(name))]
        assert (columns[:2] > 0).all() if there else not columns.any()


def test_inclusive_decays_are_independent(generator):
    p, n = 0.3258, 40_000
    leptons = TopPair(decays="inclusive").generate(n, seed=1).present[4:].sum(axis=0)
    for k in range(3):
        share = binom.pmf(k, 2, p)
        assert abs(np.mean(leptons == k) - share) < 4 * np.sqrt(share * (1 - share) / n)
    assert generator.branching == pytest.approx(binom.pmf(1, 2, p))


def test_pairs_are_symmetric_in_the_beams_and_in_azimuth(sharp):
    n = len(sharp)
    for column in ("l1_eta", "j1_eta"):
        x = sharp[column]
        assert abs(x.mean()) < 4 * x.std() / np.sqrt(n)
    for column in ("l1_phi", "j1_phi", "phi_MET"):
        assert kstest(sharp[column] / (2 * np.pi) + 0.5, "uniform").pvalue > 1e-3


def matched_scale(sharp, smeared):
    """Ratio of energies of the same jets, which keep their directions, and their true energies."""
    ratio, energy = [], []
    for a in JETS:
        for b in JETS:
            same = np.abs(sharp[f"{a}_eta"] - smeared[f"{b}_eta"]) + np.abs(sharp[f"{a}_phi"] - smeared[f"{b}_phi"]) < 1e-9
            ratio.append(smeared[f"{b}_E"][same] / sharp[f"{a}_E"][same])
            energy.append(sharp[f"{a}_E"][same])
    return np.concatenate(ratio), np.concatenate(energy)


def test_resolution_of_jets_and_leptons_is_as_asked(sharp, smeared):
    n = len(smeared)
    before = sharp.take(slice(n))
    ratio, energy = matched_scale(before, smeared)
    assert len(ratio) == 4 * n
    pull = (ratio - 1) / np.sqrt(0.8**2 / energy + 0.05**2)
    # 80,000 jets: mean 0.0035, standard deviation 0.0025; few are cut at a scale of 0.05
    assert abs(pull.mean()) < 0.015 and abs(pull.std() - 1) < 0.015
    lepton = smeared["l1_E"] / before["l1_E"] - 1
    assert lepton.std() == pytest.approx(0.02, rel=0.02)  # 4 sigma of 20,000


def test_noise_of_the_missing_momentum_is_as_asked(sharp):
    n = 20_000
    events = TopPair(jet_resolution=(0.0, 0.0), lepton_resolution=0.0).generate(n, seed=1)
    for component in (np.cos, np.sin):
        noise = events["MET"] * component(events["phi_MET"]) - (sharp["MET"] * component(sharp["phi_MET"]))[:n]
        assert noise.std() == pytest.approx(5, rel=0.02) and abs(noise.mean()) < 0.15


# -------------------------------------------------------------------------------------------- event i of a seed


def test_event_depends_on_seed_and_number_alone():
    generator = TopPair(decays="inclusive")
    whole = generator.generate(2000, seed=7)
    for n, first, threads in ((1, 0, 1), (1, 1999, 2), (700, 511, 3), (513, 1024, 2)):
        part = generator.generate(n, seed=7, first=first, num_threads=threads)
        np.testing.assert_array_equal(part.values, whole.values[:, first : first + n])
        np.testing.assert_array_equal(part.weight, whole.weight[first : first + n])
    assert not np.array_equal(generator.generate(5, seed=8).values, whole.values[:, :5])


@pytest.mark.skipif("v4" not in ISAS, reason="this CPU has no AVX-512")
def test_events_have_the_same_bits_on_v3_and_v4():
    made = []
    try:
        for isa in ("v3", "v4"):
            _core.isa_set(isa)
            ttbar._READY.clear()  # the adaptation too
            generator = TopPair(decays="inclusive")
            events = generator.generate(5001, seed=1)
            made.append((events.values, events.weight, generator.sampling, generator.cross_section(1 << 14)))
    finally:
        _core.isa_set("auto")
    for a, b in zip(*made):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("isa", ISAS)
def test_instruction_sets_differ_by_rounding_only(isa, generator):
    want = generator.generate(500, seed=1)
    try:
        _core.isa_set(isa)
        ttbar._READY.clear()
        got = TopPair().generate(500, seed=1)
    finally:
        _core.isa_set("auto")
    np.testing.assert_allclose(got.values, want.values, rtol=1e-9, atol=1e-9)


def test_cross_section_has_the_same_bits_on_any_number_of_threads(generator):
    assert len({generator.cross_section(1 << 16, num_threads=n) for n in (1, 2, 3)}) == 1


def test_float32_columns_are_those_of_float64_rounded(generator):
    wide, narrow = (generator.generate(1500, seed=1, dtype=dtype) for dtype in ("float64", "float32"))
    np.testing.assert_array_equal(narrow.values, wide.values.astype(np.float32))


def test_smearing_leaves_the_event_below_it_alone(sharp, smeared):
    np.testing.assert_allclose(sharp["l1_eta"][:1000], smeared["l1_eta"][:1000], rtol=1e-12, atol=1e-12)


def test_kernel_makes_the_same_events_in_any_order_and_process(generator):
    kernel = generator.kernel(seed=3)
    number = np.array([12.0, 0.0, 900.0])
    got = pickle.loads(pickle.dumps(kernel))({"event": number})
    whole = generator.generate(901, seed=3)
    for name in TOP_PAIR.names:
        np.testing.assert_array_equal(got[name], whole[name][number.astype(int)])
    with pytest.raises(ValueError, match=r"event\[1\]: expected a whole number of at least 0, got 0.5"):
        kernel({"event": np.array([1.0, 0.5])})


def test_kernel_fills_a_dataset_by_an_executor(tmp_path, generator):
    numbers = sg.sampling.from_states({"event": np.arange(3000.0)})
    with ThreadPoolExecutor(2) as pool:
        data = generator.kernel(seed=3).sample(numbers, out=tmp_path / "top", executor=pool, block_rows=500)
    whole = generator.generate(3000, seed=3)["j1_pT"][data.inputs["event"].astype(int)]
    np.testing.assert_allclose(data.outputs["j1_pT"], whole, rtol=1e-6)  # a data set may hold float32
    assert len(np.unique(data.inputs["event"])) == 3000


def test_scale_is_the_mass_unless_given(generator):
    assert TopPair(mass=170.0).table.scale == 170.0
    np.testing.assert_array_equal(
        TopPair(scale=M_TOP).generate(10, seed=1).values, generator.generate(10, seed=1).values
    )


def test_changed_parameters_make_other_events():
    generator = TopPair()
    before = generator.generate(10, seed=1)
    generator.set_params(mass=175.0)
    np.testing.assert_array_equal(generator.generate(10, seed=1).values, TopPair(mass=175.0).generate(10, seed=1).values)
    assert not np.array_equal(generator.generate(10, seed=1).values, before.values)


def test_generators_of_the_same_parameters_are_adapted_once(tmp_path, pdfdata):
    ttbar._READY.clear()
    assert TopPair().table is TopPair().table
    file = tmp_path / "copy_0000.dat"
    file.write_bytes((pdfdata / "NNPDF31_lo_as_0118_0000.dat").read_bytes())
    first = TopPair(pdf=file)
    assert first.table is pickle.loads(pickle.dumps(first)).table is not TopPair().table
    file.write_bytes((pdfdata / "NNPDF23_lo_as_0130_qed_0000.dat").read_bytes())  # another file of the same name
    assert not np.array_equal(TopPair(pdf=file).table.values, first.table.values)


def test_no_events_are_no_error(generator):
    assert len(generator.generate(0, seed=1)) == 0


# ----------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (dict(energy=300.0), r"energy: expected more than the threshold 2 mass = 345 GeV, got 300"),
        (dict(energy=np.nan), "energy: expected a finite number > 0 GeV, got nan"),
        (dict(mass=-172.5), "mass: expected a finite number > 0 GeV, got -172.5"),
        (dict(mass=90.0), r"mass: t -> b W is closed: the lightest top within 10 widths has 76.8 GeV, the heaviest W .* 105.999"),
        (dict(alpha_s=0.0), "alpha_s: expected a finite number > 0, got 0"),
        (dict(scale=-1.0), "scale: expected a finite number > 0 GeV or None, got -1.0"),
        (dict(width=-1.0), "width: expected a finite number >= 0 GeV, got -1"),
        (dict(leptonic=1.5), "leptonic: expected a probability from 0 to 1, got 1.5"),
        (dict(decays="leptonic"), "decays: expected one of semileptonic, dileptonic, hadronic, inclusive, got 'leptonic'"),
        (dict(channels="qg"), "channels: expected one of gg, qq, all, got 'qg'"),
        (dict(jet_resolution=0.8), r"jet_resolution: expected two numbers"),
        (dict(jet_resolution=(0.8, -0.05)), "jet_constant: expected a finite number >= 0, got -0.05"),
        (dict(met_resolution=np.inf), "met_resolution: expected a finite number >= 0 GeV, got inf"),
        (dict(overweight=1.0), "overweight: expected a share of 0 to below 1, got 1.0"),
    ],
)  # fmt: skip
def test_parameters_without_meaning_are_refused_by_name(parameters, message):
    with pytest.raises(ValueError, match=message):
        TopPair(**parameters)


def test_parameter_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match="expected numbers"):
        TopPair(energy="13 TeV")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(n=-1, seed=1), "n: expected an integer of at least 0"),
        (dict(n=10, seed=-1), "seed: expected an integer from 0"),
        (dict(n=10, seed=1, first=1.5), "first: expected an integer of at least 0"),
        (dict(n=10, seed=1, dtype="float16"), 'dtype: expected "float64" or "float32", got \'float16\''),
    ],
)  # fmt: skip
def test_arguments_of_generate_are_checked(arguments, message, generator):
    with pytest.raises(ValueError, match=message):
        generator.generate(**arguments)
    with pytest.raises(ValueError, match="n: expected at least 16 points, got 2"):
        generator.cross_section(2)


def test_broken_grid_and_absent_set_are_refused_when_they_are_needed(tmp_path):
    file = tmp_path / "broken_0000.dat"
    file.write_text("PdfType: central\nFormat: lhagrid2\n---\n")
    with pytest.raises(sg.FileFormatError, match="broken_0000.dat, line 1: expected 'Format: lhagrid1'"):
        TopPair(pdf=file).generate(1, seed=1)
    with pytest.raises(FileNotFoundError, match="no file .*absent_0000.dat"):
        TopPair(pdf=tmp_path / "absent_0000.dat").cross_section()


def test_energy_beyond_the_reach_of_the_set_is_a_domain_error():
    with pytest.raises(sg.DomainError, match=r"x: .* lies outside the grid of GRV94LO \(1e-05 to 1\)"):
        TopPair(energy=1e6).cross_section()


def test_set_without_partons_is_refused():
    with pytest.raises(ValueError, match="pdf: flat gives no cross-section at 13000 GeV in the channels 'gg'"):
        TopPair(pdf=Flat(gluons=False), channels="gg").generate(1, seed=1)


def test_set_with_negative_densities_gives_signed_weights():
    """As at next-to-leading order: here the gluons of hard partons."""

    class Negative(Grv94Lo):
        def xfxQ(self, flavour, x, Q):
            y = super().xfxQ(flavour, x, Q)
            return np.where(x > 0.1, -y, y) if flavour == 21 else y

    generator = TopPair(pdf=Negative(), smear=False)
    value, error = generator.cross_section()
    events = generator.generate(50_000, seed=1, weighted=True)
    assert events.weight.min() < 0
    assert abs(events.weight.mean() - value) < 4 * np.hypot(error, events.weight.std() / np.sqrt(len(events)))
    signed = generator.generate(20_000, seed=1)
    assert signed.weight.min() <= -1 and np.abs(signed.weight).min() == 1


def test_demonstration_set_is_named_in_the_events(smeared):
    assert smeared.provenance["pdf"] == "GRV94LO" and open_pdf("GRV94LO").name == "GRV94LO"
