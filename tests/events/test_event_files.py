"""Files of the field: what is written is read again, real files say what they are known to say, damage is named."""

import sys

import numpy as np
import pytest

from simgraft import FileFormatError
from simgraft.events import DILEPTON, TOP_PAIR, TWO_BODY, Events, files, observables
from simgraft.events.analyses import dimuon_mass
from simgraft.events.columns import MUON_MASS

pytestmark = pytest.mark.no_asan  # h5py, HepMC3 and others bring memory of their own

PACKAGES = {
    ".lhe": ["pylhe"],
    ".gz": ["pylhe"],
    ".h5": ["h5py"],
    ".hepmc": ["pyhepmc"],
    ".root": ["uproot", "awkward"],
    ".csv": [],
}


def needs(*names):
    for name in names:
        pytest.importorskip(name, reason=f"no package {name}: pip install 'simgraft[events]'")


@pytest.fixture
def real(data_dir):
    folder = data_dir / "events"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}")
    return folder


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def decays(n=7, weight=None, seed=1):
    """Pions of 1/3 GeV at rest-frame momenta that are no round numbers."""
    rng = np.random.default_rng(seed)
    p, m = rng.normal(0, 3, (3, n)), np.full((2, n), 1 / 3)
    e = np.sqrt((p**2).sum(axis=0) + m**2)
    values = np.concatenate([e, p, -p, m])
    return Events(TWO_BODY, values, weight=weight, provenance={"generator": 'A<b> & "c" --', "seed": 1})


def pairs(n=8, weight=None):
    rng = np.random.default_rng(2)
    p = rng.normal(0, 20, (2, 3, n))
    four = np.concatenate([np.sqrt((p**2).sum(axis=1, keepdims=True) + MUON_MASS**2), p], axis=1)
    values = np.zeros((4, 4, n))
    values[:2, :, ::2], values[2:, :, 1::2] = four[:, :, ::2], four[:, :, 1::2]
    return Events(DILEPTON, values.reshape(16, n), weight=weight)


def tops(n=9):
    rng = np.random.default_rng(3)
    values = np.zeros((26, n))
    values[0], values[1] = rng.exponential(40, n), rng.uniform(-np.pi, np.pi, n)
    for first, most, there in ((0, 4, rng.integers(2, 5, n)), (4, 2, rng.integers(0, 3, n))):
        pt = -np.sort(-rng.exponential(60, (most, n)) - 5, axis=0) * (np.arange(most)[:, None] < there)
        for k in range(most):
            rows = values[2 + 4 * (first + k) :][:4]
            rows[1], rows[2], rows[3] = pt[k], rng.normal(0, 1, n), rng.uniform(-np.pi, np.pi, n)
            rows[0] = np.sqrt((pt[k] * np.cosh(rows[2])) ** 2 + 25)
            rows[:, pt[k] == 0] = 0
    return Events(TOP_PAIR, values, weight=rng.normal(1, 1, n))


TABLE = "pt1,eta1,phi1,Q1,pt2,eta2,phi2,Q2\n" + "45,0.5,0,1,40,-0.5,3.1,-1\n" * 4

SAMPLES = {
    "decays": decays(),
    "weighted": decays(weight=np.linspace(-1, 2, 7) / 3),
    "pairs": pairs(),
    "tops": tops(),
}


# ---------------------------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("name", ["a.lhe", "a.lhe.gz", "a.h5", "a.hepmc", "a.hepmc.gz", "a.root"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_events_are_read_as_they_were_written(name, sample):
    needs(*(p for ending, packages in PACKAGES.items() if ending in name for p in packages))
    events = SAMPLES[sample]
    files.write(name, events)
    again = files.read(name, events.layout)
    if sample == "tops" and "root" not in name:
        # pT, eta, phi through px, py, pz: each function adds a few units of 2.2e-16, eta up to 3 as a factor in sinh.
        assert np.allclose(again.values, events.values, rtol=1e-13, atol=1e-13)
    else:
        assert np.array_equal(again.values, events.values)
    assert np.array_equal(again.present, events.present)
    assert (again.weight is None) == (events.weight is None)
    if events.weight is not None:
        assert np.array_equal(again.weight, events.weight)
    assert again.provenance["file"] == name
    assert (again.provenance["read"], again.provenance["dropped"]) == (len(events), 0)
    if sample == "decays":
        assert 'A<b> & "c" --' in again.provenance["generator"]


def test_version_1_of_lhe_has_the_same_numbers():
    needs("pylhe")
    files.write_lhe(
        "a.lhe", decays(), version="1.0", energy=13_000.0, cross_section=(3.5, 0.1), beams=(11, -11)
    )
    again = files.read_lhe("a.lhe", TWO_BODY)
    assert np.array_equal(again.values, decays().values)
    told = again.provenance
    assert (
        told["format"] == "LHE 1.0"
        and told["beams"] == [11, -11]
        and told["beam_energies_GeV"] == [6500.0, 6500.0]
    )
    assert told["processes"] == [{"id": 1, "cross_section_pb": 3.5, "error_pb": 0.1}]
    assert "simgraft" in told["generator"]
    with pytest.raises(ValueError, match="version: expected one of 1.0, 3.0, got '2.0'"):
        files.write_lhe("a.lhe", decays(), version="2.0")


def test_float32_columns_keep_their_bits_in_trees():
    needs("uproot", "awkward")
    events = Events(TWO_BODY, decays().values.astype(np.float32))
    files.write_root("a.root", events)
    again = files.read_root("a.root", TWO_BODY, dtype="float32")
    assert again.values.dtype == np.float32 and np.array_equal(again.values, events.values)


