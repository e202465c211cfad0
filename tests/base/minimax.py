"""Derives the polynomial coefficients of csrc/base/vmath_coefficients.h and prints that file.

    python tests/base/minimax.py > csrc/base/vmath_coefficients.h

Remez exchange in 45 digits (Remez 1934; Cheney, Introduction to Approximation Theory, ch. 3) on a weighted error, so that the
bound printed beside each polynomial is relative to the function computed, before the rounding of the coefficients.
"""

import mpmath as mp

mp.mp.dps = 45


def remez(function, weight, low, high, degree, sweeps=40):
    """Polynomial of `degree` with the least largest |weight (p - function)| on [low, high], and that error."""
    low, high = mp.mpf(low), mp.mpf(high)
    n = degree + 2

    def chebyshev(count):
        return [(low + high) / 2 - (high - low) / 2 * mp.cos(mp.pi * (2 * i + 1) / (2 * count)) for i in range(count)]

    grid = chebyshev(60 * n)
    values, weights = [function(x) for x in grid], [weight(x) for x in grid]
    nodes = list(range(30, 60 * n, 60))
    best = None
    for _ in range(sweeps):
        matrix, right = mp.matrix(n, n), mp.matrix(n, 1)
        for row, i in enumerate(nodes):
            for k in range(degree + 1):
                matrix[row, k] = grid[i] ** k
            matrix[row, n - 1] = (-1) ** row / weights[i]
            right[row] = values[i]
        solution = mp.lu_solve(matrix, right)
        p = [solution[k] for k in range(degree + 1)]
        error = [(mp.polyval(p[::-1], x) - v) * w for x, v, w in zip(grid, values, weights)]
        worst = max(range(len(grid)), key=lambda i: abs(error[i]))
        if best is None or abs(error[worst]) < best[1]:
            best = p, abs(error[worst])
        runs = []
        for i, e in enumerate(error):
            if runs and (e > 0) == (error[runs[-1]] > 0):
                if abs(e) > abs(error[runs[-1]]):
                    runs[-1] = i
            else:
                runs.append(i)
        while len(runs) > n:
            runs.pop(0 if abs(error[runs[0]]) < abs(error[runs[-1]]) else -1)
        if len(runs) == n:
            nodes = runs
        else:  # the exchange lost a sign change: exchange one point only
            near = min(range(n), key=lambda j: (abs(nodes[j] - worst), (error[nodes[j]] > 0) != (error[worst] > 0)))
            nodes[near] = worst
        if abs(error[worst]) - abs(solution[n - 1]) < abs(error[worst]) / 1000:
            break
    return best


TINY = mp.mpf(10) ** -8
HALF_LN2 = mp.log(2) / 2 * mp.mpf("1.0005")
S_MAX = (mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)
QUARTER = (mp.pi / 4) ** 2 * mp.mpf("1.001")


def exp_rest(r):
    r = r if abs(r) > TINY else TINY
    return (mp.expm1(r) - r) / r**2


def log_rest(z):
    s = mp.sqrt(max(z, TINY))
    return (2 * mp.atanh(s) / s - 2) / s**2


def odd_rest(function):
    def rest(z):
        x = mp.sqrt(max(z, TINY))
        return (function(x) / x - 1) / x**2

    return rest


def cos_rest(z):
    z = max(z, TINY)
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def erf_rest(z):
    x = mp.sqrt(max(z, TINY))
    return mp.erf(x) / x - 1


def erfcx_of_t(t):
    x = 2 * (1 + t) / (1 - t)
    return mp.erfc(x) * mp.exp(x**2)


def erfc_weight(t):
    x = 2 * (1 + t) / (1 - t)
    return mp.exp(-(x**2))


def t_of(x):
    return (mp.mpf(x) - 2) / (mp.mpf(x) + 2)


def sin_turn_rest(z):
    w = mp.sqrt(max(z, TINY**2))
    return mp.sin(2 * mp.pi * w) / w


