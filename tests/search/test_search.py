"""Searches of architectures on a small kernel: the Pareto front, reproducibility, resuming, workers,
errors."""

import concurrent.futures
import doctest
import multiprocessing
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simgraft as sg
from simgraft import search
from simgraft.search import Choice, Integer, Real, Repeat

pytest.importorskip("optuna")
sys.path.insert(0, str(Path(__file__).parent))
import search_kernels  # noqa: E402

HERE = Path(__file__).parent


def facts(result):
    """What must not depend on executors, interruptions and the machine's load: everything but times."""
    return [
        repr((c.number, c.state, c.error, c.cost, c.seed, c.parameters)) for c in result.candidates
    ]  # NaN equals itself


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return search_kernels.run(tmp_path_factory.mktemp("search"))


# ----------------------------------------------------------------------------------------------- Pareto front
def beats(a, b):
    return a[0] <= b[0] and a[1] <= b[1] and (a[0] < b[0] or a[1] < b[1])


@given(st.lists(st.tuples(st.integers(0, 6) | st.just(float("nan")), st.integers(0, 6)), max_size=12))
def test_front_is_what_brute_force_finds(points):
    known = [i for i, p in enumerate(points) if not np.isnan(p[0])]
    expected = [
        i
        for i in known
        if not any(beats(points[j], points[i]) or (j < i and points[j] == points[i]) for j in known)
    ]
    front = search.pareto_front([p[0] for p in points], [p[1] for p in points])
    assert sorted(front) == expected
    assert [points[i][1] for i in front] == sorted(points[i][1] for i in front)


def test_front_of_a_search_is_what_brute_force_finds(result):
    done = [c for c in result.candidates if c.state == "finished"]
    expected = [c.number for c in done if not any(beats((o.error, o.cost), (c.error, c.cost)) for o in done)]
    # equal points would be told apart by number only; none are here
    assert sorted(c.number for c in result.front) == expected
    assert len(expected) >= 2


def test_points_of_unequal_number_are_refused():
    with pytest.raises(
        ValueError, match=r"error, cost: expected shape \(n,\) for both, got \(2,\) and \(3,\)"
    ):
        search.pareto_front([1, 2], [1, 2, 3])


# ---------------------------------------------------------------------------------------------- what is found
def test_the_chosen_surrogate_predicts_and_has_the_error_the_search_says(result):
    train, validation = search_kernels.data()
    chosen, surrogate = result.choose(), result.best()
    assert search.scaled_rmse(surrogate, validation) == chosen.error
    assert chosen.error < 0.2  # 1 is the error of the mean; ten epochs of a small network
    assert surrogate._fitted().describe()["flops_per_row"] == chosen.cost


def test_a_candidate_can_be_trained_again_by_hand(result):
    train, validation = search_kernels.data()
    chosen, p = result.choose(), result.choose().parameters
    hidden = [p[f"network.hidden[{i}]"] for i in range(p["network.hidden.length"])]
    surrogate = sg.Surrogate(
        search_kernels.KERNEL,
        sg.nn.MLP(hidden, activation=p["network.activation"]),
        encoder={"time": search_kernels.ENCODER["time"].options[p["encoder.time"]]},
    )
    surrogate.fit(
        train,
        validation=validation,
        seed=chosen.seed,
        epochs=10,
        batch_size=int(p["batch_size"]),
        optimizer=sg.nn.Adam(p["optimizer.rate"]),
        progress=False,
    )
    np.testing.assert_array_equal(surrogate.evaluate(validation.X), result.best().evaluate(validation.X))


def test_rules_choose_what_they_say(result):
    front = result.front
    assert result.choose(tolerance=0) == front[-1]
    assert result.choose(tolerance=1e9) == front[0]
    assert result.choose(max_error=front[0].error) == front[0]
    assert result.choose(max_error=front[-1].error) == front[-1]
    assert result.choose(max_cost=front[0].cost) == front[0]
    assert result.choose(max_cost=front[-1].cost) == front[-1]
    with pytest.raises(ValueError, match=r"max_error=0: no candidate holds that; errors reach down to "):
        result.choose(max_error=0.0)
    with pytest.raises(ValueError, match="tolerance: expected a number >= 0"):
        result.choose(tolerance=-1)


