#!/bin/sh
# Makes sure that what pip cannot bring is there: a C compiler, pkg-config, OpenBLAS, HDF5, Python headers and venv; with the
# argument "hosts" also what the tests of host codes use: C++, Fortran, MPI, valgrind.
# Installs with apt where root or sudo allows it; otherwise says what to install and fails.
set -u
PYTHON=${PYTHON:-python3}

missing=
need() { missing="$missing $1"; }

command -v gcc >/dev/null || need gcc
command -v make >/dev/null || need make
command -v pkg-config >/dev/null || need pkg-config
pkg-config --exists openblas 2>/dev/null || need libopenblas-dev
pkg-config --exists hdf5 2>/dev/null || pkg-config --exists hdf5-serial 2>/dev/null || need libhdf5-dev
command -v "$PYTHON" >/dev/null || need python3
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || need python3-venv
"$PYTHON" -c 'import os, sysconfig; assert os.path.exists(sysconfig.get_path("include") + "/Python.h")' 2>/dev/null || need python3-dev
if [ "${1:-}" = hosts ]; then
    command -v c++ >/dev/null || need g++
    command -v gfortran >/dev/null || need gfortran
    command -v mpirun >/dev/null || need openmpi-bin
    command -v mpifort >/dev/null || need libopenmpi-dev
    command -v valgrind >/dev/null || need valgrind
fi

[ -z "$missing" ] && exit 0
if [ -n "${CONDA_PREFIX:-}" ]; then
    echo "simgraft needs packages that this conda env lacks (Debian names:$missing). Install them with" >&2
    echo "    conda install -c conda-forge compilers make pkg-config openblas hdf5 python" >&2
    exit 1
fi
sudo=
[ "$(id -u)" = 0 ] || sudo="sudo -n"
if command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; then
    echo "installing:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends $missing libc6-dev; } >/dev/null && exit 0
fi
echo "simgraft needs packages that could not be installed from here. Run as root:" >&2
echo "    apt-get install$missing" >&2
exit 1
