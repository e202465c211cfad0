import subprocess
import sys

import pytest

import simgraft
from simgraft import cli


def test_version_is_printed():
    out = subprocess.run([sys.executable, "-m", "simgraft.cli", "--version"], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"simgraft {simgraft.__version__}"


def test_unknown_study_is_wrong_use_and_names_those_there_are(tmp_path, capsys):
    assert cli.main(["study", "astrology", "--out", str(tmp_path)]) == 2
    assert "got 'astrology'" in capsys.readouterr().err


def test_missing_out_is_wrong_use():
    with pytest.raises(SystemExit) as stop:
        cli.main(["study", "radiation"])
    assert stop.value.code == 2
