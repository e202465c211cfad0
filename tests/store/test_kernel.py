"""Kernels: packing, checks, and functions in shared libraries."""

import pickle
import shutil
import subprocess
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_kernels import INPUTS, draw, gas, gas_kernel

import simgraft as sg

shapes = st.lists(st.integers(1, 4), max_size=3).map(tuple)


@given(shapes=st.lists(shapes, min_size=1, max_size=5), n=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_unpack_undoes_pack(shapes, n, seed):
    variables = {f"v{i}": sg.Var("1", shape=shape) for i, shape in enumerate(shapes)}
    kernel = sg.Kernel(None, inputs=variables, outputs={"y": sg.Var("1")})
    rng = np.random.default_rng(seed)
    arrays = {name: rng.normal(size=(n, *v.shape)) for name, v in variables.items()}
    packed = kernel.pack_inputs(dict(reversed(arrays.items())))
    assert packed.shape == (n, kernel.n_in) == (n, sum(int(np.prod(s)) for s in shapes))
    back = kernel.unpack_inputs(packed)
    assert list(back) == list(variables)
    assert all(np.array_equal(back[name], arrays[name]) and back[name].flags.c_contiguous for name in arrays)


@given(
    unit=st.text(),
    low=st.one_of(st.none(), st.floats(-1e300, 1e300)),
    width=st.one_of(st.none(), st.floats(1e-3, 1e300)),
    shape=shapes,
    doc=st.text(),
)
def test_description_gives_the_variable_back(unit, low, width, shape, doc):
    high = None if width is None else (low or 0.0) + width
    if high is not None and low is not None and not low < high:  # width below the spacing of numbers at low
        high = None
    v = sg.Var(unit, low, high, shape=shape, doc=doc)
    kernel = sg.Kernel(None, inputs={"v": v}, outputs={"y": sg.Var("1")})
    assert sg.Kernel.from_description(kernel.describe()).inputs == {"v": v}


def test_description_keeps_the_order_of_columns():
    kernel = gas_kernel()
    assert list(sg.Kernel.from_description(kernel.describe()).inputs) == list(INPUTS)
    swapped = sg.Kernel(None, inputs=dict(reversed(INPUTS.items())), outputs=kernel.outputs, name="gas", version="1")
    assert swapped.describe() != kernel.describe()


@pytest.mark.parametrize(
    "arguments, options, message",
    [
        (("K", 2, 1), {}, "low < high"),
        (("K", 1, 1), {}, "low < high"),
        (("K", 0, 1), {"scale": "log"}, "low: expected a number > 0"),
        (("K", None, -1), {"scale": "log"}, "high: expected a number > 0"),
        (("K", float("nan")), {}, "low: expected a finite number"),
        (("K",), {"scale": "ln"}, "scale"),
        (("K",), {"shape": (2, 0)}, "shape"),
    ],
)
def test_bad_variable_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        sg.Var(*arguments, **options)


def inputs(n=4):
    return draw(np.random.default_rng(1), n)


def test_call_gives_the_function_and_evaluate_the_same_packed():
    kernel, x = gas_kernel(), inputs()
    result = kernel(x)
    assert all(np.array_equal(result[name], gas(x)[name]) for name in result)
    assert np.array_equal(kernel.evaluate(kernel.pack_inputs(x)), kernel.pack_outputs(result))


def test_value_outside_its_range_names_variable_row_and_limit():
    x = inputs()
    x["temperature"][2] = 1000.0
    with pytest.raises(
        sg.DomainError, match=r"temperature\[2\] = 1000 K lies outside the valid range \(200 to 400 K\)"
    ):
        gas_kernel()(x)
    x = inputs()
    x["wind"][3, 1] = -51.0
    with pytest.raises(sg.DomainError, match=r"wind\[3, 1\] = -51 m s-1"):
        gas_kernel()(x)
    assert np.isfinite(gas_kernel(check=False)(x)["volume"]).all()


def test_limits_belong_to_the_range():
    x = inputs(2)
    x["temperature"][:] = 200, 400
    gas_kernel()(x)


def test_nan_input_is_named():
    x = inputs()
    x["pressure"][1] = np.nan
    with pytest.raises(sg.NotFiniteError, match=r"pressure\[1\] is nan"):
        gas_kernel()(x)


def test_nan_output_names_output_and_row():
    def bad(inputs):
        result = gas(inputs)
        result["stress"][2, 1, 0] = np.nan
        return result

    kernel = sg.Kernel(bad, inputs=INPUTS, outputs=gas_kernel().outputs)
    with pytest.raises(sg.NotFiniteError, match=r"kernel 'bad' gave stress\[2, 1, 0\] = nan"):
        kernel(inputs())
    with pytest.raises(sg.NotFiniteError, match=r"stress\[1002, 1, 0\] = nan for row 1002"):
        kernel.evaluate(kernel.pack_inputs(inputs()), first_row=1000)


@pytest.mark.parametrize(
    "change, error, message",
    [
        (lambda x: x.pop("wind"), ValueError, r"missing \['wind'\]"),
        (lambda x: x.update(w=1), ValueError, r"not known: \['w'\]"),
        (
            lambda x: x.update(wind=x["wind"][:, :2]),
            ValueError,
            r"inputs\['wind'\]: expected shape \(n, 3\), got \(4, 2\)",
        ),
        (lambda x: x.update(pressure=x["pressure"][:3]), ValueError, "expected 4 samples as in 'temperature', got 3"),
        (lambda x: x.update(pressure=300.0), ValueError, r"expected shape \(n,\)"),
        (lambda x: x.update(pressure=x["pressure"].astype(complex)), TypeError, "got complex128"),
        (lambda x: x.update(pressure=x["pressure"].astype(np.longdouble)), TypeError, "pressure"),
        (lambda x: x.update(pressure=np.array(["a"] * 4)), TypeError, "pressure"),
    ],
)
def test_wrong_inputs_are_named(change, error, message):
    x = inputs()
    change(x)
    with pytest.raises(error, match=message):
        gas_kernel()(x)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: {"volume": x["temperature"]}, r"missing \['stress'\]"),
        (lambda x: {"volume": x["temperature"][:2], "stress": np.zeros((2, 3, 3))}, "gave 2 rows for 4 samples"),
        (
            lambda x: {"volume": x["temperature"], "stress": np.zeros((4, 3))},
            r"outputs of kernel 'f'\['stress'\]: expected shape \(n, 3, 3\)",
        ),
    ],
)
def test_function_with_wrong_outputs_is_named(function, message):
    with pytest.raises(ValueError, match=message):
        sg.Kernel(function, inputs=INPUTS, outputs=gas_kernel().outputs, name="f")(inputs())


