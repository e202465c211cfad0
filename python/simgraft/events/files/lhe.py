"""Les Houches event files."""

import contextlib
import re
import warnings
import zlib
from itertools import count, islice
from xml.sax.saxutils import escape

import numpy as np

import simgraft
from simgraft.events.files._common import Record, broken, first_line, gather, open_packed, particle_options
from simgraft.events.files._writing import Writing, replacing
from simgraft.events.sample import need

__all__ = ["read_lhe", "write_lhe"]

_INFO = ("NUP", "IDPRUP", "XWGTUP", "SCALUP", "AQEDUP", "AQCDUP")
_PARTICLE = ("IDUP", "ISTUP", "MOTHUP(1)", "MOTHUP(2)", "ICOLUP(1)", "ICOLUP(2)") + (
    ("px", "py", "pz", "E", "m", "VTIMUP", "SPINUP")
)


class _Fault(Exception):
    """What is wrong with the event at hand."""


class _TagsInTurn:
    """The bytes of an LHE file, up to an event that is not closed before the next one.

    XML would take the next one for a part of it, and the error would come at the end of the file.
    """

    _TAG = re.compile(rb"<(/?)(event|init)(?=[\s>])")

    def __init__(self, file):
        self.file, self.inside, self.fault = file, None, None  # inside: not before <init> is closed

    def read(self, size):
        if self.fault is not None:
            raise self.fault
        lines, length = [], 0
        while length < size and (line := self.file.readline()):
            for tag in self._TAG.finditer(line) if b"event" in line or b"init" in line else ():
                closing, what = tag[1] == b"/", tag[2]
                if what == b"init":
                    self.inside = False if closing else self.inside
                elif self.inside is not None and self.inside != closing:
                    self.fault = _Fault(
                        "no closing tag </event>" if self.inside else "a tag </event> closes nothing"
                    )
                    return b"".join([*lines, line[: tag.start()]]) or self.read(size)
                elif self.inside is not None:
                    self.inside = not closing
            lines.append(line)
            length += len(line)
        return b"".join(lines)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()


def _lhe_fault(path, number, error):
    """What is wrong with an event, from its text."""
    seen, lines, closed, tail = -1, [], False, ""
    with (
        contextlib.suppress(OSError, EOFError, zlib.error),
        open_packed(path, "rt", errors="replace") as file,
    ):
        for line in file:
            tail = line.strip() or tail
            if seen == number:
                if line.lstrip().startswith("<"):
                    closed = re.match(r"\s*<(/event|/?\w+)", line) is not None and not re.match(
                        r"\s*<(event[\s>]|/LesHouchesEvents)", line
                    )
                    break
                lines.append(line)
            elif re.match(r"\s*<event[\s>]", line):
                seen += 1
    rows = [line.split() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    for k, words in enumerate(rows):
        names, whole = (_INFO, 2) if k == 0 else (_PARTICLE, 6)
        row = "first line" if k == 0 else f"particle {k - 1}"
        for name, word in zip(names, words):
            try:
                int(float(word)) if names.index(name) < whole else float(word)
            except (ValueError, OverflowError):
                return f"{row}: {name} is {word!r}, not a number"
        if len(words) < len(names):
            return f"{row}: expected {len(names)} numbers, got {len(words)}" + (
                "" if closed else "; the file ends here"
            )
    if seen == number and not closed:
        return "no closing tag </event>; is the file cut off?"
    if seen < number and tail != "</LesHouchesEvents>":
        return "the file ends without </LesHouchesEvents>; is it cut off?"
    return first_line(error)


def lhe_parts(path, layout, block, source, *, weight=None, daughters=None, leptons=(11, 13, 15)):
    pylhe = need("pylhe", "LHE files")
    daughters, leptons = particle_options(layout, daughters, leptons)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            file = pylhe.LHEFile.frombuffer(
                _TagsInTurn(open_packed(path, "rb")), with_attributes=weight is not None
            )
    except Exception as error:  # of XML, gzip and conversion to numbers
        raise broken(path, None, f"cannot be read as LHE file: {first_line(error)}") from error
    source.update(format=f"LHE {file.version}", **_lhe_source(file))
    events = iter(file.events)
    for first in count(0, block):
        part, fault = [], None
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="Parse Error", category=RuntimeWarning)
                for event in islice(events, block):
                    if event.eventinfo.nparticles != len(event.particles):
                        raise _Fault(
                            f"NUP says {event.eventinfo.nparticles} particles, there are {len(event.particles)}"
                        )
                    if weight is not None and weight not in event.weights:
                        raise _Fault(
                            f"has no weight {weight!r}; expected one of {', '.join(event.weights) or 'none'}"
                        )
                    part.append(event)
        except _Fault as error:
            fault = len(part), str(error)
        except Exception as error:  # of XML, gzip and conversion to numbers
            fault = len(part), _lhe_fault(path, first + len(part), error)
        if part or fault:
            rows = [(p.id, p.status, p.e, p.px, p.py, p.pz, p.m) for event in part for p in event.particles]
            table = np.array(rows, np.float64).reshape(-1, 7).T
            record = Record(
                first,
                np.array([len(event.particles) for event in part], int),
                table[0].astype(int),
                table[1].astype(int),
                table[2:6],
                table[6],
                np.array(
                    [event.eventinfo.weight if weight is None else event.weights[weight] for event in part],
                    float,
                ),
            )
            yield record.part(layout, daughters, leptons, fault)
        if len(part) < block:
            return


