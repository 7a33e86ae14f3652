"""Draws docs/dashboard.svg: the dashboard of the template, filled with the metrics of a local run.

    .venv/bin/python docs/dashboard.py             draw it again, after a change of the dashboard
    .venv/bin/python docs/dashboard.py --record    first process photos on a local run, for three minutes

`--record` writes docs/dashboard.json. It reads what CloudWatch reads on AWS: the lines of the functions' logs, in which
they publish their metrics, Lambda's REPORT lines, and the list of executions. Drawing needs the standard library alone.
"""

import json
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

REPOSITORY = Path(__file__).resolve().parent.parent
PICTURE = REPOSITORY / "docs" / "dashboard.svg"
RECORDED = REPOSITORY / "docs" / "dashboard.json"

STACK = "image-pipeline"
PERIOD = 10  # seconds for one point of a chart; the dashboard itself has 300
UNIT, ROW, GAP, MARGIN = 40, 30, 8, 16  # pixels of a column and a row of the dashboard, between widgets, around all
COLORS = ("a", "b", "c", "d", "e", "f")

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.note { font-size: 11px; fill: #59636e }
.small { font-size: 9.5px; fill: #59636e }
.number { font-size: 26px; font-weight: 600 }
.sum { font-size: 19px; font-weight: 600 }
.panel { fill: #f6f8fa; stroke: #d1d9e0 }
.widget { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.line { fill: none; stroke-width: 2 }
.a { fill: #0969da; stroke: #0969da }
.b { fill: #bc4c00; stroke: #bc4c00 }
.c { fill: #1a7f37; stroke: #1a7f37 }
.d { fill: #8250df; stroke: #8250df }
.e { fill: #cf222e; stroke: #cf222e }
.f { fill: #9a6700; stroke: #9a6700 }
.line.a, .line.b, .line.c, .line.d, .line.e, .line.f { fill: none }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note, .small { fill: #9198a1 }
.panel { fill: #0d1117; stroke: #3d444d }
.widget { fill: #151b23; stroke: #3d444d }
.grid { stroke: #3d444d }
.a { fill: #4493f8; stroke: #4493f8 }
.b { fill: #f0883e; stroke: #f0883e }
.c { fill: #3fb950; stroke: #3fb950 }
.d { fill: #ab7df8; stroke: #ab7df8 }
.e { fill: #f85149; stroke: #f85149 }
.f { fill: #d29922; stroke: #d29922 }
}
"""

Series = list[tuple[str, list[float | None]]]  # a label, and the value of each period


# ------------------------------------------------------------------------------------------------------- the dashboard


def dashboard() -> dict:
    """The dashboard of the template. Resources have their logical names, and the stack is called image-pipeline."""
    template = (REPOSITORY / "template.yaml").read_text(encoding="utf-8")
    body, values = re.search(r"DashboardBody: !Sub\n {8}- \|-\n(.*?)\n {8}- (.*?)\n\n", template, re.S).groups()
    substitutions = dict(re.findall(r'^ +(\w+): (?:!If \[(?:ExpressWanted, "[\d.]+"|\w+), )?"([\d.]+)"', values, re.M))
    substitutions |= {"AWS::StackName": STACK, "AWS::Region": "us-east-1", "OptionalAlarms": ', "LatencyAlarm"'}

    def substitute(found: re.Match) -> str:
        return substitutions.get(found[1], found[1].split(".")[0])

    return json.loads(re.sub(r"\$\{([\w:.]+)}", substitute, body))


class Recording:
    """Metrics of a local run."""

    def __init__(self, document: dict) -> None:
        self.seconds = document["Seconds"]
        self._points = document["Points"]  # [seconds since the beginning, namespace, metric, dimensions, value]

    def values(self, namespace: str, metric: str, dimensions: dict[str, str], statistic: str) -> list[float | None]:
        """The statistic of each period; None where nothing was published."""
        periods = defaultdict(list)
        for moment, *about, value in self._points:
            if about == [namespace, metric, dimensions]:
                periods[int(moment // PERIOD)].append(value)
        return [statistic_of(periods.get(number), statistic) for number in range(-(-self.seconds // PERIOD))]

    def reasons(self, metric: str) -> list[str]:
        """The values of the dimension Reason."""
        return sorted({dimensions["Reason"] for _, _, name, dimensions, _ in self._points if name == metric})


def statistic_of(values: list[float] | None, statistic: str) -> float | None:
    if not values:
        return None
    if statistic == "Sum":
        return sum(values)
    if statistic == "Maximum":
        return max(values)
    return sorted(values)[min(len(values) - 1, int(len(values) * int(statistic.removeprefix("p")) / 100))]


def series_of(widget: dict, recording: Recording) -> Series:
    """What a widget shows: its metrics, searches and sums of searches. Expressions of the costs are `cost`'s."""
    properties, shown = widget["properties"], []
    for *about, last in properties["metrics"]:
        options = last if isinstance(last, dict) else {}
        if "expression" in options:
            shown += searched(options, recording)
        elif options.get("visible", True):
            namespace, metric, dimension, value = about
            statistic = options.get("stat", properties.get("stat", "Sum"))
            shown.append((options["label"], recording.values(namespace, metric, {dimension: value}, statistic)))
    return shown


def searched(options: dict, recording: Recording) -> Series:
    """The metrics that a SEARCH finds, or the sum of them."""
    metric = re.search(r'MetricName="(\w+)"', options["expression"])[1]
    found = [
        (reason, recording.values("ImagePipeline", metric, {"Reason": reason, "service": STACK}, "Sum"))
        for reason in recording.reasons(metric)
    ]
    if not options["expression"].startswith("SUM("):
        return found
    columns = zip(*(values for _, values in found), strict=True) if found else ()
    return [(options["label"], [sum(value or 0 for value in column) for column in columns])]


def costs(widget: dict, recording: Recording) -> list[tuple[str, float]]:
    """USD for each expression of the widget, over the whole recording."""
    known, expressions = {}, {}
    for *about, options in widget["properties"]["metrics"]:
        if "expression" in options:
            expressions[options["id"]] = options
        else:
            namespace, metric, dimension, value = about
            values = recording.values(namespace, metric, {dimension: value}, "Sum")
            known[options["id"]] = sum(value or 0 for value in values)
    for name in reversed(expressions):  # the total, which comes first, is the sum of the others
        known[name] = arithmetic(expressions[name]["expression"], known)
    return [(options["label"], known[name]) for name, options in expressions.items()]


def arithmetic(expression: str, known: dict[str, float]) -> float:
    """The value of a metric math expression of sums, products and FILL."""
    plain = re.sub(r"FILL\((\w+),0\)", r"\1", expression)
    plain = re.sub(r"[a-z]+", lambda name: repr(float(known[name[0]])), plain)
    if not re.fullmatch(r"[\d.eE+*/() -]+", plain):
        raise ValueError(f"{expression!r} is not arithmetic")
    return float(eval(plain, {"__builtins__": {}}))  # noqa: S307 (digits and operators, as checked)


# -------------------------------------------------------------------------------------------------------------- drawing


def draw(document: dict) -> str:
    """The whole picture."""
    widgets, recording = dashboard()["widgets"], Recording(document)
    bottom = max(widget["y"] + widget["height"] for widget in widgets)
    width, height = 2 * MARGIN + 24 * UNIT, 2 * MARGIN + bottom * ROW + 20
    shapes = [f'<rect class="panel" x="1" y="1" width="{width - 2}" height="{height - 2}" rx="10"/>']
    for widget in widgets:
        shapes += drawn(widget, recording)
    minutes = recording.seconds // 60
    note = f"A local run of {minutes} minutes. A point is {PERIOD} seconds, USD are of the whole run."
    shapes.append(f'<text class="note" x="{MARGIN + 2}" y="{height - 12}">{note}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            "<title>The dashboard of the image pipeline</title>",
            f"<style>{STYLE}</style>",
            *shapes,
            "</svg>",
            "",
        ]
    )


def drawn(widget: dict, recording: Recording) -> Iterator[str]:
    x, y = MARGIN + widget["x"] * UNIT + GAP / 2, MARGIN + widget["y"] * ROW
    width, height = widget["width"] * UNIT - GAP, widget["height"] * ROW - GAP
    properties = widget["properties"]
    yield f'<rect class="widget" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6"/>'
    yield text(x + 10, y + 18, properties["title"], "title")
    inside = (x + 10, y + 28, width - 20, height - 38)
    if widget["type"] == "alarm":
        yield from alarms(properties["alarms"], *inside)
    elif properties["view"] == "singleValue":
        paid = any(options.get("id") == "total" for *_, options in properties["metrics"])
        values = costs(widget, recording) if paid else totals(widget, recording)
        yield from numbers(values, *inside)
    else:
        yield from chart(series_of(widget, recording), *inside, stacked=properties["stacked"])


def totals(widget: dict, recording: Recording) -> list[tuple[str, float]]:
    return [(label, sum(value or 0 for value in values)) for label, values in series_of(widget, recording)]


def text(x: float, y: float, content: str, kind: str = "note", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(content)}</text>'


def numbers(values: list[tuple[str, float]], x: float, y: float, width: float, height: float) -> Iterator[str]:
    """Large numbers side by side."""
    step = width / len(values)
    for number, (label, value) in enumerate(values):
        shown = f"{value:,.0f}" if value == int(value) else f"{value:.3f}"
        yield text(x + number * step, y + height / 2 + 6, shown, "number" if step > 80 else "sum")
        yield text(x + number * step, y + height / 2 + 24, label)


def alarms(names: list[str], x: float, y: float, width: float, height: float) -> Iterator[str]:
    """The alarms, all of which are silent in the recording."""
    rows = -(-len(names) // 2)
    for number, name in enumerate(names):
        left, top = x + number // rows * (width / 2 + 2), y + number % rows * height / rows
        yield f'<rect class="c" x="{left:g}" y="{top + 4:g}" width="9" height="9" rx="2"/>'
        yield text(left + 13, top + 12, name.removesuffix("Alarm"), "small")


def chart(series: Series, x: float, y: float, width: float, height: float, *, stacked: bool) -> Iterator[str]:
    """Bars on top of one another, or lines; beneath them the labels."""
    periods = max((len(values) for _, values in series), default=1)
    columns = [[values[number] or 0 for _, values in series if values] for number in range(periods)]
    highest = max((sum(column) if stacked else max(column, default=0) for column in columns), default=0) or 1
    plot, left = height - 22, x + 34
    step = (width - 34) / periods
    for share in (0, 0.5, 1):
        level = y + plot * (1 - share)
        yield f'<path class="grid" d="M{left:g} {level:g} h{width - 34:g}"/>'
        yield text(left - 5, level + 4, f"{highest * share:,.{0 if highest >= 10 else 1}f}", anchor="end")
    heights = [0.0] * periods
    for color, (_, values) in zip(COLORS, series, strict=False):
        if stacked:
            for number, value in enumerate(values):
                tall = plot * (value or 0) / highest
                heights[number] += tall
                if tall:
                    place = f'x="{left + number * step + 1:.1f}" y="{y + plot - heights[number]:.1f}"'
                    yield f'<rect class="{color}" {place} width="{max(1, step - 2):.1f}" height="{tall:.1f}"/>'
        else:
            points = [
                f"{left + (number + 0.5) * step:.1f},{y + plot * (1 - value / highest):.1f}"
                for number, value in enumerate(values)
                if value is not None
            ]
            yield f'<polyline class="line {color}" points="{" ".join(points)}"/>'
            for point in points:
                across, level = point.split(",")
                yield f'<circle class="{color}" cx="{across}" cy="{level}" r="2"/>'
    across = x
    for color, (label, _) in zip(COLORS, series, strict=False):
        yield f'<rect class="{color}" x="{across:g}" y="{y + height - 9:g}" width="9" height="9" rx="2"/>'
        yield text(across + 13, y + height, label)
        across += 26 + 6.8 * len(label)
    if not series:
        yield text(x + width / 2, y + plot / 2, "none", anchor="middle")


# ------------------------------------------------------------------------------------------------------------ recording


def record(seconds: int = 180) -> dict:
    """Process photos and bad files on a local run of its own, and return its metrics."""
    sys.path.insert(0, str(REPOSITORY))
    from local.stack import LocalStack

    with tempfile.TemporaryDirectory() as folder, LocalStack(Path(folder, "state")) as stack:
        began = time.time()
        upload_for(seconds, stack)
        points = sorted([*published(stack, began), *executions(stack, began)], key=lambda point: point[0])
    return {"Seconds": seconds, "Points": [point for point in points if 0 <= point[0] < seconds]}


def upload_for(seconds: int, stack) -> None:
    """Upload photos, one file in six of which is none. For a while, Rekognition refuses calls."""
    photos = [photo.read_bytes() for photo in sorted((REPOSITORY / "local" / "photos").glob("*.[jp]*g"))]
    bad = [b"", b"<html>not an image</html>", photos[0][:9000], b"GIF89a" + bytes(20)]
    chance, s3, began, number = random.Random(7), stack.client("s3"), time.monotonic(), 0
    while (elapsed := time.monotonic() - began) < seconds - 8:
        body = chance.choice(bad) if chance.random() < 1 / 6 else chance.choice(photos)
        s3.put_object(Bucket=stack.outputs["UploadsBucket"], Key=f"uploads/{number:04}.jpg", Body=body)
        number += 1
        if number == 40:
            stack.faults.ask("rekognition:DetectLabels", "throttle", 12)
        # More uploads in the middle of the run than at its ends.
        time.sleep(chance.uniform(0.5, 1.5) * (2 - 1.2 * (1 - abs(2 * elapsed / seconds - 1))))
    time.sleep(8)  # until the last images are completed


def published(stack, began: float) -> Iterator[list]:
    """What the logs of the functions hold: metrics of ours, and the durations that Lambda reports."""
    logs = stack.client("logs")
    for group in logs.describe_log_groups()["logGroups"]:
        if "/aws/lambda/" not in (name := group["logGroupName"]):
            continue
        function = "".join(word.capitalize() for word in name.rpartition("/")[2].split("_")) + "Function"
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=name):
            for event in page["events"]:
                moment = event["timestamp"] / 1000 - began
                if duration := re.match(r"REPORT .*?\tDuration: ([\d.]+) ms", event["message"]):
                    yield [round(moment, 1), "AWS/Lambda", "Duration", {"FunctionName": function}, float(duration[1])]
                elif '"_aws"' in event["message"]:
                    yield from embedded(json.loads(event["message"]), round(moment, 1))


def embedded(line: dict, moment: float) -> Iterator[list]:
    """The metrics of a line in CloudWatch's embedded metric format."""
    for directive in line["_aws"]["CloudWatchMetrics"]:
        dimensions = {name: line[name] for names in directive["Dimensions"] for name in sorted(names)}
        for metric in directive["Metrics"]:
            for value in line[metric["Name"]]:
                about = {**dimensions, "service": STACK}
                yield [moment, directive["Namespace"], metric["Name"], about, round(value, 3)]


def executions(stack, began: float) -> Iterator[list]:
    """When executions of ImagePipeline started."""
    pages = stack.client("stepfunctions").get_paginator("list_executions")
    for page in pages.paginate(stateMachineArn=stack.outputs["ImagePipeline"]):
        for execution in page["executions"]:
            moment = round(execution["startDate"].timestamp() - began, 1)
            yield [moment, "AWS/States", "ExecutionsStarted", {"StateMachineArn": "ImagePipeline"}, 1]


def main(arguments: list[str]) -> None:
    """Draw the picture, with `--record` of a new recording."""
    if "--record" in arguments:
        points = record()
        lines = ",\n".join(json.dumps(point, separators=(",", ":")) for point in points["Points"])
        RECORDED.write_text(f'{{"Seconds": {points["Seconds"]}, "Points": [\n{lines}\n]}}\n', encoding="utf-8")
    PICTURE.write_text(draw(json.loads(RECORDED.read_text(encoding="utf-8"))), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
