"""A whole trial on a kernel and a host that are not ours: the flame example."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import simgraft as sg
from simgraft import cli

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def flame():
    return runpy.run_path(str(ROOT / "examples" / "flame.py"))


@pytest.fixture(scope="module")
def data(flame):
    kernel = flame["kernel"]
    samples = kernel.sample(sg.sampling.sobol(kernel, seed=1), 4096, seed=1, progress=False)
    return samples.split(fractions=(0.8, 0.2), seed=2)


@pytest.fixture(scope="module")
def surrogate(flame, data):
    surrogate = sg.Surrogate(flame["kernel"], sg.nn.MLP([16, 16], activation="tanh"), guard="fallback")
    return surrogate.fit(data[0], seed=3, epochs=30, progress=False)


def test_example_passes_its_own_gates_and_leaves_report_and_surrogate(tmp_path):
    run = subprocess.run([sys.executable, str(ROOT / "examples" / "flame.py"), str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    facts = json.loads((tmp_path / "report.json").read_text())
    assert [g["passed"] for g in facts["gates"]] == [True, True]
    # The classical baseline is far off, so the problem is not trivial, and the network must beat it by ten at least.
    rows = {(r[0], r[1]): r for r in facts["tables"]["a posteriori"]["rows"]}
    rmse = facts["tables"]["a posteriori"]["columns"].index("rmse")
    assert rows["temperature", "surrogate"][rmse] < 0.1 * rows["temperature", "baseline"][rmse]
    loaded = sg.load(tmp_path / "burn.sg")
    x = np.array([[1500.0, 0.5]])
    assert np.isfinite(loaded.evaluate(x)).all()


def test_example_is_about_fifty_lines():
    text = (ROOT / "examples" / "flame.py").read_text()
    code = text.split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 60


def test_a_kernel_in_the_place_of_the_surrogate_has_no_error(flame):
    rows = sg.profile(flame["flame"], flame["kernel"])
    assert rows.calls == 600
    truth = flame["flame"](flame["kernel"])
    again = flame["flame"](flame["kernel"])
    np.testing.assert_array_equal(truth["temperature"], again["temperature"])


def test_a_priori_gate_fails_where_the_limit_is_below_the_error(surrogate, data):
    trial = sg.Trial(surrogate, gates=[sg.gate.relative_error("rate", p99=1e-9), sg.gate.rmse("rate", 1e9)])
    trial.a_priori(data[1], train=data[0])
    assert [g.passed for g in trial.gates_] == [False, True]
    assert not trial.passed
    # The floor is what rounding the inputs to 32 bits does: far below this small network's error, and not zero.
    assert 0 < trial.gates_[0].floor < 1e-4 * trial.gates_[0].value


def test_a_priori_numbers_are_those_of_the_deployed_function(surrogate, data):
    trial = sg.Trial(surrogate).a_priori(data[1])
    table = trial.tables_["a priori"]
    rmse = table["rows"][0][table["columns"].index("rmse")]
    y = surrogate.evaluate(data[1].X, guard="off")
    assert rmse == pytest.approx(np.sqrt(np.mean((y - data[1].Y) ** 2)), rel=1e-12)


def test_row_weights_of_the_training_count_in_the_metrics(flame, data):
    # Only hot samples count: the numbers must be those of the hot samples alone.
    def hot(x, y):
        return (x[:, 0] > 1000.0).astype(float)

    surrogate = sg.Surrogate(flame["kernel"], sg.nn.MLP([8], activation="tanh"))
    surrogate.fit(data[0], seed=3, epochs=5, weight=hot, progress=False)
    table = sg.Trial(surrogate).a_priori(data[1]).tables_["a priori"]
    x, y = data[1].X, data[1].Y
    error = (surrogate.evaluate(x, guard="off") - y)[x[:, 0] > 1000.0]
    assert table["rows"][0][table["columns"].index("rmse")] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-12)
    assert "weights of the training loss" in table["note"]


def test_baselines_stand_beside_the_network(surrogate, data):
    trial = sg.Trial(surrogate).a_priori(data[1], train=data[0])
    labels = [row[1] for row in trial.tables_["a priori"]["rows"]]
    assert labels == ["surrogate", "mean of the training data", "linear model", "nearest training sample"]


def test_nearest_training_sample_of_the_training_data_is_exact(surrogate, data):
    trial = sg.Trial(surrogate).a_priori(data[0], train=data[0])
    row = trial.tables_["a priori"]["rows"][3]
    assert row[1] == "nearest training sample"
    assert row[6] == 0.0  # the largest error of a copy of the training set on the training set


def test_samples_outside_the_domain_are_counted_and_warned_of(flame, surrogate, data):
    kernel = flame["kernel"]
    # A surrogate trained on a part of the range, held against the whole of it.
    inside = data[0].X[data[0].X[:, 0] < 900.0]
    narrow = sg.Dataset.from_arrays(kernel, kernel.unpack_inputs(inside), kernel(kernel.unpack_inputs(inside)))
    small = sg.Surrogate(kernel, sg.nn.MLP([8], activation="tanh"), guard=sg.Guard("fallback", margin=0.0))
    small.fit(narrow, seed=1, epochs=2, progress=False)
    trial = sg.Trial(small).a_priori(data[1])
    outside = int(np.sum(data[1].X[:, 0] > inside[:, 0].max()))
    assert outside > 100
    text = [w for w in trial.warnings_ if "outside the training domain" in w]
    assert text and int(text[0].split()[0]) >= outside


def test_host_that_returns_other_fields_with_the_surrogate_is_refused(surrogate):
    def host(slot):
        slot({"temperature": np.full(3, 900.0), "fuel": np.full(3, 0.5)})
        return {"a": np.ones(3)} if slot.label != "surrogate" else {"b": np.ones(3)}

    with pytest.raises(ValueError, match="no field 'a'"):
        sg.Trial(surrogate).a_posteriori(host)


def test_speed_says_so_when_the_kernel_is_the_better_choice(surrogate):
    fast = sg.profile
    assert callable(fast)
    from simgraft.profile import Profile

    trial = sg.Trial(surrogate)
    trial.speed([Profile("kernel", 10.0, 1.0, 10, 1000), Profile("surrogate", 12.0, 3.0, 10, 1000)])
    assert any("use the kernel" in w for w in trial.warnings_)
    assert not any("Break-even" in n for n in trial.notes_)


def test_break_even_counts_data_and_training(surrogate):
    from simgraft.profile import Profile

    trial = sg.Trial(surrogate)
    # 1 ms a row with the kernel, 0.5 ms with the surrogate; 10 s of data + 40 s of training: 1e5 rows, 100 runs of 1000.
    trial.speed([Profile("kernel", 2.0, 1.0, 10, 1000), Profile("surrogate", 1.5, 0.5, 10, 1000)],
                data_seconds=10.0, training_seconds=40.0)
    assert any("Break-even after 1e+05 kernel rows (100 runs" in n for n in trial.notes_)
    assert any("50.0 % of the host's time: at most 2x" in n for n in trial.notes_)


def test_describe_tells_what_a_surrogate_file_is(surrogate, tmp_path, capsys):
    surrogate.save(tmp_path / "burn.sg")
    assert cli.main(["describe", str(tmp_path / "burn.sg")]) == 0
    out = capsys.readouterr().out
    assert "burn" in out and "temperature [K]" in out


def test_describe_of_a_missing_file_is_wrong_use_and_names_it(tmp_path, capsys):
    assert cli.main(["describe", str(tmp_path / "nothing.sg")]) == 2
    assert "nothing.sg" in capsys.readouterr().err


def test_readme_example_runs_on_the_flame(flame, tmp_path, monkeypatch):
    text = (ROOT / "README.md").read_text()
    code = text.split("```python\n", 1)[1].split("```", 1)[0]
    monkeypatch.chdir(tmp_path)
    names = {"burn": flame["burn"], "flame": flame["flame"]}
    exec(compile(code, "README.md", "exec"), names)
    assert (tmp_path / "report.html").is_file()
    assert names["trial"].passed
