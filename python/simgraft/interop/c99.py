"""C99 source of surrogates and networks: one file for sites that take no library."""

import math
import os
import re
import textwrap
from pathlib import Path

import numpy as np

from simgraft import _core
from simgraft.interop._builder import UnsupportedError
from simgraft.interop._parts import (
    CATEGORY, GATHER_ANGLE, GATHER_ARGMAX, MAY_MISS, nodes_with_parameters, parts_of,
)  # fmt: skip

STACK_BYTES = 65536
"""Up to this size ``NAME_eval`` keeps its workspace on the stack."""

_KEYWORDS = set(
    """auto break case char const continue default do double else enum extern float for goto if inline int
    long register restrict return short signed sizeof static struct switch typedef union unsigned void
    volatile while main""".split()
)


def to_c(model, path=None, *, name=None, test_rows=8):
    """C99 source of a surrogate, encoder, decoder and domain check inside, or of a bare network.

    Parameters
    ----------
    model : Surrogate or nn.Network
    path : path-like, optional
        Where to write the source; its folder is made where it does not exist.
    name : str, optional
        Prefix of everything public, a C identifier; default: the kernel's name, or "network".
    test_rows : int, optional
        Rows of the self-test, with the outputs that simgraft computes.

    Returns
    -------
    str
        The source. The same model gives the same text.

    Raises
    ------
    UnsupportedError
        A ValueError, if a layer cannot be written; the message names node and layer.
    ValueError
        If ``name`` is no C identifier, or a parameter of the network is not finite.

    Notes
    -----
    The file needs libm only and compiles without a warning under ``-std=c99 -Wall -Wextra -Werror
    -pedantic``. It has no state: any thread may call it. ``cc -DNAME_SELF_TEST file.c -lm
            && ./a.out`` compares it with simgraft;
    ``#define NAME_DECLARE`` before including it gives the declarations alone. Numbers differ from simgraft's
    by the rounding of libm and of the compiler, which the self-test bounds.

    Examples
    --------
    >>> from simgraft import interop, nn
    >>> source = interop.to_c(nn.MLP([8], "tanh").build(3, 2, seed=1), name="flame")
    >>> "int flame_eval(const float *in, float *out);" in source
    True
    """
    parts = parts_of(model)
    if name is None:
        name = (
            re.sub(r"\W+", "_", parts.kernel.name, flags=re.ASCII).strip("_")
            if parts.kernel is not None
            else "network"
        )
        name = name or "surrogate"
        if name[0].isdigit() or name in _KEYWORDS:
            name = f"sg_{name}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, flags=re.ASCII) or name in _KEYWORDS:
        raise ValueError(f"name: expected a C identifier, got {name!r}")
    if not isinstance(test_rows, (int, np.integer)) or not 1 <= test_rows <= 1000:
        raise ValueError(f"test_rows: expected an integer in [1, 1000], got {test_rows!r}")
    text = _Source(parts, name).text(_test_data(model, parts, int(test_rows)))
    if path is not None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    return text


# -------------------------------------------------------------------------------------------------- test data


def _test_data(model, parts, n):
    """Inputs, outputs, and how far the C code may be off in each output column.

    The limit is 4 times the largest effect that rounding the network to float has in the column (the same
    rows through the network in double), plus 4 ulp per layer of the output in the network's precision: libm
    and the order of additions differ from ours by a few roundings, as float from double.
    """
    x = _finite_first(model, parts, _draw(parts, 8 * n))[:n]
    if parts.encoder is None:
        x = x.astype(parts.network.dtype)
        y = parts.network.predict(x)
        exact = parts.network.copy("float64").predict(x.astype(np.float64))
    else:
        y = model.evaluate(x, guard="off")
        z = np.empty((n, parts.network.n_in))
        z = model.encoder_.program_.run(x, z)
        raw = parts.network.copy("float64").predict(z)
        exact = model.decoder_.inverse_program_.run(raw, np.empty((n, parts.n_out)))
    small = np.finfo(parts.network.dtype).eps
    off = np.abs(np.asarray(y, np.float64) - exact)
    if parts.network.dtype == np.float64:  # there is no wider precision to compare with
        off = np.zeros_like(off)
    size = np.where(np.isfinite(y), np.abs(np.asarray(y, np.float64)), 0).max(axis=0)
    depth = sum(2 + math.log2(1 + math.prod(node["shape"])) for node in parts.network._graph.nodes())
    limit = 4 * np.where(np.isfinite(off), off, 0).max(axis=0) + 4 * depth * small * np.maximum(size, small)
    return x, y, limit


def _finite_first(model, parts, x):
    """The rows in another order: those whose outputs are all finite first (the margin of a box may reach
    beyond what a root or a logarithm takes)."""
    if parts.encoder is None:
        return x
    return x[np.argsort(~np.isfinite(model.evaluate(x, guard="off")).all(axis=1), kind="stable")]


def _draw(parts, n):
    """Rows inside the domain, the same for the same model."""
    rng = np.random.default_rng(20240229)
    x = np.empty((n, parts.n_in))
    flags = np.zeros(parts.n_in, np.uint8) if parts.domain is None else parts.domain["flags"]
    for j, column in enumerate(parts.inputs):
        low, high = column["low"], column["high"]
        u = rng.random(n)
        if math.isfinite(low) and math.isfinite(high):
            if column.get("scale") == "log" and low > 0:
                x[:, j] = np.clip(np.exp(np.log(low) + u * (np.log(high) - np.log(low))), low, high)
            else:
                x[:, j] = low + u * (high - low)
        elif math.isfinite(low) or math.isfinite(high):
            x[:, j] = low + 1 + u if math.isfinite(low) else high - 1 - u
        else:
            x[:, j] = np.exp(2 * u - 1) if column.get("scale") == "log" else 2 * u - 1
        if flags[j] & CATEGORY:
            x[:, j] = np.floor(x[:, j])
            x[:, j] = np.where(x[:, j] < low, np.ceil(low), x[:, j]) if math.isfinite(low) else x[:, j]
        if flags[j] & MAY_MISS:
            x[0, j] = parts.domain["missing"][j]
    return x


# ----------------------------------------------------------------------------------------------------- source


def _literal(value, dtype):
    """A number that reads back with the same bits."""
    value = float(value)
    if math.isnan(value):
        return "NAN"
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    single = np.dtype(dtype) == np.float32
    text = f"{value:.9g}" if single else f"{value:.17g}"
    if "e" not in text and "." not in text:
        text += ".0"
    return text + ("f" if single else "")


def _string(text):
    """A C string literal."""
    out = []
    for byte in str(text).encode():
        c = chr(byte)
        out.append(f"\\{byte:03o}" if c in '"\\?' or not 32 <= byte < 127 else c)
    return '"' + "".join(out) + '"'


def _heading(text):
    return f"/* {'-' * (100 - len(text))} {text} */\n"


def _listed(cells):
    """Elements of an initialiser, in lines."""
    lines, width = [[]], 0
    for cell in cells:
        if lines[-1] and width + len(cell) > 104:
            lines.append([])
            width = 0
        lines[-1].append(cell)
        width += len(cell) + 2
    return ",\n".join("    " + ", ".join(line) for line in lines)


def _comment(text):
    return str(text).replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")


