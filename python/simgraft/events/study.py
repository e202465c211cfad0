"""The study: events by network, judged with the eyes of an analysis.

``simgraft study events --out DIR`` runs it: four tasks (two-body decays, lepton pairs without and with radiation, top pairs), in each
of which a generator is replaced whole by generative models. Where Pythia 8 is installed, or its samples are found in ``--data``, the
hard tasks learn from it; else from the leading-order generators of this package, and the report says so."""

import logging
import time
from pathlib import Path

import numpy as np

from simgraft.events import host, judge, models, observables, plots, sources
from simgraft.events.kernel import EventSurrogate, recorded
from simgraft.events.laws import Uniform
from simgraft.events.two_body import TwoBody
from simgraft.trial import Trial

__all__ = ["run"]

logger = logging.getLogger("simgraft")

SEED, MODEL_SEED, JUDGE_SEED = 2021, 7, 11
COPY, SMEAR, FLOOR = "copy of training events", "5 % smear of training events", "floor: truth against truth"


def run(out, quick=False, data=None):
    """Run the study.

    Parameters
    ----------
    out : path-like
        Folder for the model files; :meth:`Trial.report` writes the report there.
    quick : bool
        Fewer events and shorter training, for minutes on two cores; only the limit of ``ttbar_best_auc`` is wider.
    data : path-like, optional
        Folder that holds ``events`` with recorded samples, or that folder itself.

    Returns
    -------
    Trial
        With gates, tables and figures; not yet written.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    found, sizes = sources.Sources(data), sources.QUICK if quick else sources.FULL
    cases = sources.cases(found, sizes, quick)
    trial = Trial(name="events", data="; ".join(f"{case.name}: {case.truth.describe}" for case in cases))
    trial.provenance(seed=SEED, quick=quick)
    clock = _Clock()
    with clock("generators"):
        _generator_gates(trial, sizes)
    for case in cases:
        task = _Task(trial, case, quick, sizes, clock, out)
        task.generate()
        task.train()
        task.a_priori()
        task.pictures()
        task.a_posteriori()
        task.speed()
        trial.note(task.words())
    _speed_table(trial)
    for text in found.missing:
        trial.warn(text)
    trial.table("where the time went", ["part", "CPU [s]"], clock.rows(), note="Of all threads and workers.")
    return trial


class _Clock:
    """CPU time of the parts of the study."""

    def __init__(self):
        self.seconds = {}

    def __call__(self, name):
        return _Span(self, name)

    def rows(self):
        return [*([name, seconds] for name, seconds in self.seconds.items()), ["all", sum(self.seconds.values())]]


class _Span:
    def __init__(self, clock, name):
        self.clock, self.name = clock, name

    def __enter__(self):
        self.start = sources.all_cpu()

    def __exit__(self, *error):
        seconds = sources.all_cpu() - self.start
        self.clock.seconds[self.name] = self.clock.seconds.get(self.name, 0.0) + seconds
        logger.info("%s: %.1f s of CPU", self.name, seconds)


def _generator_gates(trial, sizes):
    """The generators against numbers of their own: mass shells, and cross-sections."""
    events = TwoBody(mass=91.1876, m1=Uniform(5.0, 30.0), m2=Uniform(5.0, 30.0)).generate(sizes.shell, SEED)
    worst = max(residual.maximum for residual in observables.residuals(events, energy=91.1876))
    trial.gate("two_body_mass_shell_max", worst, "1", "<=", 1e-14)
    rows = []
    for name, process, unit, anchor, limit, value, error in sources.cross_sections():
        trial.gate(name, abs(value / anchor - 1), "1", "<=", limit, error / anchor)
        rows.append([process, unit, value, error, anchor, value / anchor - 1])
    if rows:
        trial.table(
            "our generators: cross-sections", ["process", "unit", "value", "error", "anchor", "relative difference"], rows,
            note="Anchors are independent calculations at the same settings.",
        )  # fmt: skip


class _Task:
    """One generator and its models."""

    def __init__(self, trial, case, quick, sizes, clock, out):
        self.trial, self.case, self.quick, self.sizes, self.clock, self.out = trial, case, quick, sizes, clock, out

    def _timed(self, what):
        return self.clock(f"{self.case.name}: {what}")

    def generate(self):
        """Events to train on, and two samples of unseen truth: one to judge by, one for the floor."""
        case = self.case
        with self._timed("events"):
            self.train_events, self.truth, self.floor = case.truth.split(
                case.n_train, case.n_test, SEED, self.out / f"{case.short}-events"
            )

    def train(self):
        """The model that knows the process, and those that do not."""
        case, events, sizes = self.case, self.train_events, self.sizes
        with self._timed("training the best model"):
            self.best = case.best().fit(events, seed=MODEL_SEED)
        self.best.save(self.out / f"{case.short}.sg")
        fitted = {COPY: models.Copy().fit(events, seed=1), SMEAR: models.Smear(0.05).fit(events, seed=1)}
        self.autoencoder = None
        if case.baselines:
            with self._timed("training the others"):
                some = events.take(slice(0, sizes.baseline_train))
                self.autoencoder = models.BVAE(**sources.autoencoder_options(self.truth.layout, sizes))
                self.autoencoder.fit(some, seed=MODEL_SEED)
                for model in (_from_prior(self.autoencoder), self.autoencoder, *sources.adversarial(sizes)):
                    if not hasattr(model, "layout_"):
                        model.fit(some, seed=MODEL_SEED)
                    fitted[model.name] = model
        self.rest = fitted
        n = len(self.truth)
        self.samples = {self.best.name: self.best.sample(n, MODEL_SEED)}
        for name, model in fitted.items():
            self.samples[name] = model.sample(min(n, sizes.judged), MODEL_SEED)
        self.trial.provenance(**{
            f"{case.short}_training_events": len(events), f"{case.short}_unseen_events": n,
            f"{case.short}_training_seconds": self.best.cpu_seconds_,
        })  # fmt: skip

    def a_priori(self):
        """The table of metrics, and the gates on it."""
        case, trial = self.case, self.trial
        with self._timed("judges"):
            found = [judge.judge(FLOOR, self.truth, self.floor, self.train_events, JUDGE_SEED)]
            for name, sample in self.samples.items():
                found.append(judge.judge(name, self.truth, sample, self.train_events, JUDGE_SEED))
        self.floor_row, self.best_row = found[:2]
        self.rows = {j.name: j for j in found}
        less = "" if not case.baselines else (
            f" The models below it had {min(self.sizes.baseline_train, len(self.train_events))} events and, in this quick run, a small part "
            "of their published training." if self.quick else ""
        )  # fmt: skip
        trial.table(
            f"{case.name}: models against truth", judge.Judgement.COLUMNS, [j.row() for j in found],
            note=f"{self.best.name}: trained on {len(self.train_events)} events in {self.best.cpu_seconds_:.0f} s of CPU.{less} AUC: 0.5 is a "
            "coin, 1 is a model found out in every event; a network on the columns, a network and boosted trees on columns and composite "
            "quantities, all on events that they were not trained on. Neighbour ratio: distance to the nearest training event in units of "
            "that of fresh truth; 0 is a copy, below 1 is memorised. The copy of the training events passes every other column: that is why "
            "this one is there. FPD and KPD lie at their floor for models that a judge finds out: read no column alone.",
        )  # fmt: skip
        self._gates()
        shown = {name: self.rows[name].shown for name in self.samples if name != COPY}
        trial.figure(
            plots.roc({FLOOR.split(":")[0]: self.floor_row.shown} | shown), f"{case.name}: what a judge can tell",
            "A network that sees all columns and composites, on events it was not trained on.",
        )  # fmt: skip
        if self.best_row.worst > self.floor_row.worst + 0.05:
            trial.warn(
                f"{case.name}: a judge that sees composite quantities tells model from truth (AUC {self.best_row.worst:.3f}, floor "
                f"{self.floor_row.worst:.3f}). Do not use these events for what depends on correlations that you have not checked."
            )

    def _gates(self):
        trial, case, best, floor = self.trial, self.case, self.best_row, self.floor_row
        if case.limit is None:
            trial.note(
                f"{case.short}_best_auc was not held against a limit: the truth is our own leading order, for which none was set. AUC "
                f"{best.worst:.3f}, neighbour ratio {best.neighbours:.3f}."
            )
            return
        trial.gate(f"{case.short}_best_auc", best.worst, "1", "<=", case.limit, floor.worst)
        if case.short == "ttbar":
            if not self.quick:
                trial.gate("ttbar_best_auc_columns", best.raw, "1", "<=", 0.51, floor.raw)
            trial.gate("ttbar_memorisation_ratio", best.neighbours, "1", ">=", 0.95, floor.neighbours)
            trial.gate("ttbar_memorisation_ratio_upper", best.neighbours, "1", "<=", 1.05, floor.neighbours)

    def pictures(self):
        """Distributions with ratios, correlations, and what an autoencoder makes of noise."""
        case, trial = self.case, self.trial
        autoencoder = models.BVAE.name
        shown = {name: self.samples[name] for name in (self.best.name, autoencoder, models.LSGAN.name) if name in self.samples}
        trial.figure(
            plots.distributions(self.truth, shown, plots.features_of(self.truth, case.features)), f"{case.name}: distributions",
            "Unseen truth (grey, with the band of its statistical error) and the models; below, their ratio to the truth. A triangle: beyond "
            "the panel. Columns of a lepton or jet are drawn over the events that have it.",
        )  # fmt: skip
        trial.figure(
            plots.correlations(self.truth, self.samples[self.best.name], self.best.name), f"{case.name}: correlations",
            "Of all columns, of the best model. The scale of the difference is its largest value.",
        )  # fmt: skip
        if case.plane:
            trial.figure(
                plots.plane({"truth": self.truth} | {k: v for k, v in shown.items() if k != models.LSGAN.name}, *case.plane,
                            periodic=True, bins=25), f"{case.name}: two angles", "Where one jet flies, given the other.",
            )  # fmt: skip
        if self.autoencoder is not None:
            real = self.truth.rows[:2000].astype(np.float64)
            scale = np.maximum(np.abs(self.train_events.rows).max(axis=0), 1e-12)
            noise = np.random.default_rng(SEED).uniform(-1, 1, real.shape) * scale
            pair = [self.autoencoder.reconstruct(rows) / scale for rows in (real, noise)]
            trial.figure(
                plots.noise_reconstruction(real / scale, pair[0], noise / scale, pair[1], self.truth.layout.names),
                f"{case.name}: noise through the autoencoder",
                "Real events come back nearly unchanged; uniform noise does not: the code holds events and nothing else.",
            )  # fmt: skip

    def a_posteriori(self):
        """An analysis with the generator, and with networks in its place."""
        case, trial = self.case, self.trial
        n = len(self.truth)
        analysis = case.analysis(n)
        units = analysis.units
        kernel = recorded(self.truth, "unseen truth")
        answers = {}
        with self._timed("analyses"):
            truth = analysis(kernel)
            answers["floor: more truth"] = analysis(recorded(self.floor, "more truth"))
            for name, model in {self.best.name: self.best, **self.rest}.items():
                if name in (self.best.name, models.BVAE.name, SMEAR):
                    try:
                        answers[name] = analysis(EventSurrogate(model, kernel, MODEL_SEED))
                    except ValueError as error:
                        trial.warn(f"{case.name}, {name}: the analysis cannot use its events ({error}).")
        rows = []
        for name, fields in answers.items():
            for quantity, value, error, other, other_error, sigma in host.agreement(truth, fields):
                rows.append([quantity, units.get(quantity, "1"), value, error, name, other, other_error, sigma])
        order = list(truth)
        rows.sort(key=lambda row: order.index(row[0]))
        trial.table(
            f"{case.name}: one analysis of truth and of models",
            ["quantity", "unit", "truth", "error", "sample", "value", "error of it", "apart [sigma]"], rows,
            note=f"{n} events each. A dash: a spectrum, of which the significance of its chi-squared is given. The floor is a second sample "
            "of truth.",
        )  # fmt: skip
        if case.spectra:
            shown = {name: fields for name, fields in answers.items() if name in (self.best.name, models.BVAE.name)}
            trial.figure(
                plots.spectra(truth, shown, case.spectra), f"{case.name}: spectra of the analysis", "After all cuts, as shares of events."
            )
        mine = [row for row in rows if row[4] == self.best.name]
        self.off = max(((abs(row[-1]), row[0]) for row in mine), default=(0.0, ""))
        self.looked = len(mine)
        if self.off[0] > 4:
            trial.warn(f"{case.name}: the analysis of {self.best.name} is off in {self.off[1]} by {self.off[0]:.1f} sigma of {n} events.")

    def speed(self):
        """Generators and network, one event on one thread."""
        case, n = self.case, self.sizes.timed
        with self._timed("speed"):
            self.best.sample(n // 10, MODEL_SEED, num_threads=1)
            times = []
            for first in (0, n, 2 * n):
                start = time.thread_time()
                self.best.sample(n, MODEL_SEED, first=first, num_threads=1)
                times.append((time.thread_time() - start) / n)
            self.network_seconds = float(np.median(times))
            self.references = {}
            reference = case.truth.seconds_per_event(SEED + 1)
            if reference is not None:
                self.references[case.truth.name] = reference
            if case.own is not None:
                self.references["our leading-order generator"] = sources.seconds_per_event(case.own, SEED + 2)
        cost = len(self.train_events) * (reference or 0.0) + self.best.cpu_seconds_
        self.cost = cost
        for name, seconds in self.references.items():
            saved = seconds - self.network_seconds
            _speeds(self.trial).append([
                case.name, name, 1e6 * seconds, 1e6 * self.network_seconds, seconds / self.network_seconds, cost,
                cost / saved if saved > 0 else None,
            ])  # fmt: skip

    def words(self):
        """What a reader should take home from this task."""
        best, floor, case = self.best_row, self.floor_row, self.case
        told = best.worst - floor.worst > 3 * best.error
        quality = (
            f"a judge tells its events from the truth (AUC {best.worst:.3f}, floor {floor.worst:.3f}): worse than the generator"
            if told
            else f"no judge tells its events from {best.n} unseen ones of the truth (AUC {best.worst:.3f}, floor {floor.worst:.3f})"
        )
        analysis = f"of {self.looked} results of the analysis the farthest, {self.off[1]}, lies {self.off[0]:.1f} sigma from the truth"
        speeds = []
        for name, seconds in self.references.items():
            gain = seconds / self.network_seconds
            if gain > 1:
                speeds.append(
                    f"{gain:.3g} times faster than {name} ({_time(seconds)} an event against {_time(self.network_seconds)}); its data and training "
                    f"({self.cost:.0f} s) are paid back after {self.cost / (seconds - self.network_seconds):.3g} events"
                )
            else:
                speeds.append(
                    f"{1 / gain:.3g} times slower than {name} ({_time(self.network_seconds)} an event against {_time(seconds)}): use the generator"
                )
        if not speeds:
            speeds.append(f"not timed against its generator, which is not here ({_time(self.network_seconds)} an event)")
        return f"{case.name}: {case.why} With the {self.best.name}, {quality}; {analysis}. It is " + "; and ".join(speeds) + "."


def _time(seconds):
    for size, unit in ((1e-3, "ms"), (1e-6, "us")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def _from_prior(autoencoder):
    """The same trained autoencoder with codes from N(0, 1), as a plain VAE draws them."""
    plain = {name: value for name, value in autoencoder.get_params(deep=False).items() if name not in ("alpha", "gamma", "draw")}
    model = models.VAE(**plain)
    vars(model).update({name: value for name, value in vars(autoencoder).items() if name.endswith("_")})
    return model


def _speeds(trial):
    """Rows of the table of speeds, which all tasks fill."""
    if "speed" not in trial.tables_:
        trial.table(
            "speed",
            ["task", "generator", "generator [us/event]", "network [us/event]", "gain [1]", "data and training [s]", "break-even [events]"],
            [],
            note="CPU time of one thread, in one run; both give the same columns. A dash: never.",
        )
    return trial.tables_["speed"]["rows"]


def _speed_table(trial):
    """Warn where no network pays."""
    rows = _speeds(trial)
    if rows and all(row[4] <= 1 for row in rows):
        trial.warn("No network of this study is faster than the generator it was held against: use the generators.")
