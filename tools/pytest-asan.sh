#!/bin/sh
# Runs the Python tests of the workshop and of events on the sanitizer build in $1. CPython itself leaks by design: leaks are looked for in the C tests.
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r python/simgraft "$work/simgraft"
rm -f "$work"/simgraft/*.so*
cp "$build"/_core*.so "$build"/libsimgraft.so "$work/simgraft/"
mkdir "$work/simgraft/include"
cp -r csrc/include/simgraft "$work/simgraft/include/"
# The finder of an editable install comes before PYTHONPATH: take it out, in child processes too.
cat >"$work/sitecustomize.py" <<'PY'
import sys

sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__module__.startswith("_editable_")]


class NoPeers:
    """What is compared with is not what is checked here, and slow under the sanitizers."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in ("torch", "keras", "mpi4py"):
            raise ModuleNotFoundError(f"{name}: not under the sanitizers")


sys.meta_path.insert(0, NoPeers)
PY
export PYTHONPATH="$work" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=malloc
# libstdc++ too: the sanitizer looks for __cxa_throw when it starts, before any extension brings it.
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $(gcc -print-file-name=libstdc++.so.6)"
"$BIN/python" -c 'import simgraft, sys; assert simgraft.__file__.startswith(sys.argv[1]), simgraft.__file__' "$work"
"$BIN/python" -m pytest -q -p no:cacheprovider -m "not slow and not no_asan" tests/base tests/nn tests/metrics tests/store tests/surrogate tests/events
