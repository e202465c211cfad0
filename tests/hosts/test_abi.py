"""The binary interface is the one that was written down: docs/hosts.md tells what to do when it is not."""

import runpy
import shutil

import pytest
from programs import ROOT, need, run

pytestmark = pytest.mark.no_asan
WRITTEN = ROOT / "tests" / "hosts" / "abi.txt"


@pytest.fixture(scope="module")
def abi():
    need("cc")
    return runpy.run_path(str(ROOT / "tools" / "abi.py"))


def test_interface_is_the_one_written_down(abi):
    lines, written = abi["describe"]().splitlines(), WRITTEN.read_text().splitlines()
    gone, new = [x for x in written if x not in lines], [x for x in lines if x not in written]
    assert lines == written, f"see 'Binary interface' in docs/hosts.md\ngone: {gone}\nnew: {new}"


def test_installed_library_exports_the_functions_written_down_and_no_others(installed):
    need("nm")
    lines = run(["nm", "-D", "--defined-only", installed.libdir / "libsimgraft.so"]).stdout.splitlines()
    written = {line.split("(")[0].split()[-1].lstrip("*") for line in WRITTEN.read_text().splitlines()
               if line.startswith("function ")}
    assert {line.split()[-1] for line in lines} == written


@pytest.mark.parametrize("change, gone", [
    (("size_t               n_rows;", "int n_rows;"), "  sg_guard.n_rows at 64, 8 bytes"),
    (("double      low, high;", "double high, low;"), "  sg_surrogate_variable.low at 16, 8 bytes"),
    (("X(SG_ERR_SHAPE, 4,", "X(SG_ERR_SHAPE, 40,"), "constant SG_ERR_SHAPE = 4"),
    (("SG_OUTSIDE_DENSITY  = 2", "SG_OUTSIDE_DENSITY  = 8"), "constant SG_OUTSIDE_DENSITY = 2"),
    (("void *workspace, sg_guard *guard);", "sg_guard *guard, void *workspace);"), "function sg_status sg_surrogate_eval("),
    (("void sg_surrogate_close(", "int sg_surrogate_close("), "function void sg_surrogate_close(sg_surrogate *surrogate)"),
])
def test_description_sees_what_breaks_a_host(abi, tmp_path, change, gone):
    shutil.copytree(ROOT / "csrc" / "include", tmp_path / "include")
    changed = 0
    for path in (tmp_path / "include" / "simgraft").glob("*.h"):
        text = path.read_text()
        changed += change[0] in text
        path.write_text(text.replace(*change))
    assert changed == 1
    lines = abi["describe"](tmp_path / "include").splitlines()
    assert any(line.startswith(gone) for line in WRITTEN.read_text().splitlines())
    missing = [x for x in WRITTEN.read_text().splitlines() if x not in lines]
    assert any(line.startswith(gone) for line in missing), missing
