"""Programs as hosts of a trial, with a small Python program in the place of a simulation."""

import sys
import time

import numpy as np
import pytest

import simgraft as sg

PROGRAM = """
import sys
slot, file = open("input.txt").read().split("|")
y = {"kernel": 1.0, "surrogate": 1.25, "rounded": 1.0 + 2.0**-20, "coarse": 3.0}[slot]
assert (slot == "surrogate") == bool(file) and (not file or b"\\x89HDF" in open(file, "rb").read(4096))
print("simgraft slot: calls=3 rows=30 seconds= 2.0E-03")
print("simgraft slot: calls=2 rows=20 seconds=1e-3")
open("out.csv", "w").write(f"x, y\\n1,{y}\\n2,{y + 1}\\n")
"""


def host(text=PROGRAM, **options):
    options = {"outputs": "out.csv", "files": {"input.txt": "{slot}|{surrogate}"}} | options
    return sg.ExecutableHost([sys.executable, "-c", text], **options)


def test_trial_of_a_program_compares_its_files_and_counts_its_slot(surrogate):
    trial = sg.Trial(surrogate).a_posteriori(host(rounded="rounded"), baseline="coarse")
    table = trial.tables_["a posteriori"]
    column = {name: i for i, name in enumerate(table["columns"])}
    rmse = {(r[0], r[1]): r[column["rmse"]] for r in table["rows"]}
    assert rmse == {("x", "surrogate"): 0, ("x", "baseline"): 0, ("y", "surrogate"): 0.25, ("y", "baseline"): 2.0}
    assert table["rows"][2][column["floor rmse"]] == 2.0**-20
    # two ranks: three calls each at most, the rows of both, the time of both
    kernel = trial.tables_["speed"]["rows"][0]
    assert kernel[4:6] == [3, 50] and kernel[2] == pytest.approx(3e-3)


def test_program_that_cannot_round_has_no_floor_and_the_trial_says_so(surrogate):
    trial = sg.Trial(surrogate, gates=[sg.gate.host("y", rmse=1.0)]).a_posteriori(host())
    assert trial.gates_[0].floor is None and trial.passed
    assert "no floor" in trial.tables_["a posteriori"]["note"]


def test_program_that_does_not_tell_its_slot_still_has_a_speed(surrogate):
    trial = sg.Trial(surrogate).a_posteriori(host(PROGRAM.replace("simgraft slot", "something else")))
    assert any("does not tell the time spent in the slot" in note for note in trial.notes_)
    assert not any("use the kernel" in warning for warning in trial.warnings_)


def test_only_the_named_fields_are_compared(surrogate):
    assert list(host(fields=["y"]).run(surrogate, "surrogate")[0]) == ["y"]
    with pytest.raises(ValueError, match="fields: the run with the kernel gave no z; it gave x, y"):
        host(fields=["z"]).run(surrogate.kernel, "kernel")


def test_outputs_may_be_read_by_a_function(surrogate):
    fields, _ = host(outputs=lambda folder: {"size": np.array((folder / "out.csv").stat().st_size)}).run("coarse", "x")
    assert fields["size"] == 17


def test_runs_are_kept_where_a_folder_is_given(surrogate, tmp_path):
    host(folder=tmp_path / "runs").run("coarse", "my baseline")
    (run,) = (tmp_path / "runs").iterdir()
    assert run.name.startswith("my-baseline-") and sorted(p.name for p in run.iterdir()) == ["input.txt", "out.csv"]


def test_program_that_fails_is_quoted(surrogate):
    with pytest.raises(RuntimeError, match="the run with the kernel ended with status 3: (.|\n)*the grid is too coarse"):
        host("import sys; print('the grid is too coarse', file=sys.stderr); sys.exit(3)").run(surrogate.kernel, "kernel")


def test_program_that_leaves_nothing_is_refused(surrogate):
    with pytest.raises(FileNotFoundError, match="the run with the kernel left no 'out.csv'"):
        host("pass").run(surrogate.kernel, "kernel")


def test_program_that_hangs_is_ended_with_its_children(surrogate, tmp_path):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    start = time.monotonic()
    with pytest.raises(TimeoutError, match="longer than 1 s"):
        host(child, timeout=1).run(surrogate.kernel, "kernel")
    assert time.monotonic() - start < 30  # waits for the end of the pipe, which the child holds open


def test_python_functions_cannot_sit_in_a_program(surrogate):
    with pytest.raises(ValueError, match="a program cannot call"):
        host().run(lambda inputs: inputs, "baseline")


def test_command_in_one_text_is_refused():
    with pytest.raises(TypeError, match="sequence of arguments"):
        sg.ExecutableHost("flame input.nml", "out.csv")
