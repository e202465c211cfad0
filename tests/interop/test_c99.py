"""C99 source: compiles without a warning, gives the library's numbers, needs nothing but libm.

Limits. The C code and the library round differently (libm, fused or separate multiply-add): a float network
of a few layers differs by some ulp of its largest output, 1.2e-7 each; 20 ulp are allowed, in double
likewise.
"""

import re
import subprocess

import numpy as np
import pytest
from interop_cases import Compiled, largest, random_inputs, randomised

from simgraft import interop, nn

LIMIT = {"float32": 20 * 2.0**-23, "float64": 20 * 2.0**-52}
SIZES = [(1, 1, 1), (3, 17, 1), (17, 65, 129), (129, 3, 65)]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_network_gives_the_numbers_of_predict(tmp_path, sizes, dtype):
    n_in, hidden, n_out = sizes
    network = randomised(nn.MLP([hidden, hidden], "tanh").build(n_in, n_out, seed=1, dtype=dtype), 2)
    x = np.random.default_rng(3).normal(size=(50, n_in)).astype(dtype)
    y, flags = Compiled(interop.to_c(network, name="unit"), tmp_path).evaluate(x, n_out)
    assert largest(y, network.predict(x)) < LIMIT[dtype]
    assert not flags.any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", nn.ACTIVATIONS)
def test_every_activation(tmp_path, activation, dtype):
    network = randomised(
        nn.MLP([17], activation, output_activation=activation).build(3, 5, seed=1, dtype=dtype), 2
    )
    x = np.random.default_rng(3).normal(0, 3, size=(200, 3)).astype(dtype)
    y, _ = Compiled(interop.to_c(network, name="unit"), tmp_path).evaluate(x, 5)
    assert largest(y, network.predict(x)) < LIMIT[dtype]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("kind", ["surrogate", "surrogate_f64", "surrogate_graph"])
def test_surrogate_gives_the_numbers_and_flags_of_evaluate(tmp_path, kind, compiler, request):
    surrogate = request.getfixturevalue(kind)
    x = surrogate.kernel.pack_inputs(random_inputs(300, seed=5))
    x[:100] *= np.random.default_rng(6).uniform(
        -2, 3, x[:100].shape
    )  # many outside; logarithms of negative numbers
    x[100, 2], x[101, 0] = np.nan, np.inf
    compiled = Compiled(interop.to_c(surrogate, name="unit"), tmp_path, compiler=compiler)
    y, flags = compiled.evaluate(x, surrogate.n_out)
    truth, wanted = surrogate.evaluate(x, guard="off"), surrogate.guard_check(x).flags
    assert np.array_equal(flags & 5, wanted & 5) and (wanted & 1).any() and (wanted & 4).any()
    finite = (wanted & 4) == 0
    near = np.abs(surrogate.distance(x[finite]) / surrogate._domain["max_distance"] - 1) < 1e-4
    assert np.array_equal((flags[finite] & 2)[~near], (wanted[finite] & 2)[~near]) and (wanted & 2).any()
    inside = wanted == 0
    # network outputs of size 10 and an 8th power at most between them and the result: 20 ulp become 1600
    dtype = surrogate.network_.dtype.name
    assert largest(y[inside], truth[inside]) < 8 * LIMIT[dtype]
    assert compiled.self_test() == (0, compiled.self_test()[1])


