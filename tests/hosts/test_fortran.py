"""The Fortran module, compiled as strict Fortran 2008, against Python; and the flame tube."""

import re
import runpy
import shutil
from collections import defaultdict

import numpy as np
import pytest
from programs import ROOT, environment, need, run

import simgraft as sg

pytestmark = pytest.mark.no_asan
MODULE = ROOT / "csrc" / "fortran" / "simgraft.f90"
N = 50


@pytest.fixture(scope="module")
def inputs(rows):
    rng = np.random.default_rng(1)
    return np.ascontiguousarray(rows[:N]), rng.normal(size=(N, 5)), rng.normal(size=(N, 2))


@pytest.fixture(scope="module")
def program(installed, tmp_path_factory):
    need("gfortran")
    folder = tmp_path_factory.mktemp("fortran")
    # The compiler warns falsely of allocatable arrays that an assignment allocates.
    known = ["-Wno-uninitialized", "-Wno-maybe-uninitialized"]
    strict = ["-std=f2008", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-g", "-fcheck=all"]
    run(["gfortran", *strict, "-c", installed.flags("--variable=fortran_source", "simgraft")[0]], folder=folder)
    sources = [folder / "simgraft.o", ROOT / "tests" / "hosts" / "module.f90"]
    return installed.compile("gfortran", sources, folder / "module", *strict, *known)


def read(text):
    found = defaultdict(list)
    for line in text.splitlines():
        name, value = line.split("\t", 1)
        found[name].append(value.strip() if name in ("texts", "message", "failed") else float(value))
    return found


@pytest.fixture(scope="module")
def told(program, file, inputs, tmp_path_factory):
    path = tmp_path_factory.mktemp("input") / "rows.bin"
    path.write_bytes(b"".join([np.int32(N).tobytes(), *(values.tobytes() for values in inputs)]))
    return read(run([program, file, path], env={"OMP_NUM_THREADS": "2"}).stdout)


def values(told, name, times=1, columns=2):
    """times results of the same name, each (N, columns)."""
    return np.array(told[name]).reshape(times, N, columns)


def test_description_tells_names_units_and_ranges(told, surrogate):
    assert told["texts"] == ["rates 3 { an argument has a value that is not allowed", "pressure [Pa]", "temperature [K]",
                             "mix[0] [1]", "mix[1] [1]", "mix[2] [1]", "rate [s-1]", "heat [W m-3]", "[]"]
    assert told["ranges"] == [100, 1e5, 200, 400, 0, 1, 0, 1, 0, 1]
    # (5 + 1) 16 + (16 + 1) 24 + (24 + 1) 2 parameters; two operations for each weight
    assert told["sizes"] == [5, 2, 554, 2 * (5 * 16 + 16 * 24 + 24 * 2), 32, 1]


@pytest.mark.parametrize("name, times", [("eval", 1), ("eval columns", 1), ("eval sections", 2), ("eval row", 1),
                                         ("eval openmp", 1), ("eval threads", 1), ("eval copy", 2)])
def test_every_memory_order_gives_the_bits_of_python(told, surrogate, inputs, name, times):
    expected = surrogate.evaluate(inputs[0], guard="off")
    assert np.array_equal(values(told, name, times), np.broadcast_to(expected, (times, N, 2)))


def test_single_precision_gives_the_bits_of_python(told, surrogate, inputs):
    expected = surrogate.evaluate(inputs[0].astype(np.float32), guard="off").astype(np.float64)
    assert np.array_equal(values(told, "eval f32", 3), np.broadcast_to(expected, (3, N, 2)))


def test_sections_touch_nothing_beside_them(told):
    assert told["untouched"] == [0]


def test_derivatives_are_those_of_differences_in_both_orders(told, surrogate, inputs):
    x, dx, dy = inputs
    jvp, vjp = values(told, "jvp", 2), values(told, "vjp", 2, 5)
    assert np.array_equal(jvp[0], jvp[1]) and np.array_equal(vjp[0], vjp[1])
    # Differences over 1e-3 of what each input varies by: rounding (1e-7 / 1e-3) and the kinks of softsign (1e-3) leave an
    # error below 3e-3 of the largest derivative.
    scale = np.column_stack([x[:, 0], np.full(N, 10.0), np.ones((N, 3))])
    jacobian = np.empty((N, 2, 5))
    for i, unit in enumerate(np.eye(5)):
        h = 1e-3 * scale * unit
        change = surrogate.evaluate(x + h, guard="off") - surrogate.evaluate(x - h, guard="off")
        jacobian[:, :, i] = change / (2e-3 * scale[:, i : i + 1])
    for result, expected in ((jvp[0], np.einsum("noi,ni->no", jacobian, dx)),
                             (vjp[0] * scale, np.einsum("noi,no->ni", jacobian, dy) * scale)):
        assert np.abs(result - expected).max() < 3e-3 * np.abs(expected).max()


def test_jvp_and_vjp_are_adjoint(told, inputs):
    _, dx, dy = inputs
    for name, jvp, vjp in (("f64", values(told, "jvp", 2)[0], values(told, "vjp", 2, 5)[0]),
                           ("f32", values(told, "jvp f32", 2)[0], values(told, "vjp f32", 2, 5)[0])):
        left, right = np.sum(jvp * dy, axis=1), np.sum(vjp * dx, axis=1)
        # A network in float: a few roundings of 6e-8 in each of about 100 terms a layer.
        size = np.sum(np.abs(jvp * dy), axis=1) + np.sum(np.abs(vjp * dx), axis=1)
        assert np.max(np.abs(left - right) / size) < 1e-5, name


def test_single_precision_derivatives_agree_in_both_orders(told):
    for name, columns in (("jvp f32", 2), ("vjp f32", 5)):
        one, other = values(told, name, 2, columns)
        double = values(told, name[:3], 2, columns)[0]
        assert np.array_equal(one, other)
        assert np.abs(one - double).max() < 1e-4 * np.abs(double).max()


def test_guard_counts_and_names_rows_from_one(told):
    # calls, rows, outside, by range, not finite, by the kernel, first row, first input
    assert told["guard"] == [1, N, 2, 2, 0, 0, 7, 2]
    assert told["guard flags"] == [7, N] and told["guard inputs"] == [0, 1, 1, 0, 0]
    assert told["guard sum"] == [2, 2 * N, 4, 4, 0, 0, 7, 2]
    assert told["openmp rows"] == [N]


def test_fallback_calls_the_kernel_of_the_host_for_each_row_outside(told, surrogate, inputs):
    x = inputs[0].copy()
    x[6, 1], x[N - 1, 2] = 1000.0, -5.0
    expected = surrogate.evaluate(x, guard="off")
    expected[[6, N - 1]] = x[[6, N - 1]][:, [1, 4]]
    assert np.array_equal(values(told, "fallback")[0], expected)
    assert told["fallback guard"] == [1, N, 2, 2, 0, 2, 7, 2]
    # the derivative by hand gives temperature + number of values of the direction
    assert told["fallback jvp"] == [1005, 1005] and told["fallback vjp"] == [1002] * 5
    assert told["fallback derivative guard"][:3] == [2, 2 * N, 4] and told["fallback derivative guard"][5] == 4


def test_mistakes_are_told_in_words(told):
    where = "temperature: value 1000 K in row 6 lies outside the domain (200 to 400 K)"
    assert told["message"] == [
        "y: expected shape (2, 50), got (50, 2)", where, where, "guard: there is no procedure to fall back to",
        "guard: the procedure to fall back to failed", "surrogate: it is not open", "x: expected shape (5, 50), got (4, 50)",
        "y: expected shape (2, 50), got (2, 3)", "work: it has fewer bytes than the surrogate asks for",
        "num_threads: expected at least 1"]
    assert told["status"] == [11, 0]  # a file that is not there; no rows are no error


def test_closed_surrogate_is_closed(told):
    assert told["open after close"] == [0]


def test_module_knows_every_number_of_the_headers():
    headers = "".join(p.read_text() for p in (ROOT / "csrc" / "include" / "simgraft").glob("*.h"))
    expected = {name: int(number) for name, number in re.findall(r"X\((SG_\w+), (\d+),", headers)}
    expected |= {name: int(number) for name, number in re.findall(r"(SG_OUTSIDE_\w+)\s*=\s*(\d+)", headers)}
    policies = re.search(r"typedef enum sg_guard_policy \{(.*?)\}", headers, re.S).group(1)
    expected |= {name: i for i, name in enumerate(re.findall(r"SG_GUARD_\w+", re.sub(r"/\*.*?\*/", "", policies)))}
    assert dict((n, int(v)) for n, v in re.findall(r"\b(SG_[A-Z_]+)\s*=\s*(\d+)", MODULE.read_text())) == expected


def test_module_leaks_nothing_under_valgrind(program, file, inputs, tmp_path):
    need("valgrind")
    path = tmp_path / "rows.bin"
    path.write_bytes(b"".join([np.int32(N).tobytes(), *(values.tobytes() for values in inputs)]))
    run(["valgrind", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite", program, file, path],
        env={"OMP_NUM_THREADS": "1"})


def test_package_ships_the_module():
    assert sg.get_fortran_source().endswith("simgraft.f90")
    with open(sg.get_fortran_source()) as file:
        assert file.read() == MODULE.read_text()


# ------------------------------------------------------------------------------------------------------- the flame tube

FILES = ("chemistry.f90", "domain.F90", "slot.f90", "flame.f90", "Makefile", "train.py", "flame.nml")


@pytest.fixture(scope="module")
def tube(installed, tmp_path_factory):
    """Folder with the program, built by its own Makefile; its train.py as a dict."""
    need("make", "gfortran")
    folder = tmp_path_factory.mktemp("tube")
    for name in FILES:
        shutil.copy(ROOT / "examples" / "fortran" / name, folder)
    targets = ["flame", "libburn.so"] + (["flame_mpi"] if shutil.which("mpifort") and shutil.which("mpirun") else [])
    run(["make", "-C", folder, *targets, "FFLAGS=-O2 -Wall -Wextra -Werror"], env=installed.env)
    return folder


@pytest.fixture(scope="module")
def recipe(tube):
    return runpy.run_path(str(tube / "train.py"))


@pytest.fixture(scope="module")
def burn(recipe):
    kernel = recipe["kernel"]
    data = kernel.sample(sg.sampling.sobol(kernel, seed=1), 8192, seed=1, progress=False)
    surrogate = sg.Surrogate(kernel, sg.nn.MLP([16, 16], activation="tanh"), guard="fallback")
    return surrogate.fit(data, seed=3, epochs=30, batch_size=256, progress=False,
                         optimizer=sg.nn.Adam(sg.nn.schedule.OneCycle(0.02)))


SMALL = {"cells": 96, "steps": 40}


@pytest.mark.parametrize("ranks, threads", [(1, 2), (2, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("what", ["kernel", "surrogate"])
def test_fields_of_the_tube_do_not_depend_on_threads_and_ranks(recipe, burn, tube, tmp_path, what, ranks, threads):
    if ranks > 1:
        need("mpifort", "mpirun")
    slot = burn if what == "surrogate" else burn.kernel
    one, _ = recipe["host"](**SMALL).run(slot, what)
    mpi = {k: v for k, v in environment().items() if k.startswith("OMPI_")}
    host = recipe["host"](ranks=ranks, threads=threads, folder=tmp_path, **SMALL)
    host.environment |= mpi
    other, profile = host.run(slot, what)
    assert list(one) == ["temperature", "fuel", "nitric_oxide"]
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert (profile.calls, profile.rows) == (40, 96 * 40)


def test_slot_of_the_tube_has_the_bits_of_python(recipe, burn, tmp_path):
    recipe["host"](threads=2, folder=tmp_path, **SMALL).run(burn, "surrogate")
    (path,) = tmp_path.glob("surrogate-*/slot.csv")
    record = np.loadtxt(path, delimiter=",", skiprows=1)
    assert np.array_equal(burn.evaluate(np.ascontiguousarray(record[:, :2])), record[:, 2:])


def test_kernel_from_the_library_is_the_kernel_of_the_tube(recipe, burn, tmp_path):
    recipe["host"](folder=tmp_path, **SMALL).run(burn.kernel, "kernel")
    (path,) = tmp_path.glob("kernel-*/slot.csv")
    record = np.loadtxt(path, delimiter=",", skiprows=1)
    assert np.array_equal(burn.kernel.evaluate(np.ascontiguousarray(record[:, :2])), record[:, 2:])


def test_trial_drives_the_tube_and_shows_kernel_surrogate_baseline_and_floor(recipe, burn):
    trial = sg.Trial(burn, gates=[sg.gate.host("temperature", rmse=20.0)])
    trial.a_posteriori(recipe["host"](cells=256, steps=200), baseline="frozen", units={"temperature": "K"})
    table = trial.tables_["a posteriori"]
    rows = {(r[0], r[1]): dict(zip(table["columns"], r, strict=True)) for r in table["rows"]}
    assert set(rows) == {(f, w) for f in ("temperature", "fuel", "nitric_oxide") for w in ("surrogate", "baseline")}
    row = rows["temperature", "surrogate"]
    # Rounding to 32 bits moves the front, but far less than the network; the frozen rates burn late everywhere.
    assert 0 < row["floor rmse"] < 0.1 * row["rmse"] and row["rmse"] < 0.2 * rows["temperature", "baseline"]["rmse"]
    assert trial.passed
    kernel = trial.tables_["speed"]["rows"][0]
    assert kernel[4:6] == [200, 51200] and kernel[3] > 0.8  # the kernel is nearly all of the host


def test_recipe_of_the_tube_passes_its_own_gates(recipe, tmp_path):
    assert recipe["main"](tmp_path) == 0
    assert {p.name for p in tmp_path.iterdir()} >= {"burn.sg", "report.html", "report.json"}


def test_tube_says_what_is_wrong_with_its_input(recipe, burn):
    with pytest.raises(RuntimeError, match="ended with status 1: (.|\n)*expected 'kernel', 'rounded'"):
        recipe["host"](**SMALL).run("nothing", "baseline")
