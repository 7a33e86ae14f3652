"""The subcommands: each prints its results and returns an exit status.

0: every image is COMPLETED, or nothing failed. 1: at least one image is not, or something failed. 2: the arguments, the
settings or the stack are wrong. 130: interrupted.
"""

import argparse
import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console
from rich.status import Status as Spinner

from cli import check, costs, decide, failures, files, pausing, redrive, reindex, report, reprocess, upload
from cli.arguments import parse
from cli.failures import Failure, UndeliveredEvents
from cli.following import REMOVED, Result, why
from cli.problems import AWS_ERRORS, SetupError, explain
from cli.stack import TO_DECIDE, TO_OPERATE, TO_REINDEX, TO_UPLOAD, Record, Stack, default_name, default_session
from imagepipeline.analysis import missing
from imagepipeline.keys import UPLOADS_PREFIX
from imagepipeline.pausing import TargetNotReplaced
from imagepipeline.printable import printable
from imagepipeline.quarantine import Action
from imagepipeline.reprocessing import Selection

OK, NOT_ALL_COMPLETED, SETUP_PROBLEM, INTERRUPTED = 0, 1, 2, 130

_RESUME = '"image-pipeline resume" processes them'

_SUCCESSES = {"COMPLETED", upload.UPLOADED, upload.UNCHANGED, REMOVED}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without UTF-8 must not end the command
    options = parse(arguments)
    try:
        status = _COMMANDS[options.command](options)
        sys.stdout.flush()  # now, because an error at exit could not be handled
        return status
    except (SetupError, TargetNotReplaced) as error:
        _say(str(error))
        return SETUP_PROBLEM
    except AWS_ERRORS as error:
        _say("; ".join((explain(error), *_notes(error))))
        return SETUP_PROBLEM
    except BrokenPipeError:
        # The reader of the output has closed it ("| head"). Flushing the buffer at exit must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NOT_ALL_COMPLETED
    except KeyboardInterrupt as error:
        _say("; ".join(("interrupted", *_notes(error))))
        return INTERRUPTED


def _notes(error: BaseException) -> Sequence[str]:
    return getattr(error, "__notes__", ())


def _upload(options: argparse.Namespace) -> int:
    selection = _selected(options.paths, options.prefix)
    stack = _stack(options)

    stop = threading.Event()
    shown = report.Report((item.key for item in selection), selection.size, as_json=options.json)
    results = upload.upload_and_follow(
        stack,
        selection,
        shown.sent,
        follow=options.follow,
        skip_unchanged=not options.again,
        timeout=options.timeout,
        stop=stop,
    )
    return _show(shown, results, stop)


def _selected(paths: Sequence[Path], prefix: str) -> files.Selection:
    """The files to upload. Raises SetupError after printing what is wrong with any of them."""
    selection = files.select(paths, prefix)
    if selection.problems:
        for problem in selection.problems:
            _say(problem)
        raise SetupError("nothing was uploaded")
    if selection.hidden:
        _say(f"skipped {selection.hidden} hidden {'entry' if selection.hidden == 1 else 'entries'}")
    return selection


def _show(
    shown: report.Report, results: Generator[Result], stop: threading.Event, successes: Collection[str] = _SUCCESSES
) -> int:
    """Print results as they arrive, then how many there were of each status; returns the exit status."""
    try:
        with _ctrl_c_sets(stop), closing(results), shown:
            for result in results:
                shown.add(result)
    finally:
        _say(shown.summary())
    if stop.is_set():
        return INTERRUPTED
    return OK if set(shown.ends) <= set(successes) else NOT_ALL_COMPLETED


def _status(options: argparse.Namespace) -> int:
    keys = list(dict.fromkeys(options.keys))
    stack = _stack(options, TO_DECIDE if options.url else TO_UPLOAD)
    records = stack.records(keys)
    shown = report.Report(keys, as_json=options.json)
    with shown:
        for key in keys:
            result = _known(key, records.get(key))
            shown.add(replace(result, url=stack.rendition_url(result.record)) if options.url else result)
    return OK if set(shown.ends) <= _SUCCESSES else NOT_ALL_COMPLETED