class _Source:
    """Writes the file."""

    def __init__(self, parts, name):
        self.parts, self.name = parts, name
        self.dtype = parts.network.dtype
        self.real = "float" if self.dtype == np.float32 else "double"
        self.suffix = "f" if self.dtype == np.float32 else ""
        self.host = "double" if parts.encoder else self.real
        self.functions, self.arrays, self.body, self.known = {}, [], [], {}

    # ------------------------------------------------------------------------------------------------- pieces

    def n(self, value):
        """A literal of the network's type."""
        return _literal(value, self.dtype)

    def f(self, function):
        """A function of libm in the network's type."""
        return function + self.suffix

    def array(self, hint, values, dtype=None):
        """Name of a static array."""
        values = np.ascontiguousarray(values)
        dtype = np.dtype(values.dtype if dtype is None else dtype)
        key = (dtype.str, values.tobytes())
        if key not in self.known:
            self.known[key] = name = f"{self.name}_{hint}"
            kind = {"f4": "float", "f8": "double", "u1": "unsigned char"}.get(dtype.str[1:], "int")
            if dtype.kind == "f":
                cells = [_literal(v, dtype) for v in values.ravel().tolist()]
            else:
                cells = [str(int(v)) for v in values.ravel()]
            self.arrays.append(f"static const {kind} {name}[{values.size}] = {{\n{_listed(cells)}\n}};\n")
        return self.known[key]

    def function(self, key, text):
        """Places a static function once, after those it needs; returns its name, NAME_key.

        In text, NAME_ is the prefix of the file, REAL the network's type, F(f) libm's f of this type, N(c) a
        literal.
        """
        if key not in self.functions:
            self.functions[key] = self.filled(text)
        return f"{self.name}_{key}"

    def filled(self, text):
        text = textwrap.dedent(text).strip("\n") + "\n"
        text = re.sub(r"\bF\((\w+)\)", lambda m: self.f(m[1]), text)
        text = re.sub(r"\bN\(([-+.\deE]+)\)", lambda m: self.n(float(m[1])), text)
        return re.sub(r"\bREAL\b", self.real, re.sub(r"\bNAME_", f"{self.name}_", text))

    # ---------------------------------------------------------------------------------------------- programs

    def program(self, program, key, source, target):
        """Function void NAME_key(const double *x, TARGET *y) of a program."""
        lines = []
        for group, run in enumerate(program.runs()):
            columns = [program.columns[j] for j in run]
            gather, first, n, steps = columns[0]
            if gather == GATHER_ANGLE:
                start = f"{self.angle()}((double)x[{first}], (double)x[{first + 1}])"
            elif gather == GATHER_ARGMAX:
                function = self.function(
                    f"largest_{source}",
                    f"""
                    /* Index of the largest of n numbers, the first one of equals. */
                    static double NAME_largest_{source}(const {source} *x, int n)
                    {{
                        int best = 0, k;
                        for (k = 1; k < n; k++)
                            if (x[k] > x[best])
                                best = k;
                        return best;
                    }}
                    """,
                )
                start = f"{function}(x + {first}, {n})"
            else:
                start = None
            sources = [c[1] for c in columns]
            one = len(run) == 1
            at = str(sources[0]) if one else self._index(sources, f"{key}_source_{group}")
            body = [f"double v = {start or f'(double)x[{at}]'};"]
            for s, (step, a, b) in enumerate(steps):
                a, b = ([c[3][s][k] for c in columns] for k in (1, 2))
                body.append(self.step(step, a, b, f"{key}_{group}_{s}"))
            where = str(run[0]) if one else (f"{run[0]} + j" if run[0] else "j")
            if one and len(body) == 1 and start is None:
                lines.append(f"y[{where}] = ({target})x[{at}];")
                continue
            body.append(f"y[{where}] = ({target})v;")
            lines.append("{" if one else f"for (j = 0; j < {len(run)}; j++) {{")
            lines += [f"    {line}" for line in body] + ["}"]
        loops = any(line.startswith("for") for line in lines)
        text = [f"static void NAME_{key}(const {source} *x, {target} *y)", "{"]
        text += ["    int j;"] if loops else []
        self.function(key, "\n".join(text + [f"    {line}" for line in lines] + ["}"]))

    def _index(self, sources, hint):
        """Expression of the source of column j."""
        first = sources[0]
        if all(s == first for s in sources):
            return str(first)
        if sources == list(range(first, first + len(sources))):
            return f"{first} + j" if first else "j"
        return f"{self.array(hint, np.array(sources, np.int32))}[j]"

    def _parameter(self, values, hint):
        """Literal where all columns have the same number, else an element of an array."""
        same = all(v == values[0] or (math.isnan(v) and math.isnan(values[0])) for v in values)
        if same:
            text = _literal(values[0], np.float64)
            return f"({text})" if text.startswith("-") else text
        return f"{self.array(hint, np.array(values))}[j]"

    def step(self, name, a, b, hint):
        pa, pb = (lambda: self._parameter(a, f"{hint}_a")), (lambda: self._parameter(b, f"{hint}_b"))
        if name == "standardise":
            return f"v = (v - {pa()}) * {pb()};"
        if name == "affine":
            return f"v = {pa()} * v + {pb()};"
        if name in ("log", "exp"):
            return f"v = {name}(v);"
        if name == "root":
            n = int(a[0])
            if n & (n - 1):
                return f"v = pow(v, 1.0 / {n}.0);"
            return "v = " + "sqrt(" * (n.bit_length() - 1) + "v" + ")" * (n.bit_length() - 1) + ";"
        if name == "power":
            self.function(
                "power",
                """
                /* x^n by repeated squaring, n >= 1 */
                static double NAME_power(double x, int n)
                {
                    double y = 1.0;
                    for (; n > 0; n >>= 1) {
                        if (n & 1)
                            y *= x;
                        x *= x;
                    }
                    return y;
                }
                """,
            )
            return f"v = {self.name}_power(v, {int(a[0])});"
        if name == "signed_log":
            return f"v = copysign(log1p(fabs(v) / {pa()}), v);"
        if name == "signed_exp":
            return f"v = copysign({pa()} * expm1(fabs(v)), v);"
        if name in ("sin", "cos"):
            return f"v = {name}({pa()} * v);"
        if name == "one_hot":
            return f"v = v == {pa()} ? 1.0 : 0.0;"
        if name in ("present", "fill"):
            self.function(
                "missing",
                """
                /* Whether x is the value that stands for a missing one; NaN is NaN here. */
                static int NAME_missing(double x, double missing)
                {
                    return x == missing || (isnan(x) && isnan(missing));
                }
                """,
            )
            test = f"{self.name}_missing(v, {pa()})"
            return f"v = {test} ? 0.0 : 1.0;" if name == "present" else f"v = {test} ? {pb()} : v;"
        if name == "clip":
            tests = []
            if any(math.isfinite(v) for v in a):
                tests.append(f"v < {pa()} ? {pa()} : ")
            if any(math.isfinite(v) for v in b):
                tests.append(f"v > {pb()} ? {pb()} : ")
            return f"v = {''.join(tests)}v;"
        if name == "unmask":
            at = self._index([int(v) for v in b], f"{hint}_mask")
            return f"v = x[{at}] < 0.5 ? {pa()} : v;"
        raise UnsupportedError(f"encoder step {name}: cannot be written as C")

    def angle(self):
        return self.function(
            "angle",
            """
            /* Angle in [0, 2 pi) of a sine and a cosine. */
            static double NAME_angle(double s, double c)
            {
                const double circle = 6.2831853071795864769;
                double t = atan2(s, c);
                if (t < 0.0)
                    t += circle;
                return t < circle ? t : 0.0;
            }
            """,
        )

    # ----------------------------------------------------------------------------------------------- network

    def activation(self, attributes):
        """Name of the function of an activation; None for linear."""
        kind, parameter = attributes.get("activation", "linear"), attributes.get("parameter")
        if kind == "linear":
            return None
        if kind not in ACTIVATIONS:
            raise UnsupportedError(
                f"activation {kind}; supported are linear, {', '.join(sorted(ACTIVATIONS))}"
            )
        formula = ACTIVATIONS[kind]
        if "P" not in re.findall(r"\w+", formula):
            return self.function(kind, f"static REAL NAME_{kind}(REAL x) {{ return {formula}; }}")
        formula = re.sub(r"\bP\b", self.n(parameter), formula)
        for i in range(1000):  # one function for each parameter
            key = f"{kind}_{i}" if i else kind
            text = f"static REAL NAME_{key}(REAL x) {{ return {formula}; }}"
            if self.functions.get(key, self.filled(text)) == self.filled(text):
                return self.function(key, text)
        raise UnsupportedError(f"more than 1000 different parameters of {kind}")

    def activate(self, y, n, attributes):
        """Lines that send n elements of y through the activation."""
        function = self.activation(attributes)
        if function is None:
            return []
        return [f"for (i = 0; i < {n}; i++)", f"    {y}[i] = {function}({y}[i]);"]

    def network(self):
        """Writes the function of the network; returns the elements of its workspace."""
        nodes = nodes_with_parameters(self.parts.network)
        writers = []
        for i, node in enumerate(nodes):
            if node["op"] not in LAYERS and node["op"] != "input":
                supported = ", ".join(sorted(LAYERS))
                raise UnsupportedError(
                    f"node {i} ({node['op']}): layer not supported; supported are {supported}"
                )
            writers.append(LAYERS.get(node["op"]))
        places, size = _places(nodes)
        self.scratch_at, self.scratch_size = size, 0
        lines, at, last = [], 0, len(nodes) - 1
        shown = {}
        for i, node in enumerate(nodes):
            if node["op"] == "input":
                shown[i] = f"(x + {at})" if at else "x"
                at += math.prod(node["shape"])
                continue
            shown[i] = "y" if i == last else f"(w + {places[i]})" if places[i] else "w"
            node = dict(node, number=i, in_shapes=[tuple(nodes[j]["shape"]) for j in node["inputs"]])
            try:
                made = writers[i](self, node, [shown[j] for j in node["inputs"]], shown[i])
            except UnsupportedError as error:
                raise UnsupportedError(f"node {i} ({node['op']}): {error}") from None
            shape = " x ".join(map(str, node["shape"]))
            lines += [f"/* {i}: {node['op']}, {shape} */", *made]
        if last == 0:
            lines += [f"for (i = 0; i < {self.parts.network.n_in}; i++)", "    y[i] = x[i];"]
        text = [f"static void NAME_network(const {self.real} *x, {self.real} *y, {self.real} *w)", "{"]
        if any(re.search(r"\bi\b", re.sub(r"/\*.*?\*/", "", line)) for line in lines):
            text.append("    int i;")
        text += [f"    {line}" for line in lines]
        if not any(re.search(r"\bw\b", re.sub(r"/\*.*?\*/", "", line)) for line in lines):
            text.append("    (void)w;")
        self.function("network", "\n".join([*text, "}"]))
        return size + self.scratch_size

    def scratch(self, n):
        """Place of n elements that one layer needs for itself."""
        self.scratch_size = max(self.scratch_size, n)
        return f"(w + {self.scratch_at})" if self.scratch_at else "w"

    # ------------------------------------------------------------------------------------------------- domain

    def check(self):
        """Writes NAME_check; returns whether it needs the encoded row."""
        domain, n = self.parts.domain, self.parts.n_in
        low, high = (np.clip(domain[k], -np.finfo(float).max, np.finfo(float).max) for k in ("low", "high"))
        box = [self.array("low", low), self.array("high", high)]
        special = np.any(domain["flags"] != 0)
        lines = [
            f"static int NAME_box(const double *in)",
            "{",
            "    int j, flags = 0;",
            f"    for (j = 0; j < {n}; j++) {{",
        ]
        if np.any(domain["flags"] & MAY_MISS):
            self.step("present", [0.0], [0.0], "")
            flags = self.array("input_flags", domain["flags"].astype(np.uint8))
            missing = self.array("input_missing", np.asarray(domain["missing"], np.float64))
            lines += [
                f"        if (({flags}[j] & {MAY_MISS}) && NAME_missing(in[j], {missing}[j]))",
                "            continue;",
            ]
        lines += [
            "        if (!(fabs(in[j]) <= DBL_MAX))",
            "            flags |= 4;",
            f"        else if (!(in[j] >= {box[0]}[j] && in[j] <= {box[1]}[j]))",
            "            flags |= 1;",
        ]
        if special and np.any(domain["flags"] & CATEGORY):
            flags = self.array("input_flags", domain["flags"].astype(np.uint8))
            lines += [
                f"        else if (({flags}[j] & {CATEGORY}) && in[j] != floor(in[j]))",
                "            flags |= 1;",
            ]
        lines += ["    }", "    return flags;", "}"]
        self.function("box", "\n".join(lines))
        if domain["whitening"] is None or math.isinf(domain["max_distance"]):
            return False
        whitening = np.asarray(domain["whitening"], np.float64)
        n_enc, rank = whitening.shape
        mean = self.array("mean", np.asarray(domain["mean"], np.float64))
        matrix = self.array("whitening", np.ascontiguousarray(whitening.T))
        limit = _literal(float(domain["max_distance"]) ** 2, np.float64)
        self.function(
            "far",
            f"""
            /* Whether an encoded row is further from the training rows than any of them was (Mahalanobis
             * distance). */
            static int NAME_far(const REAL *encoded)
            {{
                double square = 0.0;
                int j, k;
                for (k = 0; k < {rank}; k++) {{
                    double z = 0.0;
                    for (j = 0; j < {n_enc}; j++)
                        z += {matrix}[k * {n_enc} + j] * ((double)encoded[j] - {mean}[j]);
                    square += z * z;
                }}
                return !(square <= {limit});
            }}
            """,
        )
        return True

    # --------------------------------------------------------------------------------------------------- file

    def text(self, test):
        parts, name, real, host = self.parts, self.name, self.real, self.host
        if parts.encoder:
            self.program(parts.encoder, "encode", "double", real)
        size = self.network()
        if parts.decoder:
            self.program(parts.decoder, "decode", real, "double")
        n_enc, n_raw = parts.network.n_in, parts.network.n_out
        total = size + (n_enc + n_raw if parts.encoder else 0)
        guarded = parts.domain is not None
        density = self.check() if guarded else False
        upper = name.upper()
        evaluate = [f"int {name}_eval_with(const {host} *in, {host} *out, {real} *workspace)", "{"]
        if not parts.encoder:
            evaluate += [f"    {name}_network(in, out, workspace);", "    return 0;", "}"]
        else:
            evaluate += [
                f"    {real} *encoded = workspace, *raw = workspace + {n_enc};",
                f"    int flags = {name}_box(in);",
                f"    {name}_encode(in, encoded);",
            ]
            if density:
                evaluate += ["    if (!(flags & 4))", f"        flags |= 2 * {name}_far(encoded);"]
            evaluate += [
                f"    {name}_network(encoded, raw, workspace + {n_enc + n_raw});",
                f"    {name}_decode(raw, out);",
                "    return flags;",
                "}",
            ]
        small = total * self.dtype.itemsize <= STACK_BYTES
        if small:
            evaluate += [
                "",
                f"int {name}_eval(const {host} *in, {host} *out)",
                "{",
                f"    {real} workspace[{max(total, 1)}];",
                f"    return {name}_eval_with(in, out, workspace);",
                "}",
            ]
        sections = [
            self.header(total, small, guarded, density),
            self.declarations(total, small),
            f"#ifndef {upper}_DECLARE\n\n#include <float.h>\n#include <math.h>\n",
            self.tables(),
            _heading("parameters"),
            "\n".join(self.arrays),
            _heading("functions"),
            "\n".join(self.functions.values()),
            "\n".join(evaluate) + "\n",
            self.self_test(test, total, small, guarded),
            f"#endif /* {upper}_DECLARE */\n",
        ]
        return "\n".join(sections)

    def header(self, total, small, guarded, density):
        parts, name, host = self.parts, self.name, self.host
        lines = [
            f"{name}: {_comment(parts.title)}. Written by simgraft {_core.__version__}; do not edit.",
            "",
        ]
        lines += [
            f"C99, needs libm only; any thread may call it. The network computes in {self.real}, "
            f"{parts.network.n_parameters} parameters, {parts.network.flops:.0f} operations a row.",
            "",
        ]
        if small:
            lines.append(f"    int {name}_eval(const {host} *in, {host} *out);")
        else:
            lines.append(
                f"    static {self.real} workspace[{name.upper()}_WORKSPACE];      (one for each thread)"
            )
            lines.append(f"    int {name}_eval_with(const {host} *in, {host} *out, {self.real} *workspace);")
        lines.append("")
        if parts.encoder:
            meaning = "1 an input outside its range" + (
                ", 2 inputs together far from the training data" if density else ""
            )
            lines += [
                f"evaluates one row of {parts.n_in} inputs to {parts.n_out} outputs and returns 0, or a sum "
                f"of {meaning}, "
                "4 an input NaN or infinite. The outputs are computed in any case.",
                "",
            ]
        else:
            lines += [f"evaluates one row of {parts.n_in} numbers to {parts.n_out} and returns 0.", ""]
        if parts.encoder:
            for title, columns in (("inputs", parts.inputs), ("outputs", parts.outputs)):
                lines.append(f"{title}:")
                for j, c in enumerate(columns):
                    limits = ""
                    if math.isfinite(c["low"]) or math.isfinite(c["high"]):
                        limits = f", {c['low']:g} to {c['high']:g}"
                    lines.append(f"    [{j}] {_comment(c['name'])} [{_comment(c['unit'])}]{limits}")
                    if j == 99 and len(columns) > 101:
                        lines.append(f"    ... {len(columns) - 100} more")
                        break
            lines.append("")
        lines += [
            f"Declarations alone: #define {name.upper()}_DECLARE before #include of this file.",
            f"Self-test: cc -std=c99 -D{name.upper()}_SELF_TEST FILE -lm && ./a.out",
        ]
        wrapped = []
        for line in lines:
            wrapped += (
                [line]
                if line.startswith("    ") or not line
                else textwrap.wrap(line, 106, break_long_words=False)
            )
        return "/* " + "\n * ".join(wrapped).replace(" * \n", " *\n") + "\n */\n"

    def declarations(self, total, small):
        name, host, upper = self.name, self.host, self.name.upper()
        lines = [
            f"#ifndef {upper}_H",
            f"#define {upper}_H",
            "",
            f"#define {upper}_N_IN {self.parts.n_in}",
            f"#define {upper}_N_OUT {self.parts.n_out}",
            f"#define {upper}_WORKSPACE {max(total, 1)} /* elements of {self.real} */",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
        ]
        if small:
            lines += [
                f"/* in ({upper}_N_IN), out ({upper}_N_OUT); the workspace is on the stack. */",
                f"int {name}_eval(const {host} *in, {host} *out);",
                "",
            ]
        lines += [
            f"/* The same with a workspace ({upper}_WORKSPACE) of the caller, one for each thread. */",
            f"int {name}_eval_with(const {host} *in, {host} *out, {self.real} *workspace);",
            "",
        ]
        if self.parts.encoder:
            lines += [
                *(
                    f"extern const char *const {name}_input_{what}[{upper}_N_IN];"
                    for what in ("name", "unit")
                ),
                *(
                    f"extern const char *const {name}_output_{what}[{upper}_N_OUT];"
                    for what in ("name", "unit")
                ),
                "",
            ]
        lines += ["#ifdef __cplusplus", "}", "#endif", "", f"#endif /* {upper}_H */", ""]
        return "\n".join(lines)

    def tables(self):
        if not self.parts.encoder:
            return ""
        lines = []
        for side, columns in (("input", self.parts.inputs), ("output", self.parts.outputs)):
            for what in ("name", "unit"):
                cells = _listed([_string(c[what]) for c in columns])
                lines.append(
                    f"const char *const {self.name}_{side}_{what}[{len(columns)}] = {{\n{cells}\n}};"
                )
        return "\n".join(lines) + "\n"

    def self_test(self, test, total, small, guarded):
        x, y, limit = test
        name, host, upper = self.name, self.host, self.name.upper()
        kept, self.arrays, self.known = self.arrays, [], {}
        kind = np.float64 if host == "double" else np.float32
        given, wanted = self.array("test_in", x.astype(kind)), self.array("test_out", y.astype(kind))
        tolerance = self.array("test_limit", limit.astype(np.float64))
        data, self.arrays = "\n".join(self.arrays), kept
        n_rows, n, m = len(x), x.shape[1], y.shape[1]
        call = f"{name}_eval(in, out)" if small else f"{name}_eval_with(in, out, workspace)"
        workspace = "" if small else f"static {self.real} workspace[{upper}_WORKSPACE];\n        "
        main = f"""
            /* Compares with what simgraft computes. */
            int main(void)
            {{
                static {host} out[{m}];
                {workspace.replace("        ", " " * 16)}double worst = 0.0;
                int row, j, n_wrong = 0;
                for (row = 0; row < {n_rows}; row++) {{
                    const {host} *in = {given} + row * {n};
                    const int flags = {call};
                    for (j = 0; j < {m}; j++) {{
                        const double truth = (double){wanted}[row * {m} + j], limit = {tolerance}[j];
                        double off = fabs((double)out[j] - truth);
                        if (isnan((double)out[j]) && isnan(truth))
                            off = 0.0;
                        if (off / limit > worst)
                            worst = off / limit;
                        if (!(off <= limit)) {{
                            n_wrong++;
                            printf("row %d output %d: %.17g, expected %.17g, allowed difference %.3g\\n",
                                   row, j, (double)out[j], truth, limit);
                        }}
                    }}
                    if (flags & ~2) {{
                        n_wrong++;
                        printf("row %d: flags %d, expected a row inside\\n", row, flags);
                    }}
                }}
                printf("%s: %d wrong of %d outputs, largest difference %.3g of what is allowed\\n",
                       "{name}", n_wrong, {n_rows * m}, worst);
                return n_wrong != 0;
            }}
            """
        return "\n".join(
            [
                f"#ifdef {upper}_SELF_TEST",
                "",
                "#include <stdio.h>",
                "",
                data,
                textwrap.dedent(main).strip("\n"),
                "",
                f"#endif /* {upper}_SELF_TEST */",
                "",
            ]
        )


