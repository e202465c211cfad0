"""Events of Pythia 8: what the field knows of them, and that event i is a function of seed and i."""

import pickle
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy.stats import ks_2samp

import simgraft as sg
from simgraft.events import PythiaDilepton, PythiaTopPair, pythia

pytestmark = [pytest.mark.data, pytest.mark.no_asan]


def installed():
    for name in ("pythia8mc", "fastjet", "awkward"):
        pytest.importorskip(name, reason=f"no package {name}: pip install 'simgraft[events]'")


@pytest.fixture(scope="module")
def top():
    installed()
    return PythiaTopPair()


@pytest.fixture(scope="module")
def top_events(top):
    return top.generate(400, seed=1)


@pytest.fixture(scope="module")
def recorded_top(data_dir):
    return np.load(data_dir / "events" / "ttbar_pythia8_13tev_26col_40k.npz")


@pytest.fixture(scope="module")
def recorded_z(data_dir):
    return np.load(data_dir / "events" / "z_pythia8_16col_50k.npz")


# ------------------------------------------------------------------------------------- event i of a seed


def test_seeds_of_blocks_are_distinct_and_in_the_range_of_pythia():
    seeds = [
        pythia.block_seed(seed, block) for seed in (0, 1, 2**64 - 1) for block in (*range(1000), 899_999_999)
    ]
    assert min(seeds) >= 1 and max(seeds) <= 900_000_000
    assert len(set(seeds)) == len(seeds)
    with pytest.raises(ValueError, match="block: expected 0 to 899999999, got 900000000"):
        pythia.block_seed(1, 900_000_000)


