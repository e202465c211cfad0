"""Networks that stand in for gas optics: families, training, and the import of published ones.

:class:`NetworkOptics` joins networks (of each output one for the whole column, or several that share it by
pressure) into a function with the signature of :class:`~simgraft.radiation.kernel.LongwaveOptics` or
``ShortwaveOptics``; with :meth:`NetworkOptics.for_slot` it sits in the optics slot of the flux functions.

Three families can be trained with :func:`train`:

* :data:`COMPACT`: ours, two layers of 8 to 40 neurons in each of four parts of the column,
* :data:`RRTMGP_NN`: one network per output for the whole column (Ukkonen & Hogan 2023,
doi:10.5194/gmd-16-3241-2023),
* :data:`VEERMAN`: eight networks of temperature, pressure, water vapour and ozone (Veerman et al. 2021,
  doi:10.1098/rsta.2020.0095).

The published networks of RRTMGP-NN are read by :func:`read_rrtmgp_nn`.
"""

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from simgraft import _core, encode, nn
from simgraft.dataset import Dataset
from simgraft.kernel import Kernel
from simgraft.radiation import kernel as radiation
from simgraft.radiation.atmosphere import Atmosphere
from simgraft.radiation.atmosphere_generator import PRESENT_DAY, gas_hypercube, perturb
from simgraft.radiation.host import cell_optics
from simgraft.surrogate import Surrogate
from simgraft.variables import Var

__all__ = [
    "COMPACT", "RRTMGP_NN", "VEERMAN", "Family", "NetworkOptics", "NetworkSpec", "VeermanLongwave",
    "VeermanShortwave", "augment", "cells", "flux_importance", "read_rrtmgp_nn", "train",
]  # fmt: skip

logger = logging.getLogger("simgraft")

TROPOPAUSE = (
    "tropopause"  # a bound of parts: where the tables change their key species and cross-sections jump
)

# What the slot of the core can do: sets of outputs, and guards.
_CORE_OUTPUTS = {
    ("absorption", "planck_fraction"): 0,
    ("absorption", "rayleigh"): 1,
    ("extinction", "single_scattering_albedo"): 2,
}
_CORE_GUARDS = {"off": 0, "count": 1, "raise": 2}


# ------------------------------------------------------------------------------------------- what is replaced


class VeermanLongwave(radiation.LongwaveOptics):
    """Longwave optics as Veerman et al. 2021 see them: of temperature, pressure, water vapour and ozone alone.

    Parameters
    ----------
    kdist : KDistribution
    fixed_gases : dict of str to float, optional
        Mole fractions of all other gases [1]; default: the present day.

    Examples
    --------
    >>> from simgraft.radiation import synthetic, tables
    >>> VeermanLongwave(tables.from_variables(synthetic.longwave())).kernel.n_in
    4
    """

    input_names = ("temperature", "pressure", "h2o", "o3")

    def __init__(self, kdist, *, fixed_gases=None):
        super().__init__(kdist, fixed_gases=PRESENT_DAY if fixed_gases is None else fixed_gases)


class VeermanShortwave(radiation.ShortwaveOptics):
    """Shortwave optics as Veerman et al. 2021 see them: extinction and single-scattering albedo.

    Parameters
    ----------
    kdist : KDistribution
    fixed_gases : dict of str to float, optional
        As in :class:`VeermanLongwave`.

    Examples
    --------
    >>> from simgraft.radiation import synthetic, tables
    >>> list(VeermanShortwave(tables.from_variables(synthetic.shortwave())).outputs())
    ['extinction', 'single_scattering_albedo']
    """

    input_names = ("temperature", "pressure", "h2o", "o3")
    output_names = ("extinction", "single_scattering_albedo")

    def __init__(self, kdist, *, fixed_gases=None):
        super().__init__(kdist, fixed_gases=PRESENT_DAY if fixed_gases is None else fixed_gases)

    def __call__(self, inputs):
        table = radiation.ShortwaveOptics(self.kdist, fixed_gases=self.fixed_gases)
        table.input_names = self.input_names
        out = table(inputs)
        extinction = out["absorption"] + out["rayleigh"]
        albedo = np.divide(out["rayleigh"], extinction, out=np.zeros_like(extinction), where=extinction > 0)
        return {"extinction": extinction, "single_scattering_albedo": albedo}

    def outputs(self):
        """Name -> :class:`simgraft.Var` of every output."""
        n_g = self.kdist.n_g
        return {
            "extinction": Var(
                "cm2 molecule-1",
                shape=n_g,
                doc="absorption and Rayleigh cross-section per molecule of dry air",
            ),
            "single_scattering_albedo": Var(
                "1", shape=n_g, doc="share of Rayleigh scattering in the extinction"
            ),
        }

    @staticmethod
    def to_slot(outputs):
        """The two cross-sections that the optics slot asks for."""
        rayleigh = outputs["extinction"] * outputs["single_scattering_albedo"]
        return {"absorption": outputs["extinction"] - rayleigh, "rayleigh": rayleigh}


