"""The rules of the house that a machine can check: exported symbols, arrows between rooms, purity of kernels."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from simgraft import _core

ROOT = Path(__file__).resolve().parents[1]
CSRC = ROOT / "csrc"
PACKAGE = ROOT / "python" / "simgraft"
FIELDS = {"radiation", "events", "turbulence", "planets", "proteins"}

# Room -> rooms whose headers it may include, besides its own and include/simgraft.
ARROWS = {
    "base": set(),
    "nn": {"base"},
    "metrics": {"base"},
    "store": {"base"},
    "surrogate": {"nn", "metrics", "store", "base"},
    **{field: {"surrogate", "nn", "metrics", "store", "base"} for field in FIELDS},
    "bindings": {"surrogate", "nn", "metrics", "store", "base", *FIELDS},
    "include": set(),
}

nm = pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm of binutils")


def symbols(path, *options):
    text = subprocess.run(["nm", "--defined-only", *options, str(path)], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in text.splitlines() if len(line.split()) == 3}


def code(path):
    """C source without comments and string literals."""
    text = re.sub(r"/\*.*?\*/", " ", path.read_text(), flags=re.S)
    return re.sub(r'"(\\.|[^"\\\n])*"|//[^\n]*', '""', text)


def sources(*patterns):
    return sorted(p for pattern in patterns for p in CSRC.glob(pattern) if "tests" not in p.relative_to(CSRC).parts)


def room_of(path):
    return path.relative_to(CSRC).parts[0]


@nm
def test_extension_exports_its_init_only():
    assert symbols(_core.__file__, "-D") == {"PyInit__core"}


@nm
def test_library_exports_exactly_what_its_headers_declare():
    folder = Path(_core.__file__).parent
    found = [p for p in (folder / "libsimgraft.so", folder / "lib" / "libsimgraft.so") if p.exists()]
    if not found:
        pytest.skip("libsimgraft is not built")
    headers = "".join(code(p) for p in CSRC.glob("include/simgraft/*.h"))
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", headers, flags=re.M)  # no preprocessor lines
    declared = set(re.findall(r"SG_API\b[^;{}()]*?\b(\w+)\s*\(", text))
    assert declared and all(name.startswith("sg_") for name in declared)
    assert symbols(found[0], "-D") == declared


@nm
def test_every_symbol_of_the_core_starts_with_sg():
    built = ROOT.glob("build*/**/libsimgraft_core.a")
    archives = sorted(a for a in built if a.parent.name not in ("asan", "tsan"))  # sanitizers add symbols of their own
    if not archives:
        pytest.skip("no build folder with the static core")
    assert [s for s in symbols(archives[0], "-g") if not s.startswith("sg_")] == []


@pytest.mark.parametrize("path", sources("*/*.[ch]", "include/simgraft/*.h"), ids=lambda p: str(p.relative_to(CSRC)))
def test_room_includes_only_what_it_stands_on(path):
    room = room_of(path)
    for header in re.findall(r'^\s*#\s*include\s+"([^"]+)"', path.read_text(), re.M):
        target = header.split("/")[0] if "/" in header else room
        assert target in ARROWS[room] | {room, "simgraft"}, f"{room} includes {header}"


@pytest.mark.parametrize("path", sources("*/*.[ch]", "include/simgraft/*.h"), ids=lambda p: str(p.relative_to(CSRC)))
def test_only_bindings_know_python(path):
    if room_of(path) != "bindings":
        assert not re.search(r"#\s*include\s+[<\"](Python\.h|numpy/)", path.read_text())


NOT_IN_KERNELS = r"\b(sg_)?(malloc|calloc|realloc|free|alloc|aligned_alloc|alloca|f?printf|puts|fopen|fread|fwrite|exit|abort|assert|getenv)\s*\("


@pytest.mark.parametrize("path", sources("*/*.hot.c"), ids=lambda p: str(p.relative_to(CSRC)))
def test_kernels_allocate_print_and_exit_nowhere(path):
    found = re.search(NOT_IN_KERNELS, code(path))
    assert not found, found.group(0)
    assert not re.search(r"\berrno\b", code(path))


@pytest.mark.parametrize("path", sources("*/*.c"), ids=lambda p: str(p.relative_to(CSRC)))
def test_core_never_prints_or_ends_the_process(path):
    found = re.search(r"\b(printf|fprintf|puts|perror|exit|_exit|quick_exit|abort|assert|signal|sigaction)\s*\(", code(path))
    assert not found, found.group(0)


@pytest.mark.parametrize("path", sources("*/*.[ch]", "include/simgraft/*.h"), ids=lambda p: str(p.relative_to(CSRC)))
def test_file_names_its_licence(path):
    assert "SPDX-License-Identifier: BSD-3-Clause" in path.read_text().splitlines()[0]


def imports(path):
    """(module, is at top level) of every import, relative ones made absolute."""
    package = ["simgraft", *path.relative_to(PACKAGE).parts[:-1]]
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node in tree.body
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            for alias in node.names:
                yield f"{module}.{alias.name}", node in tree.body


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_fields_do_not_import_each_other_and_the_workshop_no_field(path):
    own = path.relative_to(PACKAGE).parts[0]
    for module, top_level in imports(path):
        parts = module.split(".")
        if len(parts) > 1 and parts[0] == "simgraft" and parts[1] in FIELDS and parts[1] != own:
            assert own not in FIELDS, f"field {own} imports {module}"
            assert own == "__init__.py" or not top_level, f"{own} imports {module}"
