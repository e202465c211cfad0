"""docs/layers.md is what the operator table says."""

import runpy
from pathlib import Path

import pytest

from simgraft import _core, nn

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")
OPS = {op["name"]: op for op in _core.nn_ops() if op["name"] != "input"}


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(ROOT / "tools" / "layers_page.py"))


def test_page_is_up_to_date(tool):
    assert PAGE == tool["page"](), "run python tools/layers_page.py"


@pytest.mark.parametrize("name", OPS)
def test_every_operator_is_on_the_page_with_its_attributes(name, tool):
    title = next(title for title, layer in nn.LAYERS.items() if layer._op == name)
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    assert OPS[name]["doc"] in section
    for attribute in OPS[name]["attributes"]:
        assert f"| `{attribute['name']}` |" in section
        assert attribute["doc"].replace("|", "\\|").replace("\n", " ") in section
        for choice in attribute["choices"] or ():
            assert f"`{choice}`" in section
    assert f"For example `nn.{title}(" in section


@pytest.mark.parametrize("name", OPS)
def test_every_text_of_the_table_is_a_text(name):
    op = OPS[name]
    assert op["doc"][-1] in ".:)" and len(op["doc"]) > 20
    for attribute in op["attributes"]:
        assert attribute["doc"] and not attribute["doc"].endswith(".")  # the docstring adds it


@pytest.mark.parametrize("title", [title for title, layer in nn.LAYERS.items() if layer.__module__ == "simgraft.nn"])
def test_docstring_of_a_layer_from_the_table_follows_numpydoc(title):
    name = nn.LAYERS[title]._op
    lines = nn.LAYERS[title].__doc__.splitlines()
    assert lines[0] and not lines[0].startswith(" ")
    heads = [line for line, below in zip(lines, lines[1:]) if below and set(below) == {"-"} and len(below) == len(line)]
    assert heads == (["Parameters"] if OPS[name]["attributes"] else []) + ["Examples"]
    for attribute in OPS[name]["attributes"]:
        at = next(i for i, line in enumerate(lines) if line.startswith(f"{attribute['name']} : "))
        assert lines[at + 1].startswith("    ") and lines[at + 1].endswith(".")


def test_every_activation_is_on_the_page_with_its_formula():
    for name, _, formula, *_ in _core.activations():
        assert any(line.startswith(f"| `{name}` | ") and formula.split("|")[0] in line for line in PAGE.splitlines())
