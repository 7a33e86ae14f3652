"""Histories of one key with more interleavings than the test suite has time for."""

from itertools import combinations, product

from tests.unit.ordering_model import History

_FAULTS = ({"duplicates": 1}, {"failures": 1}, {"repeats": 1}, {"aborts": 1}, {"timeouts": 1})

HISTORIES = [
    *[
        History(uploads, hasty=False, **fault)
        for uploads in product(("good", "bad"), ("good", "bad", "same"))
        for fault in _FAULTS
    ],
    *[
        History(uploads, express=True, hasty=False, **fault)
        for uploads in product(("good", "bad"), ("good", "bad"))
        for fault in (*_FAULTS, {"restarts": 1})
    ],
    *[History(("good",), express=True, **one, **other) for one, other in combinations((*_FAULTS, {"restarts": 1}), 2)],
    *[History(("good", "delete"), express=True, aborts=1, **fault) for fault in ({"restarts": 1}, {"failures": 1})],
    History(("good", "delete", "restore"), express=True, versioned=True),
    *[History(("good", "delete"), **one, **other) for one, other in combinations(_FAULTS[:3], 2)],
    *[History(("good", "delete", "good"), **fault) for fault in _FAULTS[1:3]],
    *[History(("flagged", decision), **fault) for decision in ("release", "reject") for fault in _FAULTS],
    *[History(("flagged", "release"), **one, **other) for one, other in combinations(_FAULTS[:4], 2)],
    *[History(("flagged", "release", next), **fault) for next in ("reject", "flagged", "delete") for fault in _FAULTS],
    History(("flagged", "delete", "restore", "release"), versioned=True),
    History(("flagged", "release", "delete", "restore"), versioned=True),
    History(("bad", "good", "delete")),
    History(("good", "delete", "restore"), versioned=True),
    History(("good", "good", "undo"), versioned=True),
    History(("good", "bad", "undo"), versioned=True, same_second=True),
    History(("good", "enable", "good", "undo")),
]