def test_masks_are_kept_in_trees_where_zeros_do_not_tell():
    needs("uproot", "awkward")
    present = decays().present.copy()
    present[1, 3] = False
    files.write_root("a.root", Events(TWO_BODY, decays().values, present=present))
    assert np.array_equal(files.read_root("a.root", TWO_BODY).present, present)


def test_lists_of_jets_are_put_in_order():
    ak, uproot = pytest.importorskip("awkward"), pytest.importorskip("uproot")
    events = tops()
    files.write_root("a.root", events, jagged=True)
    again = files.read("a.root", TOP_PAIR)
    assert np.array_equal(again.values, events.values) and np.array_equal(again.present, events.present)
    assert np.array_equal(again.weight, events.weight)
    with uproot.recreate("b.root") as file:
        pt = ak.Array([[20.0, 50, 30, 10, 40], [7.0]])
        empty = ak.Array([[], [1.0]])
        data = {f"Jet_{q}": pt for q in ("E", "pT", "eta", "phi")} | {
            f"lepton_{q}": empty for q in ("E", "pT", "eta", "phi")
        }
        file.mktree(
            "t", {k: str(v.type).partition(" * ")[2] for k, v in data.items()} | {"met": "f8", "phi": "f8"}
        )
        file["t"].extend(data | {"met": np.ones(2), "phi": np.zeros(2)})
    found = files.read("b.root", TOP_PAIR, names={"MET": "met", "phi_MET": "phi"}, collections={"j": "Jet"})
    assert [found[f"j{k}_pT"].tolist() for k in (1, 2, 3, 4)] == [[50, 7], [40, 0], [30, 0], [20, 0]]
    assert found.present.sum(axis=1).tolist() == [2, 1, 1, 1, 1, 0]


def test_lists_of_unlike_lengths_are_refused():
    ak, uproot = pytest.importorskip("awkward"), pytest.importorskip("uproot")
    lists = {
        f"{kind}_{q}": ak.Array([[5.0], [6.0], [7.0]])
        for kind in ("jet", "lepton")
        for q in ("E", "pT", "eta", "phi")
    }
    lists["lepton_eta"] = ak.Array([[5.0], [6.0], []])
    with uproot.recreate("a.root") as file:
        file.mktree("t", {k: "var * float64" for k in lists} | {"MET": "f8", "phi_MET": "f8"})
        file["t"].extend(lists | {"MET": np.ones(3), "phi_MET": np.zeros(3)})
    read = []
    with pytest.raises(files.EventFileError, match="event 2: lepton_eta has 0 entries, lepton_pT 1"):
        _take(files.iterate("a.root", TOP_PAIR), read)
    assert read[0]["l1_E"].tolist() == [5, 6]


def test_other_readers_find_the_same_momenta():
    pylhe, pyhepmc = pytest.importorskip("pylhe"), pytest.importorskip("pyhepmc")
    events = pairs(weight=np.linspace(0.5, 2, 8))
    for name in ("a.h5", "a.lhe"):
        files.write(name, events, energy=91.2)
        found = pylhe.LHEFile.fromfile(name, generator=False)
        assert found.init.initInfo.energyA == 45.6 and found.init.initInfo.weightingStrategy == -4
        # mean and error of the mean of eight weights
        assert found.init.procInfo[0].xSection == pytest.approx(events.weight.mean())
        for i, event in enumerate(found.events):
            assert event.eventinfo.weight == events.weight[i]
            assert event.eventinfo.scale == pytest.approx(observables.mass(events, events.layout.objects)[i])
            final = [p for p in event.particles if p.status == 1]
            assert [p.id for p in final] == ([11, -11], [13, -13])[i % 2]
            assert final[0].px == events[("em_px", "mum_px")[i % 2]][i]
            assert [(p.mother1, p.mother2) for p in event.particles] == [(0, 0)] * 2 + [(1, 2)] * 2
            # what goes in has the energy and the longitudinal momentum of what comes out
            for q in ("e", "pz"):
                total = sum((1, -1)[p.status == 1] * getattr(p, q) for p in event.particles)
                assert abs(total) < 1e-12
    files.write("a.hepmc", events, cross_section=(2.0, 0.5))
    with pyhepmc.open("a.hepmc") as file:
        event = file.read()
        assert [p.pid for p in event.vertices[0].particles_out] == [11, -11]
        assert event.weights == [0.5] and event.cross_section.xsec() == 2.0


def test_decaying_particle_goes_in_with_its_mass():
    pylhe = pytest.importorskip("pylhe")
    files.write("a.lhe", decays(), ids=(211, -211))
    for i, event in enumerate(pylhe.LHEFile.fromfile("a.lhe").events):
        parent, first, second = event.particles
        assert (parent.status, first.id, second.id) == (-1, 211, -211)
        assert parent.m == pytest.approx(2 * decays()["E1"][i], rel=1e-12)  # at rest


def test_pythia_reads_our_files():
    pythia8 = pytest.importorskip("pythia8mc")
    needs("pylhe")
    events = pairs()
    files.write_lhe("a.lhe", events, energy=500.0, cross_section=(1.0, 0.1))
    pythia = pythia8.Pythia("", False)
    for text in (
        "Print:quiet = on",
        "Beams:frameType = 4",
        "Beams:LHEF = a.lhe",
        "ProcessLevel:resonanceDecays = off",
    ):
        assert pythia.readString(text)
    assert pythia.readString("PartonLevel:all = off") and pythia.readString("HadronLevel:all = off")
    assert pythia.readString("Check:event = off")  # the transverse momentum of the pair is not balanced
    assert pythia.readString("LesHouches:setLeptonMass = 0")  # masses as in the file
    assert pythia.init()
    for i in range(len(events)):
        assert pythia.next()
        final = [k for k in range(pythia.process.size()) if pythia.process[k].status() > 0]
        assert pythia.process[final[0]].id() == (11, 13)[i % 2]
        assert pythia.process[final[0]].px() == pytest.approx(
            events[("em_px", "mum_px")[i % 2]][i], rel=1e-12
        )


