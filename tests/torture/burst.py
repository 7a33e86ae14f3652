"""Many images at once."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from imagepipeline.items import from_item
from tests.integration.conftest import Deployed, named
from tests.integration.faults import small_photo

UPLOADS_AT_ONCE = 16
SECONDS_WITHOUT_PROGRESS = 120


@dataclass(frozen=True)
class Outcome:
    """How a burst went."""

    seconds: float  # from the first upload to the last announcement
    peak_bytes: int  # of the emulator and all it started; shared pages count once
    problems: list[str]


def burst(deployed: Deployed, images: int, progress: Callable[[int], None]) -> Outcome:
    """Uploads them, and waits until each has been announced."""
    keys = [f"uploads/burst/{number:05}.jpg" for number in range(images)]
    began = time.monotonic()
    with PeakMemory(deployed.stack.emulator_pid) as memory:
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
            list(pool.map(lambda number: deployed.put(keys[number], small_photo(number)), range(images)))
        done, deadline = 0, time.monotonic() + SECONDS_WITHOUT_PROGRESS
        while done < images and time.monotonic() < deadline:
            now_done = sum(record["Status"] != "PROCESSING" for record in records(deployed, "uploads/burst/").values())
            if now_done > done:
                deadline = time.monotonic() + SECONDS_WITHOUT_PROGRESS
            done = now_done
            progress(done)
            time.sleep(2)  # seldom: asking is work for the emulator, too
        while running(deployed) and time.monotonic() < deadline:
            time.sleep(0.5)  # a success is announced by the last step of its execution
    seconds = time.monotonic() - began
    return Outcome(seconds, memory.peak, [*problems(deployed, keys)])


def running(deployed: Deployed) -> list[dict]:
    """Executions of ImagePipeline that have not ended; of an Express workflow, that have not succeeded."""
    if deployed.is_express:
        deployed.sweep()
        return deployed.registered()
    machine = deployed.outputs["ImagePipeline"]
    return deployed.executions.list_executions(stateMachineArn=machine, statusFilter="RUNNING")["executions"]


def problems(deployed: Deployed, keys: list[str]) -> Iterator[str]:
    """What is wrong with images that nothing disturbed."""
    found, stored = records(deployed, "uploads/burst/"), deployed.rendition_keys()
    announced = [mail.attributes["imageId"] for mail in deployed.stack.mails()]
    for key in keys:
        record = found.get(key, {})
        if record.get("Status") != "COMPLETED":
            yield f"{key} is {record.get('Status', 'lost')}: {record.get('Error')}"
        if announced.count(key) != 1:
            yield f"{key} was announced {announced.count(key)} times"
        if not record.get("Renditions") or not named(record) <= stored:
            yield f"{key} lacks renditions"
    with suppress(AssertionError):
        deployed.indexed("uploads/burst/")
    yield from deployed.index_problems("uploads/burst/")


def records(deployed: Deployed, prefix: str) -> dict[str, dict]:
    """All records of keys that begin so, by key."""
    pages = deployed.table.get_paginator("scan").paginate(
        TableName=deployed.outputs["ImagesTable"], ConsistentRead=True
    )
    found = [from_item(item) for page in pages for item in page["Items"]]
    return {record["ImageKey"]: record for record in found if record["ImageKey"].startswith(prefix)}


class PeakMemory:
    """The most that a process and its descendants held at any time, looked at every half second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self.peak = 0  # bytes

    def __enter__(self) -> "PeakMemory":
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()

    def _look(self) -> None:
        while not self._done.wait(0.5):
            self.peak = max(self.peak, sum(map(proportional_bytes, family(self._pid))))


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # ended meanwhile
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members


def proportional_bytes(pid: int) -> int:
    """A process's memory, with its part of what it shares; 0 if it has ended."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0
