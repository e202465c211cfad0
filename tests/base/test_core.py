"""Status numbers and exceptions, instruction set, fork, interrupts (csrc/base through its bindings)."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import simgraft
from simgraft import _core

PINNED = [  # number, status, exception, its base: never change a row, only append
    (0, "SG_OK", None, None),
    (1, "SG_ERR_MEMORY", "MemoryError", "MemoryError"),
    (2, "SG_ERR_VALUE", "ValueError", "ValueError"),
    (3, "SG_ERR_TYPE", "TypeError", "TypeError"),
    (4, "SG_ERR_SHAPE", "ValueError", "ValueError"),
    (5, "SG_ERR_DOMAIN", "DomainError", "ValueError"),
    (6, "SG_ERR_NOT_FINITE", "NotFiniteError", "ValueError"),
    (7, "SG_ERR_IO", "OSError", "OSError"),
    (8, "SG_ERR_FORMAT", "FileFormatError", "OSError"),
    (9, "SG_ERR_CHECKSUM", "ChecksumError", "FileFormatError"),
    (10, "SG_ERR_VERSION", "FileVersionError", "FileFormatError"),
    (11, "SG_ERR_NOT_FOUND", "FileNotFoundError", "FileNotFoundError"),
    (12, "SG_ERR_EXISTS", "FileExistsError", "FileExistsError"),
    (13, "SG_ERR_CHANGED", "DatasetChangedError", "OSError"),
    (14, "SG_ERR_INTERRUPTED", "KeyboardInterrupt", "KeyboardInterrupt"),
    (15, "SG_ERR_UNSUPPORTED", "NotImplementedError", "NotImplementedError"),
    (16, "SG_ERR_DIVERGED", "DivergedError", "ArithmeticError"),
    (17, "SG_ERR_INTERNAL", "RuntimeError", "RuntimeError"),
]


def find(name):
    return getattr(simgraft, name, None) or getattr(__builtins__, name, None) or __builtins__[name]


def run(code, timeout=60, **environment):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **environment})


def test_status_numbers_are_pinned():
    assert [(number, name) for name, number, _, _ in _core.status_table()] == [row[:2] for row in PINNED]


@pytest.mark.parametrize("number, status, exception, base", PINNED[1:])
def test_status_raises_its_exception_with_the_message(number, status, exception, base):
    with pytest.raises(BaseException) as caught:
        _core._test_raise(number, "x: wrong")
    assert type(caught.value) is find(exception)
    assert issubclass(type(caught.value), find(base))
    assert str(caught.value) == "x: wrong"


@pytest.mark.parametrize("name, number, exception, text", _core.status_table()[1:])
def test_status_without_a_message_raises_its_text(name, number, exception, text):
    with pytest.raises(BaseException, match=text):
        _core._test_raise(number)


@pytest.mark.parametrize("number", [18, 31, 32, 1000, -1])
def test_unknown_status_is_a_runtime_error(number):
    with pytest.raises(RuntimeError, match="unknown status"):
        _core._test_raise(number)


def test_own_exceptions_say_where_they_live_and_what_they_mean():
    for name, _, exception, text in _core.status_table():
        if "(" in exception:
            own = getattr(simgraft, exception.split("(")[0])
            assert own.__module__ == "simgraft" and own.__doc__ == text


@pytest.mark.parametrize("isa", ["portable", "v2", "v3", "v4", "no such thing", ""])
def test_environment_chooses_the_instruction_set(isa):
    order = ["portable", "v2", "v3", "v4"]
    best = _core.isa_best()
    want = isa if isa in order and order.index(isa) <= order.index(best) else best
    result = run("from simgraft import _core; print(_core.isa())", SIMGRAFT_ISA=isa)
    assert result.stdout.strip() == want, result.stderr


def test_unknown_instruction_set_is_a_value_error():
    with pytest.raises(ValueError, match='isa: expected portable, v2, v3, v4 or auto, got "v9"'):
        _core.isa_set("v9")


def test_omp_num_threads_is_honoured_and_an_argument_overrides_it():
    result = run("from simgraft import _core; print(_core.threads_resolve(0), _core.threads_resolve(2))", OMP_NUM_THREADS="3")
    assert result.stdout.split() == ["3", "2"]


def test_blocks_are_visited_once_and_the_lowest_failure_wins():
    for threads in (1, 2, 3):
        result, visits = _core._test_blocks(1000, threads)
        assert result == 0 and (visits == 1).all()
        result, visits = _core._test_blocks(1000, threads, 500)
        assert result == 501 and (visits[:500] == 1).all()


FORK = """
import os, sys
import numpy as np
from simgraft import _core
assert _core._test_blocks(1000, 2)[0] == 0 and _core.threads_resolve(2) == 2
child = os.fork()
if child == 0:
    result, visits = _core._test_blocks(1000, 2)
    numbers = _core.random_fill("normal", 1, 0, 0, np.empty(300_000), 2)
    os._exit(0 if result == 0 and (visits == 1).all() and _core.threads_resolve(2) == 1 else 1)
status = os.waitpid(child, 0)[1]
assert _core._test_blocks(1000, 2)[0] == 0 and _core.threads_resolve(2) == 2   # the parent keeps its threads
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_child_of_a_threaded_process_finishes():
    """libgomp hangs in such a child without the guard; the time-out of run() would end the test."""
    result = run(FORK, timeout=60)
    assert result.returncode == 0, result.stderr


def test_progress_is_reported_in_order_and_not_too_often():
    seen = []
    _core._test_poll(0.5, lambda done, total: seen.append((done, total)))
    assert all(total == 0.5 for _, total in seen)
    assert seen == sorted(seen)
    assert 2 <= len(seen) <= 11  # every 50 ms: ten in 0.5 s and one at the start; few on a busy machine


def test_exception_of_the_progress_callback_stops_the_call():
    def stop(done, total):
        raise LookupError("enough")

    start = time.monotonic()
    with pytest.raises(LookupError, match="enough"):
        _core._test_poll(30, stop)
    assert time.monotonic() - start < 10


INTERRUPT = """
import time
from simgraft import _core
print("ready", flush=True)
try:
    _core._test_poll(60)
except KeyboardInterrupt:
    print("stopped", time.monotonic(), flush=True)
print("alive", _core._test_poll(0.01) > 0)
"""


def test_ctrl_c_stops_a_long_call_at_once_and_leaves_python_alive():
    process = subprocess.Popen([sys.executable, "-c", INTERRUPT], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "ready"
        time.sleep(0.3)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        word, when = process.stdout.readline().split()
        assert word == "stopped"
        assert float(when) - sent < 2  # 50 ms of polling; the rest is a busy machine
        assert process.stdout.readline().split() == ["alive", "True"]
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_other_python_threads_run_during_a_long_call():
    import threading

    ticks = []
    worker = threading.Thread(target=lambda: _core._test_poll(0.5))
    worker.start()
    while worker.is_alive():
        ticks.append(1)
        time.sleep(0.01)
    assert len(ticks) > 5  # none if the call kept the GIL


def test_memory_counter_starts_anew():
    _core.memory_fail_after(-1)
    assert _core.memory_fail_after(-1) == 0


def test_random_numbers_need_no_memory_of_the_core():
    out = np.empty(1000)
    _core.memory_fail_after(0, True)
    try:
        _core.random_fill("normal", 1, 0, 0, out)
    finally:
        _core.memory_fail_after(-1)
    assert np.isfinite(out).all()