def _places(nodes):
    """Where each value lies in the workspace, and its size: values share memory as soon as they are used
    up."""
    last_use = {}
    for i, node in enumerate(nodes):
        for j in node["inputs"]:
            last_use[j] = i
    free, live, size, places = [], [], 0, {}
    for i, node in enumerate(nodes):
        if node["op"] == "input" or i == len(nodes) - 1:
            places[i] = 0
        else:
            n = math.prod(node["shape"])
            busy = sorted((places[j], places[j] + math.prod(nodes[j]["shape"])) for j in live)
            at = 0
            for start, stop in busy:
                if start - at >= n:
                    break
                at = max(at, stop)
            places[i] = at
            size = max(size, at + n)
            live.append(i)
        live = [j for j in live if last_use.get(j, -1) > i]
    return places, size


# ------------------------------------------------------------------------------------------------ activations

# Formulas of x, in the type of the network: F(f) is libm's f, N(c) a number, P the parameter.
ACTIVATIONS = {
    "relu": "x < N(0) ? N(0) : x",
    "leaky_relu": "x > N(0) ? x : P * x",
    "elu": "x > N(0) ? x : P * F(expm1)(x)",
    "softsign": "x / (N(1) + F(fabs)(x))",
    "tanh": "F(tanh)(x)",
    "sigmoid": "N(1) / (N(1) + F(exp)(-x))",
    "swish": "x / (N(1) + F(exp)(-x))",
    "gelu": "N(0.5) * x * F(erfc)(x * N(-0.70710678118654752440))",
    "softplus": "(x > N(0) ? x : N(0)) + F(log1p)(F(exp)(-F(fabs)(x)))",
}


