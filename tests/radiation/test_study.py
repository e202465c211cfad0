"""The radiation study from end to end: short on what is made by code, in full on the real tables."""

import json
from dataclasses import replace

import pytest
from simgraft.radiation import atmosphere, networks, study, tables

GATES = {
    "lw_network_flux_rmse",
    "sw_network_flux_rmse",
    "equilibrium_surface_temperature_error",
}
REFERENCE_GATES = {"rfmip_lw_g256_flux_max_error", "rfmip_sw_g224_flux_max_error"}


def test_study_without_data_runs_on_made_up_tables_and_says_so(tmp_path, monkeypatch):
    def short(family):
        specs = {name: replace(spec, hidden=(4,), epochs=1) for name, spec in family.specs.items()}
        return replace(family, specs=specs)

    monkeypatch.setattr(
        networks, "COMPACT", {name: short(family) for name, family in networks.COMPACT.items()}
    )
    monkeypatch.setattr(study, "QUICK_SCAN", ((), (4,)))
    monkeypatch.setattr(study, "N_SYNTHETIC", 60)
    monkeypatch.setattr(tables, "search_folders", list)
    monkeypatch.setattr(atmosphere, "find_rfmip", lambda: (_ for _ in ()).throw(FileNotFoundError("none")))
    trial = study.run(tmp_path, quick=True)
    trial.report(tmp_path / "report.html")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["study"] == "radiation"
    assert GATES <= {gate["name"] for gate in report["gates"]}
    assert not REFERENCE_GATES & {gate["name"] for gate in report["gates"]}
    assert any("synthetic" in warning for warning in report["warnings"])
    assert any("better choice on this machine" in note for note in report["notes"])
    assert {path.name for path in (tmp_path / "longwave").iterdir()} == {
        f"{output}-{part}.sg" for output in ("absorption", "planck_fraction") for part in range(4)
    }


@pytest.mark.slow
@pytest.mark.data
def test_quick_study_passes_its_gates_on_real_tables(tmp_path, data_dir):
    trial = study.run(tmp_path, quick=True, data=data_dir)
    assert GATES | REFERENCE_GATES <= {gate.name for gate in trial.gates_}
    assert [str(gate) for gate in trial.gates_ if not gate.passed] == []
