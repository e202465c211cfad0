"""Bring your own simulation: a flame front whose chemistry is replaced by a surrogate, from profile to deployed file.

The kernel is a stiff reaction integrated in 200 small steps; the host is a one-dimensional heat and fuel diffusion code.
Neither knows anything of simgraft.
"""

import sys
from pathlib import Path

import numpy as np

import simgraft as sg

DT, HEAT, ACTIVATION, PREFACTOR = 2e-5, 1800.0, 8_000.0, 1e6  # s, K per unit fuel, K, 1/s


def burn(inputs):  # the kernel: mean burning rate over one step, integrated in 200 sub-steps
    temperature, fuel, rate = inputs["temperature"].copy(), inputs["fuel"].copy(), 0.0
    for _ in range(200):
        k = PREFACTOR * np.exp(-ACTIVATION / temperature)
        burnt = fuel * -np.expm1(-k * DT / 200)
        fuel, temperature, rate = fuel - burnt, temperature + HEAT * burnt, rate + k / 200
    return {"rate": rate}


def flame(slot, n=200, steps=600):  # the host: diffusion, and the kernel (or what stands in for it) in the slot
    temperature, fuel = np.full(n, 300.0), np.ones(n)
    temperature[:20], fuel[:20] = 300.0 + HEAT, 1e-3
    for _ in range(steps):
        for field in (temperature, fuel):
            padded = np.pad(field, 1, mode="edge")
            field += 0.2 * (padded[2:] - 2 * field + padded[:-2])
        burnt = fuel * -np.expm1(-slot({"temperature": temperature, "fuel": fuel})["rate"] * DT)
        fuel = np.maximum(fuel - burnt, 1e-6)
        temperature += HEAT * burnt
    return {"temperature": temperature, "fuel": fuel}


def frozen_rate(inputs):  # a classical baseline: the rate at the start of the step
    return {"rate": PREFACTOR * np.exp(-ACTIVATION / inputs["temperature"])}


kernel = sg.Kernel(
    burn, name="burn",
    inputs={"temperature": sg.Var("K", 280, 2200, scale="log"), "fuel": sg.Var("1", 1e-6, 1.0)},
    outputs={"rate": sg.Var("s-1", scale="log")})


def main(out):
    print(sg.profile(flame, kernel))  # worth it? The share of the kernel bounds the gain
    data = kernel.sample(sg.sampling.sobol(kernel, seed=1), 40_000, seed=1)
    train, test = data.split(fractions=(0.8, 0.2), seed=2)
    surrogate = sg.Surrogate(kernel, sg.nn.MLP([32, 32], activation="tanh"), guard="fallback")
    surrogate.fit(train, seed=3, epochs=100, batch_size=512,
                  optimizer=sg.nn.Adam(sg.nn.schedule.OneCycle(0.02)))
    trial = sg.Trial(surrogate, name="flame", gates=[sg.gate.relative_error("rate", p99=0.05),
                                                     sg.gate.host("temperature", rmse=5.0)])
    trial.a_priori(test, train=train)
    trial.a_posteriori(flame, baseline=frozen_rate, units={"temperature": "K", "fuel": "1"})
    surrogate.save(Path(out) / "burn.sg")
    return 0 if trial.report(Path(out) / "report.html") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "out/flame"))