def _to_slot(optics, outputs):
    return optics.to_slot(outputs) if hasattr(optics, "to_slot") else outputs


def cells(optics, atmosphere):
    """The cells of columns as inputs of an optics kernel.

    Parameters
    ----------
    optics : LongwaveOptics or ShortwaveOptics
        Or a view of fewer inputs.
    atmosphere : Atmosphere

    Returns
    -------
    dict of str to (n_col * n_lay,) float64 array
        Column by column; a gas the atmosphere does not have is 0.

    Examples
    --------
    >>> from simgraft.radiation import atmosphere_generator, synthetic, tables
    >>> optics = VeermanLongwave(tables.from_variables(synthetic.longwave()))
    >>> cells(optics, atmosphere_generator.generate(3, seed=1))["o3"].shape
    (180,)
    """
    shape = atmosphere.pressure_layer.shape
    inputs = {"temperature": atmosphere.temperature_layer, "pressure": atmosphere.pressure_layer}
    for gas in optics.input_names[2:]:
        value = np.asarray((atmosphere.gases or {}).get(gas, 0.0), np.float64)
        inputs[gas] = np.broadcast_to(value[:, None] if value.ndim == 1 else value, shape)
    return {name: np.array(value, np.float64).ravel() for name, value in inputs.items()}


# Ranges of the well-mixed gases in training [1]: all of RFMIP, from half the CO2 to eight times it, and a
# little more
_CO2_RANGE = (1.3e-4, 2.4e-3)
_TRAINING_RANGES = {
    "ch4": (3.5e-7, 2.6e-6), "n2o": (1.9e-7, 4.1e-7), "co": (0.0, 1.9e-7), "ccl4": (0.0, 8.8e-11),
    "cfc11": (0.0, 2.5e-10), "cfc12": (0.0, 5.5e-10), "cfc22": (0.0, 2.5e-10), "hfc143a": (0.0, 7.5e-10),
    "hfc125": (0.0, 1.02e-9), "hfc23": (0.0, 2.9e-11), "hfc32": (0.0, 8.8e-12), "hfc134a": (0.0, 4.5e-10), "cf4": (0.0, 1.4e-10),
}  # fmt: skip


def augment(atmosphere, n, seed, *, wettest=1.5):
    """Columns to train on: the recorded ones and ``n`` perturbed copies, some with other concentrations.

    Parameters
    ----------
    atmosphere : Atmosphere
    n : int
        Copies; see :func:`~simgraft.radiation.atmosphere_generator.perturb`.
    seed : int
    wettest : float [1]
        The water vapour of each copied column is scaled by a factor from 0.75 to this: saturation in the
        whole column, where the shortwave flux at the surface errs most, lies at the edge of what is recorded.

    Returns
    -------
    Atmosphere
        ``(n + 1) * n_col`` columns. Of three copies two draw the well-mixed gases from a Latin
        hypercube, CO2 evenly in its logarithm.

    Examples
    --------
    >>> from simgraft.radiation import atmosphere_generator
    >>> len(augment(atmosphere_generator.generate(10, seed=1), 2, seed=2))
    30
    """
    rng = np.random.default_rng(seed)
    n_col = len(atmosphere)
    copies = [atmosphere]
    for i in range(n):
        air = perturb(atmosphere, 1, rng)
        gases = dict(air.gases)
        gases["h2o"] = np.minimum(gases["h2o"] * rng.uniform(0.75, wettest, (n_col, 1)), 0.08)
        air = replace(air, gases=gases)
        if i % 3:
            ranges = {gas: limits for gas, limits in _TRAINING_RANGES.items() if gas in gases}
            air = gas_hypercube(air, rng, ranges=ranges)
            position = (rng.permutation(n_col) + rng.random(n_col)) / n_col
            low, high = np.log(_CO2_RANGE)
            air = replace(air, gases=air.gases | {"co2": np.exp(low + (high - low) * position)})
        copies.append(air)
    return _joined(copies)


