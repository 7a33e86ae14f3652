"""Prints results: a table on a terminal, tab-separated lines in a pipe, JSON on request."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console
from rich.filesize import decimal
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from cli import costs, reprocess
from cli.check import BROKEN, KEPT, SKIPPED, Answer, Promise
from cli.failures import FAILED, Failure
from cli.following import Result
from cli.reprocess import FailedBatch, Plan
from cli.stack import Record
from imagepipeline.printable import printable
from imagepipeline.reprocessing import Decision

_COLOURS = {
    **dict.fromkeys(("COMPLETED", "UPLOADED", "UNCHANGED", "REMOVED"), "green"),
    **dict.fromkeys(("REJECTED", "REPLACED", "UNLABELLED", "INCOMPLETE", "HELD", "NOT_HELD"), "yellow"),
    "PROCESSING": "cyan",
}
_OUTCOME_COLOURS = {KEPT: "green", BROKEN: "red", SKIPPED: "yellow"}
_PROMISE_WIDTH = len("A folder marker leaves no record and no notification")  # the longest
_LABELS_SHOWN = 3
_STATUS_WIDTH = len("NOT_UPLOADED")
_WIDTH_OF_THE_REST = 80  # columns beside the key's for a table in which little wraps


class Report:
    """Prints results as they arrive, with a progress bar; a context manager.

    A table on a terminal, lines of seven tab-separated fields elsewhere, or JSON Lines. If the output is not a
    terminal, the bar is on stderr, if that is one.
    """

    def __init__(self, keys: Iterable[str], upload_bytes: int | None = None, *, as_json: bool = False) -> None:
        """`keys` are those of all expected results; `upload_bytes` is the size of all uploads, None without any.

        The bar shows the bytes uploaded, or the number of results if nothing is uploaded.
        """
        self.ends: Counter[str] = Counter()  # how many results there were of each status
        self._key_width = self._count = 0
        for key in keys:
            self._count += 1
            self._key_width = max(self._key_width, cell_len(printable(key)))
        self._uploads = upload_bytes is not None
        self._as_json = as_json
        self._in_table = sys.stdout.isatty() and not as_json
        self._console = Console(stderr=not self._in_table)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[ended]} of {task.fields[files]} finished"),
            BarColumn(),
            *((DownloadColumn(), TransferSpeedColumn()) if self._uploads else ()),
            console=self._console,
            transient=True,
            redirect_stdout=self._in_table,
            disable=not (self._in_table or (sys.stderr.isatty() and not sys.stdout.isatty())),
        )
        total = upload_bytes if self._uploads else self._count
        self._task = self._progress.add_task("", total=total, ended=0, files=self._count)

    def __enter__(self) -> Self:
        self._progress.start()
        if self._in_table:
            self._wide = self._console.width >= self._key_width + _WIDTH_OF_THE_REST
            self._row(Text("status"), "key", "size", "renditions", "content", "seconds", style="bold")
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def sent(self, count: int) -> None:
        """Count more uploaded bytes; may be called from any thread."""
        self._progress.advance(self._task, count)

    def add(self, result: Result) -> None:
        """Print one result. In the table, details that do not fit and the reason of a failure go below its row."""
        self.ends[result.status] += 1
        self._progress.update(self._task, ended=self.ends.total(), advance=0 if self._uploads else 1)
        if self._as_json:
            print(json_line(result), flush=True)
        elif not self._in_table:
            print(line(result), flush=True)
        else:
            colour = _COLOURS.get(result.status, "red")
            self._row(Text(result.status, colour), *_cells(result))
            self._beneath(Text(_reason(result), colour))
            self._beneath(Text(result.url))

    def summary(self) -> str:
        """How many there were of each status: `3 files: 2 completed, 1 rejected`."""
        parts = counted(self.ends)
        if rest := self._count - self.ends.total():
            parts.append(f"{rest} not {'uploaded' if self._uploads else 'started'}")
        noun = "file" if self._uploads else "image"
        return f"{self._count} {noun if self._count == 1 else noun + 's'}: {', '.join(parts)}"

    def _row(
        self, status: Text, key: str, size: str, renditions: str, content: str, seconds: str, style: str = ""
    ) -> None:
        table = Table(box=None, show_header=False, expand=True, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(width=_STATUS_WIDTH)
        table.add_column(
            width=self._key_width if self._wide else None, ratio=None if self._wide else 1, overflow="fold"
        )
        table.add_column(width=len("999.9 MB"), justify="right")
        if self._wide:
            table.add_column(ratio=1)
            table.add_column(ratio=1)
        table.add_column(width=len("seconds"), justify="right")
        details = (renditions, content) if self._wide else ()
        table.add_row(status, *(Text(cell) for cell in (key, size, *details, seconds)), style=style)
        self._console.print(table)
        if not self._wide:
            self._beneath(Text("; ".join(filter(None, (renditions, content))), style))

    def _beneath(self, text: Text) -> None:
        if text:
            self._console.print(Padding(text, (0, 0, 0, _STATUS_WIDTH + 2)))


def counted(ends: Counter[str]) -> list[str]:
    """`["2 completed", "1 not started"]`: how many of each, the most frequent first."""
    return [f"{count} {end.lower().replace('_', ' ')}" for end, count in ends.most_common()]


def line(result: Result) -> str:
    """One result as a line of seven tab-separated fields: those of the table, then the reason. A URL is the eighth."""
    return "\t".join((result.status, *_cells(result), _reason(result), *([result.url] if result.url else [])))


def json_line(result: Result) -> str:
    """One result as a JSON object in a line: the record's attributes, and what the command adds to them."""
    document: dict[str, Any] = {"ImageKey": result.key, **result.record, "Status": result.status}
    if result.item:
        document |= {"File": str(result.item.path), "Bytes": result.item.size}
    if result.seconds is not None:
        document["Seconds"] = round(result.seconds, 3)
    if result.error and result.error != result.record.get("HeldBecause"):
        document["Error"] = result.error
    if result.url:
        document["Url"] = result.url
    return json.dumps(document)