def test_table_plot_and_html_show_the_front(result):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    rows = result.table()
    assert [r["number"] for r in rows] == list(range(12))
    assert all(r.keys() == rows[0].keys() for r in rows)
    assert [r["number"] for r in rows if r["front"]] == sorted(c.number for c in result.front)
    axes = result.plot()
    assert axes.get_xlabel() == "operations per row [1]"
    assert [t.get_text() for t in axes.texts] == [str(c.number) for c in result.front]
    assert result.plot(axes) is axes
    matplotlib.pyplot.close(axes.figure)
    text = result._repr_html_()
    assert text.count("<tr>") == 1 + len(result.front)
    assert "cost [flops]" in text and "network.activation" in text


def test_pruned_candidates_are_off_the_front_and_say_why(result):
    pruned = [c for c in result.candidates if c.state == "pruned"]
    assert pruned
    for candidate in pruned:
        assert np.isnan(candidate.error) and candidate.path is None and candidate not in result.front
        assert candidate.reason.startswith("pruned: error ")


def test_without_pruner_every_candidate_is_trained_to_the_end(tmp_path):
    train, validation = search_kernels.data()
    found = search_kernels.search(pruner=None).run(
        train, validation, n=8, batch=4, seed=5, folder=tmp_path, progress=False
    )
    assert [c.state for c in found.candidates] == ["finished"] * 8


def test_a_cheap_candidate_is_not_held_against_expensive_ones():
    pruner = pytest.importorskip("optuna").pruners.MedianPruner(n_startup_trials=1)
    expensive = [{"network_flops": 100.0, "error": 0.1, "errors": {1: 0.1}}] * 3
    assert search._is_hopeless(pruner, {1: 0.5}, 100.0, expensive)
    assert not search._is_hopeless(pruner, {1: 0.5}, 99.0, expensive)
    assert not search._is_hopeless(pruner, {1: 0.05}, 100.0, expensive)


def test_measured_cost_tells_a_large_network_from_a_small_one(tmp_path):
    train, validation = search_kernels.data()
    template = sg.Surrogate(
        search_kernels.KERNEL, Choice({"small": sg.nn.MLP([4]), "large": sg.nn.MLP([128, 128])})
    )
    found = search.Search(template, fit={"epochs": 1}, pruner=None).run(
        train, validation, n=8, batch=8, seed=2, folder=tmp_path, progress=False
    )
    assert found.unit == "ns"
    cost = {
        label: [c.cost for c in found.candidates if c.parameters["network"] == label]
        for label in ("small", "large")
    }
    # 33 kflop against 24: a factor of ten at least, on any machine and with any guard
    assert min(cost["large"]) > 3 * max(cost["small"]) > 0
    # the same network several times
    assert max(cost["large"]) < 2 * min(cost["large"])


def test_costs_are_freed_from_the_drift_of_the_machine(tmp_path, monkeypatch):
    """The second batch runs while everything takes twice as long, the reference network too."""
    speed = iter((1.0, 2.0))

    def measure(surrogates, x):
        factor = next(speed)
        return [factor * 3e-9] * len(surrogates), factor * 7e-9

    monkeypatch.setattr(search, "_measure", measure)
    found = search_kernels.search(cost="cpu", pruner=None).run(
        *search_kernels.data(), n=4, batch=2, seed=5, folder=tmp_path, progress=False
    )
    assert [c.cost for c in found.candidates] == pytest.approx([3.0] * 4, rel=1e-12)


def test_the_example_of_the_docs_runs(tmp_path):
    page = (HERE.parents[1] / "docs" / "bring-your-own.md").read_text()
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", page, flags=re.S) if "search.run" in block
    )
    code = code.replace("n=64", "n=2, batch=2, progress=False").replace('"search/"', "folder")
    code = code.replace("max_error=0.02", "max_error=1e9")
    flame = runpy.run_path(str(HERE.parents[1] / "examples" / "flame.py"))
    samples = flame["kernel"].sample(sg.sampling.sobol(flame["kernel"], seed=1), 512, seed=1, progress=False)
    train, validation = samples.split(seed=2)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        names = {
            "sg": sg,
            "kernel": flame["kernel"],
            "train": train,
            "validation": validation,
            "pool": pool,
            "folder": tmp_path,
        }
        exec(code, names)
    assert names["surrogate"].n_out == 1