# -------------------------------------------------------------------------------------------------- streaming


@pytest.mark.parametrize("name", ["a.lhe", "a.h5", "a.hepmc", "a.root"])
def test_blocks_of_a_file_are_the_whole(name):
    needs(*PACKAGES["." + name[2:]])
    whole = SAMPLES["weighted"]
    files.write(name, (whole.take(slice(k, k + 2)) for k in range(0, 7, 2)))
    parts = list(files.iterate(name, TWO_BODY, block=3))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert [part.provenance["first"] for part in parts] == [0, 3, 6]
    assert np.array_equal(np.concatenate([part.values for part in parts], axis=1), whole.values)
    assert np.array_equal(np.concatenate([part.weight for part in parts]), whole.weight)


@pytest.mark.parametrize("name", ["a.lhe", "a.h5", "a.hepmc", "a.root"])
def test_file_without_events_gives_none(name):
    needs(*PACKAGES["." + name[2:]])
    files.write(name, decays(0))
    assert len(files.read(name, TWO_BODY)) == 0


def test_a_file_that_is_not_finished_is_not_there(tmp_path):
    needs("pylhe", "h5py", "uproot", "awkward")

    def stream():
        yield decays()
        raise RuntimeError("generator broke")

    for write, name in (
        (files.write_lhe, "a.lhe"),
        (files.write_root, "a.root"),
        (files.write_lheh5, "a.h5"),
    ):
        with pytest.raises(RuntimeError, match="generator broke"):
            write(name, stream())
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------- selection

HEAD = """<LesHouchesEvents version="3.0">
<init>
  2212  2212  4.0e+03  4.0e+03  0  0  0  0  3  1
  4.8e+01  2.0e+00  1.0e+00   9999
</init>
"""
TAIL = "</LesHouchesEvents>\n"


def lhe(*events, head=HEAD, tail=TAIL, name="a.lhe"):
    """A file of events, each a list of (code, status, px, py, pz, E, m)."""
    text = head
    for event in events:
        text += f"<event>\n {len(event)} 9999 1.0 91.2 0.0078 0.118\n"
        for code, status, *p in event:
            text += f" {code} {status} 1 2 0 0 " + " ".join(f"{x!r}" for x in p) + " 0. 9.\n"
        text += "</event>\n"
    (open(name, "w")).write(text + tail)
    return name


def light(code, px, py, pz, status=1):
    return code, status, px, py, pz, (px * px + py * py + pz * pz) ** 0.5, 0.0


def test_partons_become_jets_in_order_of_transverse_momentum():
    needs("pylhe")
    event = [
        light(2, 0.0, 0.0, 100.0, -1),
        light(6, 5.0, 0.0, 100.0, 2),
        light(5, 30.0, 0.0, 10.0),
        light(-5, 0.0, 40.0, 10.0),
        light(21, 0.0, -3.0, 10.0),
        light(1, 20.0, 0.0, 10.0),
        light(-2, 0.0, 10.0, 10.0),
        light(13, 6.0, 0.0, 10.0),
        light(-11, 0.0, -8.0, 10.0),
        light(-14, -30.0, 0.0, 7.0),
        light(12, 0.0, -40.0, 7.0),
    ]
    found = files.read(lhe(event), TOP_PAIR)
    assert [found[f"j{k}_pT"][0] for k in (1, 2, 3, 4)] == [40, 30, 20, 10]
    assert (found["l1_pT"][0], found["l2_pT"][0], found["MET"][0]) == (8, 6, 50)
    assert found["phi_MET"][0] == np.arctan2(-40, -30) and found["j2_eta"][0] == np.arcsinh(1 / 3)
    assert found.present.all()


def test_events_of_another_kind_are_named_or_left_out():
    needs("pylhe")
    good = [light(13, 3.0, 0.0, 4.0), light(-13, -3.0, 0.0, 4.0), light(22, 1.0, 0.0, 0.0)]
    mixed = [light(13, 3.0, 0.0, 4.0), light(-11, -3.0, 0.0, 4.0)]
    name = lhe(good, mixed, good)
    with pytest.raises(
        files.EventFileError, match=r"a\.lhe: event 1: final particles are 13 -11; expected one pair.*\(1 ev"
    ):
        files.read(name, DILEPTON)
    found = files.read(name, DILEPTON, others="drop")
    assert len(found) == 2 and found.provenance["dropped"] == 1 and found.provenance["read"] == 3
    assert (
        found["mup_px"].tolist() == [-3, -3]
        and found.present.tolist() == [[False] * 2] * 2 + [[True] * 2] * 2
    )
    assert len(files.read(name, TWO_BODY, daughters=(-13, 13), others="drop")) == 2
    assert files.read(name, TWO_BODY, daughters=(-13, 13), others="drop")["px1"].tolist() == [-3, -3]
    with pytest.raises(ValueError, match="event 0: final particles are 13 -13 22; expected partons"):
        files.read(name, TOP_PAIR)
    with pytest.raises(ValueError, match="event 0: final particles are 6 -6; expected partons"):
        files.read(lhe([light(6, 3.0, 0.0, 4.0), light(-6, 3.0, 0.0, 4.0)]), TOP_PAIR)


def test_taus_are_leptons_unless_one_says_otherwise():
    needs("pylhe")
    name = lhe([light(15, 3.0, 0.0, 4.0), light(5, 3.0, 0.0, 4.0)])
    assert files.read(name, TOP_PAIR)["l1_pT"].tolist() == [3]
    with pytest.raises(ValueError, match=r"event 0: final particles are 15 5; expected .*leptons \(11 13\)"):
        files.read(name, TOP_PAIR, leptons=(11, 13))


