"""Parton distributions of the proton: grid files of LHAPDF 6 and a set in formulas."""

import importlib.util
import os
import re
from pathlib import Path

import numpy as np

__all__ = ["GridPdf", "Grv94Lo", "PdfTable", "open_pdf", "pythia_pdf_folder", "tabulate"]

GLUON = 21
FLAVOURS = (1, 2, 3, 4, 5)  # d u s c b

_NUMBER = re.compile(r"[-+]?\d+\.?\d*(?:[Ee][-+]\d{2})?")


def pythia_pdf_folder():
    """Folder of the grids that come with the package ``pythia8mc``, or None where it is not installed."""
    spec = importlib.util.find_spec("pythia8mc")
    if spec is None or not spec.origin:
        return None
    for parent in Path(spec.origin).parents:
        folder = parent / "share" / "Pythia8" / "pdfdata"
        if folder.is_dir():
            return folder
    return None


def _find(name, member, folder):
    """File of a member of a set in an LHAPDF data directory, as LHAPDF looks for it."""
    if folder is not None:
        folders = [os.fspath(folder)]
    else:
        path = os.environ.get("LHAPDF_DATA_PATH") or os.environ.get("LHAPATH") or ""
        folders = [part for part in path.split(os.pathsep) if part]
        if not folders:
            raise FileNotFoundError(
                f"pdf: {name!r} is no file, and neither LHAPDF_DATA_PATH nor LHAPATH names a folder of sets; "
                "set one of them or pass folder="
            )
    wanted = f"{name}_{member:04d}.dat"
    for root in folders:
        for place in (Path(root) / name / wanted, Path(root) / wanted):
            if place.is_file():
                return place
    raise FileNotFoundError(f"pdf: no {name}/{wanted} in {', '.join(folders)}")


def open_pdf(pdf, *, member=0, folder=None):
    """Parton distributions by name.

    Parameters
    ----------
    pdf : str, path-like or object with xfxQ
        ``"GRV94LO"`` for the set in formulas (`Grv94Lo`, a demonstration), the path of an ``lhagrid1`` file, the name of
        a set in an LHAPDF data directory, or an object with a method ``xfxQ(flavour, x, Q)`` such as
        ``lhapdf.mkPDF(...)``, which is returned as it is.
    member : int
        Member of the set.
    folder : path-like, optional
        LHAPDF data directory; default the folders in ``LHAPDF_DATA_PATH``, else in ``LHAPATH``.

    Returns
    -------
    Grv94Lo, GridPdf or the object

    Raises
    ------
    FileNotFoundError
        If there is no such file; the message lists where it was looked for.
    FileFormatError
        If the file is broken; the message names file and line.

    Examples
    --------
    >>> from simgraft.events.pdf import open_pdf
    >>> f"{open_pdf('GRV94LO').xfxQ(21, 0.1, 100.0):.3f}"
    '0.864'
    """
    if not isinstance(pdf, (str, os.PathLike)):
        if not callable(getattr(pdf, "xfxQ", None)):
            raise TypeError(f"pdf: expected a name, a path or an object with xfxQ, got {type(pdf).__name__}")
        return pdf
    if isinstance(pdf, str) and pdf.upper() == "GRV94LO":
        return Grv94Lo()
    path = Path(pdf)
    if not path.is_file():
        if path.suffix or len(path.parts) != 1:
            raise FileNotFoundError(f"pdf: no file {path}")
        path = _find(str(pdf), member, folder)
    return GridPdf(path)


