"""Writes docs/layers.md, the page of all layers, from the operator table of the C core."""

from pathlib import Path

from simgraft import _core, nn
from simgraft.nn import layers

PAGE = Path(__file__).resolve().parents[1] / "docs" / "layers.md"
NO_LIMIT = (1 << 26, 1e300)  # integers and reals that only guard against nonsense

HEAD = """# Layers

Made from the operator table by `python tools/layers_page.py`; do not edit. [Adding an operator](adding-an-operator.md) tells how to add one.

Every layer is a class of `simgraft.nn`. It is called on values that `nn.Input` or other layers have made:
`y = nn.Dense(64, "tanh")(x)`. Shapes are those of one row (sample), channels last.

"""


def _number(value):
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


def _range(attribute):
    if attribute["type"] == "choice":
        return ", ".join(f"`{c}`" for c in attribute["choices"])
    low, high = attribute["low"], attribute["high"]
    limit = NO_LIMIT[0] if attribute["type"] in ("int", "ints") else NO_LIMIT[1]
    below, above = -low >= limit, high >= limit
    if below and above:
        return "any"
    return f"<= {_number(high)}" if below else f">= {_number(low)}" if above else f"{_number(low)} to {_number(high)}"


def _default(attribute):
    value = attribute["default"]
    if value is None:
        return "" if attribute["type"] == "float" else "**required**"
    if isinstance(value, tuple):
        return " x ".join(_number(v) for v in value)
    return f"`{value}`" if isinstance(value, str) else _number(value)


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def _case(entry):
    """A small graph that holds the operator alone."""
    if entry["has_example"]:
        shapes, attributes = _core.nn_op_example(entry["name"], 1)
    else:
        shapes = [(3,)] * entry["min_inputs"]
        attributes = {a["name"]: 2 for a in entry["attributes"] if a["default"] is None and a["type"] != "float"}
    nodes = [("input", (), {"shape": shape}) for shape in shapes]
    attributes = {name: value for name, value in attributes.items() if value is not None}
    return _core.Graph([*nodes, (entry["name"], tuple(range(len(nodes))), attributes)]), shapes, attributes


def _shape(shape):
    return "(" + ", ".join(map(str, shape)) + ")"


def _example(entry, title):
    graph, shapes, attributes = _case(entry)
    node = graph.nodes()[-1]
    call = f"nn.{title}({', '.join(f'{name}={value!r}' for name, value in attributes.items())})"
    call = getattr(nn.LAYERS[title], "_shown", call)  # layers that take arrays say themselves how they are made
    text = f"For example `{call}`: {', '.join(map(_shape, shapes))} -> {_shape(node['shape'])}"
    kinds = {"trained": "", "constant": ", constant", "statistic": ", running statistic"}
    parameters = [f"{name} {_shape(shape)}{kinds[kind]}" for (name, _, shape), kind in zip(node["parameters"], node["kinds"])]
    if parameters:
        text += f"; parameters {', '.join(parameters)}"
    return f"{text}; {node['flops']:,.0f} operations a row.\n"


def section(entry):
    """The part of the page about one operator."""
    title = layers._title(entry["name"])
    n, most = entry["min_inputs"], entry["max_inputs"]
    lines = [f"## {title}\n", entry["doc"] + "\n"]
    inputs = f"{n} input" + ("s" if n != 1 else "") if n == most else f"{n} to {most} inputs"
    facts = [inputs]
    masks = [str(i + 1) for i in range(most) if entry["no_gradient_inputs"] >> i & 1]
    if masks:
        facts.append(f"no gradient for input {' and '.join(masks)}")
    if entry["random"]:
        facts.append("draws random numbers in training")
    if entry["couples_rows"]:
        facts.append("in training the rows of a batch depend on each other")
    lines.append(f"{'; '.join(facts)}.\n")
    if entry["attributes"]:
        lines += ["| attribute | default | allowed | |", "|---|---|---|---|"]
        lines += [f"| `{a['name']}` | {_default(a)} | {_range(a)} | {_cell(a['doc'])} |" for a in entry["attributes"]]
        lines.append("")
    lines.append(_example(entry, title))
    return "\n".join(lines)


def activations():
    """The part about what `activation=` can be."""
    lines = ["## Activations\n", "What the attribute `activation` can be.\n", "| name | function | default of `parameter` |", "|---|---|---|"]
    for name, parameter, formula, *_ in _core.activations():
        lines.append(f"| `{name}` | {_cell(formula)} | {_number(parameter) if parameter else ''} |")
    return "\n".join(lines) + "\n"


def page():
    """The whole page."""
    entries = [entry for entry in _core.nn_ops() if entry["name"] != "input"]
    index = " · ".join(f"[{t}](#{t.lower()})" for t in (layers._title(e["name"]) for e in entries))
    return HEAD + index + "\n\n" + "\n".join([activations(), *(section(entry) for entry in entries)])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
