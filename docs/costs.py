"""Writes the tables of docs/costs.md again: `.venv/bin/python -m docs.costs`.

Run it after a change of cli/prices.toml or cli/usage.json. tests/unit/test_costs_page.py compares the page with both.
"""

from pathlib import Path

from bench import power
from bench.markdown import table
from cli import costs
from cli.costs import EXPRESS, STANDARD, Question, estimate

PAGE = Path(__file__).resolve().parent / "costs.md"
COLUMNS = {
    "Standard": Question(1, STANDARD, labels=False),
    "Standard, labels": Question(1, STANDARD, labels=True),
    "Express": Question(1, EXPRESS, labels=False),
    "Express, labels": Question(1, EXPRESS, labels=True),
}


def bill(images: int) -> str:
    """USD by service for so many uploads within a month, with and without labels, for both types of workflow."""
    answers = {
        name: estimate(Question(images, question.workflow, labels=question.labels), costs.usage(), costs.prices())
        for name, question in COLUMNS.items()
    }
    services = list(dict.fromkeys(service for answer in answers.values() for service in answer.by_service))
    digits = 2 if images >= 100_000 else 3
    rows = [("service", *answers)]
    rows += [
        (service, *(f"{answer.by_service.get(service, 0):,.{digits}f}" for answer in answers.values()))
        for service in services
    ]
    rows.append(("**total**", *(f"**{answer.total:,.{digits}f}**" for answer in answers.values())))
    return table(rows)


def lines() -> str:
    """Every item of a million uploads on Standard without labels."""
    answer = estimate(Question(1_000_000, STANDARD, labels=False), costs.usage(), costs.prices())
    rows = [("service", "what", "quantity", "USD")]
    rows += [(line.service, line.what, f"{line.quantity:,.0f}", f"{line.usd:,.2f}") for line in answer.lines]
    return table(rows)


def usage() -> str:
    """What was measured for one upload and one deletion."""
    measured = costs.usage()
    rows = [("", "an upload", "a deletion")]
    names = {
        "Transitions": "state transitions",
        "S3Writes": "S3 PUT and LIST requests",
        "S3Reads": "S3 GET requests",
        "WriteUnits": "DynamoDB write request units",
        "ReadUnits": "DynamoDB read request units",
        "LogBytes": "bytes of logs",
    }
    rows += [
        (text, *(f"{measured[operation][name]:,.0f}" for operation in ("Upload", "Deletion")))
        for name, text in names.items()
    ]
    rows.append(("bytes of the record", f"{measured['Upload']['RecordBytes']:,}", ""))
    rows.append(("bytes of the renditions", f"{measured['Upload']['RenditionBytes']:,}", ""))
    return table(rows)


def tables() -> dict[str, str]:
    """What belongs between `<!-- name -->` and `<!-- end -->`."""
    return {
        "million": bill(1_000_000),
        "thousand": bill(1000),
        "lines": lines(),
        "usage": usage(),
        "power": power.as_table(power.tuned(costs.usage(), costs.prices())),
    }


def written(page: str) -> str:
    """The page with its tables as they are now."""
    for name, rows in tables().items():
        before, begin, rest = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        page = f"{before}{begin}{rows}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
