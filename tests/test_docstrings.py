"""The examples in the docstrings of every module run and give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

import simgraft

TOP = Path(simgraft.__file__).parent
MODULES = sorted(
    ".".join(["simgraft", *path.relative_to(TOP).with_suffix("").parts])
    for path in TOP.rglob("*.py")
    if path.name != "__init__.py"
)
NEEDS = {"onnx": ["onnx"], "torch": ["torch", "safetensors"], "keras": ["h5py"], "search": ["optuna"], "sample": ["awkward", "vector"]}
NEEDS |= {"lhe": ["pylhe", "h5py"], "hepmc": ["pyhepmc"], "root": ["uproot", "awkward"]}
NEEDS |= {"formats": ["pylhe", "pyhepmc"], "_common": ["pylhe"]}


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_module_run(name, tmp_path, monkeypatch):
    for part, packages in NEEDS.items():
        if part in name.rpartition(".")[2]:
            for package in packages:
                pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(
        importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
    )
    assert result.failed == 0
