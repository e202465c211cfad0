"""Kernels: pure functions inside a simulation, with named inputs and outputs."""

from __future__ import annotations

import ctypes
import hashlib
import inspect
import json
import os
from pathlib import Path

import numpy as np

from simgraft import variables as _variables


class Kernel:
    """A pure function of a simulation: what a surrogate replaces.

    Parameters
    ----------
    function : callable
        ``function(inputs) -> outputs``: dicts of float64 arrays (n, \\*shape), one entry per variable, n samples at
        once. It must not change its inputs. None makes a description that cannot be called, as data sets and
        surrogate files carry it.
    inputs, outputs : dict of str to Var
        Names, units, shapes and valid ranges. Their order is the order of the columns of packed matrices.
    name : str, optional
        Name in files and messages; default the name of the function.
    version : str
        Raise it whenever the results change: stored data of another version are not mixed with new ones.
    parameters : dict, optional
        Constants of the kernel worth recording (JSON values).
    check : bool
        Whether calls check the inputs against the valid ranges.

    Attributes
    ----------
    n_in, n_out : int
        Columns of the packed matrices: the sizes of all inputs and of all outputs.

    Notes
    -----
    For a process pool the function must be importable: defined at the top level of a module, not a lambda.

    Examples
    --------
    >>> import numpy as np, simgraft as sg
    >>> def law(inputs):
    ...     return {"volume": 8.314 * inputs["temperature"] / inputs["pressure"]}
    >>> kernel = sg.Kernel(
    ...     law,
    ...     inputs={"temperature": sg.Var("K", 200, 400), "pressure": sg.Var("Pa", 1e3, 1e5, scale="log")},
    ...     outputs={"volume": sg.Var("m3 mol-1", scale="log")},
    ... )
    >>> kernel({"temperature": np.array([300.0]), "pressure": np.array([1e5])})
    {'volume': array([0.024942])}
    """

    def __init__(self, function, *, inputs, outputs, name=None, version="", parameters=None, check=True):
        if function is not None and not callable(function):
            raise TypeError(f"function: expected a callable, got {type(function).__name__}")
        self.function = function
        self.inputs = _variables.as_variables(inputs, "inputs")
        self.outputs = _variables.as_variables(outputs, "outputs")
        self.name = str(name if name is not None else getattr(function, "__name__", "kernel"))
        self.version = str(version)
        try:
            self.parameters = json.loads(json.dumps(parameters or {}))
        except (TypeError, ValueError) as error:
            raise TypeError(f"parameters: expected JSON values (numbers, texts, lists, dicts): {error}") from None
        self.check = check
        self.n_in = _variables.n_columns(self.inputs)
        self.n_out = _variables.n_columns(self.outputs)

    @classmethod
    def from_library(
        cls, path, symbol, inputs, outputs, *, name=None, version="", parameters=None, check=True, context=None
    ):
        """A kernel that is a C function in a shared library.

        Parameters
        ----------
        path : path-like
            The library.
        symbol : str
            A function of the signature::

                int f(size_t n, const double *in /* (n, n_in) */, double *out /* (n, n_out) */, void *context);

            The matrices are in C order, columns in the order of the variables. It returns 0, or its own error number.
            It is called without the GIL, and by several threads at once if an executor has them.
        inputs, outputs, name, version, parameters, check
            As for `Kernel`; the default name is the symbol.
        context : int or ctypes pointer, optional
            Address handed through; NULL by default. A kernel with a context cannot be sent to another process.

        Raises
        ------
        OSError
            If the library cannot be loaded.
        ValueError
            If it has no such symbol.
        """
        function = LibraryFunction(path, symbol, _variables.n_columns(inputs), _variables.n_columns(outputs), context)
        return cls(
            function,
            inputs=inputs,
            outputs=outputs,
            name=symbol if name is None else name,
            version=version,
            parameters=parameters,
            check=check,
        )

    def __call__(self, inputs):
        """Outputs for a dict of arrays (n, \\*shape): a dict of float64 arrays (n, \\*shape).

        Raises
        ------
        DomainError
            If an input lies outside its range (with ``check``).
        NotFiniteError
            If an input or output is NaN or infinite.
        """
        arrays, n = _variables.check_arrays(inputs, self.inputs, "inputs")
        if self.check or isinstance(self.function, LibraryFunction):
            x = self.pack_inputs(arrays)
            if self.check:
                _variables.check_range(x, self.inputs)
            if isinstance(self.function, LibraryFunction):
                return self.unpack_outputs(self._run(x, 0))
        outputs = self._call(arrays)
        y = self._pack_result(outputs, n)
        _variables.check_finite(y, self.outputs, self.name)
        return {name: np.asarray(outputs[name]) for name in self.outputs}

    def evaluate(self, x, *, first_row=0):
        """Outputs (n, n_out) for packed inputs x (n, n_in), both float64; checked as a call is.

        Parameters
        ----------
        x : (n, n_in) float64 array
            Packed inputs.
        first_row : int
            Number of the first row in messages.
        """
        x = _variables.as_matrix(x, self.n_in, "x")
        if self.check:
            _variables.check_range(x, self.inputs, first_row)
        y = self._run(x, first_row)
        _variables.check_finite(y, self.outputs, self.name, first_row)
        return y

    def _run(self, x, first_row):
        if isinstance(self.function, LibraryFunction):
            y = np.empty((len(x), self.n_out))
            status = self.function.fill(x, y)
            if status:
                raise RuntimeError(
                    f"kernel {self.name!r} returned status {status} for rows {first_row} to {first_row + len(x) - 1}"
                )
            _variables.check_finite(y, self.outputs, self.name, first_row)
            return y
        return self._pack_result(self._call(self.unpack_inputs(x)), len(x))

    def _call(self, arrays):
        if self.function is None:
            raise TypeError(
                f"kernel {self.name!r} is a description without a function; pass the kernel it was made from"
            )
        return self.function(arrays)

    def _pack_result(self, outputs, n):
        y = self.pack_outputs(outputs)
        if len(y) != n:
            raise ValueError(f"kernel {self.name!r} gave {len(y)} rows for {n} samples")
        return y

    def pack_inputs(self, inputs):
        """(n, n_in) float64 matrix of a dict of arrays (n, \\*shape)."""
        return _variables.pack(inputs, self.inputs, "inputs")

    def unpack_inputs(self, x):
        """Dict of arrays (n, \\*shape) of a (n, n_in) matrix; keeps float32 and float64."""
        return _variables.unpack(_check_columns(x, self.n_in, "x"), self.inputs)

    def pack_outputs(self, outputs):
        """(n, n_out) float64 matrix of a dict of arrays (n, \\*shape)."""
        return _variables.pack(outputs, self.outputs, f"outputs of kernel {self.name!r}")

    def unpack_outputs(self, y):
        """Dict of arrays (n, \\*shape) of a (n, n_out) matrix; keeps float32 and float64."""
        return _variables.unpack(_check_columns(y, self.n_out, "y"), self.outputs)

    def sample(
        self,
        sampler,
        n=None,
        out=None,
        *,
        seed=None,
        executor=None,
        shard_rows=None,
        block_rows=None,
        compression=0,
        dtype="float64",
        groups=None,
        weights=None,
        progress=True,
    ):
        """Evaluate the kernel on n samples: the training data of a surrogate.

        Parameters
        ----------
        sampler : simgraft.sampling.Sampler
            Where; see `simgraft.sampling`.
        n : int, optional
            Number of samples; default all a sampler of recorded states has.
        out : path-like, optional
            Folder for the shards, made if need be. Without it the data set stays in memory. If the folder holds
            shards of the very same call, they are kept and only the missing ones are made: an interrupted call is
            resumed by repeating it.
        seed : int, optional
            For samplers without a seed of their own.
        executor : concurrent.futures.Executor, optional
            Where shards are made: a process or thread pool, ``dask.distributed.Client.get_executor()``,
            ``mpi4py.futures`` ...; default this process. The bytes of the shards do not depend on it.
        shard_rows : int, optional
            Rows of one shard; default about 64 MB.
        block_rows : int, optional
            Rows of one call of the kernel; default 4096 or about 16 MB.
        compression : int
            Deflate level 0 (none) to 9.
        dtype : {"float64", "float32"}
            Of the stored inputs and outputs; the kernel works in float64.
        groups : (n,) int64 array, optional
            Samples of one group (site, trajectory) belong together and are never torn apart by a split.
        weights : (n,) float64 array, optional
            Weight of each sample in training losses and metrics, >= 0.
        progress : bool
            Show a progress bar when it takes longer than a second.

        Returns
        -------
        Dataset

        Raises
        ------
        DomainError, NotFiniteError
            If the sampler leaves the valid range of an input, or an output is NaN or infinite; the message names
            variable and row.
        FileExistsError
            If the folder holds another data set.
        """
        if not callable(getattr(sampler, "sample", None)):
            raise TypeError(f"sampler: expected one of simgraft.sampling, got {type(sampler).__name__}")
        return sampler.sample(
            self,
            n,
            out,
            seed=seed,
            executor=executor,
            shard_rows=shard_rows,
            block_rows=block_rows,
            compression=compression,
            dtype=dtype,
            groups=groups,
            weights=weights,
            progress=progress,
        )

    def describe(self):
        """What identifies the kernel, as JSON values; `from_description` makes a kernel without a function of it."""
        return {
            "name": self.name,
            "version": self.version,
            "parameters": self.parameters,
            "inputs": _variables.describe(self.inputs),
            "outputs": _variables.describe(self.outputs),
        }

    @classmethod
    def from_description(cls, description):
        """A kernel without a function from what `describe` gave."""
        return cls(
            None,
            inputs=_variables.from_description(description["inputs"]),
            outputs=_variables.from_description(description["outputs"]),
            name=description["name"],
            version=description["version"],
            parameters=description["parameters"],
        )

    def fingerprint(self):
        """SHA-256 of the source text of the function, or of its library; "" where there is none to be had."""
        if isinstance(self.function, LibraryFunction):
            return hashlib.sha256(Path(self.function.path).read_bytes()).hexdigest()
        try:
            return hashlib.sha256(inspect.getsource(self.function).encode()).hexdigest()
        except (TypeError, OSError):
            return ""

    def __repr__(self):
        return f"Kernel({self.name!r}: {', '.join(self.inputs)} -> {', '.join(self.outputs)})"

    def _repr_html_(self):
        from html import escape

        def rows(side, variables):
            return "".join(
                f"<tr><td>{side}</td><td>{escape(name)}</td><td>{v.shape or ''}</td><td>{escape(v.unit)}</td>"
                f"<td>{escape(v.range_text())}</td>"
                f"<td>{v.scale}</td><td>{escape(v.doc)}</td></tr>"
                for name, v in variables.items()
            )

        head = "".join(f"<th>{h}</th>" for h in ("", "variable", "shape", "unit", "valid range", "scale", ""))
        return (
            f"<table><caption>Kernel <b>{escape(self.name)}</b> {escape(self.version)}</caption><tr>{head}</tr>"
            f"{rows('in', self.inputs)}{rows('out', self.outputs)}</table>"
        )


