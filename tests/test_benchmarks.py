"""The benchmark runner: rows, limits, and that it times what it is given."""

import time

import pytest

from benchmarks import plot
from benchmarks.runner import Row, measure


def spin(seconds):
    stop = time.thread_time() + seconds
    while time.thread_time() < stop:
        pass


def test_limit_of_a_comparison_binds_the_ratio():
    assert Row("a_vs_b", 100.0, "ns", "b", "1", 150.0, 1.5, ">=", 1.4).passed
    assert not Row("a_vs_b", 100.0, "ns", "b", "1", 150.0, 1.5, ">=", 1.6).passed


def test_limit_of_another_row_binds_the_value():
    assert Row("a_of_peak", 0.95, "peak", "b", "1", 0.5, 1.9, ">=", 0.9).passed
    assert not Row("a_of_peak", 0.85, "peak", "b", "1", 0.5, 1.7, ">=", 0.9).passed
    assert not Row("error", 0.2, "K", op="<=", limit=0.1).passed
    assert Row("for_information", 0.2, "K").passed


def test_row_has_the_names_that_scripts_read():
    names = ["name", "value", "unit", "peer", "peer_version", "peer_value", "ratio", "op", "limit", "passed"]
    assert list(Row("a", 1.0, "s").as_dict()) == names


def test_measured_times_are_thread_cpu_time():
    times, beside = measure({"short": lambda: spin(2e-4), "long": lambda: spin(6e-4), "asleep": lambda: time.sleep(1e-5)}, lambda: 1, 15)
    assert times["short"] == pytest.approx(2e-4, rel=0.2)  # pre-emption and the clock's own cost
    assert times["long"] / times["short"] == pytest.approx(3, rel=0.2)
    assert times["asleep"] < 1e-4
    assert len(beside) >= 15


def test_rows_are_drawn_beside_their_file(tmp_path):
    rows = [
        Row("a_of_peak", 0.95, "peak", "b", "1", 0.5, 1.9, ">=", 0.9),
        Row("a_vs_b", 100.0, "ns", "b", "1", 150.0, 1.5, ">=", 1.6),
        Row("vjp_over_forward", 1.9, "forward", op="<=", limit=2.5),
        Row("peak", 115.0, "GF/s"),
    ]
    written = plot.plot([row.as_dict() for row in rows], tmp_path / "bench")
    assert [p.name for p in written] == ["bench.png", "bench.svg"] and all(p.stat().st_size > 1000 for p in written)
    assert "vjp_over_forward" in written[1].read_text()
    assert plot.plot([rows[3].as_dict()], tmp_path / "none") == []
