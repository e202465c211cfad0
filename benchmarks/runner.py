"""What all benchmarks share: a clean process, one CPU, interleaved samples of thread CPU time, and rows that can be read alone."""

import os
import resource
import sys
import time
from dataclasses import asdict, dataclass
from statistics import median

SAMPLES = 25  # of each contestant
LEAST_CLEAN = 15  # samples without pre-emption that are enough to leave the others out
SAMPLE_SECONDS = 4e-4  # long enough for the clock, short enough to fall between two pre-emptions

# Variables that make a peer slower than it is (they force AVX2 kernels on OpenBLAS), and those that make it threaded.
REMOVED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def clean_environment():
    """Restart this process without the variables that distort comparisons; libraries read them when they are loaded."""
    wanted = {k: v for k, v in os.environ.items() if k not in REMOVED} | dict.fromkeys(ONE_THREAD, "1")
    if wanted != dict(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)


def _busy():
    """Busy clock ticks so far of each CPU."""
    busy = {}
    with open("/proc/stat") as file:
        for line in file:
            if line.startswith("cpu") and line[3].isdigit():
                name, *ticks = line.split()
                busy[int(name[3:])] = sum(map(int, ticks[:3])) + sum(map(int, ticks[5:8]))
    return busy


def pin(seconds=0.5):
    """Pin this process to the allowed CPU that was least busy for the given time.

    Parameters
    ----------
    seconds : float [s]

    Returns
    -------
    int
        Number of the CPU.
    """
    before = _busy()
    time.sleep(seconds)
    after = _busy()
    cpu = min(os.sched_getaffinity(0), key=lambda c: after.get(c, 0) - before.get(c, 0))
    os.sched_setaffinity(0, {cpu})
    return cpu


@dataclass
class Row:
    """One line of a benchmark.

    ``op`` and ``limit`` bind ``ratio`` (how many times faster than the peer) in a ``_vs_`` row and ``value`` in any other; no limit
    means for information.
    """

    name: str
    value: float
    unit: str
    peer: str | None = None
    peer_version: str | None = None
    peer_value: float | None = None
    ratio: float | None = None
    op: str | None = None
    limit: float | None = None

    @property
    def passed(self):
        if self.limit is None:
            return True
        bound = self.ratio if "_vs_" in self.name else self.value
        return bound >= self.limit if self.op == ">=" else bound <= self.limit

    def as_dict(self):
        return asdict(self) | {"passed": self.passed}

    def __str__(self):
        peer = "" if self.peer is None else f"{self.peer} {self.peer_version or ''} {self.peer_value:.4g}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}x"
        limit, ok = ("", "") if self.limit is None else (f"{self.op}{self.limit:.2f}", "yes" if self.passed else "NO")
        return f"{self.name:<48}{f'{self.value:.4g} {self.unit}':<18}{peer:<44}{ratio:<9}{limit:<9}{ok}"


HEADER = f"{'name':<48}{'ours':<18}{'peer':<44}{'ratio':<9}{'limit':<9}ok"


def _preemptions():
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw


def measure(contestants, between=None, samples=SAMPLES):
    """Time functions against each other.

    Each takes turns with the others, so that a change of clock or of load meets all of them. A sample during which the thread was
    pre-empted (somebody else used the caches) is left out as long as enough others remain.

    Parameters
    ----------
    contestants : dict of str to callable without arguments
    between : callable without arguments, optional
        Called once per round, for quantities that must be measured at the same time; its results are returned.
    samples : int
        Rounds, at least 15; twice as many where pre-emptions spoil too many.

    Returns
    -------
    dict of str to float [s]
        Median thread CPU time of one call.
    list
        Results of ``between``.
    """
    repeats = {}
    for name, call in contestants.items():
        call()  # first call: page faults, lazy initialisation
        n, used = 1, 0
        while True:
            start = time.thread_time_ns()
            for _ in range(n):
                call()
            used = (time.thread_time_ns() - start) * 1e-9
            if used >= SAMPLE_SECONDS / 2:
                break
            n *= 2
        repeats[name] = max(1, round(n * SAMPLE_SECONDS / used))

    clean, spoilt, beside = {name: [] for name in contestants}, {name: [] for name in contestants}, []
    for turn in range(2 * samples):
        if turn >= samples and all(len(times) >= LEAST_CLEAN for times in clean.values()):
            break
        if between:
            beside.append(between())
        for name, call in contestants.items():
            call()  # brings its own data back into the caches the others used
            n, switched = repeats[name], _preemptions()
            start = time.thread_time_ns()
            for _ in range(n):
                call()
            used = time.thread_time_ns() - start
            (clean if _preemptions() == switched else spoilt)[name].append(used * 1e-9 / n)
    return {
        name: median(clean[name] if len(clean[name]) >= LEAST_CLEAN else clean[name] + spoilt[name]) for name in contestants
    }, beside