class GridPdf:
    """Parton distributions from a grid file of LHAPDF 6 (format ``lhagrid1``).

    Cubic Hermite interpolation in ln x and ln Q2 within each subgrid, slopes from neighbouring knots: the interpolator
    ``logcubic`` of LHAPDF.

    Parameters
    ----------
    path : path-like
        The file of one member, ``SET_0000.dat``.

    Attributes
    ----------
    name : str
        Name of the file without ending.
    header : dict of str to str
    flavours : tuple of int
        PDG numbers; the gluon is 21.
    x_range, q_range : tuple of float
        Range of momentum fractions [1] and scales [GeV].

    Raises
    ------
    FileNotFoundError, FileFormatError
        The message names file and line.

    References
    ----------
    Buckley et al., Eur. Phys. J. C75 (2015) 132, arXiv:1412.7420.

    Examples
    --------
    >>> import tempfile, numpy as np, pathlib
    >>> from simgraft.events.pdf import GridPdf
    >>> x, q = np.geomspace(1e-4, 1, 8), np.geomspace(10, 1000, 5)
    >>> rows = "\\n".join(f"{1 - a:.8e}" for a in x for _ in q)     # x f = 1 - x at every scale
    >>> text = ["PdfType: central", "Format: lhagrid1", "---", " ".join(map(repr, x.tolist())),
    ...         " ".join(map(repr, q.tolist())), "21", rows, "---"]
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "toy_0000.dat"
    >>> _ = path.write_text("\\n".join(text) + "\\n")
    >>> f"{GridPdf(path).xfxQ(21, float(x[3]), 100.0):.6f}", f"{1 - x[3]:.6f}"
    ('0.994821', '0.994821')
    """

    def __init__(self, path):
        self.path = Path(path)
        self.name = self.path.stem
        self.header, self._subgrids = _read(self.path)
        self.flavours = tuple(int(i) for i in self._subgrids[0].flavours)
        self.x_range = (self._subgrids[0].x[0], self._subgrids[0].x[-1])
        self.q_range = (self._subgrids[0].q[0], self._subgrids[-1].q[-1])

    def __repr__(self):
        return f"<GridPdf {self.name}: x {self.x_range[0]:g} to {self.x_range[1]:g}, Q {self.q_range[0]:g} to {self.q_range[1]:g} GeV>"

    def xfxQ(self, flavour, x, Q):
        """Momentum density x f(x, Q).

        Parameters
        ----------
        flavour : int
            PDG number; 0 also means the gluon. A flavour that the file does not have gives 0.
        x : float or (n,) array
            Momentum fraction [1], within `x_range`.
        Q : float
            Scale [GeV], within `q_range`.

        Returns
        -------
        float or (n,) float64 array

        Raises
        ------
        DomainError
            If x or Q lies outside the grid.
        """
        flavour = GLUON if flavour == 0 else flavour
        x_array = np.atleast_1d(np.asarray(x, np.float64))
        if flavour not in self.flavours:
            _inside("x", x_array, self.x_range, self.name)
            y = np.zeros(x_array.shape)
        else:
            y = self._all(x_array, Q)[:, self.flavours.index(flavour)]
        return y if np.ndim(x) else float(y[0])

    def _all(self, x, Q):
        """x f of all flavours (n, n_flavours)."""
        _inside("x", x, self.x_range, self.name)
        _inside("Q", np.array([Q], np.float64), self.q_range, self.name, " GeV")
        # A threshold belongs to the subgrid above it.
        grid = [g for g in self._subgrids if g.q[0] <= Q][-1]
        lx, lq = np.log(grid.x), 2 * np.log(grid.q)
        i = np.clip(np.searchsorted(grid.x, x, side="right") - 1, 0, len(lx) - 2)
        t = ((np.log(x) - lx[i]) / (lx[i + 1] - lx[i]))[:, None]
        k = int(np.clip(np.searchsorted(grid.q, Q, side="right") - 1, 0, len(lq) - 2))
        s = (2 * np.log(Q) - lq[k]) / (lq[k + 1] - lq[k])
        # Slopes in ln Q2 belong to values between the knots of x, so x comes first.
        column = {j: _hermite_x(grid.values[:, j], lx, i, t) for j in range(max(k - 1, 0), min(k + 3, len(lq)))}
        low, high = column[k], column[k + 1]
        if len(lq) == 2:
            return low + s * (high - low)
        width = lq[k + 1] - lq[k]
        middle = (high - low) / width
        before = middle if k == 0 else (middle + (low - column[k - 1]) / (lq[k] - lq[k - 1])) / 2
        after = (
            middle if k + 2 == len(lq) else (middle + (column[k + 2] - high) / (lq[k + 2] - lq[k + 1])) / 2
        )
        return _hermite(s, low, before * width, high, after * width)


def _hermite(t, low, low_slope, high, high_slope):
    t2, t3 = t * t, t * t * t
    return (
        (2 * t3 - 3 * t2 + 1) * low + (t3 - 2 * t2 + t) * low_slope + (3 * t2 - 2 * t3) * high + (t3 - t2) * high_slope
    )


def _hermite_x(values, lx, i, t):
    """Values (n_x, n_flavours) at a fraction t of the interval i of ln x."""
    step = np.diff(lx)[:, None]
    slope = np.diff(values, axis=0) / step
    knots = np.concatenate([slope[:1], (slope[1:] + slope[:-1]) / 2, slope[-1:]])
    return _hermite(t, values[i], knots[i] * step[i], values[i + 1], knots[i + 1] * step[i])