# ----------------------------------------------------------------------------------------------------- layers

LAYERS = {}


def _layer(*names):
    def register(function):
        LAYERS.update((name, function) for name in names)
        return function

    return register


def _add_product(g):
    return g.function(
        "add_product",
        """
        /* y += x W, in the order of x, four of them at a time; weight (n_in, n_out) */
        static void NAME_add_product(int n_in, int n_out, const REAL *x, const REAL *weight, REAL *restrict y)
        {
            int k, j;
            for (k = 0; k + 4 <= n_in; k += 4, weight += 4L * n_out) {
                const REAL a = x[k], b = x[k + 1], c = x[k + 2], d = x[k + 3];
                for (j = 0; j < n_out; j++) {
                    REAL s = y[j] + a * weight[j];
                    s += b * weight[n_out + j];
                    s += c * weight[2L * n_out + j];
                    y[j] = s + d * weight[3L * n_out + j];
                }
            }
            for (; k < n_in; k++, weight += n_out)
                for (j = 0; j < n_out; j++)
                    y[j] += x[k] * weight[j];
        }
        """,
    )


@_layer("dense")
def _dense(g, node, inputs, y):
    n_in, n_out = node["in_shapes"][0][-1], node["shape"][-1]
    n = math.prod(node["shape"]) // n_out
    add = _add_product(g)
    function = g.function(
        "dense",
        f"""
        /* y = x W + b for n rows of n_in numbers; weight (n_in, n_out), bias (n_out) */
        static void NAME_dense(int n, int n_in, int n_out, const REAL *x, const REAL *weight,
                const REAL *bias, REAL *y)
        {{
            int r, j;
            for (r = 0; r < n; r++, x += n_in, y += n_out) {{
                for (j = 0; j < n_out; j++)
                    y[j] = bias[j];
                {add}(n_in, n_out, x, weight, y);
            }}
        }}
        """,
    )
    weight, bias = (g.array(f"{k}_{node['number']}", node["values"][k]) for k in ("weight", "bias"))
    return [
        f"{function}({n}, {n_in}, {n_out}, {inputs[0]}, {weight}, {bias}, {y});",
        *g.activate(y, math.prod(node["shape"]), node["attributes"]),
    ]


