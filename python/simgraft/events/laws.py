"""Laws of random numbers: masses and momenta of particles, energies of beams."""

import math
from dataclasses import dataclass

__all__ = ["BreitWigner", "Fixed", "Gaussian", "Uniform", "as_law"]

WIDTHS = 15.0  # of a Breit-Wigner law on both sides where no limits are given


@dataclass(frozen=True)
class Fixed:
    """Always the same number.

    Parameters
    ----------
    value : float [GeV]

    Examples
    --------
    >>> from simgraft.events import TwoBody
    >>> TwoBody(mass=91.1876, m1=0.1056583755, m2=0.1056583755).mass
    Fixed(value=91.1876)
    """

    value: float

    def code(self):
        """The law as the C core takes it."""
        return 0, float(self.value), 0.0, 0.0, 0.0


@dataclass(frozen=True)
class Uniform:
    """Equally likely between two limits.

    Parameters
    ----------
    low, high : float [GeV]
        low < high.

    Examples
    --------
    >>> from simgraft.events import TwoBody, Uniform
    >>> events = TwoBody(mass=10.0, m1=Uniform(1.0, 2.0), m2=1.0).generate(1000, seed=1)
    >>> bool(((events["m1"] >= 1) & (events["m1"] <= 2)).all())
    True
    """

    low: float
    high: float

    def code(self):
        """The law as the C core takes it."""
        return 1, 0.0, 0.0, float(self.low), float(self.high)


@dataclass(frozen=True)
class BreitWigner:
    r"""Mass of a resonance: density in the square of the mass ~ 1 / ((m^2 - M^2)^2 + M^2 Gamma^2), Gamma not running.

    Parameters
    ----------
    mass, width : float [GeV]
        M and Gamma, > 0.
    low, high : float [GeV], optional
        Limits; by default 15 widths on both sides, which leave out 2 % of the law, and never below 0.

    Examples
    --------
    >>> from simgraft.events import BreitWigner, TwoBody
    >>> z = TwoBody(mass=BreitWigner(91.1876, 2.4952, low=60, high=120), m1=0.0, m2=0.0)
    >>> bool((2 * z.generate(1000, seed=1)["E1"] > 60).all())
    True
    """

    mass: float
    width: float
    low: float | None = None
    high: float | None = None

    def code(self):
        """The law as the C core takes it."""
        low = max(self.mass - WIDTHS * self.width, 0.0) if self.low is None else self.low
        high = self.mass + WIDTHS * self.width if self.high is None else self.high
        return 2, float(self.mass), float(self.width), float(low), float(high)


@dataclass(frozen=True)
class Gaussian:
    """A normal law, cut off at limits.

    Parameters
    ----------
    mean, sigma : float [GeV]
        sigma > 0.
    low, high : float [GeV], optional
        Limits; a mass is never below 0. They must leave at least 0.1 % of the law.

    Examples
    --------
    >>> from simgraft.events import Gaussian, TwoBody
    >>> beam = TwoBody(mass=1.0, m1=0.1, m2=0.1, momentum=(0.0, 0.0, Gaussian(50.0, 2.0)))
    >>> events = beam.generate(10_000, seed=1)
    >>> bool(abs((events["pz1"] + events["pz2"]).mean() - 50) < 0.1)
    True
    """

    mean: float
    sigma: float
    low: float | None = None
    high: float | None = None

    def code(self, least=-math.inf):
        """The law as the C core takes it; `least` is the lower limit where none is given."""
        low = least if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return 3, float(self.mean), float(self.sigma), float(low), float(high)


LAWS = (Fixed, Uniform, BreitWigner, Gaussian)


def as_law(value, name):
    """A law from a law or a number.

    Parameters
    ----------
    value : Fixed, Uniform, BreitWigner, Gaussian or float
    name : str
        Of the argument, for the message.

    Returns
    -------
    Fixed, Uniform, BreitWigner or Gaussian

    Raises
    ------
    TypeError
        If it is neither.

    Examples
    --------
    >>> as_law(80.4, "mass")
    Fixed(value=80.4)
    """
    if isinstance(value, LAWS):
        return value
    try:
        return Fixed(float(value))
    except (TypeError, ValueError):
        names = ", ".join(law.__name__ for law in LAWS)
        raise TypeError(f"{name}: expected a number or one of {names}, got {value!r}") from None


def mass_code(law):
    """A law of masses as the C core takes it."""
    return law.code(0.0) if isinstance(law, Gaussian) else law.code()