def _lhe_source(file):
    info = file.init.initInfo
    named = [
        f"{g.name} {g.version}".strip() + (f": {g.description.strip()}" if g.description else "")
        for g in file.init.generators
    ]
    for element in file.header.extra_elements if file.header is not None else ():
        if element.tag == "MGVersion" and element.text:
            named.append(f"MadGraph {element.text.strip().lstrip('#').strip()}")
    generator = "; ".join(named) or (file.comment or "").strip()
    return {
        "generator": generator or None,
        "beams": [info.beamA, info.beamB],
        "beam_energies_GeV": [info.energyA, info.energyB],
        "weighting": info.weightingStrategy,
        "processes": [
            {"id": p.procId, "cross_section_pb": p.xSection, "error_pb": p.error} for p in file.init.procInfo
        ],
    }


def read_lhe(
    path, layout, *, weight=None, others="raise", daughters=None, leptons=(11, 13, 15), dtype="float64"
):
    """Events of a Les Houches event file, .lhe or .lhe.gz, of version 1.0 or 3.0.

    Parameters
    ----------
    path : path-like
    layout : Layout
        TWO_BODY, DILEPTON or TOP_PAIR; the module says what each takes.
    weight : str, optional
        Name of one of the weights of a file of version 3.0 (``<rwgt>`` or ``<weights>``); default: XWGTUP, as it
        stands in the file.
    others : {"raise", "drop"}
        What to do with events that do not have what the layout holds: an error that names the first, or leave them
        out (``provenance["dropped"]`` counts them).
    daughters : (2,) sequence of int, optional
        Codes of the two particles of TWO_BODY, in their order; other particles are passed over then.
    leptons : sequence of int
        Which codes, of either sign, are leptons of TOP_PAIR.
    dtype : {"float64", "float32"}

    Returns
    -------
    Events
        Energies, momenta, masses [GeV]. ``weight`` is None where all are 1. ``provenance`` has the file, its format,
        the generator, beams, their energies [GeV] and the processes with their cross-sections [pb].

    Raises
    ------
    ImportError
        Without pylhe: ``pip install 'simgraft[events]'``.
    EventFileError
        A ValueError: the file is cut off or damaged, or has particles that cannot be.

    Notes
    -----
    Format: Alwall et al. 2006, doi:10.1016/j.cpc.2006.11.010; version 3: Butterworth et al., arXiv:1405.1067,
    section I.2. For files larger than memory: :func:`iterate`.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_lhe("decay.lhe", pair, ids=(211, -211))
    >>> events = read_lhe("decay.lhe", TWO_BODY)
    >>> events["pz1"], events.provenance["format"]
    (array([4.]), 'LHE 3.0')
    """
    return gather(lhe_parts, path, layout, others, dtype, weight=weight, daughters=daughters, leptons=leptons)


