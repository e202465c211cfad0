"""What the numbers of an event are: names, units and objects of the columns of each process."""

from dataclasses import dataclass

__all__ = ["DILEPTON", "TOP_PAIR", "TWO_BODY", "Column", "Layout"]


@dataclass(frozen=True)
class Column:
    """One number of an event.

    Parameters
    ----------
    name : str
    unit : str
        GeV, rad or 1, with c = 1.
    of : str or None
        The object (particle, jet) that it belongs to; None for one of the whole event.
    """

    name: str
    unit: str
    of: str | None = None


@dataclass(frozen=True)
class Layout:
    """The columns of a process, in their order.

    Columns of an object that is absent from an event are 0, and its flag in :attr:`Events.present` is False.

    Parameters
    ----------
    name : str
    columns : tuple of Column

    Examples
    --------
    >>> from simgraft.events import TOP_PAIR
    >>> len(TOP_PAIR), TOP_PAIR.objects
    (26, ('j1', 'j2', 'j3', 'j4', 'l1', 'l2'))
    >>> TOP_PAIR.index("l2_pT")
    23
    """

    name: str
    columns: tuple[Column, ...]

    def __len__(self):
        return len(self.columns)

    @property
    def names(self):
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def objects(self):
        """Names of the objects in the order of their columns."""
        return tuple(dict.fromkeys(column.of for column in self.columns if column.of is not None))

    def index(self, name):
        """Position of the column `name`.

        Raises
        ------
        KeyError
            If there is none; the message lists the names.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(f"{name}: expected one of {', '.join(self.names)}") from None

    def of(self, name):
        """Positions of the columns of the object `name`."""
        if name not in self.objects:
            raise KeyError(f"{name}: expected one of {', '.join(self.objects)}")
        return tuple(i for i, column in enumerate(self.columns) if column.of == name)


def _particles(names, quantities):
    return tuple(
        Column(f"{name}_{quantity}", unit, name) for name in names for quantity, unit in quantities
    )


ELECTRON_MASS, MUON_MASS = 0.51099895e-3, 0.1056583755  # GeV, Particle Data Group 2024

_FOUR_MOMENTUM = (("E", "GeV"), ("px", "GeV"), ("py", "GeV"), ("pz", "GeV"))
_DETECTOR = (("E", "GeV"), ("pT", "GeV"), ("eta", "1"), ("phi", "rad"))

# Two particles from one: both energies, both momenta, both masses.
TWO_BODY = Layout(
    "two-body decay",
    (Column("E1", "GeV", "1"), Column("E2", "GeV", "2"))
    + tuple(Column(f"p{axis}{i}", "GeV", str(i)) for i in (1, 2) for axis in "xyz")
    + (Column("m1", "GeV", "1"), Column("m2", "GeV", "2")),
)

# Four-momenta of electron, positron, muon and antimuon; one flavour is absent.
DILEPTON = Layout("e+ e- -> l+ l-", _particles(("em", "ep", "mum", "mup"), _FOUR_MOMENTUM))

# Missing transverse momentum, then jets and leptons in order of transverse momentum.
TOP_PAIR = Layout(
    "p p -> t tbar",
    (Column("MET", "GeV"), Column("phi_MET", "rad"))
    + _particles(("j1", "j2", "j3", "j4", "l1", "l2"), _DETECTOR),
)