def _joined(parts):
    """Columns of several atmospheres of the same layers, one after the other."""
    shape = parts[0].pressure_layer.shape[1]

    def whole(values, air):
        value = np.asarray(values, np.float64)
        if value.ndim == 0:
            return np.full(len(air), float(value))
        return value

    merged = {}
    names = (
        "pressure_layer pressure_level temperature_layer temperature_level temperature_surface "
        "emissivity albedo mu0 total_solar_irradiance site"
    )
    for name in names.split():
        values = [getattr(air, name) for air in parts]
        merged[name] = None if any(value is None for value in values) else np.concatenate(values)
    gases = {}
    for gas in parts[0].gases:
        values = [whole(air.gases[gas], air) for air in parts]
        if any(value.ndim == 2 for value in values):
            values = [
                value if value.ndim == 2 else np.repeat(value[:, None], shape, axis=1) for value in values
            ]
        gases[gas] = np.concatenate(values)
    return Atmosphere(gases=gases, **merged)


def _parts(optics, bounds):
    """Pressure intervals (low, high] [Pa] between ``bounds``, from the surface upwards."""
    low, high = optics.kdist.pressure_range
    inner = [optics.kdist.pressure_tropopause if bound == TROPOPAUSE else float(bound) for bound in bounds]
    edges = [high, *sorted(inner, reverse=True), low]
    if any(a <= b for a, b in zip(edges, edges[1:], strict=False)):
        raise ValueError(f"bounds: expected pressures between {low:g} and {high:g} Pa, got {inner}")
    return [(b, a) for a, b in zip(edges, edges[1:], strict=False)]


def _part_kernel(optics, output, part):
    """The kernel of one network: one output, in one pressure interval."""
    inputs = optics.inputs()
    inputs["pressure"] = Var("Pa", *part, scale="log", doc=inputs["pressure"].doc)

    def function(values):
        return {output: optics(values)[output]}

    return Kernel(
        function,
        inputs=inputs,
        outputs={output: optics.outputs()[output]},
        name=f"radiation_{output}_{'sw' if optics.shortwave else 'lw'}",
        version="1",
        parameters={"table": optics.kdist.name, "fixed_gases": optics.fixed_gases},
    )


def _rows_of(part, pressure):
    """Cells in an interval; the lowest pressure of the tables counts as inside."""
    low, high = part
    return (pressure > low) & (pressure <= high)


# ----------------------------------------------------------------------------------------------------- in use