def _inside(name, value, limits, where, unit=""):
    good = (value >= limits[0]) & (value <= limits[1])
    if not good.all():
        from simgraft import DomainError

        raise DomainError(
            f"{name}: {value[~good][0]:g}{unit} lies outside the grid of {where} ({limits[0]:g} to {limits[1]:g}{unit})"
        )


class _Subgrid:
    def __init__(self, x, q, flavours, values):
        self.x, self.q, self.flavours, self.values = x, q, flavours, values  # values (n_x, n_q, n_flavours)


def _read(path):
    from simgraft import FileFormatError

    def broken(line, what):
        return FileFormatError(f"{path}, line {line + 1}: {what}")

    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f"pdf: no file {path}") from None
    marks = [i for i, line in enumerate(lines) if line.strip() == "---"]
    header = {}
    for i, line in enumerate(lines[: marks[0] if marks else 20]):
        key, colon, value = line.partition(":")
        if colon:
            header[key.strip()] = value.strip()
        elif line.strip():
            raise broken(i, f"expected 'key: value' or '---', got {line[:40]!r}")
    if header.get("Format") != "lhagrid1":
        raise broken(0, f"expected 'Format: lhagrid1' in the header, got {header.get('Format')!r}")
    if len(marks) < 2 or any(line.strip() for line in lines[marks[-1] + 1 :]):
        raise broken(len(lines) - 1, "expected '---' as the last line; is the file truncated?")

    subgrids = []
    for start, stop in zip(marks[:-1], marks[1:]):
        if stop - start < 5:
            raise broken(stop, "expected the knots in x, those in Q, the flavours and the values before '---'")
        x = _numbers(lines[start + 1], start + 1, broken)
        q = _numbers(lines[start + 2], start + 2, broken)
        try:
            flavours = [int(word) for word in lines[start + 3].split()]
        except ValueError:
            raise broken(start + 3, f"expected PDG numbers of flavours, got {lines[start + 3][:40]!r}") from None
        flavours = [GLUON if f == 0 else f for f in flavours]
        if subgrids and (flavours != subgrids[0].flavours or not np.array_equal(x, subgrids[0].x)):
            raise broken(start + 1, "knots in x or flavours differ from those of the first subgrid")
        for name, knots, line in (("x", x, start + 1), ("Q", q, start + 2)):
            if len(knots) < 2 or (np.diff(knots) < 0).any() or not knots[0] > 0:
                raise broken(line, f"expected at least two ascending positive knots in {name}")
        if subgrids and q[0] < subgrids[-1].q[-1]:
            raise broken(start + 2, f"subgrid begins at {q[0]:g} GeV, below the end of the one before it")
        if not flavours or len(set(flavours)) != len(flavours):
            raise broken(start + 3, "expected each flavour once")
        if stop - start - 4 != len(x) * len(q):
            raise broken(
                stop, f"expected {len(x)} x {len(q)} = {len(x) * len(q)} lines of values, got {stop - start - 4}"
            )
        values = _values(lines, start + 4, stop, len(flavours), broken)
        values = values.reshape(len(x), len(q), len(flavours))
        # Some grids repeat a knot (a rounded lowest x): the interval between has no length.
        keep_x, keep_q = np.append(np.diff(x) > 0, True), np.append(np.diff(q) > 0, True)
        subgrids.append(_Subgrid(x[keep_x], q[keep_q], flavours, values[keep_x][:, keep_q]))
        if min(keep_x.sum(), keep_q.sum()) < 2:
            raise broken(start + 1, "expected at least two different knots in x and in Q")
    return header, subgrids


def _numbers(line, number, broken):
    try:
        return np.array(line.split(), np.float64)
    except ValueError:
        raise broken(number, f"expected numbers, got {line[:40]!r}") from None


def _values(lines, start, stop, n, broken):
    try:
        values = np.array([line.split() for line in lines[start:stop]], np.float64)
        if values.shape == (stop - start, n) and np.isfinite(values).all():
            return values
    except ValueError:
        pass
    # Columns of fixed width leave no blank before a minus sign: split by the shape of a number, and accept the line only
    # if nothing else is in it.
    rows = []
    for i in range(start, stop):
        words = _NUMBER.findall(lines[i])
        if len(words) != n or "".join(words) != "".join(lines[i].split()):
            raise broken(i, f"expected {n} numbers, got {len(lines[i].split())} words: {lines[i].strip()[:60]!r}")
        row = [float(word) for word in words]
        rows.append(row)
    return np.array(rows)


