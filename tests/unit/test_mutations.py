"""The mutations still apply to the code; `python -m tests.mutations` runs them."""

from tests import mutations


def test_every_mutation_applies_and_changes_its_file():
    # Raises SystemExit if what a mutation replaces is not in its file exactly once.
    for mutation in mutations.in_python():
        assert mutation.text != (mutations.REPOSITORY / mutation.file).read_text(), mutation.name