def test_kinds_of_networks_compete_each_with_its_own_ranges(tmp_path):
    train, validation = search_kernels.data()
    kinds = {
        "plain": sg.nn.MLP([Integer(4, 8)]),
        "residual": sg.nn.zoo.ResidualMLP(width=Integer(4, 9), blocks=Integer(1, 2)),
    }
    template = sg.Surrogate(search_kernels.KERNEL, Choice(kinds))
    found = search.Search(template, fit={"epochs": 1}, cost="flops", pruner=None).run(
        train, validation, n=6, batch=6, seed=1, folder=tmp_path, progress=False
    )
    drawn = {
        "plain": {"network", "network=plain.hidden[0]"},
        "residual": {"network", "network=residual.width", "network=residual.blocks"},
    }
    assert {c.parameters["network"] for c in found.candidates} == set(kinds)
    for candidate in found.candidates:
        assert set(candidate.parameters) == drawn[candidate.parameters["network"]]


def test_a_function_may_make_the_surrogate_and_its_training(tmp_path):
    train, validation = search_kernels.data()

    def make(draw):
        width = draw("width", Integer(4, 8))
        return sg.Surrogate(search_kernels.KERNEL, sg.nn.MLP([width, 2 * width], "tanh")), {
            "epochs": draw("epochs", Integer(2, 4))
        }

    found = search.Search(make, cost="flops").run(
        train, validation, n=4, batch=2, seed=1, folder=tmp_path, progress=False
    )
    assert all(set(c.parameters) == {"width", "epochs"} for c in found.candidates)
    best = found.best()
    assert len(best.provenance["history"]["rows"]) == found.choose().parameters["epochs"]


def test_a_host_can_be_the_judge(tmp_path):
    train, validation = search_kernels.data()

    def steady(surrogate, validation):
        return float(
            np.abs(surrogate.evaluate(np.array([[1.0, 0.5]]), guard="off") - np.exp(-(np.pi**2) / 2)).max()
        )

    found = search.Search(
        sg.Surrogate(search_kernels.KERNEL, sg.nn.MLP([Integer(3, 9)], "tanh")),
        fit={"epochs": 3},
        error=steady,
        cost="flops",
    )
    found = found.run(train, validation, n=2, batch=2, seed=1, folder=tmp_path, progress=False)
    assert steady(found.best(tolerance=0), validation) == found.front[-1].error


def test_a_training_that_diverges_is_a_failed_candidate_not_a_failed_search(tmp_path):
    train, validation = search_kernels.data()
    template = sg.Surrogate(search_kernels.KERNEL, sg.nn.MLP([4], activation="relu"))
    fit = {"epochs": 3, "optimizer": sg.nn.SGD(Choice({"sane": 1e-3, "wild": 1e30}))}
    found = search.Search(template, fit=fit, cost="flops").run(
        train, validation, n=6, batch=6, seed=1, folder=tmp_path, progress=False
    )
    states = {(c.parameters["optimizer.rate"], c.state) for c in found.candidates}
    assert states == {("sane", "finished"), ("wild", "failed")}
    assert "diverged" in next(c.reason for c in found.candidates if c.state == "failed")


# ----------------------------------------------------------------------------------------------- reproducible
def test_the_same_seed_gives_the_same_candidates_and_bytes(tmp_path, result):
    again = search_kernels.run(tmp_path)
    assert facts(again) == facts(result)
    x = search_kernels.data()[1].X
    for a, b in zip(again.front, result.front):
        np.testing.assert_array_equal(sg.load(a.path).evaluate(x), sg.load(b.path).evaluate(x))


def test_another_seed_gives_others(tmp_path, result):
    assert facts(search_kernels.run(tmp_path, n=4, seed=6)) != facts(result)[:4]


@pytest.mark.parametrize("kind", ("processes", "threads"))
def test_two_workers_find_the_same_front(tmp_path, result, kind):
    if kind == "threads":
        pool = concurrent.futures.ThreadPoolExecutor(2)
    else:
        pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    with pool:
        assert facts(search_kernels.run(tmp_path, executor=pool)) == facts(result)


def test_data_in_files_reach_the_workers(tmp_path, result):
    train, validation = search_kernels.data()
    kernel = search_kernels.KERNEL
    parts = [
        sg.Dataset.from_arrays(kernel, d.X, d.Y, out=tmp_path / name)
        for d, name in ((train, "train"), (validation, "validation"))
    ]
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = search_kernels.search().run(
            *parts, n=4, batch=4, seed=5, folder=tmp_path / "search", executor=pool, progress=False
        )
    assert facts(found) == facts(result)[:4]