class NetworkOptics:
    """Gas optics by networks, with the signature of the optics kernel they replace.

    Parameters
    ----------
    optics : LongwaveOptics or ShortwaveOptics
        What is replaced, or a view of it with fewer inputs.
    networks : dict of str to list of Surrogate
        By output: one network, or several that share the column among them. The range of its pressure input
        says where a network holds; together they must cover the table.
    renormalise : bool, optional
        Whether Planck fractions are scaled to sum to 1 in each band, which keeps the sources of layers and
        surface exact. Default: as trained networks here want it, True in the longwave.

    Examples
    --------
    In the flux functions, in place of the table kernel:

    >>> from simgraft.radiation import kernel
    >>> kernel.fluxes_lw(table, air, optics=networks.for_slot())                          # doctest: +SKIP
    """

    def __init__(self, optics, networks, *, renormalise=None):
        self.optics = optics
        self.networks = {}
        self._part_of = {}
        low, high = optics.kdist.pressure_range
        for output in optics.output_names:
            given = sorted(networks.get(output, ()), key=lambda s: -s.kernel.inputs["pressure"].high)
            parts = [(s.kernel.inputs["pressure"].low, s.kernel.inputs["pressure"].high) for s in given]
            edges = [high, *(a for part in parts for a in part[::-1]), low]
            if not given or any(a != b for a, b in zip(edges[::2], edges[1::2], strict=True)):
                raise ValueError(
                    f"networks: those of {output} must cover {low:g} to {high:g} Pa without gap, got "
                    + (", ".join(f"{a:g} to {b:g} Pa" for a, b in parts) or "none")
                )
            # cells a rounding outside the table belong to the outermost networks
            parts[0], parts[-1] = (parts[0][0], np.inf), (-np.inf, parts[-1][1] if len(parts) > 1 else np.inf)
            self.networks[output] = given
            self._part_of[output] = parts
        self._slots = {}  # of the core, by what they are made of
        self.renormalise = not optics.shortwave if renormalise is None else renormalise

    def __call__(self, inputs):
        """Outputs (n, n_g) for a dict of (n,) float64 arrays, as the optics slot wants them."""
        return self._evaluate(np.stack([inputs[name] for name in self.optics.input_names], axis=1))

    def _evaluate(self, x):
        """Outputs (n, n_g) of packed rows, in their precision."""
        outputs, rows_of = {}, {}
        for output, surrogates in self.networks.items():
            if len(surrogates) == 1:
                outputs[output] = surrogates[0].evaluate(x)
                continue
            outputs[output] = np.empty((len(x), surrogates[0].n_out), x.dtype)
            for part, surrogate in zip(self._part_of[output], surrogates, strict=True):
                if part not in rows_of:
                    rows_of[part] = np.flatnonzero(_rows_of(part, x[:, 1]))
                rows = rows_of[part]
                if rows.size:
                    outputs[output][rows] = surrogate.evaluate(x[rows])
        if self.renormalise:
            _renormalise(self.optics.kdist, outputs["planck_fraction"])
        return _to_slot(self.optics, outputs)

    def for_slot(self):
        """As the ``optics=`` of the flux functions, in the precision of the columns.

        Returns
        -------
        callable or simgraft._core.NetworkSlot
            Evaluated in the core, in all threads. Guards that warn or fall back to the kernel need Python: with one of
            them it is a callable.
        """
        outputs = _CORE_OUTPUTS.get(tuple(self.optics.output_names))
        policies = {s._policy for surrogates in self.networks.values() for s in surrogates}
        if outputs is None or not policies <= set(_CORE_GUARDS):
            return self._python_slot()
        parts = [
            tuple(
                (s._core, low, _CORE_GUARDS[s._policy])
                for s, (low, _) in zip(self.networks[output], self._part_of[output], strict=True)
            )
            for output in self.optics.output_names
        ]
        key = (*parts, self.renormalise)
        if key not in self._slots:
            self._slots[key] = _core.NetworkSlot(self.optics.kdist.core, *parts, outputs, self.renormalise)
        return self._slots[key]

    def _collect_counts(self):
        """Move what the slots counted into the reports of the surrogates."""
        for slot in self._slots.values():
            for output, counts in zip(self.optics.output_names, slot.take_counts(), strict=True):
                for s, seen in zip(self.networks[output], counts, strict=True):
                    s.guard_report._add(seen | {"first": ""}, s.encoder_.labels_, seen["inputs"], 0)

    def __getstate__(self):
        self._collect_counts()
        return self.__dict__ | {"_slots": {}}

    def _python_slot(self):
        row = {gas: i for i, gas in enumerate(self.optics.kdist.gases)}
        second = "rayleigh" if self.optics.shortwave else "planck_fraction"

        def optics(temperature, pressure, col_dry, vmr):
            x = np.zeros((len(pressure), len(self.optics.input_names)), vmr.dtype)
            x[:, 0], x[:, 1] = temperature, pressure
            for k, gas in enumerate(self.optics.input_names[2:], start=2):
                if gas in row:
                    x[:, k] = vmr[row[gas]]
            outputs = self._evaluate(x)
            outputs["absorption"] *= col_dry[:, None]
            if self.optics.shortwave:
                outputs[second] *= col_dry[:, None]
            return outputs["absorption"], outputs[second]

        return optics

    def evaluate_only(self, x):
        """What the networks cost by themselves: their outputs for packed rows, part by part, and nothing else.

        Parameters
        ----------
        x : (n, n_in) float64 or float32 array
            In the order of the inputs.

        Returns
        -------
        list of (n_part, n_g) arrays
            One for each network.
        """
        results = []
        for output, surrogates in self.networks.items():
            for part, surrogate in zip(self._part_of[output], surrogates, strict=True):
                results.append(surrogate.evaluate(x[_rows_of(part, x[:, 1])], num_threads=1))
        return results

    @property
    def multiply_adds(self):
        """Multiply-adds of one layer and g-point in the networks a layer goes through; mean over the parts."""
        total = 0.0
        for surrogates in self.networks.values():
            total += np.mean([sum(w.size for w, *_ in s.network_.layers) for s in surrogates]) / self.optics.kdist.n_g
        return float(total)

    @property
    def outside(self):
        """Rows that lay outside the training domain of a network since they were made, and rows in all."""
        self._collect_counts()
        reports = [s.guard_report for surrogates in self.networks.values() for s in surrogates]
        return sum(r.n_outside for r in reports), sum(r.n_rows for r in reports)

    def save(self, folder):
        """Write one surrogate file per network, ``OUTPUT-NUMBER.sg``, numbered from the surface upwards.

        Parameters
        ----------
        folder : path-like
            Made if need be.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for output, surrogates in self.networks.items():
            for number, surrogate in enumerate(surrogates):
                surrogate.save(folder / f"{output}-{number}.sg")

    @classmethod
    def load(cls, folder, optics, *, renormalise=None):
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        folder : path-like
        optics : LongwaveOptics or ShortwaveOptics
            The view the networks were trained for.
        renormalise : bool, optional

        Returns
        -------
        NetworkOptics

        Raises
        ------
        FileNotFoundError, simgraft.FileFormatError
        ValueError
            If files of different sets of networks lie in the folder.
        """
        networks = {}
        for output in optics.output_names:
            paths = sorted(Path(folder).glob(f"{output}-*.sg"))
            if not paths:
                raise FileNotFoundError(f"{folder}: no network for {output}")
            networks[output] = [Surrogate.load(path) for path in paths]
        return cls(optics, networks, renormalise=renormalise)


