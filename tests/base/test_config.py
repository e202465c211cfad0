"""show_config() tells the truth and prints what it returns."""

import re

import simgraft
from simgraft import _core


def test_show_config_prints_what_it_returns(capsys):
    config = simgraft.show_config()
    assert capsys.readouterr().out == "".join(f"{name:<9} {value}\n" for name, value in config.items())


def test_show_config_follows_the_chosen_instruction_set():
    try:
        _core.isa_set("portable")
        assert simgraft.show_config()["isa"] == "portable"
    finally:
        _core.isa_set("auto")
    assert simgraft.show_config()["isa"] == _core.isa()


def test_library_versions_are_those_of_the_libraries():
    config = simgraft.show_config()
    assert re.fullmatch(r"\d+\.\d+\.\d+", config["hdf5"])
    assert config["openblas"].startswith("OpenBLAS ")
    assert config["simgraft"] == simgraft.__version__
