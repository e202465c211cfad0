"""Events for given conditions: lepton pairs at a beam energy that is asked for, from one flow for all energies.

The truth is e+ e- -> gamma*/Z -> l+ l- at the Born level, at energies spread evenly over the peak. The network sees each event with
its energy; afterwards it makes events at single energies, and its forward-backward asymmetry is held against the formula.
"""

import numpy as np

from simgraft.events import DILEPTON, Events, observables
from simgraft.events.flows import FlowModel
from simgraft.events.small_coordinates import DileptonCoordinates

MASS, WIDTH, SIN2 = 91.1876, 2.4952, 0.2315  # GeV, GeV, effective mixing angle
LOW, HIGH = 86.0, 96.0  # GeV


def couplings(energy):
    """G1 and G3 of d sigma / d cos = G1 (1 + cos^2) + 2 G3 cos, up to a constant (Born level, Z width fixed)."""
    s, v, a = np.square(energy), -0.5 + 2 * SIN2, -0.5
    chi = s / (s - MASS**2 + 1j * MASS * WIDTH) / (4 * SIN2 * (1 - SIN2))
    square = np.abs(chi) ** 2
    return 1 + 2 * v * v * chi.real + (v * v + a * a) ** 2 * square, 2 * a * a * chi.real + 4 * v * v * a * a * square


def asymmetry(energy):
    g1, g3 = couplings(energy)
    return 0.75 * g3 / g1


def pairs(energy, seed):
    """Events at energies (n,) [GeV]: half electrons, half muons."""
    n = len(energy)
    u = np.random.default_rng(seed).random((6, n))
    size = np.where(u[0] < 0.75, u[1], u[1:4].max(axis=0))  # 3/8 (1 + c^2) is 3/4 flat and 1/4 of 3 c^2 / 2
    g1, g3 = couplings(energy)
    cosine = np.where(u[4] < 0.5 + g3 / g1 * size / (1 + size**2), size, -size)
    coordinates = DileptonCoordinates()
    coordinates.constants = {"tau_min": 0.5}
    x = np.zeros((n, 7))
    x[:, 0] = cosine
    values, present = coordinates.decode(3 * (u[5] < 0.5), x, u[5:].T % 0.5 * 2, {"sqrt_s": energy})
    return Events(DILEPTON, values, present=present)


def main(n=200_000, recipe="full"):
    energy = np.random.default_rng(1).uniform(LOW, HIGH, n)
    model = FlowModel.for_layout(DILEPTON, recipe, conditions=("sqrt_s",)).fit(pairs(energy, 2), seed=3)
    print(f"trained on {n} events at {LOW:g} to {HIGH:g} GeV in {model.cpu_seconds_:.0f} s of CPU time")
    found = []
    for at in (87.0, 89.0, 91.0, 93.0, 95.0):
        muons = model.sample(100_000, seed=4, condition={"sqrt_s": at, "flavour": "mu"})
        values, names = observables.composites(muons)
        value, error = observables.asymmetry(values[:, names.index("cos_theta_star")])
        found.append((at, value, error, asymmetry(at)))
        print(f"{at:5.1f} GeV: A_FB = {value:+.4f} +- {error:.4f}, formula {asymmetry(at):+.4f}")
    return found


if __name__ == "__main__":
    main()