def _renormalise(kdist, fraction):
    """Scale Planck fractions (n, n_g) to sum to 1 in each band, in place."""
    first, last = kdist.band_limits_g.T
    scale = 1 / np.add.reduceat(fraction, first, axis=1)
    fraction *= np.take(scale, np.repeat(np.arange(len(first)), last - first), axis=1)


# ------------------------------------------------------------------------------------------- how to train one


@dataclass(frozen=True)
class NetworkSpec:
    """The network of one output: its size, the map of its output, and how long it is trained."""

    hidden: tuple  #: neurons of the hidden layers
    decoder: tuple  #: transforms of the output, in the order of the way in
    epochs: int = 60
    batch_size: int = 512
    rate: float = 1e-2  #: peak of the learning rate; a rise over 5 % of the time, then half a cosine to 0


@dataclass(frozen=True)
class Family:
    """Networks of one kind."""

    specs: dict  #: output -> NetworkSpec
    activation: str = "softsign"
    bounds: tuple = (TROPOPAUSE,)  #: pressures [Pa] between which networks share the column; (): one for all
    encoder: dict = field(default_factory=dict)  #: input -> transforms; others are standardised
    weighted: bool = True  #: loss columns weighted by :func:`flux_importance`

    def resized(self, hidden):
        """The same family with other hidden layers.

        Parameters
        ----------
        hidden : dict of str to tuple of int
            By output; outputs that are not named keep theirs.

        Returns
        -------
        Family
        """
        specs = {
            name: replace(spec, hidden=tuple(hidden.get(name, spec.hidden)))
            for name, spec in self.specs.items()
        }
        return replace(self, specs=specs)

    def with_epochs(self, factor):
        """The same family, trained ``factor`` times as long."""
        specs = {
            k: replace(spec, epochs=max(1, round(spec.epochs * factor))) for k, spec in self.specs.items()
        }
        return replace(self, specs=specs)


_ROOTS = {
    "pressure": [encode.Log(), encode.Standardise()],
    "h2o": [encode.Root(4), encode.Standardise()],
    "o3": [encode.Root(4), encode.Standardise()],
}
_CROSS_SECTION = (encode.Root(8), encode.Standardise())
_FRACTION = (encode.Root(2), encode.Standardise())

_BOUNDS = (4e4, TROPOPAUSE, 400.0)

#: Two small layers in each of four parts of the column: as many parameters as one large network, but a layer
#: goes through a quarter of them. The tables change their key species at the tropopause, where the
#: cross-sections jump.
COMPACT = {
    "longwave": Family(
        {
            "absorption": NetworkSpec((40, 40), _CROSS_SECTION, epochs=100),
            "planck_fraction": NetworkSpec((12, 12), _FRACTION, epochs=40),
        },
        bounds=_BOUNDS,
        encoder=_ROOTS,
    ),
    "shortwave": Family(
        {
            "absorption": NetworkSpec((32, 32), _CROSS_SECTION),
            "rayleigh": NetworkSpec((8, 8), _CROSS_SECTION, epochs=15),
        },
        bounds=_BOUNDS,
        encoder=_ROOTS,
    ),
}

#: The sizes and transforms of RRTMGP-NN 2.0.
RRTMGP_NN = {
    "longwave": Family(
        {
            "absorption": NetworkSpec((72, 72), (encode.Root(8), encode.Standardise(shared="scale"))),
            "planck_fraction": NetworkSpec((24, 24), (encode.Root(2),)),
        },
        bounds=(),
        encoder=_ROOTS,
        weighted=False,
    ),
    "shortwave": Family(
        {
            "absorption": NetworkSpec((32, 32), (encode.Root(8), encode.Standardise(shared="scale"))),
            "rayleigh": NetworkSpec((32, 32), (encode.Root(8), encode.Standardise(shared="scale"))),
        },
        bounds=(),
        encoder=_ROOTS,
        weighted=False,
    ),
}

_LOGS = {name: [encode.Log(), encode.Standardise()] for name in ("pressure", "h2o", "o3")}
# Zero is a value of the tables; Veerman et al. put an optical depth of 1e-12 for it, here it is a cross-section.
_LOG_CROSS_SECTION = (encode.Log(floor=1e-34), encode.Standardise())
_LOG_FRACTION = (encode.Log(floor=1e-12), encode.Standardise())

