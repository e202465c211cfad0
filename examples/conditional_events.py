"""Events for given conditions: lepton pairs at a beam energy that is asked for, from one flow for all energies.

The truth is e+ e- -> gamma*/Z -> l+ l- at the Born level, at energies spread evenly over the peak. The network sees each event with
its energy; afterwards it makes events at single energies, and its forward-backward asymmetry is held against the formula.
"""

import numpy as np

from simgraft.events import DILEPTON, Dilepton, observables
from simgraft.events.flows import FlowModel

LOW, HIGH = 86.0, 96.0  # GeV


def main(n=200_000, recipe="full"):
    truth = Dilepton()
    events = truth.generate(n, seed=2, energy=np.random.default_rng(1).uniform(LOW, HIGH, n))
    model = FlowModel.for_layout(DILEPTON, recipe, conditions=("sqrt_s",)).fit(events, seed=3)
    print(f"trained on {n} events at {LOW:g} to {HIGH:g} GeV in {model.cpu_seconds_:.0f} s of CPU time")
    found = []
    for at in (87.0, 89.0, 91.0, 93.0, 95.0):
        muons = model.sample(100_000, seed=4, condition={"sqrt_s": at, "flavour": "mu"})
        values, names = observables.composites(muons)
        value, error = observables.asymmetry(values[:, names.index("cos_theta_star")])
        expected, _ = truth.asymmetry(at)
        found.append((at, value, error, expected))
        print(f"{at:5.1f} GeV: A_FB = {value:+.4f} +- {error:.4f}, formula {expected:+.4f}")
    return found


if __name__ == "__main__":
    main()