def test_named_weights_of_version_3():
    needs("pylhe")
    name = lhe([light(82, 3.0, 0.0, 4.0), light(83, -3.0, 0.0, 4.0)])
    text = (
        open(name)
        .read()
        .replace("</event>", "<rwgt><wgt id='up'> 1.25 </wgt><wgt id='down'> 0.75 </wgt></rwgt>\n</event>")
    )
    open(name, "w").write(text)
    assert files.read(name, TWO_BODY).weight is None
    assert files.read(name, TWO_BODY, weight="up").weight.tolist() == [1.25]
    with pytest.raises(ValueError, match="event 0: has no weight 'left'; expected one of up, down"):
        files.read(name, TWO_BODY, weight="left")


def test_momenta_in_mev_are_converted():
    needs("pyhepmc")
    files.write("a.hepmc", decays())
    text = open("a.hepmc").read().replace("U GEV MM", "U MEV MM")
    open("a.hepmc", "w").write(text)
    assert np.allclose(files.read("a.hepmc", TWO_BODY).values, decays().values / 1000, rtol=1e-15)


# ---------------------------------------------------------------------------------------------- damaged files


def edited(name, old, new, count=-1):
    text = open(name).read()
    assert old in text
    open(name, "w").write(text.replace(old, new, count))


PAIR = [(82, 1, 0.0, 0.0, 4.0, 5.0, 3.0), (83, 1, 0.0, 0.0, -4.0, 5.0, 3.0)]


def third_event(old, new):
    """A file of four decays, where `old` of event 2 is replaced by `new`."""
    name = lhe(PAIR, PAIR, PAIR, PAIR)
    parts = open(name).read().split("<event>")
    assert old in parts[3]
    parts[3] = parts[3].replace(old, new, 1)
    open(name, "w").write("<event>".join(parts))
    return name


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("82 1 1 2 0 0 0.0", "82 1 1 2 0 0 x.0", r"particle 0: px is 'x\.0', not a number"),
        ("82 1 1", "pi 1 1", "particle 0: IDUP is 'pi', not a number"),
        (
            "83 1 1 2 0 0 0.0 0.0 -4.0 5.0 3.0 0. 9.",
            "83 1 1 2 0 0 0.0",
            "particle 1: expected 13 numbers, got 7",
        ),
        (" 2 9999 1.0", " 3 9999 1.0", "NUP says 3 particles, there are 2"),
        ("9999 1.0 91.2", "9999 one 91.2", "first line: XWGTUP is 'one', not a number"),
        ("9999 1.0 91.2", "9999 nan 91.2", "weight is nan"),
        ("-4.0 5.0 3.0", "-4.0 5.0 -3.0", r"particle 1 \(code 83\): mass m = -3 GeV is negative"),
        ("-4.0 5.0 3.0", "-4.0 nan 3.0", r"particle 1 \(code 83\): E is nan"),
        ("4.0 5.0 3.0", "4.0 -5.0 3.0", r"particle 0 \(code 82\): energy E = -5 GeV is negative"),
        (
            "4.0 5.0 3.0",
            "4.0 3.0 0.0",
            r"particle 0 \(code 82\): energy E = 3 GeV is below the momentum, 4 GeV",
        ),
        ("4.0 5.0 3.0", "4.0 5.0 6.0", r"particle 0 \(code 82\): energy E = 5 GeV is below the mass, 6 GeV"),
        ("</event>", "", "no closing tag </event>"),
        ("-4.0 5.0 3.0 0. 9.", "-4.0 5.0 3.0 0. <9.", "particle 1: SPINUP is '<9.', not a number"),
    ],
)
def test_fault_in_an_event_is_named_and_those_before_it_are_there(old, new, what):
    needs("pylhe")
    name = third_event(old, new)
    read = []
    with pytest.raises(
        files.EventFileError, match=rf"a\.lhe: event 2: .*{what}.*\(2 events before it are sound\)"
    ) as error:
        _take(files.iterate(name, TWO_BODY), read)
    assert error.value.event == 2 and error.value.path == "a.lhe"
    assert isinstance(error.value, ValueError) and isinstance(error.value, FileFormatError)
    assert sum(map(len, read)) == 2 and read[0]["pz1"].tolist() == [4, 4]


def _take(blocks, into):
    for block in blocks:
        into.append(block)


@pytest.mark.parametrize("name", ["a.lhe", "a.h5", "a.hepmc", "a.root", "a.csv"])
def test_events_are_counted_from_the_beginning_of_the_file(name):
    needs(*PACKAGES["." + name[2:]])
    layout = DILEPTON if name == "a.csv" else TWO_BODY
    if name == "a.csv":
        rows = TABLE.splitlines()
        open(name, "w").write("\n".join([*rows, rows[-1].replace("45,", "x,"), *rows[1:]]) + "\n")
    else:
        events = decays(6)
        files.write(name, events.take(slice(0, 4)) if name == "a.lhe" else events)
        if name == "a.lhe":
            edited(name, "</LesHouchesEvents>", "<event>\n 0 1 x 1 1 1\n</event></LesHouchesEvents>")
        elif name == "a.hepmc":
            edited(name, "E 4 ", "E four ")
        elif name == "a.h5":
            with pytest.importorskip("h5py").File(name, "r+") as f:
                f["events"][4, 1] = 99
        else:
            with pytest.importorskip("uproot").recreate(name) as f:
                f["t"] = dict(zip(TWO_BODY.names, events.values)) | {"m1": np.array([1, 1, 1, 1, -1.0, 1])}
    read = []
    with pytest.raises(files.EventFileError, match=r"^a\..*: event 4: .*\(4 events before it are sound\)"):
        _take(files.iterate(name, layout, block=3), read)
    assert [len(part) for part in read] == [3, 1]