#: Eight networks for the views :class:`VeermanLongwave` and :class:`VeermanShortwave`, of the size 64-64. The
#: Planck network gives fractions, so that the temperatures at the edges of a layer are no inputs.
VEERMAN = {
    "longwave": Family(
        {
            "absorption": NetworkSpec((64, 64), _LOG_CROSS_SECTION),
            "planck_fraction": NetworkSpec((64, 64), _LOG_FRACTION),
        },
        activation="leaky_relu",
        encoder=_LOGS,
        weighted=False,
    ),
    "shortwave": Family(
        {
            "extinction": NetworkSpec((64, 64), _LOG_CROSS_SECTION),
            "single_scattering_albedo": NetworkSpec(
                (64, 64), (encode.Clip(low=0.0, high=1.0), encode.Standardise())
            ),
        },
        activation="leaky_relu",
        encoder=_LOGS,
        weighted=False,
    ),
}

# Accuracy asked of TOA upward flux and surface downward flux [W m-2]: their ratios weigh the terms.
_FLUX_ACCURACY = {False: (0.1, 0.1), True: (0.05, 0.1)}


def _heating_accuracy(pressure):
    """Accuracy asked of heating rates [K day-1]: an error that moves a column at rest by 0.2 K.

    Radiation damps temperatures in about 5 days at the stratopause and 40 in the lower stratosphere; in the
    troposphere, where convection and the surface help, 10 days are taken.
    """
    days = np.interp(np.log(pressure), np.log([100.0, 3e3, 1e4, 3e4]), [5.0, 40.0, 40.0, 10.0])
    return 0.2 / days


def flux_importance(
    optics, atmosphere, output, decoder, part=(0.0, np.inf), *, seed, n_col=160, probes=2, step=1e-3
):
    """How much each network output matters for fluxes: weights of the columns in the training loss.

    Every cell of ``output`` is moved at random by +-``step`` in network variables. As g-points do not mix,
    the squared change of the flux in a g-point is, on average, the sum of its squared derivatives by all
    layers, and so what independent errors of that size would do. The changes of the upward flux at the top,
    of the downward flux at the surface and of the heating rates are added in units of the accuracy asked of
    them.

    Parameters
    ----------
    optics : LongwaveOptics or ShortwaveOptics
    atmosphere : Atmosphere
        Columns to draw from.
    output : str
    decoder : Encoder
        Fitted to the output.
    part : (float, float), optional [Pa]
        Cells of these pressures are moved.
    seed : int
    n_col, probes : int
        Columns, and random moves of each.
    step : float
        Size of the moves, in standard deviations for a standardised output.

    Returns
    -------
    (n_g,) float64 array
        With mean 1.

    Notes
    -----
    Random signs estimate the squared norm of the Jacobian as in Hutchinson 1990,
    doi:10.1080/03610919008812866.

    Examples
    --------
    >>> flux_importance(optics, air, "absorption", decoder, seed=1).round(2)      # doctest: +SKIP
    """
    rng = np.random.default_rng(seed)
    kdist = optics.kdist
    air = atmosphere.take(atmosphere.mu0 > 0) if optics.shortwave else atmosphere
    air = air.take(np.sort(rng.permutation(len(air))[:n_col]))
    fluxes = radiation.fluxes_sw if optics.shortwave else radiation.fluxes_lw

    def moved(inputs):
        outputs = dict(optics(inputs))
        rows = _rows_of(part, inputs["pressure"])
        z = decoder.transform(outputs[output][rows], dtype="float64")
        z += step * rng.choice((-1.0, 1.0), z.shape)
        values = outputs[output].copy()
        values[rows] = decoder.inverse_transform(z)
        outputs[output] = values
        if output == "planck_fraction":
            _renormalise(kdist, values)
        return _to_slot(optics, outputs)

    reference = fluxes(kdist, air, optics=cell_optics(lambda x: _to_slot(optics, optics(x)), kdist), by="g")
    level = air.pressure_level if air.pressure_level_file is None else air.pressure_level_file
    top_first = level[0, 0] < level[0, -1]
    top, surface = (0, -1) if top_first else (-1, 0)
    per_flux = radiation.SECONDS_PER_DAY * 9.80665 / 1004.64 / np.diff(level, axis=1)
    per_flux /= _heating_accuracy(air.pressure_layer)
    accuracy = _FLUX_ACCURACY[optics.shortwave]
    weight = np.zeros(kdist.n_g)
    for _ in range(probes):
        probe = fluxes(kdist, air, optics=cell_optics(moved, kdist), by="g")
        up, down = (probe.up_g - reference.up_g) / step, (probe.down_g - reference.down_g) / step
        heating = per_flux[..., None] * np.diff(up - down, axis=1)
        weight += np.mean((up[:, top] / accuracy[0]) ** 2, axis=0)
        weight += np.mean((down[:, surface] / accuracy[1]) ** 2, axis=0)
        weight += np.mean(heating**2, axis=(0, 1))
    return weight / weight.mean()


