"""Gas optics of ecCKD definition files in plain NumPy float64: the oracle of the C code.

Written from the files' own attributes and Hogan & Matricardi 2022 (doi:10.1029/2022MS003033), section 2.
"""

import netCDF4
import numpy as np
import oracle

NONE, LINEAR, LOOK_UP, RELATIVE = 0, 1, 2, 3


class Definition:
    """One ecCKD file, variables as attributes under their names in the file."""

    def __init__(self, path):
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            for name, variable in file.variables.items():
                setattr(self, name, np.asarray(variable[...], np.float64))
            self.gas_names = file.constituent_id.split()


def _place(x, first, step, n):
    """Index and weight on an even axis; held at the ends."""
    position = np.clip((x - first) / step, 0.0, n - 1.0)
    i = np.minimum(position.astype(int), n - 2)
    return i, position - i


def optical_depth(definition, p_lay, p_lev, t_lay, gases):
    """(absorption, Rayleigh or None), (n_col, n_lay, n_g) [1]; gases are mole fractions relative to dry air."""
    d = definition
    moles = 1e4 / oracle.AVOGADRO * oracle.dry_air_column(p_lev, gases["h2o"])  # dry air [mol m-2]
    log_p = np.log(d.pressure)
    ip, wp = _place(np.log(p_lay), log_p[0], (log_p[-1] - log_p[0]) / (log_p.size - 1), log_p.size)
    first_t = (1 - wp) * d.temperature[0, ip] + wp * d.temperature[0, ip + 1]
    it, wt = _place(t_lay, first_t, d.temperature[1, 0] - d.temperature[0, 0], d.temperature.shape[0])
    tau = 0.0
    for gas in d.gas_names:
        k = getattr(d, f"{gas}_molar_absorption_coeff")
        code = int(getattr(d, f"{gas}_conc_dependence_code"))
        between = lambda a: sum(
            ((wt if jt else 1 - wt) * (wp if jp else 1 - wp))[..., None] * a[..., it + jt, ip + jp, :]
            for jt in (0, 1)
            for jp in (0, 1)
        )
        if code == LOOK_UP:
            log_x = np.log(getattr(d, f"{gas}_mole_fraction"))
            x = np.log(np.maximum(gases[gas], 1e-30))
            ix, wx = _place(x, log_x[0], (log_x[-1] - log_x[0]) / (log_x.size - 1), log_x.size)
            whole = sum(
                ((wx if jx else 1 - wx) * (wt if jt else 1 - wt) * (wp if jp else 1 - wp))[..., None]
                * k[ix + jx, it + jt, ip + jp]
                for jx in (0, 1)
                for jt in (0, 1)
                for jp in (0, 1)
            )
            amount = gases[gas]
        else:
            whole = between(k)
            amount = np.ones_like(t_lay)
            if code == LINEAR:
                amount = gases.get(gas, 0.0) * amount
            if code == RELATIVE:
                amount = (gases.get(gas, 0.0) - float(getattr(d, f"{gas}_reference_mole_fraction"))) * amount
        tau = tau + (moles * amount)[..., None] * whole
    tau = np.maximum(tau, 0.0)  # a gas far below its reference must not make light
    if not hasattr(d, "rayleigh_molar_scattering_coeff"):
        return tau, None
    air = moles * (1 + gases["h2o"])
    return tau, air[..., None] * d.rayleigh_molar_scattering_coeff


def planck(definition, t):
    """Planck function per g-point (*t.shape, n_g) [W m-2 sr-1], linear in temperature."""
    t_0, step = definition.temperature_planck[0], definition.temperature_planck[1] - definition.temperature_planck[0]
    i, w = _place(t, t_0, step, definition.temperature_planck.size)
    table = definition.planck_function / np.pi
    return (1 - w)[..., None] * table[i] + w[..., None] * table[i + 1]
