"""docs/interop.md says what the code does."""

import importlib.util
import re
from pathlib import Path

import pytest

from simgraft import interop

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "interop.md").read_text()


@pytest.fixture(scope="module")
def tables():
    spec = importlib.util.spec_from_file_location("interop_page", ROOT / "tools" / "interop_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.tables({})


def on_page(name):
    return re.search(rf"<!-- table {name} -->\n(.*?)\n<!-- end -->", PAGE, flags=re.S)[1]


def without_figures(table, n):
    """First n cells of every line."""
    return [line.split(" | ")[:n] for line in table.splitlines()]


@pytest.mark.parametrize(("name", "n"), [("onnx", 2), ("torch", 2), ("keras", 2), ("export", 1)])
def test_tables_list_what_the_code_supports(tables, name, n):
    page, code = without_figures(on_page(name), n), without_figures(tables[name], n)
    assert page == code, "run tools/interop_page.py"


def test_functions_are_those_of_the_code(tables):
    assert on_page("functions") == tables["functions"]


@pytest.mark.parametrize("name", ["onnx", "torch", "keras", "export"])
def test_every_line_has_its_figures_within_the_limits_of_the_tests(name):
    for line in on_page(name).splitlines()[2:]:
        for cell in line.strip("|").split("|")[2 if name != "export" else 1 :]:
            assert 0 <= float(cell) < 80 * 2.0**-23, line


def test_opsets_are_those_of_the_code():
    from simgraft.interop.onnx_export import OPSET
    from simgraft.interop.onnx_import import OPSETS

    assert f"Opsets {OPSETS[0]} to {OPSETS[1]} of the default domain" in PAGE
    assert f"**ONNX** (opset {OPSET};" in PAGE


@pytest.mark.parametrize("name", interop.__all__)
def test_every_public_name_is_documented(name):
    text = getattr(interop, name).__doc__
    assert text and (name == "UnsupportedError" or "Examples" in text)