class Grv94Lo:
    """Parton distributions of Glück, Reya and Vogt (1994) at leading order, from the formulas of the paper.

    A demonstration that needs no file: with the densities of charm and bottom, which belong to another scheme of heavy
    quarks, the momentum of all partons sums to 1.084 at 172.5 GeV, not 1. Take a modern grid for physics.

    References
    ----------
    Glück, Reya, Vogt, Z. Phys. C67 (1995) 433, appendix A.

    Examples
    --------
    >>> import numpy as np
    >>> from simgraft.events.pdf import Grv94Lo
    >>> Grv94Lo().xfxQ(2, np.array([0.1, 0.3]), 172.5).round(4)
    array([0.5673, 0.3408])
    """

    name = "GRV94LO"
    flavours = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 21)
    x_range = (1e-5, 1.0)
    q_range = (0.63, 1e4)

    def __repr__(self):
        return "<Grv94Lo: demonstration set in formulas, momentum sum 1.084>"

    def xfxQ(self, flavour, x, Q):
        """Momentum density x f(x, Q); arguments and errors as of `GridPdf.xfxQ`."""
        flavour = GLUON if flavour == 0 else flavour
        x_array = np.atleast_1d(np.asarray(x, np.float64))
        _inside("x", x_array, self.x_range, self.name)
        _inside("Q", np.array([Q], np.float64), self.q_range, self.name, " GeV")
        y = self._densities(x_array, float(Q)).get(flavour, np.zeros(x_array.shape))
        return y if np.ndim(x) else float(y[0])

    @staticmethod
    def _densities(x, Q):
        lambda2 = 0.2322**2
        s = np.log(np.log(Q * Q / lambda2) / np.log(0.23 / lambda2))
        s2, s3, root_s = s * s, s**3, np.sqrt(s)
        root, rest = np.sqrt(x), 1 - x
        log = np.maximum(-np.log(x), 1e-12)  # powers of it stay finite at x = 1, where (1 - x)^d is 0

        def valence(n, a, b, big_a, big_b, big_c, d):
            return n * x**a * (1 + big_a * x**b + x * (big_b + big_c * root)) * rest**d

        def gluonic(alpha, beta, a, b, big_a, big_b, big_c, d, e, e_prime):
            hard = x**a * (big_a + x * (big_b + big_c * x)) * log**b
            return (hard + s**alpha * np.exp(-e + np.sqrt(e_prime * s**beta * log))) * rest**d

        def heavy(threshold, alpha, beta, a, big_a, big_b, d, e, e_prime):
            if s <= threshold:
                return np.zeros(x.shape)
            shape = (s - threshold) ** alpha * log**-a * (1 + big_a * root + big_b * x)
            return shape * rest**d * np.exp(-e + np.sqrt(e_prime * s**beta * log))

        u_valence = valence(
            2.284 + 0.802 * s + 0.055 * s2,
            0.590 - 0.024 * s,
            0.131 + 0.063 * s,
            -0.449 - 0.138 * s - 0.076 * s2,
            0.213 + 2.669 * s - 0.728 * s2,
            8.854 - 9.135 * s + 1.979 * s2,
            2.997 + 0.753 * s - 0.076 * s2,
        )
        d_valence = valence(
            0.371 + 0.083 * s + 0.039 * s2,
            0.376,
            0.486 + 0.062 * s,
            -0.509 + 3.310 * s - 1.248 * s2,
            12.41 - 10.52 * s + 2.267 * s2,
            6.373 - 6.208 * s + 1.418 * s2,
            3.691 + 0.799 * s - 0.071 * s2,
        )
        difference = valence(  # dbar - ubar
            0.082 + 0.014 * s + 0.008 * s2,
            0.409 - 0.005 * s,
            0.799 + 0.071 * s,
            -38.07 + 36.13 * s - 0.656 * s2,
            90.31 - 74.15 * s + 7.645 * s2,
            0.0,
            7.486 + 1.217 * s - 0.159 * s2,
        )
        light_sea = gluonic(  # ubar + dbar
            1.451,
            0.271,
            0.410 - 0.232 * s,
            0.534 - 0.457 * s,
            0.890 - 0.140 * s,
            -0.981,
            0.320 + 0.683 * s,
            4.752 + 1.164 * s + 0.286 * s2,
            4.119 + 1.713 * s,
            0.682 + 2.978 * s,
        )
        gluon = gluonic(
            0.524,
            1.088,
            1.742 - 0.930 * s,
            -0.399 * s2,
            7.486 - 2.185 * s,
            16.69 - 22.74 * s + 5.779 * s2,
            -25.59 + 29.71 * s - 7.296 * s2,
            2.792 + 2.215 * s + 0.422 * s2 - 0.104 * s3,
            0.807 + 2.005 * s,
            3.841 + 0.316 * s,
        )
        strange = heavy(
            0.0,
            0.914,
            0.577,
            1.798 - 0.596 * s,
            -5.548 + 3.669 * root_s - 0.616 * s,
            18.92 - 16.73 * root_s + 5.168 * s,
            6.379 - 0.350 * s + 0.142 * s2,
            3.981 + 1.638 * s,
            6.402,
        )
        charm = heavy(
            0.888, 1.01, 0.37, 0.0, 0.0, 4.24 - 0.804 * s, 3.46 - 1.076 * s, 4.61 + 1.49 * s, 2.555 + 1.961 * s
        )
        bottom = heavy(1.351, 1.00, 0.51, 0.0, 0.0, 1.848, 2.929 + 1.396 * s, 4.71 + 1.514 * s, 4.02 + 1.239 * s)
        u_sea, d_sea = (light_sea - difference) / 2, (light_sea + difference) / 2
        return {
            **{flavour * sign: sea for flavour, sea in ((3, strange), (4, charm), (5, bottom)) for sign in (1, -1)},
            -2: u_sea,
            -1: d_sea,
            2: u_valence + u_sea,
            1: d_valence + d_sea,
            GLUON: gluon,
        }


