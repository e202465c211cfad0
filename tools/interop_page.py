"""Writes the tables of docs/interop.md from the code and from the differences that the tests measure.

SIMGRAFT_INTEROP_DEVIATIONS=deviations.json python -m pytest tests/interop
python tools/interop_page.py deviations.json
"""

import json
import re
import sys
from pathlib import Path

from simgraft import interop
from simgraft.interop import c99, onnx_export
from simgraft.interop.torch_import import FUNCTIONS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "interop.md"


def tables(deviations):
    """Text of each table of the page by its name."""

    def figure(table, name):
        value = deviations.get(table, {}).get(name)
        return "" if value is None else "0" if value == 0 else f"{value:.1e}"

    def listed(table, title, supported):
        lines = [f"| {title} | what is read | largest difference |", "|---|---|---|"]
        return "\n".join(
            lines + [f"| `{name}` | {doc} | {figure(table, name)} |" for name, doc in supported.items()]
        )

    lines = ["| layer | ONNX | C, float | C, double |", "|---|---|---|---|"]
    for name in sorted({*c99.LAYERS, *onnx_export.LAYERS}):
        cells = (figure("onnx export", name), figure("c float32", name), figure("c float64", name))
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return {
        "onnx": listed("onnx", "operator", interop.supported_operators()),
        "torch": listed("torch", "layer", interop.supported_modules()),
        "functions": ", ".join(f"`{name}`" for name in sorted(FUNCTIONS)),
        "keras": listed("keras", "layer", interop.supported_layers()),
        "export": "\n".join(lines),
    }


def filled(text, found):
    """The page with its tables replaced."""
    for name, table in found.items():
        pattern = rf"(<!-- table {name} -->\n).*?(\n<!-- end -->)"
        if not re.search(pattern, text, flags=re.S):
            raise ValueError(f"{PAGE}: no place for the table {name}")
        text = re.sub(pattern, lambda m: m[1] + table + m[2], text, count=1, flags=re.S)
    return text


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        PAGE.write_text(filled(PAGE.read_text(), tables(json.load(file))))
