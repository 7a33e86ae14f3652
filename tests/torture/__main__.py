"""Everything that may go wrong, on a system of its own: is anything lost, not announced, or announced twice?

    python -m tests.torture                        # about half an hour
    python -m tests.torture --seed 7 --minutes 10  # the same days again, longer
    python -m tests.torture --only burst --images 200
    python -m tests.torture --workflow EXPRESS     # of an Express workflow, whose executions reach their time limit

rules   every interleaving of longer histories than the test suite has time for, in the model of one key
matrix  every fault at every step of the deployed stack
burst   many images at once
day     uploads, replacements, deletions and bad files at random, with faults and aborted executions in between; once
        without versioning, once with it, and once with images that are held and decisions of moderators about them

The exit status is 0 if nothing is wrong. What is random follows from the seed; the timing of the machine does not.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local.stack import LocalStack
from tests.integration import faults
from tests.integration.conftest import Deployed
from tests.integration.faults import Case
from tests.torture.burst import burst
from tests.torture.day import Day
from tests.torture.histories import HISTORIES
from tests.unit.ordering_model import explore

PARTS = ("rules", "matrix", "burst", "day")
MOST_MOMENTS = 3 * 10**6  # of a history; about 600 bytes each
# Of a state machine's waits. In a day they have to outlast functions that an aborted execution left behind.
MATRIX_WAITS, DAY_WAITS = 0.01, 0.05


class Torture:
    """One run: its parts say live what they do, and count what is wrong."""

    def __init__(self, console: Console, seed: int) -> None:
        self.console = console
        self.seed = seed
        self.wrong = 0
        self.summary = Table("part", "what", "number", title=f"Torture, seed {seed}")

    def report(self, part: str, what: str, number: object, problems: Iterable[str] = ()) -> None:
        """A line of the summary; with problems, it counts them as wrong."""
        problems = list(problems)
        self.wrong += len(problems)
        self.console.print(f"{part}: {what}: {number}", markup=False)
        self.summary.add_row(part, what, str(number), style="red" if problems else None)
        for problem in problems:
            self.console.print(f"{part}: {problem}", style="red", markup=False)

    def rules(self) -> None:
        """The model."""
        moments = 0
        for history in self._progress("rules", HISTORIES):
            explored = explore(history, in_order=not history.hasty, most=MOST_MOMENTS)
            moments += explored.worlds
            if explored.problems:
                self.report("rules", str(history), explored.problems, ["\n  ".join([str(history), *explored.story])])
            elif explored.worlds > MOST_MOMENTS:
                self.report("rules", str(history), f"only its first {explored.worlds:,} moments")
        self.report("rules", f"moments of {len(HISTORIES)} histories", f"{moments:,}")

    def matrix(self, deployed: Deployed, cases: Sequence[Case]) -> None:
        """Fault by fault."""
        failed = []
        for number, case in enumerate(self._progress("matrix", cases)):
            try:
                wrong = faults.run(deployed, case, f"uploads/matrix/{number:03}.jpg")
            except AssertionError as late:
                wrong = [str(late)]
            failed += [f"{case}: {problem}" for problem in wrong]
        self.report("matrix", "faults at steps", len(cases), failed)

    def burst(self, deployed: Deployed, images: int) -> None:
        """All at once."""
        with self.console.status("burst") as status:
            outcome = burst(deployed, images, lambda done: status.update(f"burst: {done} of {images}"))
        self.report("burst", "images", images, outcome.problems)
        self.report("burst", "images a second", f"{images / outcome.seconds:.1f}")
        self.report("burst", "peak memory of emulator and functions, MiB", f"{outcome.peak_bytes / 2**20:.0f}")

    def day(self, deployed: Deployed, acts: Iterable[object], part: str = "day", **kind: bool | float) -> None:
        """Anything, at any time, once for each of `acts`."""
        day = Day(deployed, random.Random(f"{self.seed} {part}"), **kind)
        with self.console.status(part) as status:
            for _ in acts:
                day.act()
                status.update(f"{part}: {day}")
            status.update(f"{part}: {day}; waiting for the end of it")
            day.end()
            wrong = day.problems()
        for what, number in day.counts.items():
            self.report(part, what, number)
        for what, problems in wrong.items():
            self.report(part, what, len(problems), problems)
        if any(wrong.values()):
            for line in day.stories(wrong):
                self.console.print(line, markup=False, soft_wrap=True)

    def _progress[Item](self, part: str, items: Sequence[Item]) -> Iterator[Item]:
        with self.console.status(part) as status:
            for number, item in enumerate(items, 1):
                status.update(f"{part}: {number} of {len(items)}: {item}")
                yield item


def lasting(minutes: float) -> Iterator[None]:
    """As many as there is time for."""
    deadline = time.monotonic() + 60 * minutes
    while time.monotonic() < deadline:
        yield


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of the days (default: any)")
    parser.add_argument("--minutes", type=float, default=6, help="of the days together (default: %(default)s)")
    parser.add_argument("--images", type=int, default=1000, help="in the burst (default: %(default)s)")
    parser.add_argument(
        "--workflow", choices=("STANDARD", "EXPRESS"), default="STANDARD", help="WorkflowType (default: %(default)s)"
    )
    parser.add_argument("--only", choices=PARTS, help="this part alone")
    options = parser.parse_args()
    parts = [options.only] if options.only else PARTS
    torture = Torture(Console(), options.seed)

    def stack(folder: Path, **parameters: str) -> LocalStack:
        return LocalStack(folder, parameters={"WorkflowType": options.workflow, **parameters})

    is_express = options.workflow == "EXPRESS"
    matrix_waits = DAY_WAITS if is_express else MATRIX_WAITS
    # An Express workflow is not meant for images that wait: the last of a burst needs most of the five minutes.
    burst_waits = 1 if is_express else DAY_WAITS

    if "rules" in parts:
        torture.rules()
    if parts != ["rules"]:
        os.environ["SFN_WAIT_SCALE"] = str(matrix_waits)
        with tempfile.TemporaryDirectory() as folder:
            torture.console.print("starting a system of its own")
            if "matrix" in parts:
                with stack(Path(folder, "matrix"), DetectFaces="true", Moderation="record") as own:
                    torture.matrix(Deployed(own, matrix_waits), faults.matrix(is_express))
            if "burst" in parts:
                os.environ["SFN_WAIT_SCALE"] = str(burst_waits)
                with stack(Path(folder, "burst")) as own:
                    torture.burst(Deployed(own, burst_waits), options.images)
            if "day" in parts:
                os.environ["SFN_WAIT_SCALE"] = str(DAY_WAITS)
                minutes = options.minutes / 3
                with stack(Path(folder, "days")) as own:
                    deployed = Deployed(own, DAY_WAITS)
                    torture.day(deployed, lasting(minutes))
                    torture.day(deployed, lasting(minutes), "day with versions", versioned=True)
                with stack(Path(folder, "moderated"), Moderation="quarantine") as own:
                    torture.day(Deployed(own, DAY_WAITS), lasting(minutes), "moderated day", moderated=True)

    torture.console.print(torture.summary)
    torture.console.print("nothing is wrong" if torture.wrong == 0 else f"{torture.wrong} things are wrong")
    return 1 if torture.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