def _standardised(chain, data):
    """The chain of the outputs with its Standardise fitted here, no deviation below 1e-3 of their rms.

    Where a g-point does not absorb, its output is constant. Divided by a deviation of 1, as constants are by
    default, the network's small error would be an opaque atmosphere after the eighth power.
    """
    last = chain[-1] if chain else None
    if not isinstance(last, encode.Standardise) or last.shared is not False:
        return chain
    (output,) = data.kernel.outputs
    values = encode.Encoder({output: chain[:-1]}, side="outputs").fit(data).transform(data.Y, dtype="float64")
    std = values.std(axis=0)
    std = np.maximum(std, 1e-3 * np.sqrt(np.mean(std**2)))
    return [*chain[:-1], encode.Standardise(mean=values.mean(axis=0), std=std)]


def train(
    optics,
    family,
    inputs,
    outputs,
    atmosphere,
    *,
    seed,
    group=None,
    num_threads=None,
    progress=False,
    only=None,
):
    """Train the networks of a family.

    Parameters
    ----------
    optics : LongwaveOptics or ShortwaveOptics
        What is replaced, or a view of it.
    family : Family
    inputs, outputs : dict of arrays (n,), (n, n_g)
        Cells, from :func:`cells`, and what ``optics`` makes of them.
    atmosphere : Atmosphere
        Training columns, by which the outputs are weighed (:func:`flux_importance`).
    seed : int
    group : (n,) int64 array, optional
        Site of each cell, for the record.
    num_threads : int, optional
    progress : bool
    only : iterable of str, optional
        Train these outputs, and let the table kernel compute the others.

    Returns
    -------
    dict of str to list of Surrogate
        For :class:`NetworkOptics`.

    Examples
    --------
    >>> trained = train(optics, COMPACT["longwave"], x, optics(x), air, seed=1)           # doctest: +SKIP
    >>> networks = NetworkOptics(optics, trained)                                         # doctest: +SKIP
    """
    networks = {}
    wanted = optics.output_names if only is None else tuple(only)
    for output in wanted:
        spec = family.specs[output]
        networks[output] = []
        for part in _parts(optics, family.bounds):
            kernel = _part_kernel(optics, output, part)
            rows = np.flatnonzero(_rows_of(part, inputs["pressure"]))
            data = Dataset.from_arrays(
                kernel,
                {name: values[rows] for name, values in inputs.items()},
                {output: outputs[output][rows]},
                group=None if group is None else group[rows],
            )
            decoder = {output: _standardised(list(spec.decoder), data)}
            column_weight = None
            if family.weighted:
                fitted = encode.Encoder(decoder, side="outputs").fit(data)
                column_weight = flux_importance(optics, atmosphere, output, fitted, part, seed=seed)
                # a hundredth of the mean at least, so that no g-point is left to chance
                column_weight = (column_weight + 0.01) / 1.01
            encoder = {name: chain for name, chain in family.encoder.items() if name in kernel.inputs}
            encoder = {name: encoder.get(name, [encode.Standardise()]) for name in kernel.inputs}
            surrogate = Surrogate(
                kernel,
                nn.MLP(list(spec.hidden), family.activation),
                encoder=encoder,
                decoder=decoder,
                guard="count",
            )
            schedule = nn.schedule.WarmUp(nn.schedule.Cosine(spec.rate), 0.05 * spec.epochs)
            surrogate.fit(
                data,
                seed=seed,
                epochs=spec.epochs,
                batch_size=spec.batch_size,
                loss=nn.MSE(column_weight=column_weight),
                optimizer=nn.Adam(schedule, beta2=0.99),
                num_threads=num_threads,
                progress=progress,
            )
            logger.info(
                "%s, %.0f to %.0f Pa: loss %.3g after %d epochs",
                *(output, *part, surrogate.history_["loss"][-1], spec.epochs),
            )
            networks[output].append(surrogate)
    return networks


# ----------------------------------------------------------------------------------------- published networks

_PUBLISHED_INPUTS = {"tlay": "temperature", "play": "pressure"}


