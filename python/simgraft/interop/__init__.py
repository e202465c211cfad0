"""Networks from elsewhere, and surrogates for elsewhere.

* :func:`from_onnx`, :func:`from_torch`, :func:`from_safetensors` and :func:`from_keras` read networks.
* :func:`to_onnx` writes a surrogate, encoder and decoder inside, or a bare network.
* :func:`to_c` writes the same as one C99 file.
* :func:`to_safetensors` writes the arrays of a network.

What is supported, and how exactly: ``docs/interop.md``.
"""

from simgraft.interop._builder import UnsupportedError
from simgraft.interop.c99 import to_c
from simgraft.interop.keras_import import from_keras, supported_layers
from simgraft.interop.onnx_export import to_onnx
from simgraft.interop.onnx_import import from_onnx, supported_operators
from simgraft.interop.torch_import import from_safetensors, from_torch, supported_modules, to_safetensors

__all__ = [
    "UnsupportedError",
    "from_keras",
    "from_onnx",
    "from_safetensors",
    "from_torch",
    "supported_layers",
    "supported_modules",
    "supported_operators",
    "to_c",
    "to_onnx",
    "to_safetensors",
]
