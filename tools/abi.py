"""The binary interface of libsimgraft as text: functions, sizes and offsets of structures, numbers of constants.

    python tools/abi.py > tests/hosts/abi.txt

docs/hosts.md tells which changes need another soname.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

INCLUDE = Path(__file__).resolve().parents[1] / "csrc" / "include"


def declarations(include):
    """All headers without comments, preprocessor lines and extra blanks."""
    text = "\n".join(p.read_text() for p in sorted((include / "simgraft").glob("*.h")))
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
    return re.sub(r"\s+", " ", text)


def functions(text):
    """Prototypes by name."""
    found = re.findall(r"SG_API ([^;{}]*?\b(\w+) ?\([^;{}]*\));", text)
    return {name: prototype for prototype, name in found}


def structures(text):
    """Field names by structure."""
    found = {}
    for body, name in re.findall(r"typedef struct \w* ?\{(.*?)\} (\w+);", text):
        found[name] = [field for part in body.split(";")
                       for field in re.findall(r"(\w+) ?(?:\[\w+\])? ?(?:,|$)", part.strip())]
    return found


def constants(text):
    bodies = re.findall(r"\benum \w* ?\{(.*?)\}", text)
    return [name for body in bodies for name in re.findall(r"\b(SG_[A-Z0-9_]+)\b(?! ?\()", body) if name != "SG_STATUS_LIST"]


def describe(include=INCLUDE, compiler="cc"):
    """The lines of the description.

    Parameters
    ----------
    include : Path
        Folder with simgraft/*.h.
    compiler : str

    Returns
    -------
    str
    """
    text = declarations(include)
    lines = [f"function {prototype}" for _, prototype in sorted(functions(text).items())]
    lines += sorted(f"type {t}" for t in re.findall(r"typedef ([^;{}]*\(\*\w+\)[^;{}]*);", text))
    program = ["#include <stdio.h>", "#include <simgraft/simgraft.h>", "int main(void)", "{"]
    for name, fields in sorted(structures(text).items()):
        program.append(f'printf("struct {name}: %zu bytes\\n", sizeof({name}));')
        program += [f'printf("  %s at %zu, %zu bytes\\n", "{name}.{field}", offsetof({name}, {field}), '
                    f"sizeof((({name} *)0)->{field}));" for field in fields]
    program.append('#define X(name, number, exception, text) printf("constant %s = %d\\n", #name, (int)name);')
    program.append("SG_STATUS_LIST(X)")
    program += [f'printf("constant {name} = %d\\n", (int){name});' for name in constants(text)]
    program += ["return 0;", "}"]
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder) / "abi.c", Path(folder) / "abi"
        source.write_text("\n".join(program) + "\n")
        subprocess.run([compiler, f"-I{include}", source, "-o", binary], check=True)
        layout = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    return "\n".join(lines) + "\n" + layout


if __name__ == "__main__":
    sys.stdout.write(describe())