# name, meaning, function, weight, interval (float, double), degree (float, double)
POLYNOMIALS = [
    ("exp", "(exp(r) - 1 - r) / r^2 in r, |r| <= ln(2)/2; error relative to expm1(r)",
     exp_rest, lambda r: max(abs(r), TINY), [(-HALF_LN2, HALF_LN2)] * 2, (4, 10)),
    ("log", "(2 atanh(s)/s - 2) / s^2 in z = s^2, s = f / (2 + f), 1 + f in [sqrt(1/2), sqrt(2)]",
     log_rest, lambda z: max(z, TINY) / 2, [(0, S_MAX**2 * mp.mpf("1.001"))] * 2, (2, 6)),
    ("tanh", "(tanh(x)/x - 1) / x^2 in z = x^2, |x| <= 0.55",
     odd_rest(mp.tanh), lambda z: max(z, TINY), [(0, mp.mpf("0.55") ** 2)] * 2, (4, 10)),
    ("sin", "(sin(r)/r - 1) / r^2 in z = r^2, |r| <= pi/4",
     odd_rest(mp.sin), lambda z: max(z, TINY), [(0, QUARTER)] * 2, (2, 5)),
    ("cos", "(cos(r) - 1 + r^2/2) / r^4 in z = r^2, |r| <= pi/4",
     cos_rest, lambda z: max(z, TINY) ** 2, [(0, QUARTER)] * 2, (2, 5)),
    ("erf", "erf(x)/x - 1 in z = x^2, |x| <= 0.85",
     erf_rest, lambda z: 1 / (1 + erf_rest(z)), [(0, mp.mpf("0.85") ** 2)] * 2, (6, 12)),
    ("erfc", "erfc(x) exp(x^2) in t = (x - 2)/(x + 2), 0.85 <= x <= 4 (float) or 6 (double); error relative to erf(x)",
     erfcx_of_t, erfc_weight, [(t_of(0.85), t_of(4)), (t_of(0.85), t_of(6))], (6, 13)),
    ("atan", "(atan(u)/u - 1) / u^2 in z = u^2, |u| <= tan(pi/8)",
     odd_rest(mp.atan), lambda z: max(z, TINY), [(0, mp.tan(mp.pi / 8) ** 2 * mp.mpf("1.001"))] * 2, (4, 10)),
    ("sin_turn", "sin(2 pi w)/w in z = w^2, |w| <= 1/4",
     sin_turn_rest, lambda z: 1 / sin_turn_rest(z), [(0, mp.mpf("0.0626"))] * 2, (4, 8)),
    ("cos_turn", "cos(2 pi w) in z = w^2, |w| <= 1/4; absolute error",
     lambda z: mp.cos(2 * mp.pi * mp.sqrt(z)), lambda z: mp.mpf(1), [(0, mp.mpf("0.0626"))] * 2, (5, 8)),
]


def main():
    print("/* SPDX-License-Identifier: BSD-3-Clause */")
    print("/* Written by tests/base/minimax.py: minimax polynomials of vmath.h, lowest power first. The power of two beside each is")
    print(" * the approximation error it leaves. */")
    print("#ifndef SG_BASE_VMATH_COEFFICIENTS_H\n#define SG_BASE_VMATH_COEFFICIENTS_H\n")
    for which, (guard, digits) in enumerate((("#if SG_REAL_IS_FLOAT", 9), ("#else", 17))):
        print(guard)
        for name, meaning, function, weight, intervals, degrees in POLYNOMIALS:
            p, error = remez(function, weight, *intervals[which], degrees[which])
            if not which:
                print(f"/* {meaning} */")
            print(f"static const real sg_{name}_coefficients[{len(p)}] = {{  /* 2^{float(mp.log(error, 2)):.1f} */")
            for c in p:
                print(f"    R({mp.nstr(c, digits, min_fixed=0, max_fixed=0)}),")
            print("};")
    print("#endif\n\n#endif")


if __name__ == "__main__":
    main()
