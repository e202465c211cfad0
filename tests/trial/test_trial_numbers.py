import json

import numpy as np
import pytest

import simgraft as sg
from simgraft.metrics import binned_error
from simgraft.trial import error_row


def test_error_row_of_a_known_error():
    truth = np.array([1.0, 2.0, 4.0, 0.0])
    row = error_row("x", "K", truth, truth + [0.1, -0.2, 0.4, 0.5])
    assert row["bias"] == pytest.approx(0.2)
    assert row["mae"] == pytest.approx(0.3)
    assert row["rmse"] == pytest.approx(np.sqrt((0.01 + 0.04 + 0.16 + 0.25) / 4))
    assert row["max"] == pytest.approx(0.5)
    # Every error is a tenth of its truth; the zero has no relative error and must not poison the percentiles.
    assert row["relative_max"] == pytest.approx(0.1)


def test_error_row_refuses_nan_and_says_where():
    with pytest.raises(ValueError, match=r"flux: the surrogate is not finite at \(1, 0\) \(1 such values\)"):
        error_row("flux", "W m-2", np.zeros((2, 2)), np.array([[0.0, 0.0], [np.nan, 0.0]]))


def test_error_row_refuses_different_shapes():
    with pytest.raises(ValueError, match=r"reference has shape \(2,\), surrogate \(3,\)"):
        error_row("flux", "W m-2", np.zeros(2), np.zeros(3))


def test_binned_error_finds_the_band_of_a_known_distribution():
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 1, 40_000)
    centre, mean, low, high = binned_error(x, x + rng.normal(size=x.size), bins=4)
    # 10,000 normal errors a bin: mean within 5 / sqrt(1e4); 97.5 percentile 1.96 within 5 * 0.027 (its standard error).
    np.testing.assert_allclose(mean, centre, atol=0.05)
    np.testing.assert_allclose(high - mean, 1.96, atol=0.14)
    np.testing.assert_allclose(mean - low, 1.96, atol=0.14)


def test_profile_counts_calls_and_rows():
    def host(slot):
        y = np.ones(7)
        for _ in range(3):
            y = y - 0.1 * slot({"y": y})["rate"]
        return {"y": y}

    p = sg.profile(host, lambda inputs: {"rate": inputs["y"]})
    assert (p.calls, p.rows) == (3, 21)


def test_profile_of_a_host_that_is_all_kernel():
    def kernel(inputs):
        x = inputs["y"]
        for _ in range(300):
            x = np.cos(x)
        return {"rate": x}

    p = sg.profile(lambda slot: {"y": slot({"y": np.ones(100_000)})["rate"]}, kernel)
    assert p.share > 0.9  # nothing else happens in this host
    assert p.amdahl_ceiling > 10


def test_profile_refuses_a_host_that_ignores_its_slot():
    with pytest.raises(ValueError, match="never called the slot"):
        sg.profile(lambda slot: {"y": np.ones(3)}, lambda inputs: inputs)


def test_report_is_written_whole_with_the_documented_keys(tmp_path):
    trial = sg.Trial(name="demo <&>")
    trial.gate("good", 1.0, "K", "<=", 2.0)
    trial.gate("bad", 3.0, "K", "<=", 2.0, floor=0.1)
    trial.table("numbers", ["name", "value"], [["a", np.float64(1.5)], ["b", float("nan")]])
    figure, _ = sg.explore.new_figure()
    trial.figure(figure, "a picture")
    assert trial.report(tmp_path / "new" / "report.html") is False
    facts = json.loads((tmp_path / "new" / "report.json").read_text())
    assert {"study", "version", "data", "gates", "tables", "provenance"} <= set(facts)
    assert [g["passed"] for g in facts["gates"]] == [True, False]
    assert facts["tables"]["numbers"]["rows"] == [["a", 1.5], ["b", None]]
    page = (tmp_path / "new" / "report.html").read_text()
    assert "demo &lt;&amp;&gt;" in page and "data:image/png;base64," in page
    assert "src=\"http" not in page and "href=\"http" not in page  # self-contained
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["report.html", "report.json"]


def test_trial_without_gates_has_not_passed():
    assert not sg.Trial(name="empty").passed


def test_gate_names_are_unique():
    trial = sg.Trial()
    trial.gate("x", 1.0, "1", "<=", 2.0)
    with pytest.raises(ValueError, match="already"):
        trial.gate("x", 1.0, "1", "<=", 2.0)


def test_gates_are_requirements():
    with pytest.raises(TypeError, match=r"gates\[1\]: expected a requirement of simgraft.gate, .* got int"):
        sg.Trial(gates=[sg.gate.rmse("rate", 1.0), 3])