@pytest.mark.no_asan
@pytest.mark.parametrize("kind", ["surrogate", "surrogate_graph"])
def test_self_test_is_clean_under_sanitizers(tmp_path, kind, request):
    compiled = Compiled(interop.to_c(request.getfixturevalue(kind), name="unit"), tmp_path)
    try:
        compiled.build(
            "-fsanitize=address,undefined",
            "-fno-sanitize-recover",
            "-DUNIT_SELF_TEST",
            "-o",
            tmp_path / "checked",
        )
    except subprocess.CalledProcessError:
        pytest.skip("this compiler has no sanitizers")
    done = subprocess.run([str(tmp_path / "checked")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_self_test_looks_at_finite_rows(surrogate):
    source = interop.to_c(surrogate, name="unit")
    assert "NAN" not in source.split("unit_test_in", 1)[1]


def test_self_test_reports_a_changed_weight(tmp_path, surrogate):
    source = interop.to_c(surrogate, name="unit")
    first = re.search(r"unit_bias_1\[\d+\] = \{\n    ([-0-9.e]+f)", source)
    wrong = Compiled(source[: first.start(1)] + "0.5f" + source[first.end(1) :], tmp_path)
    status, text = wrong.self_test()
    assert status == 1 and "expected" in text


def test_same_model_gives_the_same_text(tmp_path, surrogate):
    surrogate.save(tmp_path / "s.sg")
    assert interop.to_c(type(surrogate).load(tmp_path / "s.sg")) == interop.to_c(surrogate, tmp_path / "s.c")
    assert (tmp_path / "s.c").read_text() == interop.to_c(surrogate)


def test_literals_read_back_with_the_same_bits():
    from simgraft.interop.c99 import _literal

    rng = np.random.default_rng(1)
    for dtype, bits in ((np.float32, np.uint32), (np.float64, np.uint64)):
        values = rng.integers(0, np.iinfo(bits).max, 2000, dtype=bits).view(dtype)
        values = values[np.isfinite(values)]
        assert np.array_equal(np.array([dtype(_literal(v, dtype).rstrip("f")) for v in values]), values)


def test_needs_only_libm_and_has_no_state(tmp_path, surrogate):
    compiled = Compiled(interop.to_c(surrogate, name="unit"), tmp_path)
    compiled.build("-c", "-o", tmp_path / "unit.o")
    text = subprocess.run(["nm", str(tmp_path / "unit.o")], capture_output=True, text=True, check=True).stdout
    symbols = [line.split()[-2:] for line in text.splitlines()]
    assert {name for kind, name in symbols if kind == "U"} <= {
        "log",
        "exp",
        "sin",
        "cos",
        "pow",
        "sqrt",
        "log1p",
        "expm1",
        "atan2",
        "tanhf",
        "floor",
        "_GLOBAL_OFFSET_TABLE_",
        "memcpy",
        "memset",
        "__stack_chk_fail",
        "sincos",
    }
    assert not [name for kind, name in symbols if kind in "dDbBC" and not re.search(r"_(name|unit)$", name)]
    assert all(name.startswith("unit_") for kind, name in symbols if kind in "TDR")


def test_declarations_alone_serve_a_host(tmp_path, surrogate):
    compiled = Compiled(interop.to_c(surrogate, name="unit"), tmp_path)
    (tmp_path / "host.c").write_text(
        '#define UNIT_DECLARE\n#include "unit.c"\n#include <stdio.h>\n'
        "int main(void) { double in[UNIT_N_IN] = {0}, out[UNIT_N_OUT]; int f = unit_eval(in, out);\n"
        '  printf("%d %s|%s\\n", f, unit_input_name[1], unit_input_unit[UNIT_N_IN - 1]); return 0; }\n'
    )
    compiled.build("-o", tmp_path / "host", tmp_path / "host.c")
    text = subprocess.run([str(tmp_path / "host")], capture_output=True, text=True, check=True).stdout
    assert text.split(" ", 1)[1] == 'pressure|"kg"/m\\3\n'


def test_functional_graph_shares_its_workspace(tmp_path):
    x = nn.Input(5)
    h = nn.Dense(65, "tanh")(x)
    g = nn.Concatenate()(nn.Slice(start=1, stop=17)(h), x)
    y = nn.Dense(3, "elu")(nn.Activation("elu", parameter=2.5)(nn.Add()(g, nn.Affine()(g), g)))
    network = randomised(nn.Network.from_graph(x, y, seed=1), 2)
    x = np.random.default_rng(3).normal(size=(50, 5)).astype(np.float32)
    y, _ = Compiled(interop.to_c(network, name="unit"), tmp_path).evaluate(x, 3)
    assert largest(y, network.predict(x)) < LIMIT["float32"]


def test_large_network_takes_its_workspace_from_the_caller(tmp_path):
    network = nn.MLP([20001], "relu").build(1, 1, seed=1)
    source = interop.to_c(network, name="unit")
    assert "unit_eval(" not in source
    x = np.random.default_rng(3).normal(size=(5, 1)).astype(np.float32)
    compiled = Compiled(source, tmp_path)
    y, _ = compiled.evaluate(x, 1, workspace=np.empty(20001, np.float32))
    # 20001 terms of a sum: its rounding grows with their square root at least
    assert largest(y, network.predict(x)) < 140 * 2.0**-23
    assert compiled.self_test()[0] == 0


@pytest.mark.parametrize("name", ["2x", "a-b", "double", "", "ä"])
def test_name_must_be_an_identifier(name):
    with pytest.raises(ValueError, match="name: expected a C identifier"):
        interop.to_c(nn.MLP([]).build(1, 1, seed=1), name=name)


def test_parameter_that_is_not_finite_is_refused():
    network = nn.MLP([3]).build(1, 1, seed=1)
    network.parameters[4] = np.nan
    with pytest.raises(ValueError, match="parameter 4 of its network is not finite"):
        interop.to_c(network)


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="model: expected a simgraft.Surrogate or nn.Network, got dict"):
        interop.to_c({})
