"""The command line: ``simgraft study NAME --out DIR``, ``simgraft describe FILE``,
``simgraft export FILE --c OUT``, ``simgraft --version``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import pkgutil
import sys
from pathlib import Path

import simgraft


def studies():
    """Names of the field rooms that have a study."""
    rooms = (m.name for m in pkgutil.iter_modules(simgraft.__path__) if m.ispkg)
    return sorted(name for name in rooms if importlib.util.find_spec(f"simgraft.{name}.study") is not None)


def _study(arguments):
    if arguments.name not in studies():
        print(f"simgraft study: expected one of {', '.join(studies())}, got {arguments.name!r}", file=sys.stderr)
        return 2
    if arguments.data is not None and not arguments.data.is_dir():
        print(f"simgraft study: --data {arguments.data} is not a folder", file=sys.stderr)
        return 2
    study = importlib.import_module(f"simgraft.{arguments.name}.study")
    trial = study.run(arguments.out, quick=arguments.quick, data=arguments.data)
    passed = trial.report(arguments.out / "report.html")
    for gate in trial.gates_:
        print(gate)
    print(f"report: {arguments.out / 'report.html'}")
    return 0 if passed else 1


def _describe(arguments):
    print(simgraft.describe(arguments.file))
    return 0


def _export(arguments):
    if arguments.onnx is None and arguments.c is None:
        print("simgraft export: expected --onnx OUT or --c OUT", file=sys.stderr)
        return 2
    surrogate = simgraft.load(arguments.file)
    if arguments.onnx is not None:
        surrogate.export_onnx(arguments.onnx, dtype=arguments.dtype, by_name=arguments.by_name)
        print(f"ONNX model: {arguments.onnx}")
    if arguments.c is not None:
        surrogate.export_c(arguments.c, name=arguments.name)
        print(f"C99 source: {arguments.c}")
    return 0


def _parser():
    parser = argparse.ArgumentParser(prog="simgraft", description="Graft neural networks into numerical simulations.")
    parser.add_argument("--version", action="version", version=f"simgraft {simgraft.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    study = commands.add_parser(
        "study", help="run a study: generate, train, prove, report",
        description="Runs a study and writes DIR/report.html and DIR/report.json. Exit status: 0 if every gate "
        "passed, 1 if a gate failed, 2 for wrong use.")
    study.add_argument("name", metavar="NAME", help=f"one of {', '.join(studies())}")
    study.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the report and the surrogates")
    study.add_argument("--quick", action="store_true", help="less data and training, same steps and gates")
    study.add_argument("--data", type=Path, metavar="DIR", help="folder of real data")
    study.set_defaults(run=_study)
    describe = commands.add_parser("describe", help="tell what a surrogate or dataset file is")
    describe.add_argument("file", type=Path, metavar="FILE")
    describe.set_defaults(run=_describe)
    export = commands.add_parser(
        "export", help="write a surrogate as an ONNX model or a C99 file",
        description="Writes a surrogate with encoder and decoder inside, for sites without simgraft.")
    export.add_argument("file", type=Path, metavar="FILE", help="surrogate file")
    export.add_argument("--onnx", type=Path, metavar="OUT", help="ONNX model to write")
    export.add_argument("--c", type=Path, metavar="OUT", help="C99 file to write")
    export.add_argument("--dtype", choices=["float32", "float64"], help="of the ONNX tensors; default float64")
    export.add_argument("--by-name", action="store_true", help="one ONNX tensor for each variable")
    export.add_argument("--name", help="prefix of the C functions; default: the kernel's name")
    export.set_defaults(run=_export)
    return parser


def main(argv=None):
    """Run the command line; returns the exit status."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return arguments.run(arguments)
    except (OSError, ImportError, ValueError) as error:
        print(f"simgraft {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("simgraft: stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
