"""The command line: parses arguments, prints results and returns an exit status.

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
from typing import Any

from rich.console import Console
from rich.status import Status as Spinner

from cli import check, costs, decide, failures, files, pausing, redrive, reindex, report, reprocess, upload
from cli.failures import Failure, UndeliveredEvents
from cli.following import DEFAULT_TIMEOUT, REMOVED, Result, why
from cli.problems import AWS_ERRORS, SetupError, explain
from cli.stack import TO_DECIDE, TO_OPERATE, TO_REINDEX, TO_UPLOAD, Record, Stack, default_name, default_session
from imagepipeline.analysis import missing
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX
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
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="image-pipeline",
        description="Upload images to a deployed image pipeline, on AWS or locally, and follow their processing. "
        "The account, region and endpoint come from the usual AWS settings.",
        epilog="Exit status: 0 if all images are completed and nothing failed, 1 if not, 2 if the arguments or the "
        "settings are wrong, 130 if interrupted.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--stack",
        metavar="NAME",
        help="name of the stack (default: IMAGE_PIPELINE_STACK, then stack_name in the nearest samconfig.toml)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON object per line")
    following = argparse.ArgumentParser(add_help=False)
    following.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long to follow each image after its upload or start (default: %(default)g)",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    uploading = commands.add_parser(
        "upload",
        parents=[common, following],
        help="upload files and directories, and follow their processing",
        description="Upload files and follow the processing of each. The key of a file is uploads/ and its name, "
        "whatever folder it is in; the keys of the files in a directory trip are uploads/trip/ and the path within it. "
        "Hidden files in directories are skipped, and so are files that are stored already: after an interruption, the "
        "same command continues.",
    )
    uploading.add_argument("paths", nargs="+", type=_path, metavar="FILE|DIR", help="what to upload")
    uploading.add_argument(
        "--prefix", default="", type=_prefix, metavar="P", help="insert P after uploads/: uploads/P/cat.jpg"
    )
    uploading.add_argument("--no-follow", dest="follow", action="store_false", help="do not wait for the processing")
    uploading.add_argument("--again", action="store_true", help="upload unchanged files as well")
    uploading.set_defaults(command=_upload)

    status = commands.add_parser("status", parents=[common], help="show the processing status of images")
    status.add_argument("keys", nargs="+", type=_key, metavar="KEY", help="for example uploads/cat.jpg")
    status.add_argument(
        "--url",
        action="store_true",
        help="also print a URL of the largest rendition, which is valid for 15 minutes; a held image has one, too",
    )
    status.set_defaults(command=_status)

    failing = commands.add_parser(
        "failures",
        parents=[common],
        help="list failures, their reasons and what to do",
        description="List images that failed, are stuck, were not announced, lack an answer of Rekognition or wait for "
        "a moderator; events that were not delivered; and data that was not removed. Reads the records that an index "
        "names, and the queue of undelivered events, whose messages are hidden from other readers for that time.",
    )
    failing.add_argument("--rejected", action="store_true", help="also list files that the pipeline rejected")
    failing.set_defaults(command=_failures)

    redriving = commands.add_parser(
        "redrive",
        parents=[common, following],
        help="process images again, and follow their processing",
        description="Process images again, whatever their status, or everything that failed, and follow their "
        "processing. Repeating a redrive is safe: it sends another notification for each image.",
    )
    redriving.add_argument("keys", nargs="*", type=_key, metavar="KEY", help="for example uploads/cat.jpg")
    selection = redriving.add_mutually_exclusive_group()
    selection.add_argument(
        "--all",
        action="store_true",
        help="redrive everything that `failures` lists, except what waits for a moderator",
    )
    selection.add_argument(
        "--labels",
        action="store_true",
        help="redrive only the images that lack an answer of Rekognition: labels, faces or moderation labels",
    )
    redriving.set_defaults(command=_redrive)

    reindexing = commands.add_parser(
        "reindex",
        parents=[common],
        help="build the index table again: the lists of images by label, and of those that need attention",
        description="Remove entries of the index table to which no record corresponds, and have every record indexed "
        "again. Needed once after an update from a version without the index table, and after the alarm "
        "UnindexedChangesAlarm. Sets the attribute ReindexedAt of every record. Repeating it is safe.",
    )
    reindexing.set_defaults(command=_reindex)

    reprocessing = commands.add_parser(
        "reprocess",
        parents=[common],
        help="process many images again, or those that were in the bucket before the stack",
        description="Process the images under a prefix again. The stack does it: Step Functions lists the bucket and "
        "processes a bounded number of images at a time, and goes on when this command ends. First prints how many "
        "images there are, how long it takes and what it costs, and asks for confirmation. Newer uploads "
        "have priority.",
    )
    reprocessing.add_argument(
        "prefix", nargs="?", type=_key, metavar="PREFIX", help=f"for example {UPLOADS_PREFIX}2019/, or {UPLOADS_PREFIX}"
    )
    reprocessing.add_argument(
        "--missing-renditions",
        dest="selections",
        action="append_const",
        const=Selection.MISSING_RENDITIONS,
        help="only images whose records lack one of the stack's Renditions, and images that failed",
    )
    reprocessing.add_argument(
        "--unrecorded",
        dest="selections",
        action="append_const",
        const=Selection.UNRECORDED,
        help="only objects without a record, such as those that were in the bucket before the stack",
    )
    reprocessing.add_argument(
        "--at-once", type=_at_once, metavar="N", help="images to process at a time (default: a share of the quotas)"
    )
    reprocessing.add_argument(
        "--tolerate",
        type=int,
        choices=range(101),
        metavar="PERCENT",
        help=f"end the run early if more of the images fail (default: {reprocess.DEFAULT_TOLERATED})",
    )
    reprocessing.add_argument("--dry-run", action="store_true", help="print what would be done, and start nothing")
    reprocessing.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    reprocessing.add_argument("--no-follow", dest="follow", action="store_false", help="start the run and return")
    existing = reprocessing.add_mutually_exclusive_group()
    for action, does in (
        ("status", "show the progress of a run, and what failed"),
        ("follow", "follow a run to its end"),
        ("stop", "stop a run: start no further images; those in progress are completed"),
        ("resume", "continue a run that was stopped or failed, without what it has done"),
    ):
        existing.add_argument(
            f"--{action}",
            dest="action",
            action=_Existing,
            nargs="?",
            metavar="RUN",
            help=f"{does} (default: the latest)",
        )
    reprocessing.set_defaults(command=_reprocess, action=None)

    for action, what in (
        (Action.RELEASE, "complete images that are held for review"),
        (Action.REJECT, "reject images that are held for review, and remove their renditions"),
    ):
        deciding = commands.add_parser(
            action.lower(),
            parents=[common, following],
            help=what,
            description=f"{what.capitalize()}, and follow each until the decision is announced. "
            "`status KEY --url` shows why an image is held, and the image itself.",
        )
        deciding.add_argument("keys", nargs="+", type=_key, metavar="KEY", help="for example uploads/cat.jpg")
        deciding.add_argument(
            "--sequencer",
            metavar="S",
            help="decide only if the record still has this Sequencer, which `status --json` prints: "
            "an image that was replaced since you looked at it is then left alone",
        )
        deciding.set_defaults(command=_decide, action=action)

    stopping = commands.add_parser(
        "pause",
        parents=[common],
        help="have new uploads wait",
        description="Have the events of new uploads wait in a queue, for up to 14 days. Images that are being "
        "processed are completed, and deletions take effect at once. MonthlyBudget pauses when the budget is spent.",
    )
    stopping.set_defaults(command=_pause)

    resuming = commands.add_parser(
        "resume",
        parents=[common],
        help="process the uploads that wait, and new ones",
        description="Have new uploads processed again, and start an execution for each upload that waits. If the "
        "command is interrupted, run it again: uploads that were not started still wait.",
    )
    resuming.add_argument(
        "--settling",
        type=_seconds,
        default=pausing.SETTLING,
        metavar="SECONDS",
        help="how long to look for events that EventBridge still sends to the queue (default: %(default)g)",
    )
    resuming.set_defaults(command=_resume)

    checking = commands.add_parser(
        "check",
        parents=[common, following],
        help="check that a deployed stack keeps its promises",
        description="Upload photos and invalid files under a prefix of their own, check records, renditions, "
        "notifications, the status API, replacement and deletion, and remove everything, also after Ctrl-C. Prints one "
        "line for each promise, then answers to questions of docs/aws.md. Subscribers of the stack's notifications "
        "receive about twenty of them. The exit status is 0 only if no promise is broken.",
    )
    checking.add_argument("paths", nargs="*", type=_path, metavar="PHOTO", help="photos of your own to upload, too")
    checking.add_argument("--keep", action="store_true", help="do not remove the uploads and their results")
    checking.set_defaults(command=_check)

    costing = commands.add_parser(
        "cost",
        help="estimate what uploads cost, from measured usage and list prices",
        description="Estimate what uploads within a month cost, by service, in USD at list prices without free tiers. "
        "Needs no stack and no AWS settings. docs/costs.md explains each line.",
    )
    costing.add_argument(
        "--images", type=_count, default=1_000_000, metavar="N", help="number of uploads (default: %(default)s)"
    )
    costing.add_argument("--workflow", choices=costs.WORKFLOWS, default=costs.STANDARD, help="the stack's WorkflowType")
    costing.add_argument(
        "--labels", type=_switch, default=True, metavar="true|false", help="the stack's DetectLabels (default: true)"
    )
    costing.add_argument("--faces", action="store_true", help="with the stack's DetectFaces")
    costing.add_argument(
        "--face-crops",
        action="store_true",
        help="with a rendition that crops around faces (cover:face), for which the function with the most memory waits",
    )
    costing.add_argument("--moderation", action="store_true", help="with the stack's Moderation")
    costing.add_argument("--mail", action="store_true", help="with an e-mail for each image")
    costing.add_argument("--traces", action="store_true", help="with traces in X-Ray (the stack's TraceRequests)")
    costing.add_argument(
        "--deleted",
        type=_percent,
        default=costs.DELETED,
        metavar="PERCENT",
        help=f"how many of the uploads are deleted again (default: {costs.DELETED:.0%})".replace("%", "%%"),
    )
    costing.add_argument(
        "--retried",
        type=_percent,
        default=costs.RETRIED,
        metavar="PERCENT",
        help=f"how many steps are tried again (default: {costs.RETRIED:.1%})".replace("%", "%%"),
    )
    costing.add_argument("--json", action="store_true", help="print one JSON object")
    costing.set_defaults(command=_cost)
    return parser


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
    _say(f"redriving {len(keys)} {'image' if len(keys) == 1 else 'images'}: {_kinds(found)}")
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


class _Existing(argparse.Action):
    """Stores which option for an existing run was given, and the name of the run, which may be empty."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.action = ((option_string or "").removeprefix("--"), values or "")


