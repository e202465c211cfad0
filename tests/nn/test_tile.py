"""The compiled tile: accumulators stay in registers (an array of vectors would go through memory, at a third of the speed)."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
SOURCE = """
#include "nn/tile.h"
typedef struct target { const real *bias; real *y; ptrdiff_t y_row; } target;
SG_INLINE vr start(const target *t, size_t row, size_t column, size_t n) { (void)row; return sg_tile_load(t->bias + column, n); }
SG_INLINE void end(const target *t, size_t row, size_t column, vr sum, size_t n)
{ sg_tile_store(t->y + (ptrdiff_t)row * t->y_row + column, sum, n); }
SG_TILE_PRODUCT(product, target, start, end, SG_B_PACKED)
void run(const sg_product *p, const target *t);
void run(const sg_product *p, const target *t) { product(p, t); }
"""
FLAGS = {"v3": ["-march=x86-64-v3", "-mtune=generic"], "v4": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}
HEIGHT = {"v3": 6, "v4": 12}


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("isa", ["v3", "v4"])
def test_accumulators_of_the_full_tile_stay_in_registers(isa, bits, tmp_path):
    if not (shutil.which("gcc") and shutil.which("objdump") and CSRC.is_dir()):
        pytest.skip("needs gcc, objdump and a checkout")
    if "x86_64" not in subprocess.run(["gcc", "-dumpmachine"], capture_output=True, text=True).stdout:
        pytest.skip("needs an x86-64 compiler")
    (tmp_path / "tile.c").write_text(SOURCE)
    # the flags of hot files in CMakeLists.txt
    command = ["gcc", "-std=gnu11", "-O3", "-fPIC", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", *FLAGS[isa]]
    command += [f"-I{CSRC}", f"-DSG_REAL_BITS={bits}", f"-DSG_SUFFIX=f{bits}_{isa}", "-c", "tile.c", "-o", "tile.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "tile.o"], cwd=tmp_path, capture_output=True, text=True).stdout
    start = re.search(rf"<product_{HEIGHT[isa]}x2(\.[\w.]+)?>:\n", listing)
    body = listing[start.end() :].split("\n\n")[0].splitlines()
    fused = [i for i, line in enumerate(body) if "vfmadd" in line]
    # a second copy of the loop is made for a_k = 1: each copy has one multiply-add per accumulator
    assert fused and len(fused) % (2 * HEIGHT[isa]) == 0
    spilled = [line for line in body[fused[0] : fused[-1]] if re.search(r"[yz]mm", line) and "%rsp" in line]
    assert not spilled
