"""Networks from elsewhere, and surrogates for elsewhere.

* :func:`from_onnx` reads networks.
* :func:`to_onnx` writes a surrogate, encoder and decoder inside, or a bare network.
* :func:`to_c` writes the same as one C99 file.

What is supported, and how exactly: ``docs/interop.md``.
"""

from simgraft.interop._builder import UnsupportedError
from simgraft.interop.c99 import to_c
from simgraft.interop.onnx_export import to_onnx
from simgraft.interop.onnx_import import from_onnx, supported_operators

__all__ = ["UnsupportedError", "from_onnx", "supported_operators", "to_c", "to_onnx"]
