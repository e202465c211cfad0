"""What goes into files of particles: codes, momenta, masses, what decays or collides."""

import contextlib
import os
from itertools import chain
from pathlib import Path

import numpy as np

from simgraft.events.columns import DILEPTON, TOP_PAIR, TWO_BODY
from simgraft.events.files._common import BLOCK, Record
from simgraft.events.sample import Events

# Codes of the Particle Data Group for files: objects of the layout, what goes in, beams. 81 to 100 are free for
# the use of a generator; columns of jets and leptons do not know their flavour.
CODES = {
    TWO_BODY: ((82, 83), (81,), (81, 0)),
    DILEPTON: ((11, -11, 13, -13), (11, -11), (11, -11)),
    TOP_PAIR: ((21, 21, 21, 21, 11, 11), (21, 21), (2212, 2212)),
}


def blocks_of(events):
    """Blocks of events to write, all of one layout."""
    if isinstance(events, Events):
        if len(events) == 0:
            yield events
        for start in range(0, len(events), BLOCK):
            yield events.take(slice(start, start + BLOCK))
        return
    layout = None
    for part in events:
        if not isinstance(part, Events):
            raise TypeError(f"events: expected Events or an iterable of them, got {type(part).__name__}")
        if layout is not None and part.layout != layout:
            raise ValueError(f"events: blocks of {layout.name} and of {part.layout.name}")
        layout = part.layout
        yield part
    if layout is None:
        raise ValueError("events: there is no block")


class Writing:
    """What the particle formats write: blocks of events with codes, momenta, and what goes in."""

    def __init__(self, events, ids, beams, energy, cross_section):
        blocks = iter(blocks_of(events))
        head = next(blocks)
        if head.layout not in CODES:
            raise ValueError(
                f"events: expected the layout of a two-body decay, lepton pair or top pair, got {head.layout.name}"
            )
        self.layout, self.blocks = head.layout, chain([head], blocks)
        objects, self.incoming, usual = CODES[head.layout]
        self.ids = objects if ids is None else tuple(int(code) for code in ids)
        if len(self.ids) != len(objects):
            raise ValueError(
                f"ids: expected {len(objects)} codes for {head.layout.name}, got {len(self.ids)}"
            )
        self.beams = usual if beams is None else tuple(int(code) for code in beams)
        if len(self.beams) != 2:
            raise ValueError(f"beams: expected two codes, got {self.beams}")
        self.energy = float(energy)
        self.weighted = head.weight is not None
        if cross_section is None and isinstance(events, Events) and self.weighted and len(events):
            w = events.weight
            cross_section = w.mean(), w.std() / np.sqrt(len(w))
        self.cross_section = (0.0, 0.0) if cross_section is None else tuple(float(x) for x in cross_section)
        told = head.provenance.get("generator")
        self.description = "" if told is None else str(told)

    def __iter__(self):
        """(counts (n,), table of particles (m, 8): id, status, mother, E, px, py, pz, m, weight (n,)) of each block."""
        first = 0
        for events in self.blocks:
            n = len(events)
            present, p, mass = self._outgoing(events)
            ids = self.ids + ((12,) if self.layout is TOP_PAIR else ())
            total = np.where(present[:, None], p, 0.0).sum(axis=0)
            incoming = self._incoming(total)
            k = len(incoming)
            table = np.zeros((k + len(ids), 8, n))
            for i, (code, q) in enumerate(zip(self.incoming, incoming)):
                table[i, 0], table[i, 1], table[i, 3:7] = code, -1, q
                if k == 1:
                    table[i, 7] = np.sqrt(np.maximum(q[0] ** 2 - (q[1:] ** 2).sum(axis=0), 0))
            for i, code in enumerate(ids):
                row = table[k + i]
                row[0], row[1], row[2], row[3:7], row[7] = code, 1, 1, p[i], mass[i]
            there = np.concatenate([np.ones((k, n), bool), present]).T
            weight = np.ones(n) if events.weight is None else events.weight
            scale = np.sqrt(np.maximum(total[0] ** 2 - (total[1:] ** 2).sum(axis=0), 0))
            counts, table = there.sum(axis=1), table.transpose(2, 0, 1)[there]
            codes = table[:, :2].astype(int)
            what = Record(0, counts, codes[:, 0], codes[:, 1], table[:, 3:7].T, table[:, 7], weight).problem()
            if what is not None:
                raise ValueError(f"events: event {first + what[0]}: {what[1]}; no reader would take it")
            first += n
            yield counts, table, weight, scale

    def _outgoing(self, events):
        """Which particles are there (k, n), momenta (k, 4, n) and masses (k, n) [GeV]."""
        v = np.asarray(events.values, np.float64)
        if self.layout is TWO_BODY:
            p = np.stack([v[[k, 2 + 3 * k, 3 + 3 * k, 4 + 3 * k]] for k in (0, 1)])
            return np.ones((2, len(events)), bool), p, v[8:]
        if self.layout is DILEPTON:
            p, present = v.reshape(4, 4, -1), events.present
        else:
            e, pt, eta, phi = v[2:].reshape(6, 4, -1).transpose(1, 0, 2)
            p = np.stack([e, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)], axis=1)
            lost = np.stack([v[0], v[0] * np.cos(v[1]), v[0] * np.sin(v[1]), np.zeros_like(v[0])])
            p = np.concatenate([p, lost[None]])
            present = np.concatenate([events.present, v[:1] > 0])
        return present, p, np.sqrt(np.maximum(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1), 0))

    def _incoming(self, total):
        if len(self.incoming) == 1:
            return total[None]
        zero = np.zeros_like(total[0])
        plus, minus = 0.5 * (total[0] + total[3]), 0.5 * (total[0] - total[3])
        return np.stack([[plus, zero, zero, plus], [minus, zero, zero, -minus]])

    @property
    def mothers(self):
        return (1, len(self.incoming)) if len(self.incoming) == 2 else (1, 1)


@contextlib.contextmanager
def replacing(path):
    """A name beside `path` that takes its place once all is written."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