def test_a_search_goes_on_where_it_was_and_ends_as_if_never_stopped(tmp_path, result):
    search_kernels.run(tmp_path, n=4)
    assert [c.number for c in search.load(tmp_path).candidates] == [0, 1, 2, 3]
    assert facts(search_kernels.run(tmp_path, n=11)) == facts(result)  # whole batches


def test_a_killed_search_is_resumed_and_finds_the_same_front(tmp_path, result):
    """Killed in the middle of the second batch, without a chance to clean up."""
    marks = tmp_path / "marks"
    marks.mkdir()
    folder, environment = tmp_path / "search", os.environ | {"SEARCH_TEST_MARKS": str(marks)}
    command = [sys.executable, str(HERE / "search_kernels.py"), str(folder)]
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 120
    while len(list(marks.iterdir())) < 6:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = search.load(folder)
    assert [c.number for c in before.candidates] == [0, 1, 2, 3]
    subprocess.run(command, env=environment, check=True)
    after = search.load(folder)
    assert facts(after) == facts(result)
    # candidates 4 and perhaps 5 were ready when it was killed: not all were trained again
    finished = sum(c.state == "finished" for c in after.candidates)
    assert len(list(marks.iterdir())) <= finished + 1


def test_ctrl_c_ends_a_search_and_leaves_it_to_be_resumed(tmp_path, result):
    train, validation = search_kernels.data()
    calls = []

    def interrupt(surrogate, validation):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return search.scaled_rmse(surrogate, validation)

    search_ = search_kernels.search(error=interrupt)
    with pytest.raises(KeyboardInterrupt):
        search_.run(train, validation, n=4, batch=4, seed=5, folder=tmp_path, progress=False)
    assert search.load(tmp_path).candidates == []
    found = search_.run(train, validation, n=4, batch=4, seed=5, folder=tmp_path, progress=False)
    assert facts(found) == facts(result)[:4]
    assert len(calls) == 1 + 4  # the first of the first run was kept


