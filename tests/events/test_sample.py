"""Events and the layouts of their columns."""

import numpy as np
import pytest

from simgraft.events import DILEPTON, TOP_PAIR, TWO_BODY, Events


def test_layouts_have_the_columns_of_the_field():
    assert [len(layout) for layout in (TWO_BODY, DILEPTON, TOP_PAIR)] == [10, 16, 26]
    assert TWO_BODY.names == ("E1", "E2", "px1", "py1", "pz1", "px2", "py2", "pz2", "m1", "m2")
    assert DILEPTON.names[8:12] == ("mum_E", "mum_px", "mum_py", "mum_pz")
    assert TOP_PAIR.names[:7] == ("MET", "phi_MET", "j1_E", "j1_pT", "j1_eta", "j1_phi", "j2_E")
    assert TOP_PAIR.of("l2") == (22, 23, 24, 25)


def test_unknown_names_are_refused():
    with pytest.raises(KeyError, match="j9_pT: expected one of MET"):
        TOP_PAIR.index("j9_pT")
    with pytest.raises(KeyError, match="j9: expected one of j1"):
        TOP_PAIR.of("j9")


def test_rows_are_a_view_and_objects_of_zeros_are_absent():
    values = np.zeros((26, 3))
    values[22:, 1] = 1
    events = Events(TOP_PAIR, values)
    assert np.shares_memory(events.rows, values) and np.shares_memory(events["l2_pT"], values)
    assert events.present.tolist() == [[False] * 3] * 5 + [[False, True, False]]
    assert len(events.take(events.present[5])) == 1
    again = Events.from_rows(TOP_PAIR, events.rows, present=events.present)
    assert np.array_equal(again.values, values)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named_with_their_event(bad):
    values = np.zeros((10, 5))
    values[3, 4] = bad
    with pytest.raises(ValueError, match=rf"values: event 4 has {bad} in py1 \(1 such values\)"):
        Events(TWO_BODY, values)
    with pytest.raises(ValueError, match=rf"weight: event 1 has {bad} in weight"):
        Events(TWO_BODY, np.zeros((10, 2)), weight=[1, bad])


def test_wrong_shapes_and_types_are_refused():
    with pytest.raises(TypeError, match="values: expected a float32 or float64 array, got int64"):
        Events(TWO_BODY, np.zeros((10, 2), int))
    with pytest.raises(ValueError, match=r"values: expected shape \(16, n\)"):
        Events(DILEPTON, np.zeros((2, 16)))
    with pytest.raises(ValueError, match=r"weight: expected shape \(2,\), got \(3,\)"):
        Events(DILEPTON, np.zeros((16, 2)), weight=np.ones(3))
    with pytest.raises(ValueError, match=r"present: expected a bool array \(4, 2\), got float64"):
        Events(DILEPTON, np.zeros((16, 2)), present=np.ones((4, 2)))