def print_failures(failures: Sequence[Failure], *, as_json: bool) -> None:
    """One line each: kind, key, since when, why, what to do. A table on a terminal; tabs or JSON elsewhere."""
    if as_json or not sys.stdout.isatty():
        for failure in failures:
            print(json_of_failure(failure) if as_json else "\t".join(_failure_cells(failure)))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=True)
    for heading, ratio in (("what", None), ("key", 2), ("since", None), ("why", 3), ("what to do", 1)):
        table.add_column(heading, ratio=ratio, no_wrap=ratio is None, overflow="fold")
    for failure in failures:
        kind, *cells = _failure_cells(failure)
        table.add_row(Text(kind, _COLOURS.get(kind, "red")), *map(Text, cells))
    Console().print(table)


def print_costs(estimate: costs.Estimate, usage: costs.Document, prices: costs.Prices, *, as_json: bool) -> None:
    """The items of the bill, grouped by service. A table on a terminal; tabs or JSON elsewhere."""
    if as_json:
        print(json.dumps(costs.to_json(estimate, usage, prices)))
        return
    if not sys.stdout.isatty():
        for line in estimate.lines:
            print(line.service, line.what, f"{line.quantity:.10g}", f"{line.usd:.6f}", sep="\t")
        print("Total", "", "", f"{estimate.total:.6f}", sep="\t")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("service")
    for heading in ("USD", "of which", "", "quantity"):
        table.add_column(heading, justify="right" if heading in ("USD", "quantity") else "left")
    for service, usd in estimate.by_service.items():
        lines = [line for line in estimate.lines if line.service == service]
        for line in lines:
            first = line is lines[0]
            amounts = (f"{usd:,.2f}" if first else "", f"{line.usd:,.2f}")
            table.add_row(service if first else "", *amounts, line.what, f"{line.quantity:,.0f}")
    table.add_row(Text("total", "bold"), Text(f"{estimate.total:,.2f}", "bold"))
    console = Console()
    console.print(table)
    storage = costs.storage_a_month(estimate.question, usage, prices)
    console.print(
        f"\n{estimate.monthly:,.2f} of it are due each month without uploads. Not included: keeping the objects in S3, "
        f"{storage['Uploads']:,.2f} (uploads) and {storage['Renditions']:,.2f} (renditions) a month. List prices of "
        f"{prices.region} as of {prices.as_of}, without free tiers; usage measured on {usage['Measured']}. "
        "See docs/costs.md.",
        highlight=False,
    )


def print_plan(plan: Plan, *, as_json: bool) -> None:
    """What a run of `reprocess` would do: on stderr, or one JSON object."""
    if as_json:
        print(json.dumps(reprocess.to_json(plan)))
        return
    prices = costs.prices()
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    say(
        f"{_counted(plan.objects, 'object')} under {printable(plan.prefix)}{_decisions(plan)}",
        markup=False,
    )
    if plan.images:
        say(
            f"{_counted(plan.at_once, 'image')} at a time: {duration(plan.seconds)} or more, {plan.usd:,.2f} USD at "
            f"list prices ({prices.region}, {prices.as_of}); ends early if more than {plan.tolerated} % fail",
            markup=False,
        )


