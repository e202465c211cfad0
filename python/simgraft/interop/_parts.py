"""What is exported: a surrogate or a bare network, taken apart."""

from dataclasses import dataclass

import numpy as np

from simgraft.encode import column_labels
from simgraft.nn.network import Network
from simgraft.surrogate import Surrogate

GATHER_COLUMN, GATHER_ANGLE, GATHER_ARGMAX = range(3)
STEPS = (
    "standardise",
    "affine",
    "log",
    "exp",
    "root",
    "power",
    "signed_log",
    "signed_exp",
    "sin",
    "cos",
    "one_hot",
    "present",
    "fill",
    "clip",
    "unmask",
    "curve",
    "uncurve",
    "knot",
)  # csrc/surrogate/encode.h
MAY_MISS, CATEGORY = 1, 2


@dataclass
class Program:
    """A map of columns: for each output column what it gathers and its steps (name, a, b)."""

    n_in: int
    columns: list  # of (gather, first, n, [(step, a, b), ...])

    @classmethod
    def of(cls, n_in, column, op, value):
        columns = []
        for gather, first, n, step, n_step in column.tolist():
            steps = [
                (STEPS[op[s]], float(value[s, 0]), float(value[s, 1])) for s in range(step, step + n_step)
            ]
            columns.append((gather, first, n, steps))
        return cls(n_in, columns)

    @property
    def is_identity(self):
        return self.n_in == len(self.columns) and all(
            c == (GATHER_COLUMN, j, 1, []) for j, c in enumerate(self.columns)
        )

    def runs(self):
        """Groups of neighbouring columns that run the same steps: lists of column numbers."""
        groups = []
        for j, column in enumerate(self.columns):
            if groups and self._alike(self.columns[groups[-1][-1]], column):
                groups[-1].append(j)
            else:
                groups.append([j])
        return groups

    @staticmethod
    def _alike(a, b):
        if a[0] != GATHER_COLUMN or b[0] != GATHER_COLUMN or len(a[3]) != len(b[3]):
            return False
        return all(
            p[0] == q[0] and (p[0] not in ("root", "power") or p[1] == q[1]) for p, q in zip(a[3], b[3])
        )


@dataclass
class Parts:
    """A function of physical rows."""

    network: Network
    encoder: Program | None  # None: a bare network
    decoder: Program | None
    inputs: list  # of dict: name, unit, low, high of each column (low, high may be infinite)
    outputs: list
    domain: dict | None
    kernel: object
    title: str

    @property
    def n_in(self):
        return len(self.inputs)

    @property
    def n_out(self):
        return len(self.outputs)


def parts_of(model):
    """Parts of a Surrogate or Network."""
    if isinstance(model, Network):
        _check_finite(model)
        return Parts(
            model,
            None,
            None,
            [{"name": f"x[{i}]", "unit": "1", "low": -np.inf, "high": np.inf} for i in range(model.n_in)],
            [{"name": f"y[{i}]", "unit": "1", "low": -np.inf, "high": np.inf} for i in range(model.n_out)],
            None,
            None,
            f"network {model.n_in} -> {model.n_out}, {model.n_parameters} parameters",
        )
    if not isinstance(model, Surrogate):
        raise TypeError(f"model: expected a simgraft.Surrogate or nn.Network, got {type(model).__name__}")
    model._fitted()
    kernel, network = model.kernel, model.network_
    _check_finite(network)
    encoder, decoder = model.encoder_.entries("e"), model.decoder_.entries("d", inverse=True)
    domain = model._domain
    return Parts(
        network,
        Program.of(kernel.n_in, encoder["e/column"], encoder["e/op"], encoder["e/value"]),
        Program.of(network.n_out, decoder["d/column"], decoder["d/op"], decoder["d/value"]),
        _variables(kernel.inputs, domain["low"], domain["high"]),
        _variables(kernel.outputs, None, None),
        domain,
        kernel,
        f"surrogate of {kernel.name} {kernel.version}".strip(),
    )


def _variables(variables, low, high):
    labels = column_labels(variables)
    found, at = [], 0
    for v in variables.values():
        for _ in range(v.size):
            ends = (-np.inf if v.low is None else v.low, np.inf if v.high is None else v.high)
            if low is not None:
                ends = float(low[at]), float(high[at])
            found.append(
                {"name": labels[at], "unit": v.unit, "low": ends[0], "high": ends[1], "scale": v.scale}
            )
            at += 1
    return found


def _check_finite(network):
    if not np.all(np.isfinite(network.parameters)):
        raise ValueError(
            f"model: parameter {int(np.argmin(np.isfinite(network.parameters)))} of its network is not finite"
        )


def nodes_with_parameters(network):
    """Nodes of the network as dicts, each with its arrays under "values"."""
    return [dict(node, values=dict(network._views(node))) for node in network._graph.nodes()]
