"""docs/adding-an-operator.md, followed to the letter on a copy of the sources."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adding-an-operator.md").read_text(encoding="utf-8")

# A copy is compiled: half a minute on two cores, without the kernels for x86 instruction sets and without optimisation.
pytestmark = [
    pytest.mark.no_asan,
    pytest.mark.skipif(shutil.which("cmake") is None, reason="needs cmake"),
    pytest.mark.skipif(not (ROOT / "csrc" / "nn" / "ops.h").is_file(), reason="needs the sources"),
]


def blocks(language):
    """(file named right before, text) of all blocks of a language."""
    return re.findall(rf"(?:`([\w./]+)`:\n\n)?```{language}\n(.*?)```", PAGE, flags=re.S)


def apply(diff, path):
    """Puts the lines with + behind the line of context before them."""
    text, at = path.read_text(), 0
    for line in diff.splitlines(keepends=True):
        if line.startswith("+"):
            text = text[:at] + line[1:] + text[at:]
            at += len(line) - 1
        else:
            assert text.count(line[1:]) == 1, f"{path.name} has no line {line[1:]!r}"
            at = text.index(line[1:]) + len(line) - 1
    path.write_text(text)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """The sources with the operator of the page, built in place."""
    copy = tmp_path_factory.mktemp("tree")
    shutil.copy(ROOT / "CMakeLists.txt", copy)
    shutil.copytree(ROOT / "csrc", copy / "csrc")
    shutil.copytree(ROOT / "tools", copy / "tools")
    shutil.copytree(ROOT / "docs", copy / "docs")
    shutil.copytree(ROOT / "tests" / "nn", copy / "tests" / "nn", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "python", copy / "python", ignore=shutil.ignore_patterns("*.so", "*.so.*", "__pycache__"))
    # The finder of an editable install comes before PYTHONPATH: take it out, in child processes too.
    (copy / "python" / "sitecustomize.py").write_text(
        'import sys\n\nsys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable_")]\n')
    for name, text in blocks("diff"):
        apply(text, copy / name)
    for name, text in blocks("c"):
        assert not (copy / name).exists()
        (copy / name).write_text(text)
    ninja = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", "-S", copy, "-B", copy / "build", *ninja, "-DSG_IN_PLACE=ON", "-DSG_PORTABLE=ON", "-DSG_WERROR=ON",
                 "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS_DEBUG=-O0", f"-DPython_EXECUTABLE={sys.executable}"]
    build = ["cmake", "--build", copy / "build", "--target", "_core", "--parallel", str(os.cpu_count() or 1)]
    for command in (configure, build):
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    return copy


def python(tree, *arguments):
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "SIMGRAFT_ISA")}
    environment |= {"PYTHONPATH": str(tree / "python")}
    return subprocess.run([sys.executable, *arguments], cwd=tree, env=environment, capture_output=True, text=True)


def test_the_copy_is_what_is_tested(tree):
    run = python(tree, "-c", "import simgraft._core as c; print(c.__file__, c.isa_best())")
    assert run.stdout.startswith(str(tree)) and run.stdout.split()[1] == "portable", run.stdout + run.stderr


def test_the_new_layer_passes_the_checks_of_the_table(tree):
    """All of the table-driven tests that do not switch to instruction sets this build leaves out."""
    run = python(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "tests/nn/test_ops.py",
                 "-k", "quadratic and not avx and not v2")
    assert run.returncode == 0, run.stdout[-4000:]
    assert re.search(r"\b([6-9]|\d\d+) passed", run.stdout), run.stdout


def test_a_wrong_sign_in_its_kernel_is_noticed(tree):
    """As the page proposes at its end."""
    path = tree / "csrc" / "nn" / "op_quadratic.hot.c"
    text = path.read_text()
    path.write_text(text.replace("return vr_fma(vr_add(curvature, curvature), e,", "return vr_fnma(vr_add(curvature, curvature), e,"))
    assert path.read_text() != text
    try:
        subprocess.run(["cmake", "--build", tree / "build", "--target", "_core"], check=True, capture_output=True)
        run = python(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "tests/nn/test_ops.py",
                     "-k", "quadratic and gradients_of")
    finally:
        path.write_text(text)
        subprocess.run(["cmake", "--build", tree / "build", "--target", "_core"], check=True, capture_output=True)
    assert run.returncode == 1 and " failed" in run.stdout, run.stdout[-2000:]


def test_the_new_layer_is_in_python_and_on_the_page_of_layers(tree):
    (_, code), = blocks("python")
    run = python(tree, "-c", code)
    assert run.returncode == 0, run.stderr
    run = python(tree, "tools/layers_page.py")
    assert run.returncode == 0, run.stderr
    assert "## Quadratic\n\nx + curvature (x - center)^2" in (tree / "docs" / "layers.md").read_text()


def test_commands_of_the_page_name_what_exists():
    for path in re.findall(r"(?:tools|tests|docs|csrc)/[\w./-]+", PAGE):
        assert (ROOT / path.rstrip(".")).exists() or "quadratic" in path, path
