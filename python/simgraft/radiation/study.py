"""The study: gas optics by network, from a k-distribution to a network inside a running column.

``simgraft study radiation --out DIR`` runs it. Where the tables of RRTMGP and the atmospheres of RFMIP are
found (in ``--data``, or where :mod:`simgraft.radiation.tables` looks), it runs on them; else on the synthetic
ones, and the report says so."""

import logging
import time
from pathlib import Path

import numpy as np

from simgraft.radiation import atmosphere, atmosphere_generator, host, kernel, networks, tables
from simgraft.metrics import binned_error
from simgraft.trial import Trial, error_row

__all__ = ["run"]

logger = logging.getLogger("simgraft")

SEED = 2021
N_SYNTHETIC = 1000  # columns, where there are no recorded ones
HEATING_FROM = 400.0  # Pa, heating rates count below this level
RFMIP_FILE = "multiple_input4MIPs_radiation_RFMIP_UColorado-RFMIP-1-2_none.nc"
REFERENCE_FILE = "{}_Efx_RTE-RRTMGP-181204_rad-irf_r1i1p1f1_gn.nc"

# Multiply-adds of one layer and g-point of the published networks, LW 18-72-72-128 with 18-24-24-128, SW
# 7-32-32-112 twice
PUBLISHED_COST = {"longwave": 154.5, "shortwave": 86.3}
SCAN = ((), (32,), (64,), (128,), (32, 32), (64, 64), (128, 128), (32, 32, 32), (64, 64, 64), (128, 128, 128))
QUICK_SCAN = ((), (32,), (32, 32), (64, 64), (32, 32, 32))


def run(out, quick=False, data=None):
    """Run the study.

    Parameters
    ----------
    out : path-like
        Folder for the surrogate files; :meth:`Trial.report` writes the report there.
    quick : bool
        Shorter training and a smaller scan of architectures; the gates are the same.
    data : path-like, optional
        Folder that holds ``radiation/rrtmgp``, ``radiation/rfmip`` or these folders themselves.

    Returns
    -------
    Trial
        With gates, tables and figures; not yet written.
    """
    out = Path(out)
    source = _Source(data)
    trial = Trial(name="radiation", data=source.describe())
    trial.provenance(
        seed=SEED,
        quick=quick,
        longwave_table=_short(source.longwave),
        shortwave_table=_short(source.shortwave),
    )
    if source.synthetic:
        trial.warn(source.synthetic)
    _reference_gates(trial, source)
    waves = {}
    for name in ("longwave", "shortwave"):
        waves[name] = _Wave(trial, source, name, quick)
        waves[name].optics_net.save(out / name)
    for wave in waves.values():
        wave.a_priori()
        wave.frontier()
    trial.warn(
        "The networks know the training sites and their perturbed copies; the guard counts cells outside of that domain, it does "
        "not stop them unless it is told to."
    )
    if not source.synthetic:
        trial.warn(
            "Sizes and training were chosen while looking at errors of these unseen sites: expect somewhat larger errors elsewhere."
        )
    _equilibrium(trial, source, waves)
    _speed(trial, waves)
    return trial


# --------------------------------------------------------------------------------------------------- the data


