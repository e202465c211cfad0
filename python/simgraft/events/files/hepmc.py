"""HepMC3 files in ASCII."""

import gzip
import io
import math
import zlib
from itertools import chain, count, islice

import numpy as np

import simgraft
from simgraft.events.files._common import Record, broken, first_line, gather, open_packed, particle_options
from simgraft.events.files._writing import Writing, replacing
from simgraft.events.sample import need

__all__ = ["read_hepmc", "write_hepmc"]

_HEPMC_START, _HEPMC_END = "HepMC::Asciiv3-START_EVENT_LISTING", "HepMC::Asciiv3-END_EVENT_LISTING"


def _hepmc_check(lines):
    """What is wrong with the text of an event, which the library may pass over in silence; or None."""
    words = lines[0].split()
    if len(words) < 4 or not all(word.lstrip("-").isdigit() for word in words[1:4]):
        return f"the line {lines[0].strip()!r} does not begin an event"
    particles = 0
    for line in lines[1:]:
        if line.startswith("P "):
            words = line.split()
            if len(words) != 10:
                return f"particle {particles}: expected 9 numbers, got {len(words) - 1}"
            for name, word in zip(("id", "px", "py", "pz", "E", "m", "status"), words[3:]):
                if not _is_number(word):
                    return f"particle {particles}: {name} is {word!r}, not a finite number"
            particles += 1
        elif line.startswith("W "):
            for k, word in enumerate(line.split()[1:]):
                if not _is_number(word):
                    return f"weight {k} is {word!r}, not a finite number"
        elif line.startswith("U "):
            if line.split()[1:2] not in (["GEV"], ["MEV"]):
                return f"unknown unit of momentum in {line.strip()!r}"
    expected = int(lines[0].split()[3])
    return (
        None
        if particles == expected
        else f"{particles} of {expected} particles are there; is the file cut off?"
    )


def _is_number(word):
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def hepmc_parts(path, layout, block, source, *, weight=None, daughters=None, leptons=(11, 13, 15)):
    pyhepmc = need("pyhepmc", "HepMC files")
    daughters, leptons = particle_options(layout, daughters, leptons)
    with open_packed(path, "rt", errors="replace") as file:
        header, line = [], ""
        try:
            for line in file:
                if line.startswith(("E ", _HEPMC_END)):
                    break
                header.append(line)
                if len(header) == 10 and not _has_start(header):
                    break
        except _NOT_READ as error:
            raise broken(path, None, f"cannot be read: {first_line(error)}") from error
        if not _has_start(header):
            raise broken(path, None, f"cannot be read as HepMC3 file: there is no line {_HEPMC_START}")
        source.update(format="HepMC3", generator=None)
        stream = _hepmc_texts(chain([line], file))
        for first in count(0, block):
            texts, fault = list(islice(stream, block)), None
            if texts and isinstance(texts[-1], str):
                fault = len(texts) - 1, texts.pop()
            found = []
            text = "".join([*header, *chain.from_iterable(texts), _HEPMC_END, "\n\n"])
            with pyhepmc.open(io.BytesIO(text.encode()), format="HepMC3") as reader:
                for place in range(len(texts)):
                    try:
                        event = reader.read()
                    except RuntimeError as error:
                        fault = place, first_line(error)
                        break
                    if event is None:
                        fault = place, "the library HepMC3 cannot read it"
                        break
                    found.append(_hepmc_event(event, weight, source))
            if found or fault:
                yield _hepmc_record(first, found).part(layout, daughters, leptons, fault)
            if fault or len(texts) < block:
                return


_NOT_READ = (OSError, EOFError, zlib.error)


def _has_start(header):
    return any(line.startswith(_HEPMC_START) for line in header)


def _hepmc_texts(lines):
    """Lines of each event from an iterator of lines; a text, the last, says what is wrong with the next one."""
    event = []
    try:
        for line in lines:
            ends = line.startswith(_HEPMC_END)
            if event and (ends or line.startswith("E ")):
                what = _hepmc_check(event)
                if what is not None:
                    yield what
                    return
                yield event
                event = []
            if ends:
                for _ in lines:  # to the end, where gzip keeps its checksum
                    pass
                return
            event.append(line)
    except _NOT_READ as error:
        yield first_line(error)
        return
    what = _hepmc_check(event) if event and event[0].startswith("E ") else None
    if what is None and event:
        yield event
    yield what or f"the file ends without {_HEPMC_END}; is it cut off?"