@pytest.mark.parametrize("name", ["a.lhe", "a.lhe.gz", "a.h5", "a.hepmc", "a.hepmc.gz", "a.root"])
def test_no_truncation_goes_unnoticed(name):
    needs(*(p for ending, packages in PACKAGES.items() if ending in name for p in packages))
    events = decays(4)
    files.write(name, events)
    data = open(name, "rb").read()
    # uproot lays the tree's baskets and keys first and pads the end; what comes after them may go.
    keep = len(data.rstrip(b"\0\n")) if name != "a.root" else len(data) // 4
    for size in {*range(0, keep, max(1, keep // 40)), keep - 1}:
        with open(name, "wb") as file:
            file.write(data[:size])
        read = []
        with pytest.raises(files.EventFileError, match=f"^{name}: "):
            _take(files.iterate(name, TWO_BODY), read)
        n = sum(map(len, read))
        assert n <= 4 and all(np.array_equal(part.values, events.values[:, :n]) for part in read)


def test_file_cut_off_after_an_event_says_so():
    needs("pylhe")
    name = lhe(PAIR, PAIR, tail="")
    with pytest.raises(ValueError, match="event 2: the file ends without </LesHouchesEvents>; is it cut off"):
        files.read(name, TWO_BODY)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "cannot be read as LHE file"),
        ("hello", "cannot be"),
        (HEAD.replace("4.0e+03", "x"), "cannot be"),
        ("<a></a>", "Root"),
    ],
)
def test_what_is_no_lhe_file_is_refused(text, what):
    needs("pylhe")
    open("a.lhe", "w").write(text)
    with pytest.raises(files.EventFileError, match=rf"^a\.lhe: .*{what}"):
        files.read("a.lhe", TWO_BODY)


def damage_shape(f):
    del f["particles"]
    f["particles"] = np.zeros((8, 12))


def damage_rows(f):
    f["events"][2, 2] = 1000


def damage_count(f):
    f["events"][2, 1] = 1.5


def damage_negative(f):
    f["events"][2, 2] = -1


def damage_weight(f):
    f["events"][2, 9] = np.nan


def damage_mass(f):
    f["particles"][7, 10] = -0.5


def damage_code(f):
    f["particles"][7, 0] = np.nan


def damage_missing(f):
    del f["events"]


def damage_version(f):
    f["version"][0] = 1


def damage_type(f):
    del f["init"]
    f["init"] = np.array([b"x"] * 10)


def damage_group(f):
    del f["procInfo"]
    f.create_group("procInfo")


def damage_names(f):
    f["events"].attrs["properties"] = ["a"] * 10


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (damage_missing, "no dataset 'events'; there are init"),
        (damage_group, "no dataset 'procInfo'"),
        (damage_shape, r"dataset 'particles': expected shape \(n, 13\), got \(8, 12\)"),
        (damage_type, "dataset 'init': expected numbers, got"),
        (damage_version, r"LHEH5 of version 1\.0\.0: expected 2"),
        (damage_names, "dataset 'events': its properties .* are not"),
        (
            damage_rows,
            r"event 2: start = 1000 and nparticles = 3 do not lie within the 12 rows of particles \(2 events",
        ),
        (damage_negative, "event 2: start = -1 and"),
        (damage_count, r"event 2: start = 6 and nparticles = 1\.5"),
        (damage_weight, "event 2: weight is nan"),
        (damage_mass, r"event 2: particle 1 \(code 82\): mass m = -0\.5 GeV is negative"),
        (damage_code, "event 2: particle 1: id or status is not a number"),
    ],
)
def test_damaged_lheh5_is_refused(damage, what):
    h5py = pytest.importorskip("h5py")
    events = decays(4)
    files.write("a.h5", events)
    with h5py.File("a.h5", "r+") as f:
        damage(f)
    read = []
    with pytest.raises(files.EventFileError, match=rf"^a\.h5: {what}"):
        _take(files.iterate("a.h5", TWO_BODY), read)
    assert sum(map(len, read)) == (2 if "event 2" in what else 0)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("W 1.0", "W x1.0", "weight 0 is 'x1.0.*', not a finite number"),
        ("W 1.0000000000000000", "W nan ", "weight 0 is 'nan', not a finite number"),
        ("P 2 1 82 ", "P 2 1 x ", "particle 1: id is 'x', not a finite number"),
        ("P 3 1 83", "P 3 1 83 0.0", "particle 2: expected 9 numbers, got 10"),
        ("e-01 1\nP 3", "x 1\nP 3", "particle 1: m is '.*x', not a finite number"),
        ("P 3 1 83", "Q 3 1 83", "2 of 3 particles are there; is the file cut off"),
        ("U GEV", "U TEV", "unknown unit of momentum in 'U TEV MM'"),
    ],
)
def test_fault_in_hepmc_is_named(old, new, what):
    needs("pyhepmc")
    files.write("a.hepmc", decays(4))
    parts = open("a.hepmc").read().split("\nE ")
    assert old in parts[3]
    parts[3] = parts[3].replace(old, new, 1)
    open("a.hepmc", "w").write("\nE ".join(parts))
    read = []
    with pytest.raises(files.EventFileError, match=rf"^a\.hepmc: event 2: {what}"):
        _take(files.iterate("a.hepmc", TWO_BODY), read)
    assert np.array_equal(read[0].values, decays(4).values[:, :2])


def test_hepmc_of_another_kind_is_refused():
    open("a.hepmc", "w").write("HepMC::Version 2.06.09\nHepMC::IO_GenEvent-START_EVENT_LISTING\n")
    needs("pyhepmc")
    with pytest.raises(
        files.EventFileError, match="cannot be read as HepMC3 file: there is no line HepMC::Asciiv3"
    ):
        files.read("a.hepmc", TWO_BODY)
    files.write("a.hepmc", decays())
    edited("a.hepmc", "HepMC::Asciiv3-END_EVENT_LISTING", "")
    with pytest.raises(files.EventFileError, match="event 7: the file ends without HepMC::Asciiv3-END"):
        files.read("a.hepmc", TWO_BODY)