def _failures(options: argparse.Namespace) -> int:
    stack = _stack(options, TO_OPERATE)
    with UndeliveredEvents(stack) as undelivered:
        found = _everything(stack, undelivered, rejected=options.rejected)
    report.print_failures(found, as_json=options.json)
    _say(f"{_kinds(found)}{_back_in_the_queue(undelivered)}")
    return NOT_ALL_COMPLETED if found else OK


def _redrive(options: argparse.Namespace) -> int:
    if bool(options.keys) == (options.all or options.labels):
        raise SetupError(
            f"{'keys and --all or --labels were given' if options.keys else 'nothing selected to redrive'}: "
            "give either keys, or --all, or --labels"
        )
    stack = _stack(options, TO_OPERATE)
    if options.labels:
        found = [failure for failure in _read(failures.in_table, stack) if missing(failure.record)]
        return _run_again(options, stack, found)
    with UndeliveredEvents(stack) as undelivered:
        if options.all:
            found = [failure for failure in _everything(stack, undelivered) if failure.kind != failures.HELD]
            return _run_again(options, stack, found, undelivered)
        events = [*undelivered.failures, *failures.in_housekeeping(stack, datetime.now(UTC))]
        found = [failure for failure in events if failure.key in options.keys]
        return _run_again(options, stack, found, undelivered)


def _reindex(options: argparse.Namespace) -> int:
    stack = _stack(options, TO_REINDEX)
    with Spinner("reading the index", console=Console(stderr=True)) as spinner:
        done = reindex.reindex(stack, datetime.now(UTC), on_progress=lambda text: spinner.update(text))
    if options.json:
        print(json.dumps({"Removed": done.removed, "Reindexed": done.reindexed}))
    _say(f"{done.removed:,} entries removed, {done.reindexed:,} records reindexed; the lists follow within minutes")
    return OK


def _decide(options: argparse.Namespace) -> int:
    keys = list(dict.fromkeys(options.keys))
    if options.sequencer and len(keys) > 1:
        raise SetupError("--sequencer is that of one image: give one key")
    stack = _stack(options, TO_DECIDE)
    stop = threading.Event()
    results = decide.decide(stack, keys, options.action, options.sequencer, timeout=options.timeout, stop=stop)
    decided = "COMPLETED" if options.action is Action.RELEASE else "REJECTED"
    return _show(report.Report(keys, as_json=options.json), results, stop, successes={decided})


def _check(options: argparse.Namespace) -> int:
    name = check.new_name()
    photos = _selected(options.paths, f"{name}/yours").items
    stack = _stack(options, check.NEEDED)
    shown = report.CheckReport(as_json=options.json)
    lines = check.run(stack, name, photos, timeout=options.timeout, keep=options.keep, on_start=shown.checking)
    _say(f"checking stack {stack.name} with uploads under {UPLOADS_PREFIX}{name}/")
    try:
        with _sigterm_interrupts(), closing(lines), shown:
            for line in lines:
                shown.add(line)
    finally:
        _say(shown.summary())
    return NOT_ALL_COMPLETED if shown.outcomes[check.BROKEN] else OK


def _cost(options: argparse.Namespace) -> int:
    question = costs.Question(
        images=options.images,
        workflow=options.workflow,
        labels=options.labels,
        faces=options.faces,
        face_crops=options.face_crops,
        moderation=options.moderation,
        mail=options.mail,
        traces=options.traces,
        deleted=options.deleted,
        retried=options.retried,
    )
    usage, prices = costs.usage(), costs.prices()
    report.print_costs(costs.estimate(question, usage, prices), usage, prices, as_json=options.json)
    return OK


