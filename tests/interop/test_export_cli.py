"""simgraft export: the command line mirrors the functions."""

import pytest
from interop_cases import Compiled

from simgraft import interop
from simgraft.cli import main


@pytest.fixture
def file(tmp_path, surrogate):
    surrogate.save(tmp_path / "s.sg")
    return str(tmp_path / "s.sg")


def test_c_file_is_that_of_to_c(tmp_path, file, surrogate):
    assert main(["export", file, "--c", str(tmp_path / "out" / "unit.c"), "--name", "unit"]) == 0
    text = (tmp_path / "out" / "unit.c").read_text()
    assert text == interop.to_c(surrogate, name="unit")
    assert Compiled(text, tmp_path).self_test()[0] == 0


def test_onnx_file_is_that_of_to_onnx(tmp_path, file, surrogate):
    onnx = pytest.importorskip("onnx", reason="needs onnx: pip install simgraft[interop]")
    assert main(["export", file, "--onnx", str(tmp_path / "s.onnx"), "--dtype", "float32", "--by-name"]) == 0
    assert onnx.load(tmp_path / "s.onnx") == interop.to_onnx(surrogate, dtype="float32", by_name=True)


def test_wrong_use_exits_with_2(tmp_path, file, capsys):
    assert main(["export", file]) == 2
    assert main(["export", str(tmp_path / "none.sg"), "--c", str(tmp_path / "s.c")]) == 2
    assert main(["export", file, "--c", str(tmp_path / "s.c"), "--name", "2x"]) == 2
    text = capsys.readouterr().err
    assert (
        "expected --onnx OUT or --c OUT" in text
        and "none.sg" in text
        and "expected a C identifier, got '2x'" in text
    )