def test_trees_with_faults_are_refused():
    uproot = pytest.importorskip("uproot")
    needs("awkward")

    def tree(**columns):
        with uproot.recreate("a.root") as file:
            file["t"] = columns

    good = dict(zip(TWO_BODY.names, decays().values))
    for change, what in (
        (
            {"m2": np.array([0, 0, 0, -1.0, 0, 0, 0])},
            r"event 3: m2 is -1 GeV: expected a number >= 0 \(3 events",
        ),
        ({"px1": np.array([0, 0, np.nan, 0, 0, 0, 0])}, "event 2: px1 is nan"),
        ({"E2": -good["E2"]}, "event 0: E2 is -.* GeV"),
        ({"weight": np.array([1, np.inf, 0, 0, 0, 0, 0])}, "event 1: weight is inf"),
    ):
        tree(**(good | change))
        with pytest.raises(files.EventFileError, match=rf"^a\.root: {what}"):
            files.read("a.root", TWO_BODY)
    tree(**{k: v for k, v in good.items() if k not in ("m1", "E1")})
    with pytest.raises(files.EventFileError, match="tree 't' has no branch E1, m1; there are E2"):
        files.read("a.root", TWO_BODY)
    with pytest.raises(files.EventFileError, match="no tree 'u'; there are t"):
        files.read("a.root", TWO_BODY, tree="u")


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ("45,0.5,0,1,40,-0.5,3.1", r"expected 8 columns, got 7"),
        ("45,0.5,0,1,40,-0.5,3.1,-1,3", r"expected 8 columns, got 9"),
        ("45,x,0,1,40,-0.5,3.1,-1", "eta1 is 'x', not a number"),
        ("45,,0,1,40,-0.5,3.1,-1", "eta1 is '', not a number"),
        ("45,nan,0,1,40,-0.5,3.1,-1", "eta1 is nan"),
        ("-45,0,0,1,40,-0.5,3.1,-1", "pt1 is -45: expected a number > 0"),
        ("45,0.5,0,2,40,-0.5,3.1,-1", "Q1 is 2: expected -1 or 1"),
        ("45,0.5,0,1,40,-0.5,3.1,1", "charges Q1 = 1 and Q2 = 1 are not opposite"),
    ],
)
def test_fault_in_a_table_is_named(row, what):
    lines = TABLE.splitlines()
    lines[3] = row
    open("a.csv", "w").write("\n".join(lines) + "\n")
    read = []
    with pytest.raises(
        files.EventFileError, match=rf"^a\.csv: event 2: {what}.*\(2 events before it are sound\)"
    ):
        _take(files.iterate("a.csv", DILEPTON), read)
    assert sum(map(len, read)) == 2


def test_table_without_a_column_or_of_another_layout_is_refused():
    open("a.csv", "w").write(TABLE.replace("phi2", "psi2"))
    with pytest.raises(files.EventFileError, match="no column phi2; there are pt1"):
        files.read("a.csv", DILEPTON)
    with pytest.raises(ValueError, match="layout: a table of muon pairs gives DILEPTON"):
        files.read("a.csv", TWO_BODY)


def test_tables_of_energies_and_momenta_are_read_too():
    head = "Run,E1,px1,py1,pz1,Q1,E2,px2,py2,pz2,Q2,M\n"
    open("a.csv", "w").write(head + "1,5,3,0,4,1,5,-3,0,-4,-1,10\n2,5,3,0,4,-1,5,-3,0,-4,1,10\n")
    found = files.read("a.csv", DILEPTON)
    assert found["mum_px"].tolist() == [-3, 3] and found["mup_E"].tolist() == [5, 5]
    assert observables.mass(found, ("mum", "mup")).tolist() == [10, 10]


def test_wrong_use_is_explained():
    with pytest.raises(FileNotFoundError, match="none.lhe: no such file"):
        files.read("none.lhe", TWO_BODY)
    with pytest.raises(ValueError, match=r"a\.txt: expected a name with one of \.lhe"):
        files.read("a.txt", TWO_BODY)
    with pytest.raises(ValueError, match="tables of CMS are only read"):
        files.write("a.csv", pairs())
    open("a.csv", "w").write(TABLE)
    with pytest.raises(ValueError, match="block: expected a number of events of at least 1, got 0"):
        files.iterate("a.csv", DILEPTON, block=0)
    with pytest.raises(ValueError, match='others: expected "raise" or "drop"'):
        files.read("a.csv", DILEPTON, others="keep")
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        files.write("nowhere/a.hepmc", decays())
    needs("pylhe", "uproot", "awkward")
    with pytest.raises(ValueError, match="ids: expected 2 codes for two-body decay, got 1"):
        files.write("a.lhe", decays(), ids=(11,))
    with pytest.raises(ValueError, match="jagged: only top pairs"):
        files.write("a.root", decays(), jagged=True)
    with pytest.raises(ValueError, match="blocks of two-body decay and of e"):
        files.write("a.lhe", [decays(), pairs()])
    bad = decays()
    bad.values[0, 4] = 0.0
    with pytest.raises(
        ValueError, match=r"events: event 4: particle 1 \(code 82\): energy E = 0 GeV is below"
    ):
        files.write("a.lhe", bad)
    with pytest.raises(ValueError, match="events: event 11: particle 1"):
        files.write("a.lhe", [decays(), bad])


