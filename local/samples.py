"""Uploads the sample photos and shows their progress through the pipeline."""

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
    """Upload the photos and show each one's status. Returns whether all of them are COMPLETED."""
    items = select(sorted(path for path in PHOTOS.iterdir() if path.suffix in (".jpg", ".png"))).items
    results: dict[str, Result] = {}
    with Live(_table(items, results), console=console) as live:
        for result in upload_and_follow(Stack.find(session, stack_name), items):
            results[result.key] = result
            live.update(_table(items, results))
    if not console.is_terminal:
        console.print()  # on a terminal, Live ends the last line itself
    return all(result.status == "COMPLETED" for result in results.values())


def _table(items: list[Item], results: dict[str, Result]) -> Table:
    """One row for each photo, with a spinner while it is being processed."""
    table = Table("status", "key", "size", "renditions", "content", "seconds", box=None, pad_edge=False)
    for item in items:
        if item.key in results:
            status, *facts, reason = report.line(results[item.key]).split("\t")
            table.add_row(Text(status, "green" if status == "COMPLETED" else "red"), *map(Text, facts))
            if reason:
                table.add_row("", Text(reason, "red"))
        else:
            table.add_row(Spinner("dots"), Text(item.key))
    return table