def _check_columns(x, n, what):
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] != n:
        raise ValueError(f"{what}: expected shape (rows, {n}), got {x.shape}")
    return x


class LibraryFunction:
    """A C function in a shared library, loaded again wherever it is sent."""

    def __init__(self, path, symbol, n_in, n_out, context=None):
        self.path = os.path.abspath(os.fspath(path))
        self.symbol = symbol
        self.n_in = n_in
        self.n_out = n_out
        self.context = context
        self._load()

    def _load(self):
        library = ctypes.CDLL(self.path)  # releases the GIL around calls
        try:
            self._function = getattr(library, self.symbol)
        except AttributeError:
            raise ValueError(f"symbol: {self.path} has no function {self.symbol!r}") from None
        self._function.restype = ctypes.c_int
        self._function.argtypes = [ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]

    def fill(self, x, y):
        """Calls the function for x (n, n_in) and y (n, n_out), C-contiguous float64; returns its status."""
        return self._function(len(x), x.ctypes.data, y.ctypes.data, self.context)

    def __call__(self, inputs):
        raise TypeError(f"{self.symbol} works on packed matrices; call the kernel")

    def __getstate__(self):
        if self.context is not None:
            raise ValueError(
                f"kernel {self.symbol!r}: its context is an address in this process and cannot be sent to another one"
            )
        return {k: v for k, v in self.__dict__.items() if k != "_function"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._load()