@pytest.mark.parametrize(
    "generator",
    [
        PythiaTopPair(block=8, min_jets=0),
        pytest.param(PythiaTopPair(block=10, mpi=True, hadronisation=False, min_jets=0), marks=pytest.mark.slow),
        PythiaTopPair.leading_order(block=50),
        PythiaDilepton(block=40),
    ],
    ids=["hadrons", "mpi", "decays", "dilepton"],
)
def test_event_has_the_same_bits_whatever_was_asked_for_before(generator):
    installed()
    n = 2 * generator.block
    whole = generator.generate(n, seed=7)
    generator.generate(3, seed=8, first=generator.block - 2)  # another history
    part = generator.generate(generator.block, seed=7, first=n // 4)
    fresh = PythiaTopPair if isinstance(generator, PythiaTopPair) else PythiaDilepton
    pythia._local.__dict__.clear()
    again = fresh(**generator.get_params()).generate(n, seed=7)
    assert np.array_equal(part.values, whole.values[:, n // 4 : n // 4 + generator.block])
    assert np.array_equal(again.values, whole.values)
    assert not np.array_equal(whole.values, generator.generate(n, seed=8).values)


def test_kernel_in_other_processes_gives_the_same_events(tmp_path):
    installed()
    generator = PythiaTopPair.leading_order(block=20)
    numbers = sg.sampling.from_states({"event": np.arange(40.0)})
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        data = generator.kernel(3).sample(
            numbers, out=tmp_path / "top", shard_rows=20, block_rows=20, executor=pool, progress=False
        )
    events = generator.generate(40, seed=3)
    assert list(data.kernel.outputs) == list(events.layout.names)
    assert np.array_equal(data.outputs["j2_pT"], events["j2_pT"])
    assert np.array_equal(data.outputs["l2_phi"], events["l2_phi"])


def test_kernel_takes_numbers_in_any_order_and_refuses_fractions():
    installed()
    generator = PythiaDilepton(block=16)
    kernel = pickle.loads(pickle.dumps(generator.kernel(2)))
    events = generator.generate(60, seed=2)
    order = np.array([59.0, 3.0, 3.0, 17.0, 0.0])
    assert np.array_equal(kernel({"event": order})["em_pz"], events["em_pz"][order.astype(int)])
    with pytest.raises(ValueError, match=r"event\[1\] = 0.5: expected whole numbers"):
        kernel({"event": np.array([1.0, 0.5])})


def test_ctrl_c_stops_the_generation_soon_and_leaves_it_usable():
    installed()
    generator = PythiaTopPair(block=20)
    first = generator.generate(5, seed=4)
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    start = time.perf_counter()
    try:
        with pytest.raises(KeyboardInterrupt):
            generator.generate(100_000, seed=4)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    assert (
        time.perf_counter() - start < 5
    )  # 0.5 s and a batch of 0.15 s on a machine with other work; the rest would take minutes
    assert np.array_equal(generator.generate(5, seed=4).values, first.values)


# ----------------------------------------------------------------------------------------------- e+ e-


def test_born_cross_section_and_kinematics_of_the_z():
    installed()
    generator = PythiaDilepton(isr=False, flavours=("mu",))
    value, error = generator.cross_section(2000, seeds=1)
    # One kinematic point: no Monte Carlo error. 1.9987 nb is what Pythia gives for its couplings.
    assert value == pytest.approx(1.9987, abs=2e-4) and error < 1e-6
    events = generator.generate(2000, seed=1)
    assert not events.present[:2].any() and events.present[2:].all()
    four = events.values[8:].reshape(2, 4, -1)
    assert np.abs(four.sum(axis=0) - np.array([[91.19], [0], [0], [0]])).max() < 1e-9
    assert np.allclose(four[:, 0] ** 2 - (four[:, 1:] ** 2).sum(axis=1), 0.10566**2, atol=1e-9)


def test_radiation_lowers_the_peak():
    installed()
    value, error = PythiaDilepton(isr=True, flavours=("mu",)).cross_section(20_000, seeds=(1, 2))
    # 1.4682(39) nb; 4 sigma of both errors
    assert abs(value - 1.4682) < 4 * np.hypot(error, 0.0039)
    assert 0.001 < error < 0.01


def lepton_observables(events):
    """Pair mass, cos theta of the l-, pT and pz of the pair."""
    four = np.asarray(events, np.float64).reshape(-1, 2, 2, 4).sum(axis=1)
    pair = four.sum(axis=1)
    mass = np.sqrt(np.maximum(pair[:, 0] ** 2 - (pair[:, 1:] ** 2).sum(axis=1), 0))
    cosine = four[:, 0, 3] / np.sqrt((four[:, 0, 1:] ** 2).sum(axis=1))
    # Rounded, because the recorded events are float32: their spikes at 91.19 GeV and at 0 must not be told
    # apart by rounding.
    return np.round(mass, 3), cosine, np.round(np.hypot(pair[:, 1], pair[:, 2]), 3), np.round(pair[:, 3], 3)


@pytest.mark.parametrize("name", ["born", "isr"])
def test_dilepton_spectra_are_those_of_the_recorded_sample(recorded_z, name):
    installed()
    events = PythiaDilepton(isr=name == "isr").generate(10_000, seed=5)
    for ours, theirs in zip(
        lepton_observables(events.rows), lepton_observables(recorded_z[name]), strict=True
    ):
        assert ks_2samp(ours, theirs).pvalue > 1e-4
    # Half of them are electrons: 5 sigma of 10,000
    assert abs(events.present[0].mean() - 0.5) < 0.025


def test_radiation_of_the_leptons_leaves_two_of_them():
    installed()
    events = PythiaDilepton(isr=False, fsr=True).generate(2000, seed=1)
    assert (events.present.sum(axis=0) == 2).all()
    mass = lepton_observables(events.rows)[0]
    assert mass.max() <= 91.19 and (mass < 90).mean() > 0.05


@pytest.mark.slow
def test_forward_backward_asymmetry_of_pythia():
    installed()
    for isr, known, its_error in ((False, 0.0159, 0.0016), (True, -0.0012, 0.0027)):
        events = PythiaDilepton(isr=isr).generate(400_000, seed=1)
        forward = np.sign(lepton_observables(events.rows)[1]).mean()
        assert abs(forward - known) < 3 * np.hypot(its_error, 400_000**-0.5)


# ----------------------------------------------------------------------------------------------- t tbar


@pytest.mark.parametrize(
    ("pdf", "known", "its_error"), [("GRV94L", 499.82, 0.58), ("NNPDF2.3LO", 474.55, 0.42)]
)
def test_leading_order_cross_sections(pdf, known, its_error):
    installed()
    value, error = PythiaTopPair.leading_order(pdf=pdf).cross_section(10_000, seeds=(1, 2, 3))
    assert abs(value - known) < 4 * np.hypot(error, its_error)
    assert error < 0.006 * known  # 1 / sqrt(30,000), whatever the weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pdf", "known"),
    [("GRV94L", 499.82), ("CTEQ6L1", 429.58), ("NNPDF2.3LO", 474.55), ("NNPDF3.1LO_as0118", 488.29)],
)
def test_leading_order_cross_sections_of_several_sets(pdf, known):
    installed()
    value, error = PythiaTopPair.leading_order(pdf=pdf).cross_section(60_000, seeds=range(11, 17))
    assert abs(value / known - 1) < 0.004  # three times the 0.1 % of either
    assert error < 0.003 * known


@pytest.mark.slow
def test_breit_wigner_lowers_the_cross_section():
    installed()
    sharp, error = PythiaTopPair.leading_order().cross_section(20_000, seeds=(1, 2))
    broad, other = PythiaTopPair.leading_order(breit_wigner=True).cross_section(20_000, seeds=(1, 2))
    assert abs((1 - broad / sharp) - 0.011) < 4 * np.hypot(error, other) / sharp


def test_events_pass_the_selection(top_events):
    events, n = top_events, len(top_events)
    for k in range(1, 5):
        assert (events[f"j{k}_pT"] > 20).all() and (np.abs(events[f"j{k}_eta"]) < 5).all()
        assert (events[f"j{k}_E"] >= events[f"j{k}_pT"] * np.cosh(events[f"j{k}_eta"]) * (1 - 1e-12)).all()
    for k in range(1, 4):
        assert (events[f"j{k}_pT"] >= events[f"j{k + 1}_pT"]).all()
    second = events.present[5]
    assert events.present[:5].all() and 0 < second.sum() < n
    assert (events["l1_pT"] >= events["l2_pT"]).all() and (events["l2_pT"][second] > 10).all()
    assert (np.abs(events["l1_eta"]) < 2.5).all()
    for name in ("phi_MET", "j1_phi", "l1_phi"):
        assert (np.abs(events[name]) <= np.pi).all()


def test_marginals_are_those_of_the_recorded_sample(top_events, recorded_top):
    theirs = recorded_top["X"].astype(np.float64)
    names = list(recorded_top["columns"])
    p = [ks_2samp(top_events[name], theirs[:, names.index(name)]).pvalue for name in names[:22]]
    assert min(p) > 1e-4
    second = recorded_top["mask_l2"].mean()
    assert abs(top_events.present[5].mean() - second) < 4 * np.sqrt(second / len(top_events))
    made, kept = top_events.provenance["generated"], top_events.provenance["selected"]
    assert abs(kept / made - 0.5608) < 4 * np.sqrt(0.25 / made)


@pytest.mark.slow
def test_marginals_are_those_of_the_recorded_sample_at_20000_events(recorded_top):
    installed()
    events = PythiaTopPair().generate(20_000, seed=11)
    theirs = recorded_top["X"].astype(np.float64)
    p = [ks_2samp(values, column).pvalue for values, column in zip(events.values[:22], theirs.T[:22], strict=True)]
    # Missing momentum without the smearing of the jets: 1e-6 in the first
    assert min(p) > 1e-4
    second = recorded_top["mask_l2"].mean()
    assert abs(events.present[5].mean() - second) < 4 * np.sqrt(
        0.057 * (1 / 20_000 + 1 / 40_000)
    )


@pytest.mark.parametrize(
    ("decays", "numbers"), [("lepton", {1, 2}), ("semileptonic", {1}), ("dilepton", {2})]
)
def test_decays_are_those_asked_for(decays, numbers):
    installed()
    import awkward as ak

    batch = PythiaTopPair.leading_order(decays=decays).pythia(5).nextBatch(300)
    kind = abs(batch.prt.id)
    leptons = ((kind == 11) | (kind == 13)) & (kind[batch.prt.mother1] == 24)
    assert len(batch) == 300 and set(ak.sum(leptons, axis=1).tolist()) == numbers


def test_smearing_and_float32():
    installed()
    sharp = PythiaTopPair.leading_order(
        smearing=False, decays="semileptonic", min_jets=0, min_leptons=1, block=200
    )
    events = sharp.generate(200, seed=1)
    # Massless partons of the decay, but for b quarks; leptons on their mass shell
    mass2 = events["l1_E"] ** 2 - (events["l1_pT"] * np.cosh(events["l1_eta"])) ** 2
    assert np.abs(mass2).max() < 0.1057**2 + 1e-6
    single = sharp.generate(200, seed=1, dtype="float32")
    assert single.values.dtype == np.float32 and np.array_equal(
        single.values, events.values.astype(np.float32)
    )


# -------------------------------------------------------------------------------------------- wrong use


def test_without_the_packages_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythia8mc", None)
    pythia._local.__dict__.clear()
    with pytest.raises(ImportError, match=r"need the package pythia8mc .*: pip install 'simgraft\[events\]'"):
        PythiaTopPair().generate(1, seed=1)


def test_settings_that_pythia_does_not_know_are_named():
    installed()
    with pytest.raises(ValueError, match="settings: Pythia 8.* does not accept 'PartonLevel:MPY = off'"):
        PythiaTopPair(settings=["PartonLevel:MPY = off"]).generate(1, seed=1)


def test_event_without_its_leptons_is_named():
    installed()
    generator = PythiaDilepton(block=50, settings=["23:onMode = on"])  # a Z that also decays to quarks and neutrinos
    with pytest.raises(RuntimeError, match=r"event (\d+) has not two leptons") as error:
        generator.generate(50, seed=1, first=100)
    assert 100 <= int(str(error.value).split()[1]) < 110  # two of three Z do


def test_selection_that_nothing_passes_ends_with_the_number_of_the_event(monkeypatch):
    installed()
    monkeypatch.setattr(pythia, "_ATTEMPT_BITS", 10)
    with pytest.raises(
        RuntimeError, match=r"event 2000: 1000 events of block 2 were generated and only 0 of 1 pass"
    ):
        PythiaTopPair.leading_order(jet_pT=5000.0).generate(1, seed=1, first=2000)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: PythiaTopPair(energy=300),
            "mass: expected more than 0 and less than half of energy = 300 GeV, got 172.5",
        ),
        (lambda: PythiaTopPair(mass=-1), "mass: expected more than 0"),
        (
            lambda: PythiaTopPair(decays="tau"),
            "decays: expected one of lepton, semileptonic, dilepton, any, got 'tau'",
        ),
        (lambda: PythiaTopPair(min_jets=5), "min_jets: expected 0 to 4, got 5"),
        (lambda: PythiaTopPair(alpha_s=0), "alpha_s: expected a number > 0 or None, got 0"),
        (lambda: PythiaDilepton(flavours="mu"), 'flavours: expected some of "e", "mu", got \'mu\''),
        (lambda: PythiaDilepton(energy=float("nan")), "energy: expected a finite number > 0 GeV, got nan"),
        (lambda: PythiaDilepton(block=0), "block: expected a number of events of at least 1, got 0"),
        (lambda: PythiaDilepton().generate(-1, 1), "n: expected an integer of at least 0, got -1"),
        (lambda: PythiaDilepton().generate(1, -1), "seed: expected an integer from 0 to 2"),
        (lambda: PythiaDilepton().generate(1, 1, dtype="int64"), 'dtype: expected "float64" or "float32"'),
    ],
)
def test_wrong_parameters_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