def read_rrtmgp_nn(paths, optics):
    """Networks in the netCDF files of RRTMGP-NN 2.0, as surrogates in the optics slot.

    Parameters
    ----------
    paths : dict of str to path-like
        File of each output: "absorption" and "planck_fraction", or "absorption" and "rayleigh".
    optics : LongwaveOptics or ShortwaveOptics
        The table the networks emulate; a gas that the files know and ``optics`` does not is an error.

    Returns
    -------
    NetworkOptics
        Planck fractions as the networks give them, not renormalised.

    Raises
    ------
    FileNotFoundError, simgraft.FileFormatError
        If a file is missing, or is not such a network; the message names file and variable.
    ValueError
        If a network does not fit the table.

    Notes
    -----
    x = (t(x) - min) / (max - min) with t = ln for pressure and the fourth root for h2o and o3; two hidden
    layers; y = (std out + mean)^8 for cross-sections per molecule of dry air, y = out^2 for Planck fractions.
    Level sources follow the table's geometric mean, not the lower layer's fraction as in that code: the rmse of
    fluxes differs by 0.001 W m-2.

    Examples
    --------
    >>> paths = {"absorption": "lw-g128-210809_absorption_BEST.nc",
    ...          "planck_fraction": "lw-g128-210809_planck_frac_BEST.nc"}
    >>> networks = read_rrtmgp_nn(paths, optics)                                          # doctest: +SKIP
    """
    if set(paths) != set(optics.output_names):
        raise ValueError(
            f"paths: expected files for {', '.join(optics.output_names)}, got {', '.join(paths)}"
        )
    return NetworkOptics(
        optics,
        {output: [_published(Path(path), optics, output)] for output, path in paths.items()},
        renormalise=False,
    )


def _published(path, optics, output):
    file = _published_variables(path)
    names = [_PUBLISHED_INPUTS.get(name, name) for name in file["nn_inputs_char"]]
    kernel = _part_kernel(optics, output, optics.kdist.pressure_range)
    if sorted(names) != sorted(kernel.inputs):
        raise ValueError(f"{path}: has inputs {', '.join(names)}; the table needs {', '.join(kernel.inputs)}")
    order = [names.index(name) for name in kernel.inputs]
    low, high = (file[f"nn_input_coeffs_{end}"].astype(np.float64)[order] for end in ("min", "max"))
    first = {"pressure": [encode.Log()], "h2o": [encode.Root(4)], "o3": [encode.Root(4)]}
    encoder = {
        name: [*first.get(name, []), encode.MinMax(low=a, high=b)]
        for name, a, b in zip(kernel.inputs, low, high, strict=True)
    }
    n_layer = len(file["nn_activation_char"])
    weights = [file[f"nn_weights_{i + 1}"] for i in range(n_layer)]
    biases = [file[f"nn_bias_{i + 1}"] for i in range(n_layer)]
    weights[0] = weights[0][order]
    if biases[-1].size != optics.kdist.n_g:
        raise ValueError(
            f"{path}: gives {biases[-1].size} g-points; the table {optics.kdist.name} has {optics.kdist.n_g}"
        )
    if output == "planck_fraction":
        decoder = [encode.Root(2)]
    else:
        mean, std = (file[f"nn_output_coeffs_{name}"].astype(np.float64) for name in ("mean", "std"))
        decoder = [encode.Root(8), encode.Standardise(mean=mean, std=std)]
    return Surrogate.from_network(
        kernel,
        weights,
        biases,
        file["nn_activation_char"],
        encoder=encoder,
        decoder={output: decoder},
        guard="count",
        provenance={"file": path.name, "reference": "Ukkonen & Hogan 2023, doi:10.5194/gmd-16-3241-2023"},
    )


def _published_variables(path):
    """Arrays of a network file; texts as lists of str. The variable-length strings in it are left alone."""
    import netCDF4

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        file = netCDF4.Dataset(path)
    except OSError as error:
        raise _core.FileFormatError(f"{path}: cannot be read as netCDF: {error}") from error
    with file:
        file.set_auto_maskandscale(False)
        n_layer = len(file.dimensions.get("nn_layers", ()))
        names = ["nn_inputs_char", "nn_activation_char", "nn_input_coeffs_min", "nn_input_coeffs_max"]
        names += [f"nn_{kind}_{i + 1}" for kind in ("weights", "bias") for i in range(max(1, n_layer))]
        names += [
            name for name in ("nn_output_coeffs_mean", "nn_output_coeffs_std") if name in file.variables
        ]
        values = {}
        for name in names:
            if name not in file.variables:
                raise _core.FileFormatError(f"{path}: variable {name} is missing; not a network of RRTMGP-NN")
            try:
                value = np.asarray(file[name][...])
            except (OSError, RuntimeError) as error:
                raise _core.FileFormatError(f"{path}: variable {name} cannot be read: {error}") from error
            if value.dtype.kind == "S":
                value = [b"".join(row).decode().strip("\0 ") for row in value]
            values[name] = value
        return values
