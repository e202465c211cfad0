"""The report of a trial: one self-contained HTML file, and ``report.json`` beside it with the same numbers."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import os
from pathlib import Path


def encode_figure(figure):
    """PNG of a matplotlib figure as base64 text; closes the figure."""
    from matplotlib import pyplot

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    pyplot.close(figure)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def format_value(value):
    """How a number stands in a table: four significant digits, a dash for what was not measured."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        return f"{value:.4g}"
    return str(value)


def gate_table(trial):
    """The gates as an HTML table, for notebooks and for the report."""
    rows = "".join(
        f"<tr class='{'pass' if g.passed else 'fail'}'><td>{'pass' if g.passed else 'FAIL'}</td><td>{html.escape(g.name)}</td>"
        f"<td>{format_value(g.value)}</td><td>{html.escape(g.op)} {format_value(g.limit)}</td>"
        f"<td>{html.escape(g.unit)}</td><td>{format_value(g.floor)}</td></tr>"
        for g in trial.gates_
    )
    head = "<tr><th></th><th>gate</th><th>value</th><th>limit</th><th>unit</th><th>floor</th></tr>"
    return f"<table class='gates'>{head}{rows}</table>"


def _json_safe(value):
    """JSON has no NaN or infinity: they become null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {k: _json_safe(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_safe(v) for v in value]
    return value


def _replace(path, text):
    """Write beside and rename, so that a reader never sees half a report."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write(trial, path):
    """Write the report of ``trial`` to ``path`` (HTML) and ``report.json`` in the same folder.

    Parameters
    ----------
    trial : Trial
    path : path-like
        The HTML file; its folder is made if need be. The JSON file has the same stem.

    Raises
    ------
    ImportError
        If jinja2 is missing; says what to install.
    """
    try:
        import jinja2
    except ImportError as error:
        raise ImportError("reports need jinja2: pip install 'simgraft[report]'") from error
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    facts = _json_safe(trial.as_dict())
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters["number"] = format_value
    page = environment.get_template("report.html").render(
        trial=trial, facts=facts, gates=gate_table(trial), provenance=json.dumps(facts["provenance"], indent=2),
        n_passed=sum(g.passed for g in trial.gates_),
    )
    _replace(path, page)
    _replace(path.with_suffix(".json"), json.dumps(facts, indent=2) + "\n")
