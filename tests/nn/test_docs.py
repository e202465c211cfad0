"""Every public name of nn is documented with an example, and the examples run."""

import doctest
import re
from pathlib import Path

import pytest

from simgraft import nn

CLASSES = [name for name in nn.__all__ if callable(getattr(nn, name))]
SCHEDULES = ["Constant", "Cosine", "Exponential", "OneCycle", "Plateau", "Step", "WarmUp"]


@pytest.mark.parametrize("found", [*(getattr(nn, n) for n in CLASSES), *(getattr(nn.schedule, n) for n in SCHEDULES)],
                         ids=lambda c: c.__name__)
def test_examples_run_and_give_what_they_say(found):
    examples = doctest.DocTestParser().get_doctest(found.__doc__, {}, found.__name__, None, 0)
    assert examples.examples
    result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples)
    assert result.failed == 0 and result.attempted > 0


def test_page_about_training_runs_as_printed():
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) > 5
    names = {}
    for block in blocks:
        exec(block, names)
    # Every loss is in the table.
    missing = [n for n in nn.loss.__dict__ if n in nn.__all__ and n not in ("Term", "Terms", "Custom") and f"`{n}" not in text]
    assert not missing