def test_description_cannot_be_called():
    kernel = sg.Kernel.from_description(gas_kernel().describe())
    with pytest.raises(TypeError, match="description without a function"):
        kernel(inputs())


def test_html_shows_variables_escaped():
    html = sg.Kernel(gas, inputs={"a<b": sg.Var("K", 1, 2)}, outputs={"y": sg.Var("1")})._repr_html_()
    assert "a&lt;b" in html and "1 to 2 K" in html


# --------------------------------------------------------------------------------------------------------- libraries

SOURCE = """
#include <stddef.h>
#include <unistd.h>
int gas(size_t n, const double *in, double *out, void *context)
{
    for (size_t i = 0; i < n; i++) {
        if (in[2 * i] < 0)
            return 42;
        out[2 * i] = in[2 * i] + in[2 * i + 1];
        out[2 * i + 1] = context ? *(double *)context : in[2 * i] * in[2 * i + 1];
    }
    return 0;
}
int nap(size_t n, const double *in, double *out, void *context)
{
    (void)context;
    usleep(300000);
    for (size_t i = 0; i < 2 * n; i++)
        out[i] = in[i];
    return 0;
}
"""
ARGUMENTS = ({"a": sg.Var("1"), "b": sg.Var("1")}, {"s": sg.Var("1"), "p": sg.Var("1")})


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    if not shutil.which("gcc"):
        pytest.skip("needs gcc")
    folder = tmp_path_factory.mktemp("library")
    (folder / "gas.c").write_text(SOURCE)
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", folder / "libgas.so", folder / "gas.c"], check=True)
    return folder / "libgas.so"


def test_library_kernel_is_called_with_packed_rows(library):
    kernel = sg.Kernel.from_library(library, "gas", *ARGUMENTS)
    a, b = np.array([1.0, 2, 3])[::-1], np.array([4.0, 5, 6])
    result = kernel({"b": b, "a": a})
    assert np.array_equal(result["s"], a + b) and np.array_equal(result["p"], a * b)
    assert kernel.name == "gas"


def test_library_kernel_hands_its_context_through(library):
    import ctypes

    value = ctypes.c_double(7.5)
    kernel = sg.Kernel.from_library(library, "gas", *ARGUMENTS, context=ctypes.addressof(value))
    assert kernel({"a": np.ones(2), "b": np.ones(2)})["p"].tolist() == [7.5, 7.5]
    with pytest.raises(ValueError, match="context"):
        pickle.dumps(kernel)


def test_library_status_names_kernel_and_rows(library):
    kernel = sg.Kernel.from_library(library, "gas", *ARGUMENTS)
    with pytest.raises(RuntimeError, match="kernel 'gas' returned status 42 for rows 10 to 12"):
        kernel.evaluate(np.array([[1.0, 2], [-1, 2], [3, 4]]), first_row=10)


def test_library_kernel_survives_pickling(library):
    kernel = pickle.loads(pickle.dumps(sg.Kernel.from_library(library, "gas", *ARGUMENTS)))
    assert kernel.evaluate(np.array([[2.0, 3.0]])).tolist() == [[5.0, 6.0]]


def test_library_is_called_without_the_gil(library):
    kernel = sg.Kernel.from_library(library, "nap", *ARGUMENTS)
    thread = threading.Thread(target=kernel.evaluate, args=(np.ones((1, 2)),))
    thread.start()
    ticks = 0
    while thread.is_alive():
        time.sleep(0.01)
        ticks += 1
    # 0.3 s in C: a held GIL would let this thread run once or twice, a released one about 30 times
    assert ticks > 5


def test_missing_library_and_symbol(tmp_path, library):
    with pytest.raises(OSError, match="nowhere.so"):
        sg.Kernel.from_library(tmp_path / "nowhere.so", "gas", *ARGUMENTS)
    with pytest.raises(ValueError, match="no function 'fluid'"):
        sg.Kernel.from_library(library, "fluid", *ARGUMENTS)