@_layer("activation")
def _activation(g, node, inputs, y):
    function = g.activation(node["attributes"]) or ""
    return [f"for (i = 0; i < {math.prod(node['shape'])}; i++)", f"    {y}[i] = {function}({inputs[0]}[i]);"]


@_layer("add")
def _add(g, node, inputs, y):
    return [
        f"for (i = 0; i < {math.prod(node['shape'])}; i++)",
        f"    {y}[i] = " + " + ".join(f"{x}[i]" for x in inputs) + ";",
    ]


@_layer("affine")
def _affine(g, node, inputs, y):
    n, size = node["shape"][-1], math.prod(node["shape"])
    scale, shift = (g.array(f"{k}_{node['number']}", node["values"][k]) for k in ("scale", "shift"))
    at = "i" if n == size else f"i % {n}"
    return [f"for (i = 0; i < {size}; i++)", f"    {y}[i] = {inputs[0]}[i] * {scale}[{at}] + {shift}[{at}];"]


def _copy(g):
    return g.function(
        "copy",
        """
        /* Copies n pieces of size numbers, which lie step_x apart in x and step_y in y. */
        static void NAME_copy(int n, int size, const REAL *x, int step_x, REAL *y, int step_y)
        {
            int k, j;
            for (k = 0; k < n; k++)
                for (j = 0; j < size; j++)
                    y[k * step_y + j] = x[k * step_x + j];
        }
        """,
    )


@_layer("concatenate")
def _concatenate(g, node, inputs, y):
    n_out, at, lines = node["shape"][-1], 0, []
    n = math.prod(node["shape"]) // n_out
    for x, shape in zip(inputs, node["in_shapes"]):
        to = f"{y} + {at}" if at else y
        lines.append(f"{_copy(g)}({n}, {shape[-1]}, {x}, {shape[-1]}, {to}, {n_out});")
        at += shape[-1]
    return lines


@_layer("slice")
def _slice(g, node, inputs, y):
    n_in, n_out, start = node["in_shapes"][0][-1], node["shape"][-1], node["attributes"]["start"]
    n = math.prod(node["shape"]) // n_out
    source = f"{inputs[0]} + {start}" if start else inputs[0]
    return [f"{_copy(g)}({n}, {n_out}, {source}, {n_in}, {y}, {n_out});"]


@_layer("multiply")
def _multiply(g, node, inputs, y):
    n, size = node["shape"][-1], math.prod(node["shape"])
    at = "i" if tuple(node["in_shapes"][1]) == tuple(node["shape"]) else f"i / {n}"
    return [f"for (i = 0; i < {size}; i++)", f"    {y}[i] = {inputs[0]}[i] * {inputs[1]}[{at}];"]


@_layer("reshape", "dropout")
def _same(g, node, inputs, y):
    return [f"for (i = 0; i < {math.prod(node['shape'])}; i++)", f"    {y}[i] = {inputs[0]}[i];"]


@_layer("permute")
def _permute(g, node, inputs, y):
    shape, axes = node["in_shapes"][0], node["attributes"]["axes"]
    order = np.arange(math.prod(shape)).reshape(shape).transpose(axes)
    steps = [math.prod(shape[a + 1 :]) for a in axes]
    sizes = [1] * (5 - len(axes)) + list(order.shape)
    steps = [0] * (5 - len(axes)) + steps
    function = g.function(
        "permute",
        """
        /* y = x with its dimensions in another order; d: 5 sizes of y, 5 steps in x */
        static void NAME_permute(const int *d, const REAL *x, REAL *y)
        {
            int a, b, c, e, f;
            for (a = 0; a < d[0]; a++)
                for (b = 0; b < d[1]; b++)
                    for (c = 0; c < d[2]; c++)
                        for (e = 0; e < d[3]; e++)
                            for (f = 0; f < d[4]; f++)
                                *y++ = x[a * d[5] + b * d[6] + c * d[7] + e * d[8] + f * d[9]];
        }
        """,
    )
    numbers = g.array(f"order_{node['number']}", np.array([*sizes, *steps], np.int32))
    return [f"{function}({numbers}, {inputs[0]}, {y});"]


