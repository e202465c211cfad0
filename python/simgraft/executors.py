"""Tasks run here or by any executor with the ``concurrent.futures`` interface."""

from __future__ import annotations

import concurrent.futures
import pickle


def check_sendable(executor, objects, what):
    """ValueError if ``objects``, in words ``what``, cannot be sent to the processes of ``executor``."""
    if isinstance(executor, concurrent.futures.ProcessPoolExecutor):
        try:
            pickle.dumps(objects)
        except Exception as error:
            raise ValueError(
                f"executor: {what} cannot be sent to another process ({error}); "
                "define functions at the top level of a module, or use a thread pool"
            ) from error


def run(function, tasks, executor=None, *, sizes=None, done=0, unit="tasks", progress=True, label=None):
    """Yields (task number, ``function(task)``) as they come.

    Parameters
    ----------
    function : callable
        Importable, where the executor has processes.
    tasks : list
    executor : concurrent.futures.Executor or None
        None: one after the other, here.
    sizes : list of int, optional
        By how much each task moves the bar on; default 1.
    done : int
        What was done before; where the bar starts.
    unit, label : str, optional
    progress : bool
        Whether to show a bar when it takes longer than a second.

    Notes
    -----
    When a task or the caller fails, the tasks that have not begun are cancelled and those that run are waited
    for: nothing goes on behind the caller's back.
    """
    from tqdm.auto import tqdm

    sizes = [1] * len(tasks) if sizes is None else sizes
    with tqdm(
        total=sum(sizes) + done,
        initial=done,
        unit=f" {unit}",
        unit_scale=True,
        desc=label,
        disable=not progress,
        delay=1.0,
    ) as bar:
        if executor is None:
            for i, task in enumerate(tasks):
                yield i, function(task)
                bar.update(sizes[i])
            return
        futures = {executor.submit(function, task): i for i, task in enumerate(tasks)}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
                bar.update(sizes[futures[future]])
        except BaseException:
            for future in futures:
                future.cancel()
            concurrent.futures.wait(futures)
            raise
