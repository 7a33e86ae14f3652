"""Draws docs/architecture.svg. Run it from anywhere after a change: `.venv/bin/python docs/architecture.py`.

The steps come from the state machines; what is around them is placed by hand. tests/unit/test_diagram.py compares the
picture with the template. Standard library only.
"""

import json
import re
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURE = REPOSITORY / "docs" / "architecture.svg"

LEFT, MIDDLE, RIGHT = 36, 320, 756  # x of the three columns
SIDE, CENTRE = 224, 390  # width of a box at the side, and of a state machine
WIDTH = RIGHT + SIDE + LEFT
ROW = 46  # from the top of one step to the top of the next
BOX = 40  # height of a box

DESCRIPTIONS = {
    "BeginRecord": "takes ownership of the key, unless a newer event has it",
    "ValidateImage": "reads the header: format, dimensions, limits",
    "CreateThumbnails": "downloads and decodes once, writes every rendition",
    "ExtractMetadata": "asks Rekognition for labels, faces, moderation",
    "StoreResult": "writes the record, removes outdated renditions",
    "NotifySuccess": "publishes the result",
    "ResumeUpload": "takes over from an execution that ended early",
    "ResolveCurrentVersion": "finds no object, an older version, or a newer upload",
    "RemoveRecord": "if there is no object",
    "ProcessCurrentVersion": "if an older version is current again",
    "RemoveRenditions": "those that the record does not name",
    "SelectImages": "compares 100 objects of a listing with their records",
    "ProcessImage": "runs ImagePipeline for one image, and waits for it",
}
ALARMS = {
    "FailedUploadsAlarm": "ImagePipeline failed",
    "FailedHousekeepingAlarm": "Housekeeping failed",
    "HousekeepingTimeoutAlarm": "Housekeeping ran out of time",
    "FailedReprocessingAlarm": "Reprocess failed",
    "ReprocessingTimeoutAlarm": "Reprocess ran out of time",
    "UndeliveredEventsAlarm": "the queue is not empty",
    "UndeliveredWebhooksAlarm": "the queue is not empty",
    "UnindexedChangesAlarm": "UnindexedChangesQueue is not empty",
    "PausedUploadsAlarm": "uploads have waited for ten days",
    "FailedPauseAlarm": "a spent budget paused nothing",
    "StuckRecordsAlarm": "uploads stuck, or sweeps missing",
    "RekognitionThrottledAlarm": "calls refused for an hour",
    "FunctionErrorsAlarm": "failures for 15 minutes",
    "FunctionThrottlesAlarm": "invocations refused for an hour",
    "ApiErrorsAlarm": "errors for 15 minutes",
    "LatencyAlarm": "uploads take too long",
}
SERVICES = {"dynamodb": "DynamoDB", "sns": "SNS", "states": "Step Functions", "${StartAndWait}": "Step Functions"}