@pytest.mark.parametrize(
    ("name", "package"), [("a.lhe", "pylhe"), ("a.h5", "h5py"), ("a.hepmc", "pyhepmc"), ("a.root", "uproot")]
)
def test_missing_package_is_named(name, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    open(name, "w").close()
    for call in (lambda: files.read(name, TWO_BODY), lambda: files.write(name, decays())):
        with pytest.raises(
            ImportError, match=rf'need the package {package}.*pip install "simgraft\[events\]"'
        ):
            call()


# ------------------------------------------------------------------------------------------------- real files


@pytest.mark.data
def test_madgraph_file_says_what_its_run_card_says(real):
    pylhe = pytest.importorskip("pylhe")
    path = real / "pylhe-testfile-madgraph-2.2.1-Z-mlm.lhe.gz"
    found = files.read(path, DILEPTON)
    mass = observables.mass(found, found.layout.objects)
    assert len(found) == 10_000  # = nevents of the run card
    assert mass.min() >= 30 - 1e-4  # mmll = 30; momenta of 12 digits
    # e and mu alike: half of each within 4 sigma
    assert abs(found.present[0].mean() - 0.5) < 4 * 0.5 / np.sqrt(10_000)
    assert found.provenance["beam_energies_GeV"] == [3500, 3500]
    # Weights of unweighted events add up to the cross-section of the file.
    total = sum(p["cross_section_pb"] for p in found.provenance["processes"])
    assert found.weight.sum() == pytest.approx(total, rel=1e-3)
    # Where the file has the Z itself, its mass is that of the pair: the file has 11 digits.
    z = {}
    for i, event in enumerate(pylhe.LHEFile.fromfile(path).events):
        if i == 500:
            break
        z.update((i, p.m) for p in event.particles if p.id == 23)
    assert len(z) > 300
    assert np.allclose(mass[list(z)], list(z.values()), rtol=1e-6)


@pytest.mark.data
def test_partonic_top_pairs_conserve_momentum_and_have_the_mass_of_the_tops(real):
    pylhe = pytest.importorskip("pylhe")
    path = real / "pylhe-testfile-pythia-6.413-ttbar.lhe"
    found = files.read(path, TOP_PAIR)
    assert len(found) == 100 and "PYTHIA 6.413" in found.provenance["generator"]
    total = sum(p["cross_section_pb"] for p in found.provenance["processes"])
    assert total == pytest.approx(5.480, abs=1e-3)  # 5.220 and 0.260 pb at 1.96 TeV
    charged = [[], []]
    shat = []
    for event in pylhe.LHEFile.fromfile(path).events:
        final = [p for p in event.particles if p.status == 1]
        charged[0].append(sum(abs(p.id) in (1, 2, 3, 4, 5, 21) for p in final))
        charged[1].append(sum(abs(p.id) in (11, 13, 15) for p in final))
        a, b = event.particles[:2]
        shat.append(np.sqrt((a.e + b.e) ** 2 - (a.pz + b.pz) ** 2))
    jets, leptons = np.array(charged)
    assert np.array_equal(found.present[:4].sum(axis=0), np.minimum(jets, 4))
    assert np.array_equal(found.present[4:].sum(axis=0), leptons)
    whole = jets <= 4
    _, x, y, _ = observables.four_momentum(found, found.layout.objects)
    missing = found["MET"] * np.exp(1j * found["phi_MET"])
    # Nothing is lost: the transverse momenta add up to none. The file has 11 digits of momenta up to 500 GeV.
    assert np.abs(x + 1j * y + missing)[whole].max() < 1e-6
    # All partons of a hadronic decay with four jets or less, no neutrino: the mass is that of what went in.
    assert whole.sum() > 40


@pytest.mark.data
def test_lheh5_file_has_the_numbers_of_its_datasets(real):
    h5py = pytest.importorskip("h5py")
    path = real / "pylhe-testfile-hpcgen.hdf5"
    found = files.read(path, DILEPTON)
    with h5py.File(path) as f:
        events, particles = f["events"][:], f["particles"][:]
    assert np.array_equal(found.weight, events[:, 9])
    p = particles.reshape(100, 4, 13)
    # What goes in comes out, to the 10 digits of the file.
    went_in = p[:, :2, 6:10].sum(axis=1)
    pair = observables.four_momentum(found, ("em", "ep"))
    assert np.abs(pair[1:].T - went_in[:, :3]).max() < 1e-6 and np.abs(pair[0] - went_in[:, 3]).max() < 1e-6
    # sum of weights over trials is the cross-section, whose value the file has from more events
    process = found.provenance["processes"][0]
    mean = found.weight.sum() / events[:, 3].sum()
    error = found.weight.std() / np.sqrt(100)
    assert abs(mean - process["cross_section_pb"]) < 4 * error


@pytest.mark.data
def test_cms_muon_pairs_have_the_z_peak(real):
    path = real / "cms_Zmumu_Run2011A.csv"
    table = np.genfromtxt(path, delimiter=",", names=True)
    with pytest.raises(files.EventFileError, match="event 19: charges Q1 = 1 and Q2 = 1 are not opposite"):
        files.read(path, DILEPTON)
    found = files.read_cms_dimuon_csv(path, others="drop")
    opposite = table["Q1"] * table["Q2"] < 0
    assert len(found) == opposite.sum() and found.provenance["dropped"] == (~opposite).sum()
    assert found.present.tolist() == [[False] * len(found)] * 2 + [[True] * len(found)] * 2
    mass = observables.mass(found, ("mum", "mup"))
    columns = (np.stack([table[f"{q}1"], table[f"{q}2"]])[:, opposite] for q in ("pt", "eta", "phi"))
    # Muons have 0.106 GeV, neglected there: m2 gains m_mu2 (2 + E1/E2 + E2/E1), E1/E2 up to 120.
    light = dimuon_mass(*columns)
    ratio = found["mum_E"] / found["mup_E"]
    assert np.allclose(mass**2 - light**2, MUON_MASS**2 * (2 + ratio + 1 / ratio), rtol=1e-2)
    assert np.median(mass) == pytest.approx(90.3, abs=0.3)


@pytest.mark.data
def test_weak_bosons_are_chosen_by_code(real):
    pytest.importorskip("pylhe")
    path = real / "pylhe-testfile-pythia-8.3.14-weakbosons.lhe"
    found = files.read(path, TWO_BODY, daughters=(13, -14), others="drop")
    mass = observables.mass(found, ("1", "2"))
    # W- -> mu- nu: the W has 80.4 GeV, 2.1 GeV wide
    assert len(found) > 3 and abs(np.median(mass) - 80.4) < 3
    assert np.allclose(found["m1"], 0.10566) and np.all(found["m2"] == 0)
    everything = files.read(path, TOP_PAIR)
    assert len(everything) == 100


# -------------------------------------------------------------------------------------------- other libraries


def test_awkward_array_looks_at_the_columns():
    ak = pytest.importorskip("awkward")
    needs("vector")
    events = pairs(weight=np.linspace(0.5, 2, 8))
    array = events.to_awkward()
    for name in events.layout.objects:
        content = array[name].layout.content
        assert all(np.shares_memory(content[q].data, events.values) for q in ("px", "py", "pz", "E"))
    assert np.shares_memory(array.layout["weight"].data, events.weight)
    assert ak.is_none(array.em).to_list() == [False, True] * 4
    mass = ak.to_numpy(ak.drop_none((array.em + array.ep).mass))
    assert np.allclose(mass, observables.mass(events, ("em", "ep"))[::2], rtol=1e-12)


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("jagged", [False, True])
def test_events_come_back_from_awkward(sample, jagged):
    needs("awkward", "vector")
    events = SAMPLES[sample]
    if jagged and sample != "tops":
        with pytest.raises(ValueError, match="jagged: only top pairs"):
            events.to_awkward(jagged=True)
        return
    again = Events.from_awkward(events.layout, events.to_awkward(jagged=jagged))
    assert np.array_equal(again.values, events.values) and np.array_equal(again.present, events.present)
    assert events.weight is None or np.array_equal(again.weight, events.weight)


def test_awkward_records_of_other_coordinates_are_converted():
    ak, vector = pytest.importorskip("awkward"), pytest.importorskip("vector")
    vector.register_awkward()
    lepton = {"pt": [3.0, 3.0], "phi": [0.0, 0.0], "eta": [np.arcsinh(4 / 3)] * 2, "mass": [0.0, 0.0]}
    records = vector.zip({k: ak.Array(v) for k, v in lepton.items()})
    empty = ak.mask(records, [False, False])
    array = ak.zip({"em": records, "ep": records, "mum": empty, "mup": empty}, depth_limit=1)
    found = Events.from_awkward(DILEPTON, array)
    assert np.allclose(found.values[:4].T, [5, 3, 0, 4], rtol=1e-14)
    assert found.present.all(axis=1).tolist() == [True, True, False, False]
    with pytest.raises(ValueError, match=r"array: no field mup for e\+ e- -> l\+ l-; there are em, ep, mum"):
        Events.from_awkward(DILEPTON, array[["em", "ep", "mum"]])


def test_vectors_have_the_masses_of_the_events():
    needs("vector")
    for events in SAMPLES.values():
        vectors = events.to_vector()
        assert tuple(vectors) == events.layout.objects
        a, b = events.layout.objects[:2]
        assert np.allclose(
            (vectors[a] + vectors[b]).mass, observables.mass(events, (a, b)), rtol=1e-9, atol=1e-6
        )


@pytest.mark.parametrize("package", ["awkward", "vector"])
def test_missing_package_of_arrays_is_named(package, monkeypatch):
    needs("awkward", "vector")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf'need the package {package}.*pip install "simgraft\[events\]"'):
        decays().to_awkward()