@_layer("softmax")
def _softmax(g, node, inputs, y):
    function = g.function(
        "softmax",
        """
        /* y = exp(x) / sum exp(x) for n rows of m numbers */
        static void NAME_softmax(int n, int m, const REAL *x, REAL *y)
        {
            int r, j;
            for (r = 0; r < n; r++, x += m, y += m) {
                REAL high = x[0], sum = N(0);
                for (j = 1; j < m; j++)
                    high = x[j] > high ? x[j] : high;
                for (j = 0; j < m; j++) {
                    y[j] = F(exp)(x[j] - high);
                    sum += y[j];
                }
                for (j = 0; j < m; j++)
                    y[j] /= sum;
            }
        }
        """,
    )
    m = node["shape"][-1]
    return [f"{function}({math.prod(node['shape']) // m}, {m}, {inputs[0]}, {y});"]


@_layer("layer_norm")
def _layer_norm(g, node, inputs, y):
    function = g.function(
        "layer_norm",
        """
        /* y = (x - mean) / sqrt(variance + epsilon) scale + shift for n rows of m numbers */
        static void NAME_layer_norm(int n, int m, REAL epsilon, const REAL *x, const REAL *scale,
                const REAL *shift, REAL *y)
        {
            int r, j;
            for (r = 0; r < n; r++, x += m, y += m) {
                REAL mean = N(0), variance = N(0), factor;
                for (j = 0; j < m; j++)
                    mean += x[j];
                mean /= (REAL)m;
                for (j = 0; j < m; j++)
                    variance += (x[j] - mean) * (x[j] - mean);
                factor = N(1) / F(sqrt)(variance / (REAL)m + epsilon);
                for (j = 0; j < m; j++)
                    y[j] = (x[j] - mean) * factor * scale[j] + shift[j];
            }
        }
        """,
    )
    m = node["shape"][-1]
    scale, shift = (g.array(f"{k}_{node['number']}", node["values"][k]) for k in ("scale", "shift"))
    epsilon = g.n(node["attributes"]["epsilon"])
    return [
        f"{function}({math.prod(node['shape']) // m}, {m}, {epsilon}, {inputs[0]}, {scale}, {shift}, {y});"
    ]


@_layer("batch_norm")
def _batch_norm(g, node, inputs, y):
    values, n, size = node["values"], node["shape"][-1], math.prod(node["shape"])
    factor = values["scale"].astype(np.float64) / np.sqrt(
        values["variance"].astype(np.float64) + node["attributes"]["epsilon"]
    )
    factor = g.array(f"factor_{node['number']}", factor.astype(g.dtype))
    mean, shift = (g.array(f"{k}_{node['number']}", values[k]) for k in ("mean", "shift"))
    at = "i" if n == size else f"i % {n}"
    return [
        f"for (i = 0; i < {size}; i++)",
        f"    {y}[i] = ({inputs[0]}[i] - {mean}[{at}]) * {factor}[{at}] + {shift}[{at}];",
    ]


# ----------------------------------------------------------------------------------------------------- fields


def _each(value, rank, fill):
    """A list attribute with one number for each of three dimensions, the first ones ``fill``."""
    value = list(value) if isinstance(value, (tuple, list)) else [value]
    value = [int(v) for v in (value if len(value) == rank else value * rank)]
    return [fill] * (3 - rank) + value


def _window(node, kernel, stride, dilation, valid):
    """Numbers of a window that goes over a field, three each: sizes of the field and of the result, kernel,
    stride, dilation, positions read before the field."""
    rank = len(node["shape"]) - 1
    n_in, n_out = ([1] * (3 - rank) + list(s[:-1]) for s in (node["in_shapes"][0], node["shape"]))
    before = [
        0 if valid else max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) // 2
        for n, k, s, d in zip(n_in, kernel, stride, dilation)
    ]
    return np.array([*n_in, *n_out, *kernel, *stride, *dilation, *before], np.int32)


_AT = """
    /* Position i of a dimension of n positions, outside by mode 0: none (-1), 1: periodic, 2: nearest, 3:
     * reflected. */
    static int NAME_at(int i, int n, int mode)
    {
        if (i >= 0 && i < n)
            return i;
        if (mode == 1)
            return (i % n + n) % n;
        if (mode == 2)
            return i < 0 ? 0 : n - 1;
        if (mode == 3)
            return i < 0 ? -i : 2 * (n - 1) - i;
        return -1;
    }
    """


@_layer("conv")
def _conv(g, node, inputs, y):
    a, rank = node["attributes"], len(node["shape"]) - 1
    kernel, stride, dilation = (_each(a[k], rank, 1) for k in ("kernel", "stride", "dilation"))
    g.function("at", _AT)
    function = g.function(
        "conv",
        """
        /* Convolution with bias of a field (d[0], d[1], d[2], c) to (d[3], d[4], d[5], u); weight (d[6],
         * d[7], d[8], c / groups, u) */
        static void NAME_conv(const int *d, int c, int u, int groups, int mode, const REAL *x,
                const REAL *weight, const REAL *bias,
                              REAL *y)
        {
            const int gc = c / groups, gu = u / groups;
            int o0, o1, o2, k0, k1, k2, g, k, j;
            for (o0 = 0; o0 < d[3]; o0++)
                for (o1 = 0; o1 < d[4]; o1++)
                    for (o2 = 0; o2 < d[5]; o2++, y += u) {
                        const REAL *row = weight;
                        for (j = 0; j < u; j++)
                            y[j] = bias[j];
                        for (k0 = 0; k0 < d[6]; k0++)
                            for (k1 = 0; k1 < d[7]; k1++)
                                for (k2 = 0; k2 < d[8]; k2++, row += (long)gc * u) {
                                    const int i0 = NAME_at(o0 * d[9] - d[15] + k0 * d[12], d[0], mode);
                                    const int i1 = NAME_at(o1 * d[10] - d[16] + k1 * d[13], d[1], mode);
                                    const int i2 = NAME_at(o2 * d[11] - d[17] + k2 * d[14], d[2], mode);
                                    const REAL *from;
                                    if (i0 < 0 || i1 < 0 || i2 < 0)
                                        continue;
                                    from = x + (((long)i0 * d[1] + i1) * d[2] + i2) * c;
                                    for (g = 0; g < groups; g++)
                                        for (k = 0; k < gc; k++) {
                                            const REAL v = from[g * gc + k], *w = row + (long)k * u + g * gu;
                                            REAL *to = y + g * gu;
                                            for (j = 0; j < gu; j++)
                                                to[j] += v * w[j];
                                        }
                                }
                    }
        }
        """,
    )
    valid = a["padding"] == "valid"
    numbers = g.array(f"window_{node['number']}", _window(node, kernel, stride, dilation, valid))
    weight, bias = (g.array(f"{k}_{node['number']}", node["values"][k]) for k in ("weight", "bias"))
    mode = {"valid": 0, "same": 0, "periodic": 1, "replicate": 2}[a["padding"]]
    c, u = node["in_shapes"][0][-1], node["shape"][-1]
    return [
        f"{function}({numbers}, {c}, {u}, {a['groups']}, {mode}, {inputs[0]}, {weight}, {bias}, {y});",
        *g.activate(y, math.prod(node["shape"]), a),
    ]


