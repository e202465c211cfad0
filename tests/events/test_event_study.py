"""The study of events from end to end: short on what this package makes itself, in full where Pythia's events are."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from simgraft.events import TWO_BODY, Events, judge, sources, study  # noqa: E402

TINY = sources.Sizes(
    train=1000, unseen=800, top_train=600, top_unseen=400, judged=400, baseline_train=400, autoencoder=1, adversarial=1,
    shell=20_000, timed=200,
)  # fmt: skip


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A short run without Pythia and data, as on a machine without the extra: trial and folder."""
    out = tmp_path_factory.mktemp("events")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources.importlib.util, "find_spec", lambda name: None)
        patch.setattr(sources, "QUICK", TINY)
        patch.setattr(judge, "JUDGE", judge.JUDGE | {"epochs": 2})
        patch.setattr(sources.chain, "quick", lambda: sources.chain.ChainModel(units=(8,), bins=4, epochs=1))
        return study.run(out, quick=True), out


def test_study_without_pythia_and_data_runs_on_our_generators_and_says_so(alone):
    trial, out = alone
    trial.report(out / "report.html")
    report = json.loads((out / "report.json").read_text())
    assert report["study"] == "events"
    gates = {gate["name"]: gate for gate in report["gates"]}
    assert gates["two_body_mass_shell_max"]["passed"]
    assert gates["toy_best_auc"]["limit"] == 0.51 and gates["toy_best_auc"]["floor"] is not None
    for name in ("z_born_peak_relative_error", "z_isr_peak_relative_error", "ttbar_lo_13tev_relative_error"):
        assert gates[name]["passed"], gates[name]
    assert "ttbar_best_auc" not in gates and any("ttbar_best_auc was not" in note for note in report["notes"])
    assert any("use the generator" in note for note in report["notes"])
    assert any("Pythia" in warning for warning in report["warnings"])
    assert all((out / f"{name}.sg").is_file() for name in ("toy", "z_born", "z", "ttbar"))


def test_table_of_models_has_its_floor_and_the_trivial_rows(alone):
    table = alone[0].tables_["two-body decay: models against truth"]
    rows = {row[0]: dict(zip(table["columns"], row)) for row in table["rows"]}
    assert {study.FLOOR, study.COPY, study.SMEAR, "VAE", "B-VAE", "LSGAN"} <= set(rows)
    assert rows[study.COPY]["neighbour ratio"] == 0
    # Equal samples: within 4 standard errors of 300 test rows
    assert abs(rows[study.FLOOR]["AUC + composites"] - 0.5) < 4 * rows[study.FLOOR]["error of AUC"]
    assert rows[study.SMEAR]["AUC trees"] > 0.9  # off the mass shell


@pytest.mark.slow
@pytest.mark.data
def test_quick_study_passes_its_gates(tmp_path, data_dir):
    trial = study.run(tmp_path, quick=True, data=data_dir)
    assert {"toy_best_auc", "z_best_auc", "two_body_mass_shell_max"} <= {gate.name for gate in trial.gates_}
    assert [str(gate) for gate in trial.gates_ if not gate.passed] == []


@pytest.mark.parametrize(("provenance", "made"), [({}, 400), ({"selected": 1000}, 1000)])
def test_time_of_an_event_counts_all_that_was_made(provenance, made, monkeypatch):
    """Pythia makes whole batches: events beyond those asked for are no waste of its time."""
    clock = [0.0]

    class Generator:
        def generate(self, n, seed, num_threads):
            assert n == 400
            clock[0] += 1.0
            return Events(TWO_BODY, np.zeros((10, n)), provenance=provenance)

    monkeypatch.setattr(sources.time, "thread_time", lambda: clock[0])
    assert sources.seconds_per_event(Generator(), seed=1) == 1 / made