class PdfTable:
    """Parton distributions at a fixed scale, on even knots in ln x: what the generators in C read.

    Parameters
    ----------
    name : str
    scale : float
        Q [GeV].
    log_x : (n_x,) float64 array
        Even knots; the last is 0.
    values : (n_x, 16) float32 array
        x g, then (q + qbar) / sqrt 2 and (q - qbar) / sqrt 2 of d, u, s, c, b, times x; zeros.

    Notes
    -----
    q(x1) qbar(x2) + qbar(x1) q(x2) is the product of the sums minus the product of the differences.
    """

    def __init__(self, name, scale, log_x, values):
        self.name, self.scale, self.log_x, self.values = name, scale, log_x, values

    def __repr__(self):
        return f"<PdfTable {self.name} at {self.scale:g} GeV: {len(self.log_x)} knots from x = {np.exp(self.log_x[0]):.3g}>"


def tabulate(pdf, scale, x_min, n=2048):
    """`PdfTable` of a set of parton distributions.

    Parameters
    ----------
    pdf : object with xfxQ
        See `open_pdf`.
    scale : float
        Q [GeV].
    x_min : float
        Least momentum fraction [1].
    n : int
        Number of knots, >= 16.

    Returns
    -------
    PdfTable

    Raises
    ------
    DomainError
        If scale or x_min lies outside the grid.
    NotFiniteError
        If a density is NaN or infinite.

    Examples
    --------
    >>> from simgraft.events.pdf import Grv94Lo, tabulate
    >>> tabulate(Grv94Lo(), 172.5, 1e-3)
    <PdfTable GRV94LO at 172.5 GeV: 2048 knots from x = 0.001>
    """
    if n < 16:
        raise ValueError(f"n: expected at least 16 knots, got {n}")
    if not 0 < x_min < 1:
        raise ValueError(f"x_min: expected a momentum fraction between 0 and 1, got {x_min}")
    log_x = np.linspace(np.log(x_min), 0, n)
    x = np.exp(log_x)
    x[0], x[-1] = x_min, 1.0

    def density(flavour):
        try:
            y = np.asarray(pdf.xfxQ(flavour, x, scale), np.float64)
            if y.shape == x.shape:
                return y
        except (TypeError, NotImplementedError):
            pass
        return np.array([pdf.xfxQ(flavour, float(a), float(scale)) for a in x])  # one x at a time, as LHAPDF has it

    values = np.zeros((n, 16))
    values[:, 0] = density(GLUON)
    for i, flavour in enumerate(FLAVOURS):
        quark, anti = density(flavour), density(-flavour)
        values[:, 1 + i] = (quark + anti) / np.sqrt(2)
        values[:, 6 + i] = (quark - anti) / np.sqrt(2)
    name = getattr(pdf, "name", type(pdf).__name__)
    if not np.isfinite(values).all():
        from simgraft import NotFiniteError

        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise NotFiniteError(f"pdf: {name} is not finite at x = {x[row]:g}, Q = {scale:g} GeV")
    return PdfTable(name if isinstance(name, str) else type(pdf).__name__, float(scale), log_x, values.astype(np.float32))
