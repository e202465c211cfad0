"""The examples in C and C++, built by their own build files against the installed library: threads, ranks, bits."""

import shutil

import numpy as np
import pytest
from programs import ROOT, as_text, from_text, need, run

pytestmark = pytest.mark.no_asan


@pytest.fixture(scope="module")
def c_example(installed, tmp_path_factory):
    need("make")
    folder = tmp_path_factory.mktemp("c")
    for path in (ROOT / "examples" / "c").glob("*.h"), (ROOT / "examples" / "c").glob("host.c"):
        for source in path:
            shutil.copy(source, folder)
    shutil.copy(ROOT / "examples" / "c" / "Makefile", folder)

    def make(target):
        run(["make", "-C", folder, target, "CC=cc", "CFLAGS=-O2 -Wall -Wextra -Werror -pedantic"], env=installed.env)
        return folder / target

    return make


@pytest.fixture(scope="module")
def cpp_example(installed, tmp_path_factory):
    need("c++")
    folder = tmp_path_factory.mktemp("cpp")
    run(["cmake", "-S", ROOT / "examples" / "cpp", "-B", folder, f"-DCMAKE_PREFIX_PATH={installed.prefix}",
         "-DCMAKE_CXX_FLAGS=-Werror -pedantic"])
    run(["cmake", "--build", folder])
    return lambda target: folder / target


@pytest.fixture(params=["c", "cpp"])
def example(request):
    return request.getfixturevalue(request.param + "_example")


def check(done, surrogate, rows):
    assert np.array_equal(from_text(done.stdout, 2), surrogate.evaluate(rows, guard="off"))
    assert "surrogate of rates 3" in done.stderr and "1000 rows, 1 outside the domain" in done.stderr


@pytest.mark.parametrize("threads", ["1", "2"])
def test_example_gives_the_bits_of_python_with_any_number_of_threads(example, file, surrogate, rows, threads):
    check(run([example("host"), file], input=as_text(rows), env={"OMP_NUM_THREADS": threads}), surrogate, rows)


def test_example_with_the_static_library_gives_the_same_bits(example, file, surrogate, rows):
    check(run([example("host_static"), file], input=as_text(rows)), surrogate, rows)


def test_example_gives_the_bits_of_python_with_two_ranks(example, file, surrogate, rows):
    need("mpicc", "mpirun")
    program = example("host_mpi")
    if not program.exists():
        pytest.skip("CMake finds no MPI for C++")
    done = run(["mpirun", "-n", "2", program, file], input=as_text(rows), env={"OMP_NUM_THREADS": "2"})
    check(done, surrogate, rows)


def test_c_example_names_the_row_outside_whoever_evaluated_it(c_example, file, rows):
    done = run([c_example("host"), file], input=as_text(rows), env={"OMP_NUM_THREADS": "2"})
    assert "first: temperature: value 1000 K in row 290 lies outside the domain" in done.stderr


def test_example_is_told_about_a_damaged_file(example, file, tmp_path):
    (tmp_path / "cut.sg").write_bytes(file.read_bytes()[:2000])
    done = run([example("host"), tmp_path / "cut.sg"], input="", status=1)
    assert "cut.sg" in done.stderr


def test_example_leaks_nothing_under_valgrind(example, file, rows):
    need("valgrind")
    done = run(["valgrind", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite", example("host"),
                file], input=as_text(rows[:300]), env={"OMP_NUM_THREADS": "1"})
    assert from_text(done.stdout, 2).shape == (300, 2)
