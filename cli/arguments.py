"""The arguments of the `image-pipeline` command: its subcommands, their options, and the values that these take."""

import argparse
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cli import costs, pausing, reprocess
from cli.following import DEFAULT_TIMEOUT
from imagepipeline.keys import MAX_KEY_BYTES, UPLOADS_PREFIX
from imagepipeline.quarantine import Action
from imagepipeline.reprocessing import Selection

type _Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with the subcommand's name as `command`. Ends the process with a message if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="image-pipeline",
        description="Upload images to a deployed image pipeline, on AWS or locally, and follow their processing. "
        "The account, region and endpoint come from the usual AWS settings.",
        epilog="Exit status: 0 if all images are completed and nothing failed, 1 if not, 2 if the arguments or the "
        "settings are wrong, 130 if interrupted.",
    )
    commands = parser.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for add in (
        _upload,
        _status,
        _failures,
        _redrive,
        _reindex,
        _reprocess,
        _release_and_reject,
        _pause,
        _resume,
        _check,
        _cost,
    ):
        add(commands)
    return parser.parse_args(arguments)


def _common() -> argparse.ArgumentParser:
    """What most subcommands take."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--stack",
        metavar="NAME",
        help="name of the stack (default: IMAGE_PIPELINE_STACK, then stack_name in the nearest samconfig.toml)",
    )
    common.add_argument("--json", action="store_true", help="print one JSON object per line")
    return common


def _following() -> argparse.ArgumentParser:
    """What subcommands take that follow images."""
    following = argparse.ArgumentParser(add_help=False)
    following.add_argument(
        "--timeout",
        type=_seconds,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long to follow each image after its upload or start (default: %(default)g)",
    )
    return following


def _add_keys(parser: argparse.ArgumentParser, nargs: str) -> None:
    parser.add_argument("keys", nargs=nargs, type=_key, metavar="KEY", help="for example uploads/cat.jpg")


# ----------------------------------------------------------------------------------------------------- the subcommands


def _upload(commands: _Commands) -> None:
    parser = commands.add_parser(
        "upload",
        parents=[_common(), _following()],
        help="upload files and directories, and follow their processing",
        description="Upload files and follow the processing of each. The key of a file is uploads/ and its name, "
        "whatever folder it is in. The files in a directory called trip get keys that begin with uploads/trip/. "
        "Hidden files in directories are skipped, and so are files that are stored already: after an interruption, the "
        "same command continues.",
    )
    parser.add_argument("paths", nargs="+", type=_path, metavar="FILE|DIR", help="what to upload")
    parser.add_argument(
        "--prefix", default="", type=_prefix, metavar="P", help="insert P after uploads/: uploads/P/cat.jpg"
    )
    parser.add_argument("--no-follow", dest="follow", action="store_false", help="do not wait for the processing")
    parser.add_argument("--again", action="store_true", help="upload unchanged files as well")


def _status(commands: _Commands) -> None:
    parser = commands.add_parser(
        "status",
        parents=[_common()],
        help="show the processing status of images",
        description="Show the processing status of images: what their records contain with --json, a summary without.",
    )
    _add_keys(parser, "+")
    parser.add_argument(
        "--url",
        action="store_true",
        help="also print a URL of the largest rendition, which is valid for 15 minutes; a held image has one, too",
    )


def _failures(commands: _Commands) -> None:
    parser = commands.add_parser(
        "failures",
        parents=[_common()],
        help="list failures, their reasons and what to do",
        description="List images that failed, are stuck, were not announced, lack an answer of Rekognition or wait for "
        "a moderator; events that were not delivered; and data that was not removed. Reads the records that an index "
        "names, and the queue of undelivered events, whose messages are hidden from other readers meanwhile.",
    )
    parser.add_argument("--rejected", action="store_true", help="also list files that the pipeline rejected")


def _redrive(commands: _Commands) -> None:
    parser = commands.add_parser(
        "redrive",
        parents=[_common(), _following()],
        help="process images again, and follow their processing",
        description="Process images again, whatever their status, or everything that failed, and follow their "
        "processing. Repeating a redrive is safe: it sends another notification for each image.",
    )
    _add_keys(parser, "*")
    selection = parser.add_mutually_exclusive_group()
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


def _reindex(commands: _Commands) -> None:
    commands.add_parser(
        "reindex",
        parents=[_common()],
        help="rebuild the index table: the lists of images by label, and of those that need attention",
        description="Remove entries of the index table without a corresponding record, and have every record indexed "
        "again. Needed once after an update from a version without the index table, and after the alarm "
        "UnindexedChangesAlarm. Sets the attribute ReindexedAt of every record. Repeating it is safe.",
    )


def _reprocess(commands: _Commands) -> None:
    parser = commands.add_parser(
        "reprocess",
        parents=[_common()],
        help="process many images again, or those that were in the bucket before the stack",
        description="Process the images under a prefix again. The command first prints how many images there are, how "
        "long the run takes and what it costs, and asks for confirmation. Then the stack does the work: Step Functions "
        "processes a bounded number of images at a time, and continues when this command ends. Newer uploads have "
        "priority.",
    )
    parser.add_argument(
        "prefix", nargs="?", type=_key, metavar="PREFIX", help=f"for example {UPLOADS_PREFIX}2019/, or {UPLOADS_PREFIX}"
    )
    parser.add_argument(
        "--missing-renditions",
        dest="selections",
        action="append_const",
        const=Selection.MISSING_RENDITIONS,
        help="only images whose records lack one of the stack's Renditions, and images that failed",
    )
    parser.add_argument(
        "--unrecorded",
        dest="selections",
        action="append_const",
        const=Selection.UNRECORDED,
        help="only objects without a record, such as those that were in the bucket before the stack",
    )
    parser.add_argument(
        "--at-once", type=_at_once, metavar="N", help="images to process at a time (default: a share of the quotas)"
    )
    parser.add_argument(
        "--tolerate",
        type=int,
        choices=range(101),
        metavar="PERCENT",
        help=f"end the run early if more of the images fail (default: {reprocess.DEFAULT_TOLERATED})",
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and start nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
    parser.add_argument("--no-follow", dest="follow", action="store_false", help="start the run and return")
    existing = parser.add_mutually_exclusive_group()
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
    parser.set_defaults(action=None)


def _release_and_reject(commands: _Commands) -> None:
    for action, what in (
        (Action.RELEASE, "complete images that are held for review"),
        (Action.REJECT, "reject images that are held for review, and remove their renditions"),
    ):
        parser = commands.add_parser(
            action.lower(),
            parents=[_common(), _following()],
            help=what,
            description=f"{what.capitalize()}, and follow each until the decision is announced. "
            "`status KEY --url` shows why an image is held, and the image itself.",
        )
        _add_keys(parser, "+")
        parser.add_argument(
            "--sequencer",
            metavar="S",
            help="decide only if the record still has this Sequencer, which `status --json` prints: "
            "an image that was replaced since you looked at it is then left alone",
        )
        parser.set_defaults(action=action)


def _pause(commands: _Commands) -> None:
    commands.add_parser(
        "pause",
        parents=[_common()],
        help="hold new uploads in a queue, until `resume`",
        description="Hold the events of new uploads in a queue, for up to 14 days. Images that are being processed are "
        "completed, and deletions take effect at once. The stack itself pauses when its MonthlyBudget is spent.",
    )


def _resume(commands: _Commands) -> None:
    parser = commands.add_parser(
        "resume",
        parents=[_common()],
        help="process the uploads in the queue, and new ones",
        description="Process new uploads again, and start an execution for each upload in the queue. If the command is "
        "interrupted, run it again: uploads that were not started are still in the queue.",
    )
    parser.add_argument(
        "--settling",
        type=_seconds,
        default=pausing.SETTLING,
        metavar="SECONDS",
        help="how long to look for events that EventBridge still sends to the queue (default: %(default)g)",
    )


def _check(commands: _Commands) -> None:
    parser = commands.add_parser(
        "check",
        parents=[_common(), _following()],
        help="check that a deployed stack keeps its promises",
        description="Upload photos and invalid files under a prefix of their own, check records, renditions, "
        "notifications, the status API, replacement and deletion, and remove everything, also after Ctrl-C. Prints one "
        "line for each promise, then answers to questions of docs/aws.md. Subscribers of the stack's notifications "
        "receive about twenty of them. The exit status is 0 only if no promise is broken.",
    )
    parser.add_argument("paths", nargs="*", type=_path, metavar="PHOTO", help="photos of your own to upload as well")
    parser.add_argument("--keep", action="store_true", help="do not remove the uploads and their results")


def _cost(commands: _Commands) -> None:
    parser = commands.add_parser(
        "cost",
        help="estimate what uploads cost, from measured usage and list prices",
        description="Estimate what uploads within a month cost, by service, in USD at list prices without free tiers. "
        "Needs no stack and no AWS settings. docs/costs.md explains each line.",
    )
    parser.add_argument(
        "--images", type=_count, default=1_000_000, metavar="N", help="number of uploads (default: %(default)s)"
    )
    parser.add_argument("--workflow", choices=costs.WORKFLOWS, default=costs.STANDARD, help="the stack's WorkflowType")
    parser.add_argument(
        "--labels", type=_switch, default=True, metavar="true|false", help="the stack's DetectLabels (default: true)"
    )
    parser.add_argument("--faces", action="store_true", help="with the stack's DetectFaces")
    parser.add_argument(
        "--face-crops",
        action="store_true",
        help="with a rendition that crops around faces (cover:face), which takes a call and the time to wait for it",
    )
    parser.add_argument("--moderation", action="store_true", help="with the stack's Moderation")
    parser.add_argument("--mail", action="store_true", help="with an e-mail for each image")
    parser.add_argument("--traces", action="store_true", help="with traces in X-Ray (the stack's TraceRequests)")
    parser.add_argument(
        "--deleted",
        type=_percent,
        default=costs.DELETED,
        metavar="PERCENT",
        help=f"how many of the uploads are deleted again (default: {costs.DELETED:.0%})".replace("%", "%%"),
    )
    parser.add_argument(
        "--retried",
        type=_percent,
        default=costs.RETRIED,
        metavar="PERCENT",
        help=f"how many of the steps are retried (default: {costs.RETRIED:.1%})".replace("%", "%%"),
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


# ---------------------------------------------------------------------------------------------------------- the values


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
        # Perhaps a path, or a URL such as s3://bucket/uploads/cat.jpg.
        name = "" if f"{text}/" == UPLOADS_PREFIX else f"/{text}".rpartition(f"/{UPLOADS_PREFIX}")[2].lstrip("/")
        raise argparse.ArgumentTypeError(
            f"{text!r} does not start with {UPLOADS_PREFIX}; did you mean {UPLOADS_PREFIX}{name}?"
        )
    if len(text.encode(errors="surrogatepass")) > MAX_KEY_BYTES:
        raise argparse.ArgumentTypeError(f"the key is longer than {MAX_KEY_BYTES:,} bytes")
    return text
