"""Decays of one particle into two."""

import numpy as np

from simgraft import _core
from simgraft.events.columns import TWO_BODY
from simgraft.events.generator import Generator
from simgraft.events.laws import as_law, mass_code

__all__ = ["TwoBody"]


class TwoBody(Generator):
    r"""Isotropic decays of one particle into two, in the 10 columns of :data:`TWO_BODY`.

    Parameters
    ----------
    mass, m1, m2 : float or law [GeV]
        Of the parent and of both particles. A number, :class:`Fixed`, :class:`Uniform`, :class:`BreitWigner` or :class:`Gaussian`.
    momentum : sequence of three floats or laws [GeV], optional
        :math:`p_x, p_y, p_z` of the parent; default: at rest. No Breit-Wigner law.

    Raises
    ------
    TypeError, ValueError
        If a law does not fit, a mass can be negative, or the decay is closed (:math:`M \le m_1 + m_2`) for all masses; the message
        names the argument.

    Notes
    -----
    Energies from the masses, :math:`E_{1,2} = (M^2 \pm (m_1^2 - m_2^2)) / 2M`, the momentum from
    :math:`4 M^2 p^2 = (M - m_1 - m_2)(M + m_1 + m_2)(M - m_1 + m_2)(M + m_1 - m_2)`, which loses nothing near threshold (Particle
    Data Group, Review of Particle Physics, "Kinematics", eq. 49.16-49.17); :math:`\cos\theta` and :math:`\phi` flat. Masses that do
    not allow the decay are drawn again, all of them together: the density of the masses is the product of their laws where
    :math:`M > m_1 + m_2`, without a factor of phase space.

    Examples
    --------
    >>> from simgraft.events import BreitWigner, TwoBody
    >>> z = TwoBody(mass=BreitWigner(91.1876, 2.4952), m1=0.1056583755, m2=0.1056583755)
    >>> events = z.generate(1000, seed=1)
    >>> bool(abs(events["px1"] + events["px2"]).max() == 0)
    True
    >>> z.kernel(seed=1).n_out
    10
    """

    layout = TWO_BODY

    def __init__(self, *, mass, m1, m2, momentum=None):
        self.mass, self.m1, self.m2 = as_law(mass, "mass"), as_law(m1, "m1"), as_law(m2, "m2")
        if momentum is not None:
            if np.ndim(momentum) != 1 or len(momentum) != 3:
                raise ValueError(f"momentum: expected three components p_x, p_y, p_z, got {momentum!r}")
            momentum = tuple(as_law(p, f"momentum[{i}]") for i, p in enumerate(momentum))
        self.momentum = momentum
        _core.two_body_check(self._laws())

    def _laws(self):
        momentum = ((0, 0.0, 0.0, 0.0, 0.0),) * 3 if self.momentum is None else tuple(p.code() for p in self.momentum)
        return (*map(mass_code, (self.mass, self.m1, self.m2)), *momentum)

    def _fill(self, seed, first, values, num_threads, mass=None):
        _core.two_body(self._laws(), seed, first, mass, values, num_threads)

    def generate(self, n, seed, *, first=0, mass=None, dtype="float64", num_threads=None):
        """Events first, first + 1, ... first + n - 1 of a seed.

        Parameters
        ----------
        n : int
        seed : int
            0 to 2**64 - 1.
        first : int
            Number of the first event. An event depends on the seed and its number (and `mass`) alone.
        mass : (n,) array [GeV], optional
            Mass of the parent of each event in the place of the law, of type `dtype`.
        dtype : {"float64", "float32"}
        num_threads : int, optional
            Default: OMP_NUM_THREADS, or all CPUs.

        Returns
        -------
        Events

        Raises
        ------
        ValueError
            If a decay is closed, naming the event; or if no open decay was found in 65,536 draws of its masses.

        Examples
        --------
        >>> import numpy as np
        >>> pair = TwoBody(mass=10.0, m1=1.0, m2=1.0)
        >>> pair.generate(3, seed=1, mass=np.array([4.0, 6.0, 8.0]))["E1"]
        array([2., 3., 4.])
        """
        return self._make(n, seed, first, dtype, num_threads, mass)