@_layer("pad")
def _pad(g, node, inputs, y):
    a, rank = node["attributes"], len(node["shape"]) - 1
    if rank > 3:
        raise UnsupportedError("a field of more than three dimensions")
    g.function("at", _AT)
    function = g.function(
        "pad",
        """
        /* A field (d[0], d[1], d[2], c) with positions around it: (d[3], d[4], d[5], c), d[15] ... of them
         * before */
        static void NAME_pad(const int *d, int c, int mode, const REAL *x, REAL *y)
        {
            int o0, o1, o2, j;
            for (o0 = 0; o0 < d[3]; o0++)
                for (o1 = 0; o1 < d[4]; o1++)
                    for (o2 = 0; o2 < d[5]; o2++, y += c) {
                        const int i0 = NAME_at(o0 - d[15], d[0], mode), i1 = NAME_at(o1 - d[16], d[1], mode);
                        const int i2 = NAME_at(o2 - d[17], d[2], mode), inside = i0 >= 0 && i1 >= 0
                                && i2 >= 0;
                        for (j = 0; j < c; j++)
                            y[j] = inside ? x[(((long)i0 * d[1] + i1) * d[2] + i2) * c + j] : N(0);
                    }
        }
        """,
    )
    numbers = _window(node, [1] * 3, [1] * 3, [1] * 3, True)
    numbers[15:] = _each(a["before"], rank, 0)
    numbers = g.array(f"window_{node['number']}", numbers)
    mode = {"zero": 0, "periodic": 1, "replicate": 2, "reflect": 3}[a["mode"]]
    return [f"{function}({numbers}, {node['shape'][-1]}, {mode}, {inputs[0]}, {y});"]


@_layer("max_pool", "average_pool")
def _pool(g, node, inputs, y):
    a, rank, kind = node["attributes"], len(node["shape"]) - 1, node["op"].split("_")[0]
    size, stride = (_each(a[k], rank, 1) for k in ("size", "stride"))
    stride = [s or k for s, k in zip(stride, size)]
    update, end = (
        ("y[j] = from[j] > y[j] || !n ? from[j] : y[j];", "")
        if kind == "max"
        else ("y[j] = n ? y[j] + from[j] : from[j];", "for (j = 0; j < c; j++) y[j] /= (REAL)n;")
    )
    function = g.function(
        f"{kind}_pool",
        f"""
        /* Windows over a field (d[0], d[1], d[2], c); of the positions only those inside count */
        static void NAME_{kind}_pool(const int *d, int c, const REAL *x, REAL *y)
        {{
            int o0, o1, o2, k0, k1, k2, j;
            for (o0 = 0; o0 < d[3]; o0++)
                for (o1 = 0; o1 < d[4]; o1++)
                    for (o2 = 0; o2 < d[5]; o2++, y += c) {{
                        int n = 0;
                        for (k0 = 0; k0 < d[6]; k0++)
                            for (k1 = 0; k1 < d[7]; k1++)
                                for (k2 = 0; k2 < d[8]; k2++) {{
                                    const int i0 = o0 * d[9] - d[15] + k0, i1 = o1 * d[10] - d[16] + k1,
                                            i2 = o2 * d[11] - d[17] + k2;
                                    const REAL *from;
                                    if (i0 < 0 || i0 >= d[0] || i1 < 0 || i1 >= d[1] || i2 < 0 || i2 >= d[2])
                                        continue;
                                    from = x + (((long)i0 * d[1] + i1) * d[2] + i2) * c;
                                    for (j = 0; j < c; j++)
                                        {update}
                                    n++;
                                }}
                        {end}
                    }}
        }}
        """,
    )
    numbers = g.array(
        f"window_{node['number']}", _window(node, size, stride, [1] * 3, a["padding"] == "valid")
    )
    return [f"{function}({numbers}, {node['shape'][-1]}, {inputs[0]}, {y});"]


@_layer("global_pool")
def _global_pool(g, node, inputs, y):
    kind, c = node["attributes"]["kind"], node["shape"][-1]
    n = math.prod(node["in_shapes"][0]) // c
    update, end = (
        ("y[j] = x[j] > y[j] ? x[j] : y[j];", "")
        if kind == "max"
        else ("y[j] += x[j];", "for (j = 0; j < c; j++) y[j] /= (REAL)n;")
    )
    function = g.function(
        f"global_{kind}",
        f"""
        /* Over the n positions of a field (n, c) */
        static void NAME_global_{kind}(int n, int c, const REAL *x, REAL *y)
        {{
            int i, j;
            for (j = 0; j < c; j++)
                y[j] = x[j];
            for (i = 1, x += c; i < n; i++, x += c)
                for (j = 0; j < c; j++)
                    {update}
            {end}
        }}
        """,
    )
    return [f"{function}({n}, {c}, {inputs[0]}, {y});"]


@_layer("upsample")
def _upsample(g, node, inputs, y):
    a, rank = node["attributes"], len(node["shape"]) - 1
    factor, linear = _each(a["factor"], rank, 1), a["method"] == "linear"
    g.function(
        "between",
        """
        /* Positions low and high that output o of a dimension with n positions lies between; returns the
         * weight of high. */
        static REAL NAME_between(int o, int n, int factor, int linear, int *low, int *high)
        {
            const int cell = o / factor, offset = 2 * (o % factor) + 1 - factor;
            *low = *high = cell;
            if (!linear || offset == 0 || (offset < 0 && cell == 0) || (offset > 0 && cell == n - 1))
                return N(0);
            if (offset < 0) {
                *low = cell - 1;
                return N(1) + (REAL)offset / (REAL)(2 * factor);
            }
            *high = cell + 1;
            return (REAL)offset / (REAL)(2 * factor);
        }
        """,
    )
    function = g.function(
        "upsample",
        """
        /* A field (d[0], d[1], d[2], c) with d[6], d[7], d[8] times as many positions */
        static void NAME_upsample(const int *d, int c, int linear, const REAL *x, REAL *y)
        {
            int o0, o1, o2, k, j, low[3], high[3];
            REAL weight[3];
            for (o0 = 0; o0 < d[3]; o0++)
                for (o1 = 0; o1 < d[4]; o1++)
                    for (o2 = 0; o2 < d[5]; o2++, y += c) {
                        weight[0] = NAME_between(o0, d[0], d[6], linear, low, high);
                        weight[1] = NAME_between(o1, d[1], d[7], linear, low + 1, high + 1);
                        weight[2] = NAME_between(o2, d[2], d[8], linear, low + 2, high + 2);
                        for (j = 0; j < c; j++)
                            y[j] = N(0);
                        for (k = 0; k < 8; k++) {
                            const int i0 = k & 4 ? high[0] : low[0], i1 = k & 2 ? high[1] : low[1],
                                    i2 = k & 1 ? high[2] : low[2];
                            const REAL w = (k & 4 ? weight[0] : N(1) - weight[0]) *
                                           (k & 2 ? weight[1] : N(1) - weight[1]) *
                                           (k & 1 ? weight[2] : N(1) - weight[2]);
                            const REAL *from = x + (((long)i0 * d[1] + i1) * d[2] + i2) * c;
                            if (!(w > N(0)))
                                continue;
                            for (j = 0; j < c; j++)
                                y[j] += w * from[j];
                        }
                    }
        }
        """,
    )
    numbers = _window(node, [1] * 3, [1] * 3, [1] * 3, True)
    numbers[6:9] = factor
    numbers = g.array(f"window_{node['number']}", numbers)
    return [f"{function}({numbers}, {node['shape'][-1]}, {int(linear)}, {inputs[0]}, {y});"]


