"""Command line of the benchmarks."""

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks import plot, runner

# engine_*.py hold sections of the engine's table
NAMES = sorted(p.stem for p in Path(__file__).parent.glob("*.py")
               if p.stem not in ("__init__", "__main__", "plot", "runner") and not p.stem.startswith("engine_"))


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", metavar="FILE", help="write the rows to FILE, and a picture beside it")
    arguments = parser.parse_args()

    runner.clean_environment()  # restarts the process if it must; nothing heavy is imported before
    cpu = runner.pin()
    rows = []
    for row in importlib.import_module(f"benchmarks.{arguments.name}").run():
        if not rows:
            print(f"pinned to CPU {cpu}; thread CPU time, medians\n{runner.HEADER}")
        rows.append(row)
        print(row, flush=True)
    if arguments.json:
        file, rows_written = Path(arguments.json), [row.as_dict() for row in rows]
        file.write_text(json.dumps(rows_written, indent=1) + "\n")
        for picture in plot.plot(rows_written, file.with_suffix("")):
            print(f"picture: {picture}")
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
