"""Draws the pictures of docs/scaling.md, and writes its table, from docs/scaling.json.

Run it after `python -m bench.scaling`: `.venv/bin/python -m docs.scaling`. Standard library only.
"""

import json
import math
from pathlib import Path
from xml.sax.saxutils import escape

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER / "scaling.md"
RESULTS = json.loads((FOLDER / "scaling.json").read_text(encoding="utf-8"))

WIDTH, LEFT, RIGHT, TOP, ROW = 860, 380, 70, 44, 26
PLOT = 300  # height of a plot of curves

# A panel of its own, so that a picture is readable on any page; in the colours that the reader's system prefers.
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.note { font-size: 11px; fill: #59636e }
.panel { fill: #ffffff; stroke: #d1d9e0 }
.grid { stroke: #d1d9e0 }
.both { fill: #0969da } .standard { fill: #bc4c00 } .express { fill: #bf3989 }
.curve { fill: none; stroke-width: 2 }
.uploaded { stroke: #59636e; stroke-dasharray: 5 4 }
.a { stroke: #bc4c00 } .b { stroke: #bf3989 } .c { stroke: #0969da } .d { stroke: #1a7f37 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note { fill: #9198a1 }
.panel { fill: #0d1117; stroke: #3d444d }
.grid { stroke: #3d444d }
.both { fill: #4493f8 } .standard { fill: #f0883e } .express { fill: #ff80c8 }
.uploaded { stroke: #9198a1 }
.a { stroke: #f0883e } .b { stroke: #ff80c8 } .c { stroke: #4493f8 } .d { stroke: #3fb950 }
}
"""


def picture(title: str, height: int, shapes: list[str]) -> str:
    """An SVG with a frame and a title."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            f'<rect class="panel" x="1" y="1" width="{WIDTH - 2}" height="{height - 2}" rx="10"/>',
            f'<text class="title" x="24" y="28">{escape(title)}</text>',
            *shapes,
            "</svg>",
            "",
        ]
    )


def quotas() -> str:
    """Bars on a logarithmic scale: the uploads a second at which each quota is used up."""
    rows = RESULTS["Bindings"]
    highest = math.log10(max(row["UploadsASecond"] for row in rows) * 1.2)
    bottom = TOP + len(rows) * ROW + 6

    def x(rate: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log10(max(rate, 1)) / highest

    shapes = []
    for power in range(int(highest) + 1):
        shapes += [
            f'<line class="grid" x1="{x(10**power):.1f}" y1="{TOP}" x2="{x(10**power):.1f}" y2="{bottom}"/>',
            f'<text class="note" x="{x(10**power):.1f}" y="{bottom + 16}" text-anchor="middle">{10**power:,}/s</text>',
        ]
    for number, row in enumerate(rows):
        y, end = TOP + number * ROW, x(row["UploadsASecond"])
        kind = row["Workflow"].lower() or "both"
        note = f"{row['Quota']} ({row['Workflow'].title()})" if row["Workflow"] else row["Quota"]
        shapes += [
            f'<text x="{LEFT - 10}" y="{y + 18}" text-anchor="end">{escape(note)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{y + 5}" width="{end - LEFT:.1f}" height="{ROW - 9}" rx="3"/>',
            f'<text class="note" x="{end + 6:.1f}" y="{y + 18}">{row["UploadsASecond"]:,.0f}</text>',
        ]
    return picture("Uploads a second at which each quota is used up", bottom + 30, shapes)


def curves(title: str, part: str, *, unit: str, seconds: float, longest: float, waiting: bool = False) -> str:
    """Images that have ended, over time, for each load whose name contains `part`; dashed, those uploaded.

    With `waiting`, the images that have been uploaded and have not ended yet.
    """
    loads = [load for load in RESULTS["Loads"] if part in load["Name"]]
    left, right, bottom = 90, 250, TOP + PLOT
    width = WIDTH - left - right
    lines = {
        load["Name"].rpartition(f"{part}, ")[2]: [
            (moment, uploaded - ended if waiting else ended)
            for moment, uploaded, ended in zip(*load["Curve"].values(), strict=True)
            if moment <= longest
        ]
        for load in loads
    }
    kinds = dict(zip(lines, "abcd", strict=False))
    if not waiting:
        lines["uploaded"], kinds["uploaded"] = [(0, loads[0]["Images"]), (longest, loads[0]["Images"])], "uploaded"
    most = max(count for line in lines.values() for _, count in line) or 1

    shapes = []
    for quarter in range(5):
        x, y = left + width * quarter / 4, bottom - PLOT * quarter / 4
        shapes += [
            f'<line class="grid" x1="{left}" y1="{y}" x2="{WIDTH - right}" y2="{y}"/>',
            f'<text class="note" x="{left - 8}" y="{y + 4}" text-anchor="end">{most * quarter // 4:,}</text>',
            f'<text class="note" x="{x}" y="{bottom + 18}" text-anchor="middle">'
            f"{longest * quarter / 4 / seconds:g} {unit}</text>",
        ]
    for number, (name, line) in enumerate(lines.items()):
        points = " ".join(
            f"{left + width * moment / longest:.1f},{bottom - PLOT * count / most:.1f}" for moment, count in line
        )
        x, y = WIDTH - right + 20, TOP + 22 + number * 22
        shapes += [
            f'<polyline class="curve {kinds[name]}" points="{points}"/>',
            f'<line class="curve {kinds[name]}" x1="{x}" y1="{y - 4}" x2="{x + 24}" y2="{y - 4}"/>',
            f'<text x="{x + 32}" y="{y}">{escape(name)}</text>',
        ]
    return picture(title, bottom + 34, shapes)


def clock(seconds: float) -> str:
    """As seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def loads() -> str:
    """The simulated loads as a Markdown table."""
    header = (
        "load",
        "FAILED",
        "without labels",
        "drained after",
        "quota allows",
        "wait: median / 99 % / longest",
        "refused attempts an image",
        "started again",
        "USD for waiting, per 1,000",
    )
    rows = [header, ("---",) * len(header)]
    for load in RESULTS["Loads"]:
        wait = load["WaitSeconds"]
        rows.append(
            (
                load["Name"],
                f"{load['Failed']:,}",
                f"{load['WithoutLabels']:,}",
                clock(load["DrainSeconds"]),
                clock(load["QuotaAllowsSeconds"]),
                f"{clock(wait['Median'])} / {clock(wait['P99'])} / {clock(wait['Longest'])}",
                f"{load['Refused']:.1f}",
                f"{load['BegunAgain']:.2f}",
                f"{load['UsdForWaiting']:.2f}",
            )
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def pictures() -> dict[Path, str]:
    """Every picture by its file."""
    return {
        FOLDER / "scaling-quotas.svg": quotas(),
        FOLDER / "scaling-burst.svg": curves(
            "100,000 uploads at once: images that have ended", "100,000 at once", unit="min", seconds=60, longest=3600
        ),
        FOLDER / "scaling-day.svg": curves(
            "A million uploads in a day, 20 Rekognition calls a second: images that wait",
            "a million in a day, 20 calls/s",
            unit="h",
            seconds=3600,
            longest=86_400,
            waiting=True,
        ),
    }


def written(page: str) -> str:
    """The page with its table as it is now."""
    before, begin, rest = page.partition("<!-- loads -->\n")
    _, end, after = rest.partition("<!-- end -->")
    return f"{before}{begin}{loads()}\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for file, drawn in pictures().items():
        file.write_text(drawn, encoding="utf-8")