def _say(text: str) -> None:
    print(f"image-pipeline: {printable(text)}", file=sys.stderr)


def _path(text: str) -> Path:
    if not text:  # Path("") is the current folder, which nobody means who passes an unset variable
        raise argparse.ArgumentTypeError("a path is empty")
    return Path(text)


def _prefix(text: str) -> str:
    prefix = text.strip("/")
    if prefix and any(part in ("", ".", "..") for part in prefix.split("/")):
        raise argparse.ArgumentTypeError(f'{text!r} contains an empty part, "." or ".."')
    return prefix


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return seconds


def _count(text: str) -> int:
    try:
        count = int(text.replace(",", "").replace("_", ""))
    except ValueError:
        count = -1
    if not 0 <= count <= 10**12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of images")
    return count


def _at_once(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if not 1 <= count <= reprocess.MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of images from 1 to {reprocess.MOST_AT_ONCE:,}")
    return count


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text == "true"


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = -1
    if not 0 <= percent <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage from 0 to 100")
    return percent / 100


def _key(text: str) -> str:
    if not text.startswith(UPLOADS_PREFIX):
        raise argparse.ArgumentTypeError(
            f"{text!r} does not start with {UPLOADS_PREFIX}; did you mean {UPLOADS_PREFIX}{text}?"
        )
    if len(text.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        raise argparse.ArgumentTypeError(f"the key is longer than {MAX_KEY_BYTES:,} bytes")
    return text
