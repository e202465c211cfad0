"""Hosts that are programs: a user's code in C, C++ or Fortran that links libsimgraft and is run for a trial."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from simgraft.kernel import Kernel
from simgraft.profile import Profile, RoundedKernel
from simgraft.surrogate import Surrogate

__all__ = ["ExecutableHost"]

_SLOT_LINE = re.compile(r"simgraft slot:\s*calls=\s*(\S+)\s+rows=\s*(\S+)\s+seconds=\s*(\S+)")


class ExecutableHost:
    """A host that is a program, for :meth:`Trial.a_posteriori` and :func:`profile`.

    The program has the kernel built in and can put a surrogate file in its place. Every run has a folder of its own, in
    which the program is started; what sits in the slot is told by placeholders in its arguments, environment or input
    files:

    ``{slot}``
        "kernel", "surrogate", the value of `rounded`, or the text given as ``baseline=`` of the trial.
    ``{surrogate}``
        Path of the surrogate file; empty without one.
    ``{folder}``
        The folder of the run.

    Parameters
    ----------
    command : sequence of str or Path
        Program and arguments, such as ``["mpirun", "-n", "2", Path("flame_mpi"), "flame.nml"]``. Paths are made absolute,
        texts are passed as they are.
    outputs : str or callable
        What the trial compares, read from the folder of the run: the name of a ``.csv`` file (a line of names, then rows of
        numbers: one field a column) or of a ``.npz`` file, or a function ``outputs(folder) -> dict of arrays``.
    files : dict of str to (str or Path), optional
        Input files by name: text, or the path of a file with the text; placeholders are filled in.
    fields : sequence of str, optional
        The outputs to compare; default all.
    rounded : str, optional
        The ``{slot}`` that makes the program round the outputs of its kernel to 32 bits. Its run is the floor of the trial;
        without it the trial has no floor.
    environment : dict of str to str, optional
        Added to the environment of the program, placeholders filled in.
    folder : path-like, optional
        Where the folders of the runs are made and kept; default a temporary one.
    timeout : float, optional
        Seconds after which a run is ended [s].

    Raises
    ------
    ValueError
        On running, if the slot holds a Python function, which no program can call.
    RuntimeError
        On running, if the program fails; the message ends with what it wrote last.
    TimeoutError
        On running, if it takes longer than `timeout`.

    Notes
    -----
    Host time is CPU time of the program and its children; it includes what threads and ranks spend waiting for each
    other, so that speed is best measured with one of each. For the share of the kernel the program prints, once or once
    for each rank, how often it called the slot, with how many rows in all, and the CPU time spent there::

        simgraft slot: calls=600 rows=153600 seconds=0.97

    Examples
    --------
    A shell command in the place of a simulation, which reads an input file and writes a field of one value:

    >>> import simgraft as sg
    >>> host = sg.ExecutableHost(
    ...     ["sh", "-c", "cat input.txt"],
    ...     outputs=lambda folder: {"length": len((folder / "input.txt").read_text())},
    ...     files={"input.txt": "slot = {slot}"},
    ... )
    >>> host.run("frozen", "baseline")[0]
    {'length': 13}
    """

    def __init__(
        self,
        command,
        outputs,
        *,
        files=None,
        fields=None,
        rounded=None,
        environment=None,
        folder=None,
        timeout=None,
    ):
        if isinstance(command, (str, os.PathLike)):
            raise TypeError(f"command: expected a sequence of arguments, got {command!r}")
        self.command = list(command)
        self.outputs = outputs
        self.files = files
        self.fields = fields
        self.rounded = rounded
        self.environment = environment
        self.folder = folder
        self.timeout = timeout

    def run(self, function, label):
        """Run the program once.

        Parameters
        ----------
        function : Kernel, Surrogate or str
            What sits in the slot; a text is a choice of the program itself, such as a classical baseline.
        label : str
            Name for the result and of the folder.

        Returns
        -------
        fields : dict of arrays
        profile : Profile
        """
        if self.folder is None:
            with tempfile.TemporaryDirectory(prefix="simgraft-host-") as folder:
                return self._run_in(Path(folder), function, label)
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        name = re.sub(r"\W+", "-", label)
        return self._run_in(Path(tempfile.mkdtemp(prefix=name + "-", dir=self.folder)), function, label)

    def _run_in(self, folder, function, label):
        places = self._places(folder.resolve(), function)
        for name, content in (self.files or {}).items():
            text = content.read_text() if isinstance(content, os.PathLike) else content
            (folder / name).write_text(_fill(text, places))
        command = [os.path.abspath(a) if isinstance(a, os.PathLike) else _fill(a, places) for a in self.command]
        environment = os.environ | {k: _fill(v, places) for k, v in (self.environment or {}).items()}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        text = _execute(command, folder, environment, self.timeout, label)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return self._read_outputs(folder, label), _profile(label, seconds, text)

    def _places(self, folder, function):
        slot, file = "kernel", ""
        if isinstance(function, Surrogate):
            slot, file = "surrogate", str(folder / "surrogate.sg")
            function.save(file)
        elif isinstance(function, RoundedKernel):
            slot = self.rounded
        elif isinstance(function, str):
            slot = function
        elif not isinstance(function, Kernel):
            raise ValueError(
                f"slot: a program cannot call {function!r}; expected a Kernel, a Surrogate or a text that the program knows"
            )
        return {"{slot}": slot, "{surrogate}": file, "{folder}": str(folder)}

    def _read_outputs(self, folder, label):
        if callable(self.outputs):
            fields = self.outputs(folder)
        else:
            path = folder / self.outputs
            if not path.is_file():
                raise FileNotFoundError(f"outputs: the run with the {label} left no {self.outputs!r}")
            fields = _read_csv(path) if path.suffix == ".csv" else _read_npz(path)
        if not isinstance(fields, dict):
            raise TypeError(f"outputs: expected a dict of arrays, got {type(fields).__name__}")
        if self.fields is None:
            return fields
        missing = [name for name in self.fields if name not in fields]
        if missing:
            raise ValueError(f"fields: the run with the {label} gave no {', '.join(missing)}; it gave {', '.join(fields)}")
        return {name: fields[name] for name in self.fields}

    def __repr__(self):
        return f"ExecutableHost({' '.join(map(str, self.command))})"


def _fill(text, places):
    for name, value in places.items():
        text = text.replace(name, value)
    return text


def _execute(command, folder, environment, timeout, label):
    """Standard output of the program; it and its children are ended after timeout."""
    program = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        out, err = program.communicate(timeout=timeout)
    except BaseException as error:  # an interrupt must not leave a program behind either
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimeoutError(f"host: the run with the {label} took longer than {timeout:g} s") from None
        raise
    if program.returncode:
        last = "\n".join((out + err).strip().splitlines()[-15:])
        raise RuntimeError(f"host: the run with the {label} ended with status {program.returncode}: {last}")
    return out


def _profile(label, seconds, text):
    counts = [[float(number) for number in match.groups()] for match in _SLOT_LINE.finditer(text)]
    if not counts:
        return Profile(label, seconds, float("nan"), 0, 0)
    calls, rows, spent = zip(*counts, strict=True)
    return Profile(label, seconds, sum(spent), int(max(calls)), int(sum(rows)))


def _read_csv(path):
    with open(path) as file:
        names = [name.strip() for name in file.readline().split(",")]
        values = np.loadtxt(file, delimiter=",", ndmin=2)
    if values.shape[1] != len(names):
        raise ValueError(f"outputs: {path.name} has {len(names)} names for {values.shape[1]} columns")
    return {name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)}


def _read_npz(path):
    if path.suffix != ".npz":
        raise ValueError(f"outputs: expected a .csv or .npz file or a function, got {path.name!r}")
    with np.load(path, allow_pickle=False) as file:
        return dict(file)