def write_lhe(path, events, *, ids=None, beams=None, energy=0.0, cross_section=None, version="3.0"):
    """Write a Les Houches event file.

    Parameters
    ----------
    path : path-like
        Compressed where it ends in .gz.
    events : Events, or iterable of Events
        Blocks of one layout are written as they come, so that a generator of them need not fit into memory.
    ids : sequence of int, optional
        Code of each object of the layout. Default: 82, 83 (free for generators) of a two-body decay; 11, -11, 13,
        -13 of a lepton pair; gluons (21) for jets and 11 for leptons of a top pair, whose columns do not know the
        flavour. Missing momentum becomes a neutrino (12) without longitudinal momentum.
    beams : (2,) sequence of int, optional
        Codes of the beams; default: 11, -11 for a lepton pair, 2212, 2212 for a top pair.
    energy : float [GeV]
        Of both beams together; 0: not known.
    cross_section : (value, error) [pb], optional
        Default: mean of the weights of weighted Events and its error, otherwise 0, for not known.
    version : {"1.0", "3.0"}

    Raises
    ------
    ImportError
        Without pylhe: ``pip install 'simgraft[events]'``.

    Notes
    -----
    Numbers have 17 digits, so that what is read again has the same bits in float64 (top pairs: but for the rounding
    of polar to Cartesian coordinates and back). Absent objects are left out. The decaying particle of a two-body
    decay goes in (status -1); otherwise two massless particles along the beams do, with the energy and longitudinal
    momentum of what comes out: transverse momentum is not balanced. Weights are those of the events (IDWTUP -4),
    or 1 (IDWTUP 3).

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_lhe("decay.lhe", pair, version="1.0")
    """
    pylhe = need("pylhe", "LHE files")
    versions = {v.value: v for v in pylhe.LHEVersion}
    if version not in versions:
        raise ValueError(f"version: expected one of {', '.join(versions)}, got {version!r}")
    writing = Writing(events, ids, beams, energy, cross_section)
    init = pylhe.LHEInit(
        initInfo=pylhe.LHEInitInfo(
            *writing.beams, *(0.5 * writing.energy,) * 2, 0, 0, 0, 0, -4 if writing.weighted else 3, 1
        ),
        procInfo=[pylhe.LHEProcInfo(*writing.cross_section, 1.0, 1)],
        generators=[],
    )
    comment = None
    if version == "3.0":
        init.generators.append(
            pylhe.LHEGenerator(
                name="simgraft", version=simgraft.__version__, description=escape(writing.description)
            )
        )
    else:
        comment = re.sub("--+", "-", f"simgraft {simgraft.__version__}: {writing.description}".rstrip(": "))
    number = "{%s: .16e}"
    form = pylhe.LHEXMLFormat(
        version=versions[version],
        compress=str(path).endswith((".gz", ".gzip")),
        compresslevel=6,
        weights=pylhe.LHEWeightFormat.NONE,
        eventinfo="{nparticles:3d} {pid:6d} "
        + " ".join(number % k for k in ("weight", "scale", "aqed", "aqcd")),
        particle="{id:5d} {status:3d} {mother1:3d} {mother2:3d} {color1:3d} {color2:3d} "
        + " ".join(number % k for k in ("px", "py", "pz", "e", "m"))
        + " {lifetime:.1f} {spin:.1f}",
        procinfo="{xSection: .16e} {error: .16e} {unitWeight: .16e} {procId:5d}",
        initinfo="{beamA:6d} {beamB:6d} {energyA: .16e} {energyB: .16e} {PDFgroupA:2d} {PDFgroupB:2d} {PDFsetA:2d} "
        "{PDFsetB:2d} {weightingStrategy:2d} {numProcesses:2d}",
    )

    def stream():
        for counts, table, weights, scales in writing:
            ends = np.cumsum(counts)
            for start, end, weight, scale in zip((ends - counts).tolist(), ends.tolist(), weights, scales):
                particles = [
                    pylhe.LHEParticle(
                        int(i), int(s), *(writing.mothers if up else (0, 0)), 0, 0, px, py, pz, e, m, 0.0, 9.0
                    )
                    for i, s, up, e, px, py, pz, m in table[start:end].tolist()
                ]
                info = pylhe.LHEEventInfo(len(particles), 1, weight, scale, -1.0, -1.0)
                yield pylhe.LHEEvent(info, particles)

    with replacing(path) as part:
        pylhe.LHEFile(init=init, events=stream(), comment=comment, version=version).tofile(part, form)