# -------------------------------------------------------------------------------------------------- wrong use
@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: Integer(8, 4), ValueError, "low, high: expected low <= high, got 8 and 4"),
        (lambda: Integer(0, 4, log=True), ValueError, "low: expected at least 1 with log=True, got 0"),
        (lambda: Integer(1, 4, log=True, step=2), ValueError, "step: expected 1 with log=True, got 2"),
        (lambda: Integer(1, 4, step=0), ValueError, "step: expected at least 1, got 0"),
        (lambda: Integer(1.5, 4), TypeError, "low: expected a whole number, got 1.5"),
        (lambda: Real(1, 0.5), ValueError, "low, high: expected low <= high, got 1 and 0.5"),
        (lambda: Real(0, 1, log=True), ValueError, "low: expected a number above 0 with log=True, got 0"),
        (lambda: Real(0, float("inf")), ValueError, "high: expected a finite number, got inf"),
        (
            lambda: Choice([]),
            ValueError,
            "options: expected a list, or a dict of label -> value, with at least one entry",
        ),
        (lambda: Choice(["a", "a"]), ValueError, "options: two of them are called 'a'"),
        (
            lambda: Repeat(Integer(1, 2), Integer(-1, 2)),
            ValueError,
            "times: expected an Integer or a whole number, at least 0",
        ),
        (lambda: Repeat(Integer(1, 2), Real(1, 2)), ValueError, "times: expected an Integer"),
    ],
)
def test_an_invalid_range_is_refused_and_names_its_argument(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"n": 0}, ValueError, "n: expected a whole number of at least 1, got 0"),
        ({"batch": 0}, ValueError, "batch: expected a whole number of at least 1, got 0"),
        ({"seed": -1}, ValueError, "seed: expected a whole number of at least 0, got -1"),
        ({"search": {"cost": "time"}}, ValueError, "cost: expected 'cpu' or 'flops', got 'time'"),
        (
            {"search": {"error": "rmse"}},
            TypeError,
            r"error: expected error\(surrogate, validation\) -> float, got 'rmse'",
        ),
        (
            {"search": {"pruner": "best"}},
            TypeError,
            "pruner: expected a pruner of Optuna or None, got 'best'",
        ),
        ({"search": {"sampler": 3}}, TypeError, r"sampler: expected sampler\(seed\)"),
        ({"search": {"fit": {"progress": True}}}, ValueError, "fit: progress is set by the search"),
        ({"search": {"fit": 3}}, TypeError, "fit: expected a dict of arguments for Surrogate.fit, got int"),
        (
            {"search": {"template": 3}},
            TypeError,
            r"template: expected a Surrogate or a function template\(draw\), got int",
        ),
        (
            {"search": {"template": lambda draw: 3}},
            TypeError,
            "template: expected it to return a Surrogate, .* got 3",
        ),
        (
            {"search": {"template": sg.Surrogate(search_kernels.KERNEL, sg.nn.MLP([3])), "fit": None}},
            ValueError,
            "template, fit: they hold no Integer, Real, Choice or Repeat",
        ),
        (
            {"search": {"template": lambda draw: draw("n", 3)}},
            TypeError,
            "draw: n: expected Integer, Real, Choice or Repeat, got 3",
        ),
        (
            {"search": {"template": lambda draw: [draw("n", Integer(1, 2)), draw("n", Integer(1, 2))]}},
            ValueError,
            "draw: the name 'n' is used twice",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_name(tmp_path, options, error, message):
    options = dict(options)
    params = search_kernels.search().get_params() | options.pop("search", {})
    with pytest.raises(error, match=message):
        search.Search(**params).run(
            *search_kernels.data(), folder=tmp_path, **{"n": 2, "seed": 1, "progress": False} | options
        )


def test_a_folder_of_another_search_is_refused_and_says_what_differs(tmp_path):
    search_kernels.run(tmp_path, n=4)
    with pytest.raises(ValueError, match="holds a search with another seed; use another folder"):
        search_kernels.run(tmp_path, n=4, seed=9)
    train, validation = search_kernels.data()
    other = sg.Surrogate(search_kernels.KERNEL, sg.nn.MLP([Integer(3, 9)]))
    with pytest.raises(ValueError, match="holds a search with another template, train"):
        search.Search(other, fit=search_kernels.FIT, cost="flops").run(
            validation, validation, n=4, batch=4, seed=5, folder=tmp_path, progress=False
        )


def test_two_searches_at_once_in_one_folder_are_refused(tmp_path):
    with search._locked(tmp_path):
        with pytest.raises(RuntimeError, match="folder: another search is running in"):
            search_kernels.run(tmp_path, n=4)


def test_a_folder_without_search_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no search here"):
        search.load(tmp_path)


def test_a_function_that_cannot_be_sent_to_workers_is_refused(tmp_path):
    train, validation = search_kernels.data()
    template = sg.Surrogate(search_kernels.KERNEL, sg.nn.Model(lambda x, n: sg.nn.Dense(n)(x)))
    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        with pytest.raises(ValueError, match="executor: a candidate cannot be sent to another process"):
            search.Search(template, fit={"optimizer": sg.nn.Adam(Real(1e-3, 1e-2))}, cost="flops").run(
                train, validation, n=2, batch=2, seed=1, folder=tmp_path, executor=pool, progress=False
            )


def test_error_is_one_for_the_mean_and_looks_at_logarithms():
    kernel = sg.Kernel(
        None,
        name="k",
        inputs={"x": sg.Var("1", 0, 1)},
        outputs={"a": sg.Var("1"), "b": sg.Var("1", scale="log")},
    )
    x = np.linspace(0, 1, 50)
    y = np.column_stack([x, np.exp(7 * x)])
    data = sg.Dataset.from_arrays(kernel, x[:, None], y)
    scale = search._Scale(data)
    mean = np.column_stack([np.full(50, 0.5), np.full(50, np.exp(3.5))])
    assert scale.error(mean) == pytest.approx(1, rel=1e-12)
    assert scale.error(y) == 0
    # a factor e in b everywhere: 1 / std(7 x) in one of two columns
    assert scale.error(y * [1, np.e]) == pytest.approx(np.sqrt(0.5) / np.std(7 * x), rel=1e-12)
    # negative values of b count as its smallest truth, 1
    assert scale.error(np.column_stack([x, np.full(50, -3.0)])) == pytest.approx(
        np.sqrt(np.mean((7 * x) ** 2) / np.var(7 * x) / 2), rel=1e-12
    )


def test_outputs_that_do_not_vary_cannot_be_scored():
    kernel = sg.Kernel(None, name="k", inputs={"x": sg.Var("1", 0, 1)}, outputs={"a": sg.Var("1")})
    data = sg.Dataset.from_arrays(kernel, np.linspace(0, 1, 5)[:, None], np.full((5, 1), 0.3))
    with pytest.raises(ValueError, match="validation: no output varies"):
        search._Scale(data)


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(search, optionflags=doctest.ELLIPSIS).failed == 0
