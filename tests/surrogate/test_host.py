"""Hosts in C: the example is compiled and run, and the library is called through its C interface."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import simgraft as sg

# Make and the compiler run as child processes, where a preloaded sanitizer stops them.
pytestmark = pytest.mark.no_asan

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "c"


@pytest.fixture(scope="module")
def file(surrogate, tmp_path_factory):
    path = tmp_path_factory.mktemp("host") / "rates.sg"
    surrogate.save(path)
    return path


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("needs make and a C compiler")
    folder = tmp_path_factory.mktemp("build")
    for name in ("host.c", "ranks.h", "Makefile"):
        shutil.copy(EXAMPLE / name, folder)
    built = subprocess.run(
        [
            "make",
            "-C",
            folder,
            "CC=cc",
            f"PYTHON={sys.executable}",
            "CFLAGS=-O2 -Wall -Wextra -Werror -pedantic",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment(),
    )
    assert built.returncode == 0, built.stderr
    return folder / "host"


def environment():
    """simgraft is found from any folder; a sanitizer build preloads its run-time library in Python only."""
    return {k: v for k, v in os.environ.items() if k != "LD_PRELOAD" or "asan" not in v} | {
        "ASAN_OPTIONS": "verify_asan_link_order=0",
        "PYTHONPATH": os.pathsep.join(p for p in map(os.path.abspath, sys.path) if os.path.isdir(p)),
    }


def run(host, file, rows):
    text = "\n".join(" ".join(repr(float(v)) for v in row) for row in rows) + "\n"
    return subprocess.run(
        [host, file], input=text, capture_output=True, text=True, timeout=60, env=environment()
    )


def test_c_host_gives_the_bits_of_python(host, file, surrogate, rows):
    done = run(host, file, rows)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(
        np.array(done.stdout.split(), dtype=np.float64).reshape(-1, 2), surrogate.evaluate(rows)
    )
    assert (
        "surrogate of rates 3" in done.stderr
        and "temperature [K], 200 to 400" in done.stderr
        and "2048 rows, 0 outside" in done.stderr
    )


def test_c_host_is_told_about_rows_outside(host, file, rows):
    x = rows[:300].copy()
    x[290, 1] = 1000.0
    done = run(host, file, x)
    assert (
        done.returncode == 0
        and "300 rows, 1 outside" in done.stderr
        and "temperature: value 1000 K in row 290" in done.stderr
    )


def test_c_host_is_told_about_a_damaged_file(host, file, tmp_path):
    (tmp_path / "cut.sg").write_bytes(file.read_bytes()[:2000])
    done = run(host, tmp_path / "cut.sg", [])
    assert done.returncode == 1 and "cut.sg" in done.stderr


KERNEL_TYPE = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_size_t,
    ctypes.POINTER(ctypes.c_double),
    ctypes.POINTER(ctypes.c_double),
    ctypes.c_void_p,
)


class CGuard(ctypes.Structure):
    """sg_guard."""

    _fields_ = (
        [
            ("policy", ctypes.c_int),
            ("fallback", KERNEL_TYPE),
            ("fallback_jvp", ctypes.c_void_p),
            ("fallback_vjp", ctypes.c_void_p),
            ("fallback_context", ctypes.c_void_p),
            ("row_flags", ctypes.c_void_p),
            ("outside_of_input", ctypes.c_void_p),
        ]
        + [
            (n, ctypes.c_size_t)
            for n in ("n_calls", "n_rows", "n_outside", "n_box", "n_density", "n_not_finite", "n_fallback", "first_row")
        ]
        + [("first_input", ctypes.c_ssize_t), ("first_value", ctypes.c_double), ("first_flags", ctypes.c_int)]
    )


@pytest.fixture(scope="module")
def library():
    (path,) = Path(sg.get_library_dir()).glob("libsimgraft.so")
    lib = ctypes.CDLL(str(path))
    lib.sg_surrogate_workspace_bytes.restype = ctypes.c_size_t
    return lib


def test_fallback_in_c_is_called_for_each_row_outside(library, file, kernel, surrogate, rows):
    handle, error = ctypes.c_void_p(), ctypes.create_string_buffer(1024)
    assert library.sg_surrogate_open(str(file).encode(), ctypes.byref(handle), error) == 0
    workspace = ctypes.create_string_buffer(library.sg_surrogate_workspace_bytes(handle))
    seen = []

    @KERNEL_TYPE
    def fallback(n, x, y, context):
        seen.append(list(x[:5]))
        y[0], y[1] = 10.0, 20.0
        return 0

    x = rows[:500].copy()
    x[[7, 499], 1] = 600.0
    guard, out = CGuard(), np.zeros((500, 2))
    library.sg_guard_init(ctypes.byref(guard))
    guard.policy, guard.fallback = 2, fallback
    pointer = lambda a: a.ctypes.data_as(ctypes.c_void_p)
    assert (
        library.sg_surrogate_eval(
            handle,
            ctypes.c_size_t(500),
            pointer(x),
            ctypes.c_ssize_t(5),
            pointer(out),
            ctypes.c_ssize_t(2),
            workspace,
            ctypes.byref(guard),
        )
        == 0
    )
    assert np.array_equal(seen, x[[7, 499]]) and (
        guard.n_outside,
        guard.n_fallback,
        guard.first_row,
        guard.first_input,
    ) == (2, 2, 7, 1)
    expected = surrogate.evaluate(x, guard="off")
    expected[[7, 499]] = (10.0, 20.0)
    assert np.array_equal(out, expected)
    library.sg_surrogate_close(handle)


def test_headers_and_library_are_found():
    assert (Path(sg.get_include()) / "simgraft" / "surrogate.h").is_file() and any(
        Path(sg.get_library_dir()).glob("libsimgraft.*")
    )


def test_public_headers_compile_as_c_and_cpp(tmp_path):
    headers = sorted(p.name for p in (Path(sg.get_include()) / "simgraft").glob("*.h"))
    source = "".join(f"#include <simgraft/{name}>\n" for name in headers) + "int main(void) { return 0; }\n"
    for compiler, suffix, standard in (("cc", "c", "c99"), ("c++", "cpp", "c++11")):
        if shutil.which(compiler) is None:
            continue
        (tmp_path / f"all.{suffix}").write_text(source)
        done = subprocess.run(
            [
                compiler,
                f"-std={standard}",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
                "-fsyntax-only",
                f"-I{sg.get_include()}",
                tmp_path / f"all.{suffix}",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
