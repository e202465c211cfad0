"""Measures the errors of csrc/base/vmath.h and prints docs/accuracy.md.

    python tests/base/vmath_accuracy.py > docs/accuracy.md

Reference: np.longdouble (64-bit mantissa on x86: 2**-11 ulp of double), mpmath for erf and where longdouble is no wider than double.
"""

import mpmath
import numpy as np

from simgraft import _core

mpmath.mp.dps = 30
WIDE = np.longdouble if np.finfo(np.longdouble).nmant > 60 else None


def _mp(function, x):
    return np.array([np.longdouble(mpmath.nstr(function(mpmath.mpf(float(v))), 25)) for v in x])


def _wide(numpy_function, mp_function):
    def reference(x):
        return numpy_function(x.astype(WIDE)) if WIDE else _mp(mp_function, x)

    return reference


def _sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def _erf(x):
    return _mp(mpmath.erf, x)


REFERENCE = {
    "exp": _wide(np.exp, mpmath.exp),
    "expm1": _wide(np.expm1, mpmath.expm1),
    "log": _wide(np.log, mpmath.log),
    "log1p": _wide(np.log1p, mpmath.log1p),
    "tanh": _wide(np.tanh, mpmath.tanh),
    "sigmoid": _wide(_sigmoid, lambda x: 1 / (1 + mpmath.exp(-x))),
    "softplus": _wide(_softplus, lambda x: mpmath.log1p(mpmath.exp(x))),
    "sin": _wide(np.sin, mpmath.sin),
    "cos": _wide(np.cos, mpmath.cos),
    "atan": _wide(np.arctan, mpmath.atan),
    "erf": _erf,
}
TURN = {"sin_turn": np.sin, "cos_turn": np.cos}
ROOTS = (2, 3, 4, 5, 6, 7, 8, 10, 16)
POWERS = (2, 3, 4, 5, 8, 16, -1, -3)
SINCOS_MAX = {np.float32: 1e4, np.float64: 1e6}


def ulp_error(y, exact):
    """|y - exact| in units of the last place of exact; a result below the smallest normal number may be 0."""
    info = np.finfo(y.dtype)
    size = np.maximum(np.abs(exact), np.longdouble(info.tiny))
    unit = np.ldexp(np.longdouble(1), np.frexp(size)[1] - 1 - info.nmant)
    error = np.abs(y.astype(np.longdouble) - exact) / unit
    return np.where((np.abs(exact) < info.tiny) & (y == 0), 0, error).astype(float)


def points(name, dtype, n, seed=1):
    """Arguments of `name`: the range where the result is finite and normal, dense near 0, 1 and the branch points."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    top = float(np.log(info.max))
    small = np.exp(rng.uniform(np.log(info.tiny) + 1, 0, n))
    if name in ("log", "root"):
        x = np.concatenate([np.exp(rng.uniform(np.log(info.tiny), top, n)), rng.uniform(0.5, 2, n), 1 + 1e-3 * rng.normal(size=n)])
        if name == "log":
            x = np.concatenate([x, info.tiny * rng.uniform(0.001, 1, n)])
    elif name == "log1p":
        x = np.concatenate([rng.uniform(-0.9999, 4, n), np.exp(rng.uniform(0, top, n)), small, -small[small < 0.99]])
    elif name in ("sin", "cos"):
        limit = SINCOS_MAX[dtype]
        quarters = np.round(rng.uniform(-limit, limit, n) / (np.pi / 2)) * (np.pi / 2)  # where the reduction cancels
        x = np.concatenate([rng.uniform(-limit, limit, n), rng.uniform(-8, 8, n), small, quarters])
        x = np.clip(x, -limit, limit)
    elif name == "erf":
        x = np.concatenate([rng.uniform(-6.5, 6.5, n), rng.uniform(-1, 1, n), small])
    elif name == "powi":
        x = np.concatenate([np.exp(rng.uniform(-2, 2, n)), -np.exp(rng.uniform(-2, 2, n))])
    else:
        x = np.concatenate([rng.uniform(-top + 1.5, top, n), 4 * rng.normal(size=n), rng.uniform(-1, 1, n), small, -small])
    return x.astype(dtype)


def _vmath(isa, *arguments):
    _core.isa_set(isa)
    try:
        return _core.vmath(*arguments)
    finally:
        _core.isa_set("auto")


def worst(name, dtype, n, isa, seed=1):
    """Largest error [ulp] of a function over n points per region, and where."""
    x = points(name, dtype, n, seed)
    error = ulp_error(_vmath(isa, name, x), REFERENCE[name](x))
    assert not np.isnan(error).any(), (name, x[np.isnan(error)][:3])
    return error.max(), x[error.argmax()]


def worst_of(name, n, dtype, count, isa):
    """Largest error [ulp] of x^n ("powi") or x^(1/n) ("root")."""
    x = points(name, dtype, count)
    y = _vmath(isa, name, x, n)
    exact = x.astype(np.longdouble) ** (np.longdouble(n) if name == "powi" else 1 / np.longdouble(n))
    return ulp_error(y, exact).max()


def worst_of_turn(name, x, isa):
    """Largest error of the sine or cosine of x turns, in units of the last place of 1."""
    exact = TURN[name](2 * np.longdouble("3.14159265358979323846264338328") * x.astype(np.longdouble))
    return float(np.abs(_vmath(isa, name, x).astype(np.longdouble) - exact).max() / np.finfo(x.dtype).eps)


def main():
    isas = ["portable", "v2", "v3", "v4"]
    isas = isas[: isas.index(_core.isa_best()) + 1]
    print("# Accuracy of the vector functions\n")
    print("Written by `tests/base/vmath_accuracy.py`. Largest error in units of the last place (ulp of the exact result) over some\n"
          "10^6 arguments per cell (10^4 for erf): the whole range of finite results, small arguments, branch points, and for sin and\n"
          "cos the neighbours of multiples of pi/2. Reference: 80-bit long double, mpmath for erf.\n")
    print("v3 and v4 give the same bits. portable and v2 have no fused multiply-add and differ in the last place.\n")
    print("Contract of every function: NaN gives NaN, poles and overflow give infinities, a result below the smallest normal number is\n"
          "0 for exp, sigmoid and softplus. sin and cos take |x| <= 1e4 (float) or 1e6 (double) and give NaN beyond. log takes\n"
          "denormal arguments. sin_turn and cos_turn take turns, |x| <= 1/2; their errors are in units of the last place of 1.\n"
          "The bounds that tests hold are in `tests/base/test_vmath.py`.\n")
    for dtype in (np.float32, np.float64):
        print(f"## {np.dtype(dtype).name}\n")
        print("| function | " + " | ".join(isas) + " |")
        print("|---|" + "---|" * len(isas))
        for name in REFERENCE:
            n = 300_000 if name != "erf" else 3_000
            print(f"| {name} | " + " | ".join(f"{worst(name, dtype, n, isa)[0]:.2f}" for isa in isas) + " |")
        x = np.random.default_rng(1).uniform(-0.5, 0.5, 300_000).astype(dtype)
        for name in TURN:
            print(f"| {name} | " + " | ".join(f"{worst_of_turn(name, x, isa):.2f}" for isa in isas) + " |")
        for n in ROOTS:
            print(f"| x^(1/{n}) | " + " | ".join(f"{worst_of('root', n, dtype, 300_000, isa):.2f}" for isa in isas) + " |")
        for n in POWERS:
            print(f"| x^{n} | " + " | ".join(f"{worst_of('powi', n, dtype, 300_000, isa):.2f}" for isa in isas) + " |")
        print()


if __name__ == "__main__":
    main()