# ------------------------------------------------------------------------------------------------- recurrence


@_layer("lstm", "gru")
def _recurrent(g, node, inputs, y):
    a, kind = node["attributes"], node["op"]
    n, (steps, c) = a["units"], node["in_shapes"][0]
    sigmoid = g.activation({"activation": "sigmoid"})
    add = _add_product(g)
    if kind == "lstm":
        body = f"""
            /* Long short-term memory; gates i, f, g, o. whole: y has the state after every step, otherwise
             * the last one.
             * work (5 n) */
            static void NAME_lstm(int steps, int c, int n, int reverse, int whole, const REAL *x,
                    const REAL *weight,
                                  const REAL *recurrent, const REAL *bias, REAL *y, REAL *work)
            {{
                REAL *gate = work, *cell = work + 4 * n;
                const REAL *before = 0;
                int t, j;
                for (j = 0; j < n; j++)
                    cell[j] = N(0);
                for (t = 0; t < steps; t++) {{
                    const int at = reverse ? steps - 1 - t : t;
                    REAL *h = whole ? y + (long)at * n : y;
                    for (j = 0; j < 4 * n; j++)
                        gate[j] = bias[j];
                    {add}(c, 4 * n, x + (long)at * c, weight, gate);
                    if (before)
                        {add}(n, 4 * n, before, recurrent, gate);
                    for (j = 0; j < n; j++) {{
                        const REAL in = {sigmoid}(gate[j]) * F(tanh)(gate[2 * n + j]);
                        cell[j] = {sigmoid}(gate[n + j]) * cell[j] + in;
                        h[j] = {sigmoid}(gate[3 * n + j]) * F(tanh)(cell[j]);
                    }}
                    before = h;
                }}
            }}
            """
        names, work = ("weight", "recurrent_weight", "bias"), 5 * n
    else:
        body = f"""
            /* Gated recurrent unit; gates r, z, n. whole: y has the state after every step, otherwise the
             * last one.
             * work (6 n) */
            static void NAME_gru(int steps, int c, int n, int reverse, int whole, const REAL *x,
                    const REAL *weight,
                                 const REAL *recurrent, const REAL *bias, const REAL *recurrent_bias,
                                         REAL *y, REAL *work)
            {{
                REAL *gate = work, *back = work + 3 * n;
                const REAL *before = 0;
                int t, j;
                for (t = 0; t < steps; t++) {{
                    const int at = reverse ? steps - 1 - t : t;
                    REAL *h = whole ? y + (long)at * n : y;
                    for (j = 0; j < 3 * n; j++) {{
                        gate[j] = bias[j];
                        back[j] = recurrent_bias[j];
                    }}
                    {add}(c, 3 * n, x + (long)at * c, weight, gate);
                    if (before)
                        {add}(n, 3 * n, before, recurrent, back);
                    for (j = 0; j < n; j++) {{
                        const REAL r = {sigmoid}(gate[j] + back[j]), z = {sigmoid}(gate[n + j] + back[n + j]);
                        const REAL new_h = F(tanh)(gate[2 * n + j] + r * back[2 * n + j]);
                        h[j] = (N(1) - z) * new_h + (before ? z * before[j] : N(0));
                    }}
                    before = h;
                }}
            }}
            """
        names, work = ("weight", "recurrent_weight", "bias", "recurrent_bias"), 6 * n
    function = g.function(kind, body)
    arrays = ", ".join(g.array(f"{k}_{node['number']}", node["values"][k]) for k in names)
    whole = int(a["output"] == "sequence")
    return [
        f"{function}({steps}, {c}, {n}, {a['reverse']}, {whole}, {inputs[0]}, {arrays}, {y}, "
        f"{g.scratch(work)});"
    ]


# ------------------------------------------------------------------------------------------------ constraints


@_layer("positive")
def _positive(g, node, inputs, y):
    a, n = node["attributes"], math.prod(node["shape"])
    if a["function"] == "exp":
        function = g.f("exp")
    else:
        function = g.activation({"activation": a["function"]})
    floor = f" + {g.n(a['floor'])}" if a["floor"] else ""
    return [f"for (i = 0; i < {n}; i++)", f"    {y}[i] = {function}({inputs[0]}[i]){floor};"]


@_layer("bound")
def _bound(g, node, inputs, y):
    n, size, low, high = (
        node["shape"][-1],
        math.prod(node["shape"]),
        node["values"]["low"],
        node["values"]["high"],
    )
    sigmoid = g.activation({"activation": "sigmoid"})
    low, width = g.array(f"low_{node['number']}", low), g.array(f"width_{node['number']}", high - low)
    at = "i" if n == size else f"i % {n}"
    return [
        f"for (i = 0; i < {size}; i++)",
        f"    {y}[i] = {low}[{at}] + {width}[{at}] * {sigmoid}({inputs[0]}[i]);",
    ]


@_layer("simplex")
def _simplex(g, node, inputs, y):
    n, size = node["shape"][-1], math.prod(node["shape"])
    total = g.n(node["attributes"]["total"]) + (f" * {inputs[1]}[i / {n}]" if len(inputs) == 2 else "")
    return [*_softmax(g, node, inputs[:1], y), f"for (i = 0; i < {size}; i++)", f"    {y}[i] *= {total};"]


@_layer("conserve")
def _conserve(g, node, inputs, y):
    function = g.function(
        "conserve",
        """
        /* y = x + correction' (constant + right z - matrix x) for n rows of m numbers, l constraints; z (n,
         * nz) */
        static void NAME_conserve(int n, int m, int l, int nz, const REAL *x, const REAL *z,
                const REAL *matrix, const REAL *correction,
                                  const REAL *constant, const REAL *right, REAL *y)
        {
            int r, k, j;
            for (r = 0; r < n; r++, x += m, y += m) {
                for (j = 0; j < m; j++)
                    y[j] = x[j];
                for (k = 0; k < l; k++) {
                    REAL rest = constant[k];
                    for (j = 0; j < nz; j++)
                        rest += right[k * nz + j] * z[r * nz + j];
                    for (j = 0; j < m; j++)
                        rest -= matrix[k * m + j] * x[j];
                    for (j = 0; j < m; j++)
                        y[j] += correction[k * m + j] * rest;
                }
            }
        }
        """,
    )
    m, number, values = node["shape"][-1], node["number"], node["values"]
    n = math.prod(node["shape"]) // m
    matrix, correction, constant = (
        g.array(f"{k}_{number}", values[k]) for k in ("matrix", "correction", "constant")
    )
    z, right, nz = "0", "0", 0
    if len(inputs) == 2:
        z, right, nz = inputs[1], g.array(f"right_{number}", values["right"]), values["right"].shape[1]
    return [
        f"{function}({n}, {m}, {len(values['constant'])}, {nz}, {inputs[0]}, {z}, {matrix}, {correction}, "
        f"{constant}, {right}, {y});"
    ]