def _hepmc_event(event, weight, source):
    run = event.run_info
    if run is not None and run.tools and source.get("generator") is None:
        source["generator"] = "; ".join(
            f"{t.name} {t.version}".strip() + (f": {t.description}" if t.description else "")
            for t in run.tools
        )
    if event.cross_section is not None:
        # An estimate from the events so far: the last is the best.
        source["processes"] = [
            {"cross_section_pb": event.cross_section.xsec(), "error_pb": event.cross_section.xsec_err()}
        ]
    names = list(event.weight_names) if run is not None else []
    if weight is None:
        value = event.weights[0] if len(event.weights) else 1.0
    elif weight in names:
        value = event.weights[names.index(weight)]
    else:
        raise ValueError(f"weight: expected one of {', '.join(names) or 'none'}, got {weight!r}")
    p = event.numpy.particles
    scale = 1e-3 if event.momentum_unit.name == "MEV" else 1.0
    # Copies: the arrays are views of the event.
    momenta = np.stack(
        [np.asarray(column, np.float64) for column in (p.e, p.px, p.py, p.pz, p.generated_mass)]
    )
    return value, np.array(p.pid), np.array(p.status), scale * momenta if scale != 1 else momenta


def _hepmc_record(first, found):
    empty = [np.zeros(0, int)]
    table = np.concatenate([f[3] for f in found] or [np.zeros((5, 0))], axis=1)
    return Record(
        first,
        np.array([len(f[1]) for f in found], int),
        np.concatenate([f[1] for f in found] or empty),
        np.concatenate([f[2] for f in found] or empty),
        table[:4],
        table[4],
        np.array([f[0] for f in found], float),
    )


def read_hepmc(
    path, layout, *, weight=None, others="raise", daughters=None, leptons=(11, 13, 15), dtype="float64"
):
    """Events of a HepMC3 file in ASCII, also compressed (.gz).

    Parameters
    ----------
    path : path-like
    layout : Layout
        TOP_PAIR takes partons: a file with hadrons needs jets first.
    weight : str, optional
        Name of a weight; default: the first.
    others, daughters, leptons, dtype
        As of :func:`read_lhe`.

    Returns
    -------
    Events
        As of :func:`read_lhe` [GeV]; files in MeV are converted.

    Raises
    ------
    ImportError
        Without pyhepmc: ``pip install 'simgraft[events]'``.
    EventFileError
        A ValueError: the file is cut off or damaged, or has particles that cannot be.

    Notes
    -----
    Buckley et al. 2021, doi:10.1016/j.cpc.2020.107310. The library takes "4.x9" for 4 and skips what it cannot
    read, so that each line of numbers is looked at first.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_hepmc("decay.hepmc", pair)
    >>> read_hepmc("decay.hepmc", TWO_BODY)["m2"]
    array([3.])
    """
    return gather(
        hepmc_parts, path, layout, others, dtype, weight=weight, daughters=daughters, leptons=leptons
    )


def write_hepmc(path, events, *, ids=None, cross_section=None):
    """Write a HepMC3 file in ASCII.

    Parameters
    ----------
    path : path-like
        Compressed where it ends in .gz.
    events, ids, cross_section [pb]
        As of :func:`write_lhe`.

    Raises
    ------
    ImportError
        Without pyhepmc: ``pip install 'simgraft[events]'``.

    Notes
    -----
    Momenta in GeV with 17 digits: what is read again has the same bits in float64 (top pairs: but for the rounding
    of polar to Cartesian coordinates and back). One vertex per event; what goes in has status 4.

    Examples
    --------
    >>> from simgraft.events import TWO_BODY, Events
    >>> pair = Events(TWO_BODY, np.array([[5.0, 5, 0, 0, 4, 0, 0, -4, 3, 3]]).T)
    >>> write_hepmc("decay.hepmc", pair)
    """
    pyhepmc = need("pyhepmc", "HepMC files")
    writing = Writing(events, ids, None, 0.0, cross_section)
    run = pyhepmc.GenRunInfo()
    run.tools = [("simgraft", simgraft.__version__, writing.description.replace("\n", " "))]
    run.weight_names = ["Default"]
    number = 0
    with replacing(path) as part:
        opener = gzip.open if str(path).endswith(".gz") else open
        with opener(part, "wb") as raw, pyhepmc.open(raw, "w", precision=16) as file:
            for counts, table, weights, _ in writing:
                ends = np.cumsum(counts)
                for start, end, weight in zip((ends - counts).tolist(), ends.tolist(), weights.tolist()):
                    event = pyhepmc.GenEvent(run, pyhepmc.Units.GEV, pyhepmc.Units.MM)
                    event.event_number = number
                    vertex = pyhepmc.GenVertex()
                    for i, _, mother, e, px, py, pz, m in table[start:end].tolist():
                        particle = pyhepmc.GenParticle((px, py, pz, e), int(i), 1 if mother else 4)
                        particle.generated_mass = m
                        (vertex.add_particle_out if mother else vertex.add_particle_in)(particle)
                    event.add_vertex(vertex)
                    event.weights = [weight]
                    if cross_section is not None:
                        event.cross_section = pyhepmc.GenCrossSection()
                        event.cross_section.set_cross_section(*writing.cross_section)
                    file.write(event)
                    number += 1
            if number == 0:
                raw.write(f"HepMC::Version 3.02.05\n{_HEPMC_START}\n{_HEPMC_END}\n\n".encode())
