"""What the headers promise about threads, fork, memory and printing, held against programs in C."""

import os
from pathlib import Path

import pytest
from programs import ROOT, Installed, need, need_flags, run

pytestmark = pytest.mark.no_asan
HERE = ROOT / "tests" / "hosts"
STRICT = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"]


@pytest.fixture(scope="module")
def promises(installed, tmp_path_factory):
    return installed.compile("cc", [HERE / "promises.c"], tmp_path_factory.mktemp("promises") / "promises", *STRICT)


@pytest.mark.parametrize("what", ["threads", "openmp", "fork", "silence"])
def test_promise_is_kept(promises, file, tmp_path, what):
    run([promises, what, file], folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_calls_allocate_nothing(installed, file, tmp_path):
    program = installed.compile("cc", [HERE / "allocations.c"], tmp_path / "allocations", *STRICT)
    counts = {name: int(n) for name, n in (line.split() for line in run([program, file]).stdout.splitlines())}
    assert counts.pop("open") > 100  # the counter works: HDF5 alone allocates more
    assert len(counts) == 10 and set(counts.values()) == {0}, counts


def test_threads_are_clean_under_valgrind(promises, file, tmp_path):
    need("valgrind")
    run(["valgrind", "--error-exitcode=9", "--leak-check=full", "--errors-for-leak-kinds=definite", promises, "threads", file],
        folder=tmp_path)


def test_threads_have_no_data_race_under_thread_sanitizer(file, tmp_path):
    """Runs in `make check-tsan`, with a library built for it. libgomp is not made for the sanitizer: POSIX threads."""
    build = os.environ.get("SIMGRAFT_TSAN_BUILD")
    if not build:
        pytest.skip("needs a build with ThreadSanitizer: make check-tsan")
    need_flags("cc", "-fsanitize=thread")
    run(["cmake", "--install", build, "--prefix", tmp_path / "prefix"])
    library = Installed(tmp_path / "prefix", Path(build))
    program = library.compile("cc", [HERE / "promises.c"], tmp_path / "promises", *STRICT, "-fsanitize=thread",
                              package="simgraft-static")
    # Address space layouts with many random bits are too wide for the sanitizer of older compilers.
    started = ["setarch", "-R", program] if run(["setarch", "-R", "true"], status=None).returncode == 0 else [program]
    done = run([*started, "threads", file], folder=tmp_path, env={"TSAN_OPTIONS": "halt_on_error=1"})
    assert "WARNING" not in done.stderr
