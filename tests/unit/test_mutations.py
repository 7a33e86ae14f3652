"""docs/mutations.md lists what can be taken out and which test notices: all of it, and by tests that there are."""

import re
from pathlib import Path

import pytest

from tests import mutations

ROWS = re.findall(
    r"^\| (.+) \| `(.+?)` \|$", (mutations.REPOSITORY / "docs" / "mutations.md").read_text(), re.MULTILINE
)


def test_every_condition_catch_and_retry_is_listed():
    machines = [mutation for machine in mutations.MACHINES for mutation in mutations.of_machine(machine)]

    listed = [taken_out.replace("\\|", "|") for taken_out, _ in ROWS]

    assert listed == [mutation.name for mutation in (*machines, *mutations.in_python())]


@pytest.mark.parametrize("test", sorted({test.split("[")[0] for _, test in ROWS}))
def test_every_test_that_is_named_exists(test):
    file, name = test.split("::")

    assert re.search(rf"^def {name}\(", Path(mutations.REPOSITORY, "tests", file).read_text(), re.MULTILINE)