def _reprocess(options: argparse.Namespace) -> int:
    _require_one_purpose(options)
    stack = _stack(options, reprocess.NEEDED)
    if options.action:
        what, name = options.action
        execution = reprocess.find(stack, name)
        if what == "stop":
            reprocess.stop(stack, execution)
        elif what == "resume":
            execution = reprocess.resume(stack, execution)
        return _shown_run(options, stack, execution, follow=what != "status" and options.follow)

    selections = options.selections or [Selection.ALL]
    with _counting("objects listed") as counted:
        plan = reprocess.plan(
            stack,
            stack.session.client("lambda"),
            options.prefix,
            selections,
            at_once=options.at_once,
            tolerated=reprocess.DEFAULT_TOLERATED if options.tolerate is None else options.tolerate,
            on_progress=counted,
        )
    report.print_plan(plan, as_json=options.json and options.dry_run)
    if options.dry_run:
        return OK
    if not plan.images:
        _say("nothing to process")
        return OK
    if not options.yes and not _confirmed("Start?"):
        _say("nothing was started")
        return OK
    return _shown_run(options, stack, plan.start(stack), follow=options.follow)


def _require_one_purpose(options: argparse.Namespace) -> None:
    """Raises SetupError unless the options are those of a new run, or one for an existing run."""
    if not options.action:
        if options.prefix is None:
            raise SetupError(f"what to process? Give a prefix, such as {UPLOADS_PREFIX}, or an option for a run")
        return
    of_a_new_run = {
        "a prefix": options.prefix is not None,
        "--missing-renditions": Selection.MISSING_RENDITIONS in (options.selections or ()),
        "--unrecorded": Selection.UNRECORDED in (options.selections or ()),
        "--at-once": options.at_once is not None,
        "--tolerate": options.tolerate is not None,
        "--dry-run": options.dry_run,
    }
    if given := [name for name, is_given in of_a_new_run.items() if is_given]:
        what, _ = options.action
        raise SetupError(f"--{what} is about a run as it was started: it cannot be combined with {' and '.join(given)}")


def _shown_run(options: argparse.Namespace, stack: Stack, execution: str, *, follow: bool) -> int:
    """Print what becomes of an execution, or what has become of it so far; returns the exit status."""
    progress = reprocess.observe(stack, execution)
    if follow:
        try:
            with report.RunProgress(execution) as shown:
                for progress in reprocess.follow(stack, execution):
                    shown.show(progress)
        except KeyboardInterrupt as error:
            error.add_note(f"{execution} goes on without this command: see --status, --follow and --stop")
            raise
    if progress.status == "RUNNING":
        report.print_run(progress, [], [], as_json=options.json)
        return OK
    with _counting("records read") as counted:
        images = reprocess.failed_images(stack, progress, counted)
    batches = reprocess.failed_batches(stack, execution)
    report.print_run(progress, images, batches, as_json=options.json)
    return NOT_ALL_COMPLETED if progress.status != "SUCCEEDED" or images or batches else OK


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise SetupError("there is no terminal to ask for confirmation: pass --yes, or --dry-run")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _pause(options: argparse.Namespace) -> int:
    stack = _stack(options, pausing.NEEDED)
    changed = pausing.pause(stack)
    if options.json:
        print(json.dumps({"Paused": True, "Waiting": pausing.waiting(stack)}))
    _say(f"new uploads wait from now on; {_RESUME}" if changed else f"new uploads wait already; {_RESUME}")
    return OK


def _resume(options: argparse.Namespace) -> int:
    stack = _stack(options, pausing.NEEDED)
    pausing.resume(stack)
    waiting = pausing.waiting(stack)
    stop = threading.Event()
    with _ctrl_c_sets(stop), Spinner("starting", console=Console(stderr=True)) as spinner:

        def show(started: int) -> None:
            spinner.update(f"{started:,} of about {waiting:,} uploads started")

        started, foreign = pausing.release(stack, stop, show, settling=options.settling)
    if options.json:
        print(json.dumps({"Paused": False, "Started": started, "NotEvents": foreign}))
    _say(f"new uploads are processed again; {started:,} that waited were started")
    if foreign:
        _say(f"{foreign:,} messages in the queue are not events of uploads: inspect them, and delete them there")
    if stop.is_set():
        _say(f"interrupted: about {pausing.waiting(stack):,} uploads wait; {_RESUME}")
        return INTERRUPTED
    return NOT_ALL_COMPLETED if foreign else OK


