#!/bin/sh
# Runs the core Python tests on the sanitizer build in $1. CPython itself leaks by design: leaks are looked for in the C tests.
set -eu
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r python/simgraft "$work/simgraft"
rm -f "$work"/simgraft/*.so*
cp "$build"/_core*.so "$work/simgraft/"
cp -P "$build"/libsimgraft.so* "$work/simgraft/"
export PYTHONPATH="$work" ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 PYTHONMALLOC=malloc
export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
"$BIN/python" -c 'import simgraft, sys; assert simgraft.__file__.startswith(sys.argv[1]), simgraft.__file__' "$work"
"$BIN/python" -m pytest -q -p no:cacheprovider -m "not slow and not no_asan" tests/base tests/nn tests/store tests/surrogate
