import math

import pytest

from simgraft import gate
from simgraft.gate import Gate


def test_nan_never_passes():
    assert not Gate("error", math.nan, "K", "<=", 1.0).passed
    assert not Gate("error", math.nan, "K", ">=", 1.0).passed


@pytest.mark.parametrize(("op", "value", "passed"), [("<=", 1.0, True), ("<", 1.0, False), (">=", 1.0, True), (">", 1.0, False),
                                                     ("<=", 1.1, False), (">=", 0.9, False)])
def test_operator_decides(op, value, passed):
    assert Gate("x", value, "1", op, 1.0).passed is passed


def test_unknown_operator_is_refused_by_name():
    with pytest.raises(ValueError, match="op: expected one of <="):
        Gate("x", 1.0, "1", "==", 1.0)


def test_report_row_has_the_documented_keys():
    row = Gate("x", 1.0, "K", "<=", 2.0, floor=0.5).as_dict()
    assert row == {"name": "x", "value": 1.0, "unit": "K", "op": "<=", "limit": 2.0, "floor": 0.5, "passed": True}


def test_requirement_takes_exactly_one_limit():
    with pytest.raises(ValueError, match="exactly one limit"):
        gate.relative_error("rate", p50=0.1, p99=0.2)
    with pytest.raises(ValueError, match="p98"):
        gate.relative_error("rate", p98=0.1)


def test_requirement_names_the_fields_there_are():
    with pytest.raises(ValueError, match="no field 'rote'; it has rate"):
        gate.rmse("rote", 1.0).check([{"name": "rate", "unit": "s-1", "rmse": 0.1}])


def test_requirement_becomes_a_gate_with_the_floor_of_its_metric():
    made = gate.host("T", max=5.0).check([{"name": "T", "unit": "K", "max": 3.0, "floor_max": 0.25}])
    assert (made.value, made.unit, made.limit, made.floor, made.passed) == (3.0, "K", 5.0, 0.25, True)
