"""The sample photos' way through the pipeline, shown as it happens."""

from pathlib import Path

import boto3
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cli import report
from cli.files import Item, select
from cli.following import Result
from cli.stack import Stack
from cli.upload import upload_and_follow

PHOTOS = Path(__file__).parent / "photos"


def send(session: boto3.Session, stack_name: str, console: Console) -> bool:
    """Upload the photos and show what becomes of each. Returns whether all are COMPLETED."""
    items = select(sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png"))).items
    results: dict[str, Result] = {}
    with Live(_table(items, results), console=console) as live:
        for result in upload_and_follow(Stack.find(session, stack_name), items):
            results[result.key] = result
            live.update(_table(items, results))
    if not console.is_terminal:
        console.print()  # there, Live leaves the last line open
    return all(result.status == "COMPLETED" for result in results.values())


def _table(items: list[Item], results: dict[str, Result]) -> Table:
    """A row a photo from the beginning; a spinner stands where its end is not known yet."""
    table = Table("status", "key", "size", "renditions", "labels", "seconds", box=None, pad_edge=False)
    for item in items:
        if item.key in results:
            status, *facts, reason = report.line(results[item.key]).split("\t")
            table.add_row(Text(status, "green" if status == "COMPLETED" else "red"), *map(Text, facts))
            if reason:
                table.add_row("", Text(reason, "red"))
        else:
            table.add_row(Spinner("dots"), Text(item.key))
    return table