# ----------------------------------------------------------------------------------------- samples, data sets


@pytest.mark.parametrize("out", [None, "shards"])
def test_events_come_back_from_a_data_set(out):
    events = Events(TOP_PAIR, tops().values, weight=np.abs(tops().weight), provenance={"seed": 3})
    data = events.to_dataset(out)
    again = Events.from_dataset(TOP_PAIR, data)
    assert np.array_equal(again.values, events.values) and np.array_equal(again.present, events.present)
    assert np.array_equal(again.weight, events.weight)
    assert again.provenance["dataset"]["source"] == {"seed": 3}
    with pytest.raises(ValueError, match="dataset: has the outputs MET, phi_MET"):
        Events.from_dataset(DILEPTON, data)


def test_data_set_refuses_masks_that_zeros_do_not_tell():
    present = decays().present.copy()
    present[1, 3] = False
    with pytest.raises(ValueError, match="present: 2 of event 3 is absent, and its columns say otherwise"):
        Events(TWO_BODY, decays().values, present=present).to_dataset()


def test_samples_are_put_together_with_weights_and_masks():
    one, two = decays(), Events(TWO_BODY, decays(3).values, weight=[1, 2, 3], present=np.zeros((2, 3), bool))
    whole = Events.concatenate([one, two])
    assert whole.weight.tolist() == [1] * 7 + [1, 2, 3]
    assert whole.present.tolist() == [[True] * 7 + [False] * 3] * 2
    assert np.array_equal(whole.values, np.concatenate([one.values, two.values], axis=1))
    assert Events.concatenate([one, one]).weight is None
    with pytest.raises(ValueError, match="parts: samples of two-body decay and of e"):
        Events.concatenate([one, pairs()])
    with pytest.raises(ValueError, match="parts: there is none"):
        Events.concatenate([])
