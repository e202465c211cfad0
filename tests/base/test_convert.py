"""Strict array conversion (csrc/bindings/convert.c): what reaches C is what NumPy sees, or an error that names the argument."""

import re
import string

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simgraft import _core
from simgraft._core import NotFiniteError

FINITE, NONEMPTY, STRIDED, OPTIONAL = 1, 2, 4, 8
DTYPES = ["float32", "float64", "int32", "int64", "uint32", "uint64", "uint8", "bool"]


def one(array, dtype, shape, flags=0, output=False, name="x"):
    arrays, dims = _core._test_arrays([(array, name, dtype, shape, flags, output)])
    return arrays[0], dims


def names(n):
    return " ".join(string.ascii_lowercase[:n])


def address(array):
    return array.__array_interface__["data"][0]


@st.composite
def views(draw, dtype=st.sampled_from(DTYPES), min_side=0):
    """Any view NumPy can make by transposing, slicing with any step, and shifting off its alignment."""
    kind = np.dtype(draw(dtype))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=min_side, max_side=6))
    base = np.arange(int(np.prod([2 * n + 1 for n in shape])) + 1).astype(kind)
    if draw(st.booleans()):
        raw = np.empty(base.nbytes + 1, np.uint8)
        raw[1:] = base.view(np.uint8)
        base = raw[1:].view(kind)
    base = base[: int(np.prod([2 * n + 1 for n in shape]))].reshape([2 * n + 1 for n in shape])
    steps = [draw(st.sampled_from([1, 2, -1, -2])) for _ in shape]
    view = base[(*(slice(None, None, s) for s in steps), ...)]
    view = view[(*(slice(0, n) for n in shape), ...)]
    return view.transpose(draw(st.permutations(range(len(shape)))))


@given(views())
def test_input_arrives_contiguous_aligned_and_unchanged(x):
    got, dims = one(x, x.dtype.name, names(x.ndim))
    assert got.flags.c_contiguous and got.flags.aligned
    assert got.dtype == x.dtype and got.shape == x.shape
    np.testing.assert_array_equal(got, x)
    assert tuple(dims[d] for d in names(x.ndim).split()) == x.shape


@given(views())
def test_contiguous_aligned_input_is_not_copied(x):
    x = np.ascontiguousarray(x).copy()
    assume(x.flags.aligned and x.ndim)
    assert one(x, x.dtype.name, names(x.ndim))[0] is x


@given(views())
def test_strided_input_keeps_its_strides_or_is_aligned_by_a_copy(x):
    got, _ = one(x, x.dtype.name, names(x.ndim), STRIDED)
    np.testing.assert_array_equal(got, x)
    assert got.flags.aligned
    assert all(s % x.itemsize == 0 for s, n in zip(got.strides, got.shape) if n > 1)
    if x.flags.aligned:
        assert got is x


@given(views(), st.sampled_from(DTYPES))
def test_wrong_dtype_is_a_type_error_that_names_both(x, dtype):
    assume(x.dtype != dtype)
    with pytest.raises(TypeError, match=rf"^x: expected {dtype} array of shape .*, got {x.dtype} .*astype\(np\.{dtype}\)"):
        one(x, dtype, names(x.ndim))
    with pytest.raises(TypeError, match=rf"^x: expected {dtype} array"):
        one(x, dtype, names(x.ndim), output=True)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint32", "uint64"])
@pytest.mark.parametrize("output", [False, True])
def test_swapped_byte_order_is_refused(dtype, output):
    swapped = np.ones(3, np.dtype(dtype).newbyteorder())
    with pytest.raises(TypeError, match=rf"got {re.escape(str(swapped.dtype))} \(3,\)"):
        one(swapped, dtype, "n", output=output)


@pytest.mark.parametrize("wide", [np.longlong, np.int_])
def test_both_64_bit_integers_of_c_are_int64(wide):
    assert one(np.arange(3, dtype=wide), "int64", "n")[1] == {"n": 3}


@pytest.mark.parametrize("thing", [[1.0, 2.0], (1.0,), 3.0, "text", None, np.float64(1.0), memoryview(b"12345678")])
def test_what_is_no_array_is_a_type_error_that_says_how_to_convert(thing):
    with pytest.raises(TypeError, match=rf"^x: expected float64 array of shape \(n,\), got (numpy\.)?{type(thing).__name__}; convert with"):
        one(thing, "float64", "n")


def test_masked_array_is_refused_because_its_fill_is_not_data():
    with pytest.raises(TypeError, match="x: .*got a masked array"):
        one(np.ma.masked_array([1.0, 2.0], [False, True]), "float64", "n")


def test_memory_map_is_an_array(tmp_path):
    np.arange(5.0).tofile(tmp_path / "x")
    mapped = np.memmap(tmp_path / "x", np.float64, "r")
    np.testing.assert_array_equal(one(mapped, "float64", "n")[0], np.arange(5.0))