class _Source:
    """Tables and atmospheres: real where they are found."""

    def __init__(self, data):
        self.folder = None
        if data is not None:
            data = Path(data)
            self.folder = data / "radiation" if (data / "radiation").is_dir() else data
        self.longwave, self.shortwave = (self._table(name) for name in ("lw-g128", "sw-g112"))
        self.air, self.air_is = self._atmosphere()
        sites = np.random.default_rng(SEED).permutation(np.unique(self.air.site))
        unseen = np.isin(self.air.site, sites[: len(sites) // 5])
        self.train, self.test = self.air.take(~unseen), self.air.take(unseen)

    def path(self, *parts):
        """A file below the data folder, or None."""
        if self.folder is None:
            return None
        path = self.folder.joinpath(*parts)
        return path if path.is_file() else None

    def _table(self, name):
        path = self.path("rrtmgp", f"rrtmgp-gas-{name}.nc")
        return tables.load_or_synthetic(name) if path is None else tables.load(path)

    def full_table(self, name):
        """A g256 or g224 table, or None."""
        path = self.path("rrtmgp", f"rrtmgp-gas-{name}.nc")
        try:
            return tables.load(name if path is None else path)
        except FileNotFoundError:
            return None

    def _atmosphere(self):
        path = self.path("rfmip", "inputs", RFMIP_FILE)
        try:
            return atmosphere.rfmip(path), "RFMIP atmospheres, 100 sites x 18 experiments"
        except FileNotFoundError:
            air = atmosphere_generator.generate(N_SYNTHETIC, seed=SEED)
            return air, f"{N_SYNTHETIC} atmospheres made by code"

    @property
    def synthetic(self):
        """What it cannot show, or "" with real tables."""
        if not any(table.name.startswith("synthetic") for table in (self.longwave, self.shortwave)):
            return ""
        return (
            "No RRTMGP tables were found: the k-distributions are synthetic, of the true shape but not of real "
            "gases. What the networks cost and how they are proved is shown; the size of errors for real gases is not."
        )

    def describe(self):
        return f"k-distributions {_short(self.longwave)} and {_short(self.shortwave)}; {self.air_is}"

    def reference(self, name):
        """Reference fluxes (n_col, n_lay + 1) of the RFMIP columns, or None."""
        path = self.path("rfmip", "reference", REFERENCE_FILE.format(name))
        if path is None:
            return None
        import netCDF4

        with netCDF4.Dataset(path) as file:
            file[name].set_auto_mask(False)
            values = np.asarray(file[name][...], np.float64)
        return values.reshape(-1, values.shape[-1])


def _short(table):
    """Name of a table without its folder."""
    return Path(table.name).name


def _rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


def _boundaries(air):
    """Level numbers of the top and the surface."""
    return (0, -1) if air.pressure_level[0, 0] < air.pressure_level[0, -1] else (-1, 0)


def _levels(air):
    return air.pressure_level if air.pressure_level_file is None else air.pressure_level_file


def _flux_errors(air, fluxes, truth):
    """Rmse of flux upwards at the top and downwards at the surface [W m-2], and of heating rates [K day-1]."""
    top, surface = _boundaries(air)
    heating = _heating_error(air, fluxes, truth)
    return (
        _rms((fluxes.up - truth.up)[:, top]),
        _rms((fluxes.down - truth.down)[:, surface]),
        _rms(heating[air.pressure_layer > HEATING_FROM]),
    )


def _heating_error(air, fluxes, truth):
    level = _levels(air)
    return kernel.heating_rate(level, fluxes) - kernel.heating_rate(level, truth)


def _reference_gates(trial, source):
    """The table kernel itself against the reference fluxes of RFMIP, where both are at hand."""
    air = source.air
    for wave, name, limit, (up_name, down_name) in (
        ("longwave", "rfmip_lw_g256_flux_max_error", 1e-4, ("rlu", "rld")),
        ("shortwave", "rfmip_sw_g224_flux_max_error", 1e-3, ("rsu", "rsd")),
    ):
        table = source.full_table("lw-g256" if wave == "longwave" else "sw-g224")
        up, down = source.reference(up_name), source.reference(down_name)
        if table is None or up is None or down is None:
            trial.note(
                f"{name} was not measured: it needs the RFMIP reference fluxes and the full table (--data)."
            )
            continue
        rows = np.ones(len(air), bool) if wave == "longwave" else air.mu0 > 0
        columns = air.take(rows)
        fluxes = (kernel.fluxes_lw if wave == "longwave" else kernel.fluxes_sw)(table, columns)
        top, surface = _boundaries(columns)
        error = max(
            np.abs(fluxes.up[:, top] - up[rows, top]).max(),
            np.abs(fluxes.down[:, surface] - down[rows, surface]).max(),
        )
        trial.gate(name, error, "W m-2", "<=", limit)


# --------------------------------------------------------------------------------------------------- one wave


class _Wave:
    """Data, networks and trials of the longwave or of the shortwave."""

    def __init__(self, trial, source, name, quick):
        self.trial, self.source, self.name, self.quick = trial, source, name, quick
        self.table = getattr(source, name)
        self.shortwave = name == "shortwave"
        self.optics = (kernel.ShortwaveOptics if self.shortwave else kernel.LongwaveOptics)(self.table)
        self.solve = kernel.fluxes_sw if self.shortwave else kernel.fluxes_lw
        self.test = source.test.take(source.test.mu0 > 0) if self.shortwave else source.test
        self.truth = self.solve(self.table, self.test)
        start = time.process_time()
        self.columns = networks.augment(source.train, 3, SEED)
        self.inputs = networks.cells(self.optics, self.columns)
        self.outputs = self.optics(self.inputs)
        self.data_seconds = time.process_time() - start
        self.family = networks.COMPACT[name]
        start = time.process_time()
        self.optics_net = networks.NetworkOptics(
            self.optics, self._train(self.family.with_epochs(1 if quick else 3))
        )
        self.training_seconds = time.process_time() - start
        rows = len(self.inputs["pressure"])
        trial.provenance(**{f"{name}_training_rows": rows, f"{name}_training_seconds": self.training_seconds})
        logger.info("%s: %d rows, trained in %.0f s of CPU", name, rows, self.training_seconds)

    def _train(self, family, only=None, rows=slice(None)):
        inputs = {key: value[rows] for key, value in self.inputs.items()}
        outputs = {key: value[rows] for key, value in self.outputs.items()}
        return networks.train(self.optics, family, inputs, outputs, self.source.train, seed=SEED, only=only)

    def fluxes(self, optics):
        """Fluxes of the unseen columns with `optics` (a function of cells) in the slot."""
        return self.solve(self.table, self.test, optics=host.cell_optics(optics, self.table))

    def a_priori(self):
        """Optics, fluxes and heating rates of unseen sites, against the same table and the reference."""
        trial, name = self.trial, self.name
        inputs = networks.cells(self.optics, self.test)
        truth, prediction = self.optics(inputs), self.optics_net(inputs)
        rows = [error_row(key, self.optics.outputs()[key].unit, truth[key], prediction[key]) for key in truth]
        keys = ("rmse", "relative_p50", "relative_p90", "relative_p99")
        trial.table(
            f"{name}: optics of unseen sites",
            ["output", "unit", "rmse", "rel. p50", "rel. p90", "rel. p99"],
            [[row["name"], row["unit"], *(row.get(key) for key in keys)] for row in rows],
        )
        trial.warn(
            f"{name}: one cross-section in a hundred is off by more than {100 * rows[0]['relative_p99']:.0f} %. Broadband fluxes are "
            "what the networks were trained for; do not use them for single g-points or bands."
        )
        fluxes = self.fluxes(self.optics_net)
        single = self.solve(self.table, self.test.astype("float32"))
        floor = _flux_errors(
            self.test, kernel.Fluxes(single.up.astype(float), single.down.astype(float)), self.truth
        )
        errors = _flux_errors(self.test, fluxes, self.truth)
        table = [["network against the same table", *errors], ["floor: table in float32", *floor]]
        table += self._against_reference(fluxes)
        trial.table(
            f"{name}: fluxes of unseen sites",
            ["what", "TOA up rmse [W m-2]", "surface down rmse [W m-2]", "heating rate rmse [K day-1]"],
            table,
            note=f"{len(self.test)} columns of sites that were not trained on"
            + (", by day." if self.shortwave else ".")
            + f" Heating rates at pressures above {HEATING_FROM:.0f} Pa.",
        )
        limits = (0.10, 0.025) if self.shortwave else (0.15, 0.025)
        short = "sw" if self.shortwave else "lw"
        trial.gate(f"{short}_network_flux_rmse", max(errors[:2]), "W m-2", "<=", limits[0], max(floor[:2]))
        if self.shortwave:
            trial.gate("sw_network_toa_flux_rmse", errors[0], "W m-2", "<=", 0.05, floor[0])
        trial.gate(f"{short}_network_heating_rate_rmse", errors[2], "K day-1", "<=", limits[1], floor[2])
        cost = self.optics_net.multiply_adds
        trial.gate(f"{short}_network_multiply_adds", cost, "1", "<=", PUBLISHED_COST[name])
        outside, looked = self.optics_net.outside
        trial.note(
            f"{name}: {cost:.0f} multiply-adds per layer and g-point, {outside} of {looked} cells outside the "
            "training domain."
        )
        self._figures(inputs, truth, prediction, fluxes)

    def _against_reference(self, fluxes):
        """Rows of the same errors against the RFMIP reference, network and table."""
        up, down = (
            self.source.reference(key) for key in (("rsu", "rsd") if self.shortwave else ("rlu", "rld"))
        )
        if up is None or down is None or len(up) != len(self.source.air):
            return []
        air = self.source.air
        rows = np.isin(air.site, self.source.test.site)
        if self.shortwave:
            rows &= air.mu0 > 0
        reference = kernel.Fluxes(up[rows], down[rows])
        return [
            ["network against the RFMIP reference", *_flux_errors(self.test, fluxes, reference)],
            ["table against the RFMIP reference", *_flux_errors(self.test, self.truth, reference)],
        ]

    def _figures(self, inputs, truth, prediction, fluxes):
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(
            1, 1 + len(truth), figsize=(4.2 * (1 + len(truth)), 4.2), sharey=True, layout="constrained"
        )
        for axis, key in zip(axes, truth, strict=False):
            mean = truth[key].mean(axis=1)
            error = 100 * (prediction[key].mean(axis=1) - mean) / mean
            _band(axis, inputs["pressure"], error, f"{key.replace('_', ' ')}, mean of g-points: error [%]")
        pressure = self.test.pressure_layer
        _band(
            axes[-1], pressure, _heating_error(self.test, fluxes, self.truth), "heating rate: error [K/day]"
        )
        axes[0].set(ylabel="pressure [hPa]", yscale="log")
        axes[0].invert_yaxis()
        self.trial.figure(
            figure,
            f"{self.name}: errors by pressure",
            "Unseen sites, network against the same table: mean and central 95 % band.",
        )

    def frontier(self):
        """Error against cost for one to three layers of 32 to 128 neurons in the absorption network."""
        scan = QUICK_SCAN if self.quick else SCAN
        share = 4 if self.quick else 1
        n_cell = len(self.inputs["pressure"])
        cells = np.sort(np.random.default_rng(SEED).permutation(n_cell)[: n_cell // share])
        family = self.family.with_epochs(0.5)
        rows, second = [], self.optics.output_names[1]
        for hidden in scan:
            start = time.process_time()
            trained = self._train(family.resized({"absorption": hidden}), only=("absorption",), rows=cells)
            nets = networks.NetworkOptics(
                self.optics,
                trained | {second: self.optics_net.networks[second]},
            )
            errors = _flux_errors(self.test, self.fluxes(nets), self.truth)
            label = "-".join(map(str, hidden)) or "linear model"
            rows.append([label, nets.multiply_adds, *errors, time.process_time() - start])
        columns = ["absorption network", "multiply-adds per layer and g-point", "TOA up rmse [W m-2]"]
        columns += ["surface down rmse [W m-2]", "heating rate rmse [K day-1]", "CPU [s]"]
        self.trial.table(
            f"{self.name}: error against cost",
            columns,
            rows,
            note="Networks of this size in each of four parts of the column, trained for "
            f"{family.specs['absorption'].epochs} epochs on "
            f"1/{share} of the data, shorter than the network on trial; the second output as there.",
        )
        self._frontier_figure(rows)

    def _frontier_figure(self, rows):
        from matplotlib import pyplot

        figure, axis = pyplot.subplots(figsize=(6, 4.2), layout="constrained")
        cost, error = np.array([row[1] for row in rows]), np.array([max(row[2:4]) for row in rows])
        axis.loglog(cost, error, "o")
        for row, x, y in zip(rows, cost, error, strict=True):
            axis.annotate(row[0], (x, y), textcoords="offset points", xytext=(4, 4), fontsize=8)
        axis.axvline(PUBLISHED_COST[self.name], color="0.5", ls="--", lw=1)
        axis.set(xlabel="multiply-adds per layer and g-point", ylabel="flux rmse [W m$^{-2}$]")
        self.trial.figure(
            figure,
            f"{self.name}: error against cost",
            "The larger of TOA up and surface down, unseen sites; dashed, the cost of the published networks.",
        )


def _band(axis, pressure, error, label):
    centre, mean, low, high = binned_error(pressure, error, bins=30, log=True)
    axis.fill_betweenx(centre / 100, low, high, alpha=0.3, lw=0)
    axis.plot(mean, centre / 100)
    axis.axvline(0, color="0.5", lw=0.7)
    axis.set_xlabel(label)


# ----------------------------------------------------------------------------------------------- a posteriori


def _equilibrium(trial, source, waves):
    """Radiative-convective equilibrium with the tables and with the networks in the slot."""
    co2 = atmosphere_generator.PRESENT_DAY["co2"] * np.array([0.5, 1.0, 2.0, 4.0])
    level = atmosphere_generator.pressure_levels(np.full(len(co2), 1e5))
    layer = 0.5 * (level[:, 1:] + level[:, :-1])
    gases = {name: np.full(layer.shape, value) for name, value in atmosphere_generator.PRESENT_DAY.items()}
    gases |= {
        "co2": np.repeat(co2[:, None], layer.shape[1], axis=1),
        "o3": atmosphere_generator.ozone(layer, 30.0),
    }
    column = host.EquilibriumColumn(level, gases)

    def radiation(longwave=None, shortwave=None):
        return host.Radiation(
            source.longwave, source.shortwave, longwave_optics=longwave, shortwave_optics=shortwave
        )

    def rounded(optics):
        return lambda inputs: {
            key: np.asarray(v, np.float32).astype(np.float64) for key, v in optics(inputs).items()
        }

    longwave, shortwave = waves["longwave"], waves["shortwave"]
    truth = column.run(radiation())
    start = time.process_time()
    network = column.run(radiation(longwave.optics_net, shortwave.optics_net))
    seconds = time.process_time() - start
    floor = column.run(radiation(rounded(longwave.optics), rounded(shortwave.optics)))
    rows = []
    for i, amount in enumerate(co2):
        surface = [state.temperature_surface[i] for state in (truth, network)]
        layers = np.abs(network.temperature_layer[i] - truth.temperature_layer[i]).max()
        rows.append(
            [
                1e6 * amount,
                *surface,
                surface[1] - surface[0],
                layers,
                bool(truth.converged[i] and network.converged[i]),
            ]
        )
    trial.table(
        "equilibrium columns",
        [
            "CO2 [ppm]",
            "surface, tables [K]",
            "surface, networks [K]",
            "difference [K]",
            "largest of layers [K]",
            "both converged",
        ],
        rows,
        note=f"Fixed relative humidity, 6.5 K/km; {int(network.steps.max())} steps with the networks, "
        f"{seconds:.1f} s of CPU.",
    )

    def distance(state):
        surface = np.abs(state.temperature_surface - truth.temperature_surface).max()
        return surface, np.abs(state.temperature_layer - truth.temperature_layer).max()

    error, least = distance(network), distance(floor)
    if not (truth.converged.all() and network.converged.all()):
        trial.warn(
            "Not every column reached equilibrium: the temperatures compared are those of the last step."
        )
    trial.gate("equilibrium_surface_temperature_error", error[0], "K", "<=", 0.1, least[0])
    trial.gate("equilibrium_layer_temperature_error", error[1], "K", "<=", 0.3, least[1])

    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for i, amount in enumerate(co2):
        axes[0].plot(
            truth.temperature_layer[i], truth.pressure_layer[i] / 100, label=f"{1e6 * amount:.0f} ppm"
        )
        axes[1].plot(network.temperature_layer[i] - truth.temperature_layer[i], truth.pressure_layer[i] / 100)
    axes[0].set(xlabel="temperature [K]", ylabel="pressure [hPa]", yscale="log")
    axes[0].invert_yaxis()
    axes[0].legend(title="CO$_2$")
    axes[1].set_xlabel("networks less tables [K]")
    trial.figure(
        figure, "equilibrium columns", "Left with the tables, right the difference that the networks make."
    )


def _speed(trial, waves):
    """Table kernel and networks in the same flux calculation, one thread, float32; and what to use."""
    rows, verdicts = [], []
    for name, wave in waves.items():
        air = wave.test.astype("float32")
        slot, optics = wave.optics_net.for_slot(), wave.optics
        gas_optics = kernel.gas_optics_sw if wave.shortwave else kernel.gas_optics_lw
        x = np.stack(list(networks.cells(optics, air).values()), axis=1).astype(np.float32)
        tasks = {
            "tables": lambda: wave.solve(wave.table, air, num_threads=1),
            "networks": lambda: wave.solve(wave.table, air, optics=slot, num_threads=1),
            "optics of tables": lambda: gas_optics(wave.table, air, num_threads=1),
            "networks alone": lambda: wave.optics_net.evaluate_only(x),
        }
        best = dict.fromkeys(tasks, np.inf)
        for _ in range(5):  # in turn, so that all meet the same machine
            best = {task: min(best[task], _cpu_seconds(function)) for task, function in tasks.items()}
        unit = 1e9 / (air.pressure_layer.size * wave.table.n_g)
        share = min(best["optics of tables"] / best["tables"], 1.0)
        gain = best["tables"] / best["networks"]
        rows.append([name, *(best[task] * unit for task in tasks), share, 1 / max(1 - share, 1e-3), gain])
        trial.note(
            f"{name}: gas optics take {100 * share:.0f} % of the radiation's time, so that at most "
            f"{rows[-1][-2]:.3g}x can be gained (Amdahl); measured {gain:.3g}x."
        )
        saved = best["tables"] - best["networks"]
        if saved > 0:
            columns = (wave.data_seconds + wave.training_seconds) / (saved / len(air))
            verdicts.append(
                f"{name}: the network, {gain:.2f}x as fast; data generation and training "
                f"({wave.data_seconds + wave.training_seconds:.0f} s) are paid back after {columns:.3g} columns"
            )
        else:
            verdicts.append(f"{name}: the table kernel, {1 / gain:.2f}x as fast as the network")
            trial.warn(
                f"{name}: the network is slower than the table kernel on this machine: use the kernel."
            )
    trial.table(
        "speed",
        ["wave", *(f"{task} [ns]" for task in tasks), "share of optics [1]", "Amdahl ceiling [1]", "speed-up [1]"],
        rows,
        note="CPU time per column, layer and g-point, one thread, float32, in one run: whole radiation (optics and "
        "solver) with tables and with networks in the slot; then both optics without a solver. The share counts "
        "what the optics of tables take when their results go to memory, a little more than in the fused radiation.",
    )
    trial.note("The better choice on this machine, " + "; ".join(verdicts) + ".")


def _cpu_seconds(function):
    start = time.thread_time()
    function()
    return time.thread_time() - start