def _decisions(plan: Plan) -> str:
    words = {
        Decision.PROCESS: "to process",
        Decision.NOT_SELECTED: "not selected",
        Decision.IN_PROGRESS: "in progress",
        Decision.FOLDER_MARKER: "folder markers",
    }
    counts = [f"{plan.decisions[decision]:,} {word}" for decision, word in words.items() if plan.decisions[decision]]
    return f": {', '.join(counts)}" if counts else ""


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h` or `4.6 days`."""
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:.1f} {unit}" if unit == "h" else f"{seconds / divisor:.0f} {unit}"
    return f"{seconds / 86_400:.1f} days"


class RunProgress:
    """Shows how far a run is: a bar on a terminal, otherwise a line now and then; a context manager."""

    _SILENCE = 30.0  # seconds between two lines

    def __init__(self, execution: str) -> None:
        self._execution = execution
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.completed:,.0f} of {task.total:,.0f} objects"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=0)
        self._is_terminal = console.is_terminal
        self._said_at = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, progress: reprocess.Progress) -> None:
        """Show it as it is now."""
        self._bar.update(self._task, completed=progress.looked_at, total=progress.objects)
        if not self._is_terminal and time.monotonic() - self._said_at > self._SILENCE:
            self._said_at = time.monotonic()
            seen = f"{progress.looked_at:,} of {progress.objects:,} objects"
            print(f"{self._execution}: {seen}", file=sys.stderr, flush=True)


def print_run(
    progress: reprocess.Progress, images: Sequence[Failure], batches: Sequence[FailedBatch], *, as_json: bool
) -> None:
    """What became of a run: what failed as `print_failures` does, then a summary on stderr, or one JSON object."""
    print_failures(images, as_json=as_json)
    if as_json:
        document = {
            "Run": progress.run,
            "Execution": progress.execution,
            "Status": progress.status,
            "StartedAt": progress.started,
            "Objects": progress.objects,
            "LookedAt": progress.looked_at,
            **progress.outcomes,
            **({"Reason": progress.reason} if progress.reason else {}),
            "FailedBatches": [asdict(batch) for batch in batches],
        }
        print(json.dumps(document))
        return
    say = Console(stderr=True, highlight=False, soft_wrap=True).print
    for batch in batches:
        text = f"not all objects from {batch.first} to {batch.last} were processed ({batch.error}: {batch.cause})"
        say(printable(text), markup=False)
    parts = [f"{count:,} {outcome.lower()}" for outcome, count in progress.outcomes.items() if count]
    if progress.outcomes:
        parts.append(f"{progress.looked_at - sum(progress.outcomes.values()):,} left as they are")
    name = progress.run
    if progress.execution != progress.run:
        name += f", resumed as {progress.execution},"
    said = f"{name} {progress.status}: {progress.looked_at:,} of {_counted(progress.objects, 'object')}"
    said += f": {', '.join(parts)}" if parts else ""
    if progress.reason:
        said += f" ({progress.reason})"
    if batches or progress.status in ("FAILED", "ABORTED", "TIMED_OUT"):
        said += f"; go on with: image-pipeline reprocess --resume {progress.run}"
    say(f"image-pipeline: {printable(said)}", markup=False)


def json_of_failure(failure: Failure) -> str:
    """One failure as a JSON object in a line."""
    document = {
        "ImageKey": failure.key,
        "Kind": failure.kind,
        "Error": failure.error,
        "Since": failure.since,
        "Advice": failure.advice,
    }
    for name in ("FailedStep", "ExecutionArn"):
        if name in failure.record:
            document[name] = failure.record[name]
    return json.dumps(document)


class CheckReport:
    """Prints the lines of an acceptance run as they come: a table on a terminal, otherwise tabs or JSON Lines."""

    def __init__(self, *, as_json: bool) -> None:
        self.outcomes: Counter[str] = Counter()
        self._as_json = as_json
        self._in_table = sys.stdout.isatty() and not as_json
        self._console = Console()
        self._spinner = self._console.status("")
        self._answers = 0

    def __enter__(self) -> Self:
        if self._in_table:
            self._row(Text("result"), "promise", "seconds", "seen", style="bold")
            self._spinner.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._spinner.stop()

    def checking(self, promise: str) -> None:
        """Show on a terminal what is being checked."""
        self._spinner.update(Text(promise))

    def add(self, line: Promise | Answer) -> None:
        """Print one line."""
        if isinstance(line, Promise):
            self.outcomes[line.outcome] += 1
            self._promise(line)
        else:
            self._answers += 1
            self._answer(line)

    def summary(self) -> str:
        """How many promises there were of each outcome."""
        words = {KEPT: "kept", BROKEN: "broken", SKIPPED: "skipped"}
        counts = [f"{self.outcomes[outcome]} {word}" for outcome, word in words.items() if self.outcomes[outcome]]
        total = self.outcomes.total()
        return f"{total} {'promise' if total == 1 else 'promises'}: {', '.join(counts) or 'none was checked'}"

    def _promise(self, line: Promise) -> None:
        if self._as_json:
            values = {
                "Promise": line.name,
                "Outcome": line.outcome,
                "Seen": line.seen,
                "Seconds": round(line.seconds, 3),
            }
            print(json.dumps(values), flush=True)
        elif self._in_table:
            outcome = Text(line.outcome, _OUTCOME_COLOURS[line.outcome])
            self._row(outcome, line.name, f"{line.seconds:.1f}", printable(line.seen))
        else:
            print("\t".join((line.outcome, line.name, printable(line.seen), f"{line.seconds:.1f}")), flush=True)

    def _answer(self, line: Answer) -> None:
        if self._as_json:
            print(json.dumps({"Question": line.question, "Answer": line.answer}), flush=True)
        elif self._in_table:
            if self._answers == 1:
                self._spinner.stop()
                self._console.print("\nAnswers to the open questions of docs/aws.md:", style="bold")
            self._console.print(Text(line.question))
            self._console.print(Padding(Text(printable(line.answer), "cyan"), (0, 0, 0, 2)))
        else:
            print("\t".join(("answer", line.question, printable(line.answer), "")), flush=True)

    def _row(self, outcome: Text, promise: str, seconds: str, seen: str, style: str = "") -> None:
        table = Table(box=None, show_header=False, expand=True, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column(width=len(SKIPPED))
        table.add_column(width=min(_PROMISE_WIDTH, self._console.width // 2))
        table.add_column(width=len("seconds"), justify="right")
        table.add_column(ratio=1, overflow="fold")
        table.add_row(outcome, promise, seconds, Text(seen), style=style)
        self._console.print(table)


def _failure_cells(failure: Failure) -> tuple[str, str, str, str, str]:
    step = f" (in {failure.record['FailedStep']})" if failure.kind == FAILED else ""
    reason = f"{failure.error['Name']}: {failure.error['Message']}{step}"
    return failure.kind, printable(failure.key), failure.since, printable(reason), printable(failure.advice)


def _cells(result: Result) -> tuple[str, str, str, str, str]:
    size = result.item.size if result.item else result.record.get("Bytes")
    return (
        printable(result.key),
        "" if size is None else decimal(size),
        _renditions(result.record.get("Renditions", {})),
        printable(_content(result.record)),
        "" if result.seconds is None else f"{result.seconds:.1f}",
    )


def _renditions(renditions: Record) -> str:
    by_size = sorted(renditions.items(), key=lambda entry: entry[1]["Width"] * entry[1]["Height"])
    return ", ".join(f"{printable(name)} {image['Width']}×{image['Height']}" for name, image in by_size)


def _content(record: Record) -> str:
    """What Rekognition detected, or why it did not."""
    return "; ".join(filter(None, (_labels(record), _faces(record), _moderation(record))))


def _labels(record: Record) -> str:
    return _why_not(record, "Labels") or _listed(record.get("Labels", []))


def _faces(record: Record) -> str:
    if problem := _why_not(record, "Faces"):
        return f"faces: {problem}"
    if "Faces" not in record:
        return ""
    count = len(record["Faces"])
    return f"{count or 'no'} {'face' if count == 1 else 'faces'}"


def _moderation(record: Record) -> str:
    if problem := _why_not(record, "Moderation"):
        return f"moderation: {problem}"
    if "ModerationLabels" not in record:
        return ""
    return f"moderation: {_listed(record['ModerationLabels']) or 'nothing found'}"


def _why_not(record: Record, name: str) -> str:
    problem = record.get(f"{name}Error") or record.get(f"{name}Skipped")
    return f"none: {problem['Message']}" if problem else ""


def _listed(labels: Sequence[Record]) -> str:
    shown = [f"{label['Name']} {label['Confidence']:.0f}%" for label in labels[:_LABELS_SHOWN]]
    if len(labels) > _LABELS_SHOWN:
        shown.append(f"{len(labels) - _LABELS_SHOWN} more")
    return ", ".join(shown)


def _reason(result: Result) -> str:
    return printable(f"{result.error['Name']}: {result.error['Message']}") if result.error else ""