@given(views(dtype=st.just("float64")), hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
def test_wrong_shape_is_a_value_error_that_names_both(x, shape):
    assume(x.shape != shape)
    want = " ".join(map(str, shape))
    with pytest.raises(ValueError) as caught:
        one(x, "float64", want)
    text = str(caught.value)
    assert text.startswith("x: expected shape (") and str(x.shape) in text and str(shape) in text


def test_dimensions_must_agree_between_arrays():
    lay, lev = np.zeros((4, 3)), np.zeros((4, 4))
    request = [(lay, "t_lay", "float64", "n_col n_lay", 0, False), (lev, "t_lev", "float64", "n_col n_lay+1", 0, False)]
    assert _core._test_arrays(request)[1] == {"n_col": 4, "n_lay": 3}
    request[1] = (lay, "t_lev", "float64", "n_col n_lay+1", 0, False)
    with pytest.raises(ValueError, match=r"t_lev: expected shape \(n_col=4, n_lay\+1=4\), got \(4, 3\)"):
        _core._test_arrays(request)


def test_name_used_twice_in_one_shape_means_a_square():
    assert one(np.zeros((3, 3)), "float64", "n n")[1] == {"n": 3}
    with pytest.raises(ValueError, match=r"expected shape \(n=3, n=3\), got \(3, 2\)"):
        one(np.zeros((3, 2)), "float64", "n n")


def test_levels_need_at_least_one_more_than_zero_layers():
    assert one(np.zeros(1), "float64", "n+1")[1] == {"n": 0}
    with pytest.raises(ValueError, match=r"expected shape \(n\+1,\), got \(0,\)"):
        one(np.zeros(0), "float64", "n+1")


@given(views(dtype=st.sampled_from(["float32", "float64"]), min_side=1), st.data())
def test_first_value_that_is_not_finite_is_named_by_its_index(x, data):
    x = x.copy() if not x.flags.aligned else x
    places = data.draw(st.sets(st.integers(0, x.size - 1), min_size=1, max_size=3))
    for k in places:
        x[np.unravel_index(k, x.shape)] = data.draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    first = np.unravel_index(min(places), x.shape)
    what = "NaN" if np.isnan(x[first]) else "infinite"
    for flags in (FINITE, FINITE | STRIDED):
        with pytest.raises(NotFiniteError) as caught:
            one(x, x.dtype.name, names(x.ndim), flags)
        assert str(caught.value) == f"x[{', '.join(str(int(i)) for i in first)}] is {what}"
    one(x, x.dtype.name, names(x.ndim))  # without the flag NaN passes


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 4)])
def test_zero_size_passes_unless_forbidden(shape):
    x = np.zeros(shape)
    assert one(x, "float64", names(x.ndim), FINITE)[0].shape == shape
    with pytest.raises(ValueError, match=f"x: expected at least one element, got shape {re.escape(str(shape))}"):
        one(x, "float64", names(x.ndim), NONEMPTY)


def test_optional_input_may_be_none():
    assert one(None, "float64", "n", OPTIONAL) == (None, {})


@given(views())
def test_output_is_the_array_itself_or_an_error(x):
    if x.flags.aligned and x.flags.c_contiguous:
        assert one(x, x.dtype.name, names(x.ndim), output=True)[0] is x
    else:
        with pytest.raises(ValueError, match="x: the output array must be aligned and C-contiguous"):
            one(x, x.dtype.name, names(x.ndim), output=True)


@given(views())
def test_strided_output_may_be_any_aligned_view(x):
    if x.flags.aligned:
        assert one(x, x.dtype.name, names(x.ndim), STRIDED, True)[0] is x
    else:
        with pytest.raises(ValueError, match="aligned"):
            one(x, x.dtype.name, names(x.ndim), STRIDED, True)


@pytest.mark.parametrize("flags", [0, STRIDED])
def test_read_only_output_is_refused(flags):
    x = np.zeros(3)
    x.flags.writeable = False
    with pytest.raises(ValueError, match="x: the output array is read-only"):
        one(x, "float64", "n", flags, True)


@pytest.mark.parametrize("shape, strides", [((3, 4), (0, 8)), ((3, 4), (8, 8)), ((2, 3), (16, 16)), ((4,), (0,))])
def test_output_whose_elements_overlap_is_refused(shape, strides):
    x = np.lib.stride_tricks.as_strided(np.zeros(20), shape, strides)
    with pytest.raises(ValueError, match="elements of the output array overlap"):
        one(x, "float64", names(len(shape)), STRIDED, True)


def test_missing_output_is_made_with_the_known_dimensions():
    arrays, _ = _core._test_arrays([(np.zeros((2, 3)), "x", "float64", "n m", 0, False),
                                    (None, "y", "float32", "m n+1 5", 0, True)])
    assert arrays[1].shape == (3, 3, 5) and arrays[1].dtype == np.float32


def test_output_of_unknown_size_cannot_be_made():
    with pytest.raises(SystemError, match="y: dimension n is not known"):
        one(None, "float64", "n", output=True, name="y")


@given(st.data())
def test_overlap_is_found_exactly_when_an_element_is_shared(data):
    base = np.zeros((6, 6))

    def cut():
        parts = []
        for _ in range(2):
            start, stop = sorted(data.draw(st.tuples(st.integers(0, 6), st.integers(0, 6))))
            parts.append(slice(start, stop, data.draw(st.sampled_from([1, 2, 3]))))
        return base[tuple(parts)][:: data.draw(st.sampled_from([1, -1]))]

    a, b = cut(), cut()
    if np.shares_memory(a, b):
        with pytest.raises(ValueError, match="a and b share memory; pass separate arrays"):
            _core._test_separate(a, b)
    else:
        _core._test_separate(a, b)


def test_interleaved_columns_do_not_overlap():
    table = np.zeros((10, 8))
    _core._test_separate(table[:, :5], table[:, 5:])


def test_conversion_leaks_no_references():
    import sys

    x, strided = np.zeros(8), np.zeros((4, 2)).T
    before = sys.getrefcount(x), sys.getrefcount(strided)
    for _ in range(100):
        one(x, "float64", "n", FINITE)
        one(strided, "float64", "n m", FINITE | STRIDED)
        one(x, "float64", "n", 0, True)
        for bad in ("float32", "float64"):
            with pytest.raises((TypeError, ValueError)):
                one(x, bad, "n m")
    assert (sys.getrefcount(x), sys.getrefcount(strided)) == before
