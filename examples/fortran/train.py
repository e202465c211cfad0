"""The flame tube from its kernel in Fortran to a surrogate that passed a trial in the program itself.

    make flame libburn.so
    python train.py out/flame          # then open out/flame/report.html

The kernel is sampled through libburn.so; the trial runs the program with the kernel, the surrogate and a classical
baseline in its slot, in one process: ranks that wait for each other would count as time of the host.
"""

import sys
from pathlib import Path

import simgraft as sg

HERE = Path(__file__).resolve().parent

kernel = sg.Kernel.from_library(
    HERE / "libburn.so", "burn", name="burn", version="1",
    inputs={"temperature": sg.Var("K", 280, 2200, scale="log"), "fuel": sg.Var("1", 1e-6, 1.0)},
    outputs={"burning": sg.Var("s-1", scale="log"), "nitric_oxide": sg.Var("s-1", scale="log")})


def host(folder=None, ranks=1, threads=1, cells=256, steps=600):
    """The program as a host of simgraft. Its namelist says what is in the slot."""
    namelist = f"""&tube
       cells = {cells}, steps = {steps},
       kernel = '{{slot}}', surrogate = '{{surrogate}}', record = 'slot.csv'
    /\n"""
    start = [HERE / "flame"] if ranks == 1 else ["mpirun", "-n", str(ranks), HERE / "flame_mpi"]
    return sg.ExecutableHost(
        [*start, "flame.nml"], outputs="flame.csv", fields=["temperature", "fuel", "nitric_oxide"],
        files={"flame.nml": namelist}, rounded="rounded", folder=folder, timeout=600,
        environment={"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"})


def main(out):
    data = kernel.sample(sg.sampling.sobol(kernel, seed=1), 40_000, seed=1)
    train, test = data.split(fractions=(0.8, 0.2), seed=2)
    surrogate = sg.Surrogate(kernel, sg.nn.MLP([48, 48], activation="tanh"), guard="fallback")
    surrogate.fit(train, seed=3, epochs=200, batch_size=256, optimizer=sg.nn.Adam(sg.nn.schedule.OneCycle(0.01)))
    surrogate.save(Path(out) / "burn.sg")
    trial = sg.Trial(surrogate, name="flame tube", gates=[sg.gate.relative_error("burning", p99=0.05),
                                                          sg.gate.host("temperature", rmse=5.0)])
    trial.a_priori(test, train=train)
    trial.a_posteriori(host(), baseline="frozen", units={"temperature": "K", "fuel": "1", "nitric_oxide": "1"})
    return 0 if trial.report(Path(out) / "report.html") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "out/flame"))
