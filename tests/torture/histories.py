"""Histories of one key with more interleavings than the test suite has time for."""

from itertools import product

from tests.unit.ordering_model import History

_UPLOADS = list(product(("good", "bad"), ("good", "bad", "same")))
_FAULTS = ({"duplicates": 1}, {"aborts": 1}, {"failures": 1}, {"repeats": 1})

HISTORIES = [
    *[History(uploads, hasty=False, **fault) for uploads in _UPLOADS for fault in _FAULTS],
    *[History(("good", "delete"), **fault, **other) for fault in _FAULTS for other in _FAULTS if fault != other],
    *[History(("good", "delete", last), **fault) for last in ("good", "bad", "same") for fault in _FAULTS[2:]],
    *[History(("good", second, "delete"), versioned=versioned) for second in ("good", "bad") for versioned in (0, 1)],
    *[
        History(operations, versioned="enable" not in operations, same_second=same_second)
        for operations in (
            ("good", "delete", "restore"),
            ("good", "good", "undo"),
            ("good", "bad", "undo"),
            ("good", "good", "prune"),
            ("good", "enable", "good", "undo"),
        )
        for same_second in (False, True)
    ],
]