# A panel of its own, so that the picture is readable on any page; in the colours that the reader's system prefers.
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.name { font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
.panel { fill: #ffffff; stroke: #d1d9e0 }
.group { fill: #f6f8fa; stroke: #d1d9e0 }
.events { fill: #fbeffa; stroke: #bf3989 }
.compute { fill: #fff1e5; stroke: #bc4c00 }
.state { fill: #ffffff; stroke: #8c959f }
.storage { fill: #ddf4ff; stroke: #0969da }
.message { fill: #ffebe9; stroke: #cf222e }
.failure { fill: none; stroke: #cf222e; stroke-dasharray: 4 3 }
.line, .arrow { fill: none; stroke: #59636e; stroke-width: 1.5 }
.arrow { marker-end: url(#head) }
.dashed { stroke-dasharray: 4 3 }
#head path { fill: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.panel { fill: #0d1117; stroke: #3d444d }
.group { fill: #151b23; stroke: #3d444d }
.events { fill: #42062a; stroke: #ff80c8 }
.compute { fill: #3d1300; stroke: #f0883e }
.state { fill: #0d1117; stroke: #656c76 }
.storage { fill: #051d4d; stroke: #4493f8 }
.message { fill: #3c0614; stroke: #f85149 }
.failure { stroke: #f85149 }
.line, .arrow { stroke: #9198a1 }
#head path { fill: #9198a1 }
}
"""


def tasks(machine: str) -> dict[str, str]:
    """The Task states of a state machine in the order of its file, each with the function or service that it calls."""
    return _tasks(_states(machine)["States"])


def _tasks(states: dict) -> dict[str, str]:
    found = {}
    for name, state in states.items():
        if state["Type"] == "Task":
            found[name] = _called(state)
        found |= _tasks(state.get("ItemProcessor", {}).get("States", {}))
    return found


def steps(machine: str) -> dict[str, str]:
    """The tasks of an execution in which nothing goes wrong."""
    definition = _states(machine)
    name, path = definition["StartAt"], {}
    while name:
        path[name] = _called(definition["States"][name])
        name = definition["States"][name].get("Next")
    return path


def _states(machine: str) -> dict:
    text = (REPOSITORY / "statemachine" / f"{machine}.asl.json").read_text()
    # Two placeholders are named for the states that a Standard workflow has there.
    return json.loads(re.sub(r'"\$\{(BeginRecord|NotifySuccess)}"', r'"\1"', text))


def _called(state: dict) -> str:
    function = re.search(r"\$\{(\w+)Arn}", state["Arguments"].get("FunctionName", ""))
    return (
        function[1]
        if function
        else SERVICES[state["Resource"].removeprefix("arn:${Partition}:states:::").split(":")[0]]
    )


def box(kind: str, x: int, y: int, name: str, note: str, *, width: int = SIDE, called: str = "") -> str:
    """A resource or a step: its name, beneath it what it does, and on the right what it calls."""
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{BOX}" rx="5"/>\n'
        f'<text class="name" x="{x + 10}" y="{y + 17}">{escape(name)}</text>'
        f'<text class="note" x="{x + 10}" y="{y + 32}">{escape(note)}</text>'
        f'<text class="note" x="{x + width - 10}" y="{y + 16}" text-anchor="end">{escape(called)}</text>'
    )


def task(name: str, called: str, y: int) -> str:
    """A step of a state machine."""
    kind = "compute" if called.endswith("Function") else "state"
    return box(kind, MIDDLE + 12, y, name, DESCRIPTIONS[name], width=CENTRE - 24, called=called)


def group(x: int, y: int, width: int, height: int, name: str, kind: str) -> str:
    """A frame around boxes, with a name and the AWS service."""
    return (
        f'<rect class="group" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>\n'
        f'<text x="{x + 12}" y="{y + 22}"><tspan class="name">{escape(name)}</tspan>'
        f'<tspan class="note" dx="8">{escape(kind)}</tspan></text>'
    )


def arrow(path: str, *, dashed: bool = False) -> str:
    """A line along an SVG path, with a head at its end."""
    return f'<path class="arrow{" dashed" if dashed else ""}" d="{path}"/>'


def label(x: int, y: int, text: str, anchor: str = "start") -> str:
    """Small text beside an arrow."""
    return f'<text class="note" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def draw() -> str:
    """The whole picture."""
    pipeline, housekeeping, reprocess = steps("image_pipeline"), tasks("housekeeping"), tasks("reprocess")
    top = 24
    row = {name: top + 34 + number * ROW for number, name in enumerate(pipeline)}
    failures = top + 34 + len(pipeline) * ROW
    bottom = failures + ROW + 4
    second = bottom + 40
    row |= {f"Housekeeping/{name}": second + 34 + number * ROW for number, name in enumerate(housekeeping)}
    end = second + 34 + len(housekeeping) * ROW + 4
    third, alarms = end + 18, end + 18 + 34 + len(reprocess) * ROW + 4
    row |= {f"Reprocess/{name}": third + 34 + number * ROW for number, name in enumerate(reprocess)}
    rows = -(-len(ALARMS) // 3)
    budget = alarms + 18 + 34 + rows * ROW + 18
    sweeps = budget + 34 + ROW + 18
    height = sweeps + 86
    uploads, deletions, early = row["ValidateImage"] + 24, row["Housekeeping/ResolveCurrentVersion"], failures - 30
    paused = uploads + ROW + 16
    status, read, write, api, client = (row[f"Housekeeping/{name}"] for name in housekeeping)
    axis, inside, outside = LEFT + SIDE // 2, LEFT + SIDE, MIDDLE + CENTRE - 12

    shapes = [
        f'<rect class="panel" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="10"/>',
        # --- events
        box("storage", LEFT, top, "UploadsBucket", "S3, objects under uploads/"),
        arrow(f"M{axis} {top + BOX} V{uploads - 46}"),
        group(LEFT - 12, uploads - 45, SIDE + 24, end - ROW - uploads + 39, "EventBridge", "rules"),
        box("events", LEFT, uploads, "UploadsRule", "an object was created"),
        arrow(f"M{inside} {uploads + 20} H{MIDDLE - 1}"),
        arrow(f"M{axis} {uploads + BOX} v{paused - uploads - BOX - 1}", dashed=True),
        label(axis + 8, uploads + BOX + 14, "while it is paused"),
        box("message", LEFT, paused, "PausedUploadsQueue", "SQS"),
        box("events", LEFT, early, "EarlyEndsRule", "an execution ended early"),
        arrow(f"M{MIDDLE} {early + 10} H{inside + 1}", dashed=True),
        arrow(f"M{inside} {early + 30} H{MIDDLE - 28} V{second + 22} H{MIDDLE - 1}"),
        box("events", LEFT, deletions, "DeletionsRule", "an object was deleted"),
        arrow(f"M{inside} {deletions + 20} H{MIDDLE - 1}"),
        arrow(f"M{axis} {end - ROW - 6} V{end - BOX + 1}"),
        box("message", LEFT, end - BOX + 2, "UndeliveredEventsQueue", "SQS dead-letter queue"),
        # --- state machines
        group(MIDDLE, top, CENTRE, bottom - top, "ImagePipeline", "Step Functions"),
        *(task(name, called, row[name]) for name, called in pipeline.items()),
        box(
            "failure",
            MIDDLE + 12,
            failures,
            "RecordFailure, NotifyFailure",
            "if the file is rejected, or a step fails",
            width=CENTRE - 24,
            called="DynamoDB, SNS",
        ),
        arrow(f"M{MIDDLE + CENTRE // 2} {second} V{bottom + 1}"),
        label(MIDDLE + CENTRE // 2 + 10, bottom + 24, "starts executions"),
        group(MIDDLE, second, CENTRE, end - second, "Housekeeping", "Step Functions"),
        *(task(name, called, row[f"Housekeeping/{name}"]) for name, called in housekeeping.items()),
        # --- reprocessing
        group(
            MIDDLE, third, CENTRE, alarms - third, "Reprocess", "Step Functions, started by image-pipeline reprocess"
        ),
        *(task(name, called, row[f"Reprocess/{name}"]) for name, called in reprocess.items()),
        # --- results
        box("storage", RIGHT, row["BeginRecord"], "IndexTable", "DynamoDB, lists by label"),
        box("compute", RIGHT, row["ValidateImage"], "IndexFunction", "follows the changes of records"),
        arrow(f"M{RIGHT + SIDE // 2} {row['ValidateImage']} V{row['BeginRecord'] + BOX + 1}"),
        arrow(f"M{RIGHT + SIDE} {row['StoreResult'] + 10} h8 V{row['ValidateImage'] + 20} H{RIGHT + SIDE + 1}"),
        box("storage", RIGHT, row["CreateThumbnails"], "ThumbnailsBucket", "S3, renditions"),
        box("events", RIGHT, row["ExtractMetadata"], "Amazon Rekognition", "labels, faces, moderation"),
        box("storage", RIGHT, row["StoreResult"], "ImagesTable", "DynamoDB, one record a key"),
        box("message", RIGHT, row["NotifySuccess"], "NotificationsTopic", "SNS: e-mail, programs"),
        arrow(f"M{RIGHT + SIDE // 2} {row['NotifySuccess'] + BOX} V{failures + 9}"),
        box("message", RIGHT, failures + 10, "UndeliveredWebhooksQueue", "SQS dead-letter queue"),
        *(
            arrow(f"M{outside} {row[name] + 20} H{RIGHT - 1}")
            for name in ("CreateThumbnails", "ExtractMetadata", "StoreResult", "NotifySuccess")
        ),
        arrow(f"M{outside} {failures + 20} H{RIGHT - 28} V{row['NotifySuccess'] + 30} H{RIGHT - 1}", dashed=True),
        # --- API
        box("compute", RIGHT, status, "StatusFunction", "returns the status"),
        box("compute", RIGHT, read, "ReadImagesFunction", "lists and returns images"),
        box("compute", RIGHT, write, "WriteImagesFunction", "uploads, deletions, decisions"),
        *(f'<path class="line" d="M{RIGHT + SIDE} {y + 20} H{RIGHT + SIDE + 16}"/>' for y in (read, write)),
        arrow(f"M{RIGHT + SIDE} {write + 20} h16 V{row['StoreResult'] + 20} H{RIGHT + SIDE + 1}"),
        f'<path class="line" d="M{RIGHT + SIDE} {status + 20} H{RIGHT + SIDE + 16}"/>',
        box("events", RIGHT, api, "ImageStatusApi", "/images, /renditions, /uploads", called="HTTP API"),
        *(arrow(f"M{RIGHT} {api + 20} h-14 V{y + 20} H{RIGHT - 1}") for y in (status, read, write)),
        arrow(f"M{RIGHT + SIDE // 2} {client + 14} V{api + BOX + 1}"),
        label(RIGHT + SIDE // 2, client + 28, "curl, or your application", "middle"),
        # --- alarms
        group(LEFT - 12, alarms + 18, WIDTH - 2 * (LEFT - 12), 34 + rows * ROW + 2, "CloudWatch", "alarms"),
        *(
            box("message", LEFT + number % 3 * (SIDE + 16), alarms + 52 + number // 3 * ROW, name, note)
            for number, (name, note) in enumerate(ALARMS.items())
        ),
        *(
            f'<path class="line" d="M{LEFT + last * (SIDE + 16) - 16} {y} H{RIGHT - 8} V{alarms + 72}"/>'
            for y, last in ((alarms + 72 + number * ROW, min(3, len(ALARMS) - 3 * number)) for number in range(rows))
        ),
        arrow(f"M{LEFT + 3 * SIDE + 32} {alarms + 72} H{RIGHT - 1}"),
        box("message", RIGHT, alarms + 52, "AlarmsTopic", "SNS: e-mail, or your pager"),
        # --- budget
        group(LEFT - 12, budget, WIDTH - 2 * (LEFT - 12), 34 + ROW + 2, "MonthlyBudget", "optional"),
        box("message", LEFT, budget + 34, "BudgetTopic", "SNS: the month's budget is spent"),
        arrow(f"M{inside} {budget + 54} H{LEFT + SIDE + 15}"),
        box("compute", LEFT + SIDE + 16, budget + 34, "PauseFunction", "has new uploads wait"),
        label(
            LEFT + 2 * SIDE + 28,
            budget + 58,
            "replaces the target of UploadsRule by PausedUploadsQueue, and tells operators",
        ),
        # --- sweeps
        group(LEFT - 12, sweeps, WIDTH - 2 * (LEFT - 12), 72, "Sweeps", "report records that are stuck"),
        box("events", LEFT, sweeps + 28, "SweepRule", "on a schedule"),
        arrow(f"M{LEFT + SIDE} {sweeps + 48} h35"),
        box("compute", LEFT + 260, sweeps + 28, "SweepFunction", "Express: starts Housekeeping as well", width=290),
        arrow(f"M{LEFT + 586} {sweeps + 48} h-35"),
        box("storage", LEFT + 586, sweeps + 28, "ExecutionsTable", "Express only: executions to resume", width=290),
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            "<title>Architecture of the image pipeline</title>",
            f"<style>{STYLE}</style>",
            '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
            '<path d="M0 0 L8 4 L0 8 z"/>',
            "</marker>",
            *shapes,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