def _run_again(
    options: argparse.Namespace, stack: Stack, found: list[Failure], undelivered: UndeliveredEvents | None = None
) -> int:
    keys = list(dict.fromkeys([*options.keys, *(failure.key for failure in found if failure.key)]))
    if not keys:
        _say(f"nothing to redrive: {_kinds(found)}")
        return OK
    _say(f"redriving {len(keys)} {'image' if len(keys) == 1 else 'images'}{f': {_kinds(found)}' if found else ''}")
    stop = threading.Event()
    results = redrive.redrive(
        stack, keys, found, undelivered, always=bool(options.keys), timeout=options.timeout, stop=stop
    )
    return _show(report.Report(keys, as_json=options.json), results, stop)


def _everything(stack: Stack, undelivered: UndeliveredEvents, *, rejected: bool = False) -> list[Failure]:
    return [*_read(failures.in_stack, stack, rejected=rejected), *undelivered.failures]


def _read(find: Callable[..., list[Failure]], stack: Stack, **options: bool) -> list[Failure]:
    """What `find` finds; on a terminal, with the number of records that were read so far."""
    with _counting("records read") as counted:
        return find(stack, datetime.now(UTC), on_progress=counted, **options)


@contextmanager
def _counting(what: str) -> Iterator[Callable[[int], None]]:
    """A function that adds to a number that is shown on a terminal."""
    seen = 0
    with Spinner(f"0 {what}", console=Console(stderr=True)) as spinner:

        def show(count: int) -> None:
            nonlocal seen
            seen += count
            spinner.update(f"{seen:,} {what}")

        yield show


def _kinds(found: list[Failure]) -> str:
    return ", ".join(report.counted(Counter(failure.kind for failure in found))) or "nothing failed"


def _back_in_the_queue(undelivered: UndeliveredEvents) -> str:
    if not undelivered.failures:
        return ""
    return "; the undelivered events are visible in the queue again"


def _known(key: str, record: Record | None) -> Result:
    if record is None:
        error = {"Name": "NotFound", "Message": "there is no record of this key"}
        return Result(key, "NOT_FOUND", error=error)
    return Result(key, record["Status"], record=record, seconds=_seconds_taken(record), error=why(record))


def _seconds_taken(record: Record) -> float | None:
    if "ReceivedAt" not in record or "CompletedAt" not in record:
        return None
    taken = datetime.fromisoformat(record["CompletedAt"]) - datetime.fromisoformat(record["ReceivedAt"])
    return taken.total_seconds()


def _stack(options: argparse.Namespace, needed: Sequence[str] = TO_UPLOAD) -> Stack:
    return Stack.find(default_session(), options.stack or default_name(Path.cwd()), needed)


@contextmanager
def _ctrl_c_sets(stop: threading.Event) -> Iterator[None]:
    """The first Ctrl-C sets `stop`, so that the command ends in order; the second one interrupts it."""
    usual = signal.getsignal(signal.SIGINT)

    def end_in_order(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, end_in_order)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """SIGTERM, which a CI job gets when it is cancelled, has the effect of Ctrl-C."""
    usual = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, usual)


def _say(text: str) -> None:
    print(f"image-pipeline: {printable(text)}", file=sys.stderr)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "upload": _upload,
    "status": _status,
    "failures": _failures,
    "redrive": _redrive,
    "reindex": _reindex,
    "reprocess": _reprocess,
    "release": _decide,
    "reject": _decide,
    "pause": _pause,
    "resume": _resume,
    "check": _check,
    "cost": _cost,
}
