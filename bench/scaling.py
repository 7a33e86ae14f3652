"""`python -m bench.scaling`: which quotas bind as uploads a second rise; large days and bursts, for both workflows.

Writes docs/scaling.json, from which docs/scaling.py draws the pictures and tables of docs/scaling.md. The simulation is
that of `bench.quotas`, with one more limit: how many executions start in a second. Takes some minutes.
"""

import argparse
import json
import math
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from bench.quotas import (
    EXPRESS_SECONDS,
    RESUMING_STEPS,
    Account,
    Durations,
    Image,
    Machine,
    Scenario,
    Simulation,
    TokenBucket,
    ideal_drain,
    measured,
    read_definition,
)
from cli import costs
from cli.costs import EXPRESS, STANDARD

TARGET = Path(__file__).parents[1] / "docs" / "scaling.json"
DAY, HOUR = 86_400.0, 3600.0
POINTS = 120  # of each curve

# Quotas of us-east-1; sources in docs/scaling.md.
STARTS = {STANDARD: (300, 1300), EXPRESS: (6000, 6000)}  # StartExecution: a second, and at once
TRANSITIONS_A_SECOND = 5000  # of all Standard executions together
EVENTBRIDGE_INVOCATIONS = 18_750
S3_WRITES = 3500  # a second and prefix
WRITE_UNITS = 4000  # a second, of a new table in on-demand mode
PARTITION_WRITE_UNITS = 1000  # a second, of one value of an index's key
SNS_PUBLISHES = 30_000
MAILS = 10


# ---------------------------------------------------------------------------------------------------- which binds first


@dataclass(frozen=True, slots=True)
class Binding:
    """A quota, and the steady uploads a second that use it up."""

    quota: str
    rate: float
    workflow: str = ""  # if it is one's alone


def bindings(usage: costs.Document) -> list[Binding]:
    """Quotas in the order in which they bind."""
    upload = usage["Upload"]
    tasks = upload["Transitions"]
    with_labels, without = (
        sum(seconds for step, seconds in measured(labels=labels).items() if step not in RESUMING_STEPS)
        for labels in (True, False)
    )
    index_writes = 2  # an entry of PROCESSING is written and deleted
    found = [
        Binding("Rekognition, 5 calls/s", 5),
        Binding("Lambda, 10 executions, with labels", 10 / with_labels),
        Binding("e-mail for each image, 10/s", MAILS),
        Binding("Lambda, 10 executions, without labels", 10 / without),
        Binding("Rekognition, 50 calls/s", 50),
        Binding("Step Functions, 300 starts/s", STARTS[STANDARD][0], STANDARD),
        Binding("DynamoDB, 1,000 writes/s to one status in the index", PARTITION_WRITE_UNITS / index_writes),
        Binding("DynamoDB, 4,000 writes/s of a new table", WRITE_UNITS / upload["WriteUnits"]),
        Binding("Lambda, 1,000 executions, with labels", 1000 / with_labels),
        Binding("Step Functions, 5,000 transitions/s", TRANSITIONS_A_SECOND / tasks, STANDARD),
        Binding("S3, 3,500 writes/s of renditions before it splits", S3_WRITES / (upload["S3Writes"] - 2)),
        Binding("Lambda, 1,000 executions, without labels", 1000 / without),
        Binding("S3, 3,500 uploads/s to one prefix", S3_WRITES),
        Binding("Step Functions, 6,000 starts/s", STARTS[EXPRESS][0], EXPRESS),
        Binding("EventBridge, 18,750 targets/s", EVENTBRIDGE_INVOCATIONS),
        Binding("SNS, 30,000 messages/s", SNS_PUBLISHES),
    ]
    return sorted(found, key=lambda binding: binding.rate)


# ----------------------------------------------------------------------------------------------------------- simulation


@dataclass(frozen=True, slots=True)
class Load:
    """Uploads into an account."""

    name: str
    images: int
    account: Account
    workflow: str
    labels: bool
    over_a_day: bool = False  # or all at once
    # Simulated is this part of the images, in an account with this part of all quotas, which takes as long.
    part: float = 1

    @property
    def simulated(self) -> int:
        """The number of images that are simulated."""
        return round(self.images * self.part)

    def arrivals(self) -> Iterator[float]:
        """Seconds. Over a day the rate follows a cosine, so that it is twice the mean at noon and none at midnight."""
        if not self.over_a_day:
            yield from (0.0 for _ in range(self.simulated))
            return
        low = 0.0
        for number in range(self.simulated):
            share = (number + 0.5) / self.simulated
            low = _moment(share, low)
            yield low * DAY


def _moment(share: float, low: float) -> float:
    """The part of a day, from `low` on, by which this share of its uploads has arrived; exact to a second."""

    def arrived(moment: float) -> float:
        return moment - math.sin(2 * math.pi * moment) / (2 * math.pi)

    high = low
    while arrived(high) < share and high < 1:
        high = min(1.0, high + 0.001)
    while high - low > 1 / DAY:
        middle = (low + high) / 2
        low, high = (middle, high) if arrived(middle) < share else (low, middle)
    return (low + high) / 2


class Scaled(Simulation):
    """`bench.quotas`' simulation with a quota of starts, and a part of an account."""

    def __init__(self, load: Load, seed: int) -> None:
        definition = read_definition()
        express = load.workflow == EXPRESS
        machine = Machine.express_from_asl(definition) if express else Machine.from_asl(definition)
        scenario = Scenario(load.name, 0, 1, account_of(load)).scaled(load.part)
        super().__init__(machine, scenario, Durations(measured(labels=load.labels)), seed)
        rate, capacity = STARTS[load.workflow]
        begun = list(_granted(load.arrivals(), rate * load.part, capacity * load.part))
        limit = EXPRESS_SECONDS if express else machine.timeout
        self.uploaded = [uploaded for uploaded, _ in begun]
        self.images = [Image(begins, machine.steps, begins + limit) for _, begins in begun]
        self.most = round(self.most * load.part)


def _granted(arrivals: Iterator[float], rate: float, capacity: float) -> Iterator[tuple[float, float]]:
    """When each upload arrives and when its execution may start. EventBridge repeats what is refused; in turn, here."""
    bucket, ready = TokenBucket(rate, capacity), 0.0
    for arrival in arrivals:
        ready = max(ready, arrival)
        while not bucket.take(ready):
            ready += 1 / rate
        yield arrival, ready


def simulate(load: Load, seed: int = 1) -> dict:
    """Drain time, waits, what is billed for waiting, and how the load rises and falls."""
    played = Scaled(load, seed)
    played.run(_progress(load.name))
    waits = sorted(image.ended - uploaded for image, uploaded in zip(played.images, played.uploaded, strict=True))
    ended = sorted(image.ended for image in played.images)
    refused, resumptions = (sum(getattr(image, name) for image in played.images) for name in ("refused", "resumptions"))
    price = {name: price.of for name, price in costs.prices().by_name.items()}
    billed = sum(image.entries for image in played.images)
    per_thousand = 1000 / load.simulated
    scenario = Scenario(load.name, load.images, math.inf, account_of(load))
    last = ended[-1]
    return {
        "Name": load.name,
        "Workflow": load.workflow,
        "Labels": load.labels,
        "Images": load.images,
        "Simulated": load.simulated,
        "Failed": round(sum(image.status != "COMPLETED" for image in played.images) / load.part),
        "WithoutLabels": round(sum(not image.has_labels for image in played.images) / load.part),
        "DrainSeconds": round(last - max(played.uploaded)),
        "QuotaAllowsSeconds": round(
            max(
                ideal_drain(scenario, played.durations),
                load.images / STARTS[load.workflow][0],
                DAY if load.over_a_day else 0,
            )
        ),
        "WaitSeconds": {
            "Median": round(statistics.median(waits), 1),
            "P99": round(waits[len(waits) * 99 // 100], 1),
            "Longest": round(waits[-1]),
        },
        "Refused": round(refused / load.simulated, 2),
        "BegunAgain": round(resumptions / load.simulated, 3),
        "UsdForWaiting": round((price["step_functions_transition"](billed) + _wasted(played, load)) * per_thousand, 3),
        "Curve": _curve(played.uploaded, ended, load),
    }


def account_of(load: Load) -> Account:
    """The account's quotas; Rekognition's do not matter without labels."""
    return load.account if load.labels else replace(load.account, calls=math.inf)


def _wasted(played: Scaled, load: Load) -> float:
    """USD for runs that Rekognition refused, and for Express executions and their steps that are done again."""
    price = {name: price.of for name, price in costs.prices().by_name.items()}
    memory = costs.usage()["Upload"]["Functions"]["MetadataFunction"]["MemoryMb"] / 1024
    refused = price["lambda_request"](played.refused_runs) + price["lambda_gb_second_arm64"](
        played.refused_seconds * memory
    )
    if load.workflow == STANDARD:
        return refused
    question = costs.Question(1, EXPRESS, labels=False, deleted=0, retried=0)
    processing = sum(
        line.usd
        for line in costs.estimate(question, costs.usage(), costs.prices()).lines
        if line.service in ("Lambda", "S3") and not line.monthly  # not what the sweeps cost, whatever they find
    )
    again = sum(image.resumptions for image in played.images) * processing
    waited = sum(
        min(EXPRESS_SECONDS, image.ended - image.arrived) + EXPRESS_SECONDS * image.resumptions
        for image in played.images
    )
    return refused + again + price["step_functions_gb_second"](waited * costs.EXPRESS_GB)


def _curve(uploaded: list[float], ended: list[float], load: Load) -> dict[str, list]:
    """Images uploaded and ended by a number of moments, in seconds: of a day, or of the first hour after a burst."""
    moments = [(DAY if load.over_a_day else HOUR) * number / POINTS for number in range(POINTS + 1)]
    return {
        "Seconds": [round(moment) for moment in moments],
        "Uploaded": [round(count / load.part) for count in _counts(sorted(uploaded), moments)],
        "Ended": [round(count / load.part) for count in _counts(ended, moments)],
    }


def _counts(times: list[float], moments: list[float]) -> list[int]:
    counts, position = [], 0
    for moment in moments:
        while position < len(times) and times[position] <= moment:
            position += 1
        counts.append(position)
    return counts


def _progress(name: str) -> Callable[[float, int], None]:
    last = time.monotonic()

    def report(now: float, events: int) -> None:
        nonlocal last
        if time.monotonic() - last > 5:
            last = time.monotonic()
            print(f"{name}: minute {now / 60:.0f} after {events:,} events", file=sys.stderr, flush=True)

    return report


def loads() -> list[Load]:
    """The simulated days and bursts."""
    usual, scarce, new = Account(1000, 50), Account(1000, 20), Account(10, 5)

    def day(name: str, account: Account, workflow: str) -> Load:
        return Load(f"a million in a day, {name}", 1_000_000, account, workflow, True, over_a_day=True, part=0.05)

    def burst(name: str, workflow: str, labels: bool) -> Load:
        return Load(f"100,000 at once, {name}", 100_000, usual, workflow, labels, part=0.2)

    return [
        day("Standard, labels", usual, STANDARD),
        day("Express, labels", usual, EXPRESS),
        day("20 calls/s, Standard, labels", scarce, STANDARD),
        day("20 calls/s, Express, labels", scarce, EXPRESS),
        burst("Standard, labels", STANDARD, True),
        burst("Express, labels", EXPRESS, True),
        burst("Standard, no labels", STANDARD, False),
        burst("Express, no labels", EXPRESS, False),
        Load("10,000 at once, new account, Standard, labels", 10_000, new, STANDARD, labels=True),
        Load("10,000 at once, new account, Express, labels", 10_000, new, EXPRESS, labels=True),
    ]


def inputs() -> dict:
    """What the results rest on; tests/bench/test_scaling.py compares it with the code."""
    machine = Machine.from_asl(read_definition())
    return {
        "Steps": {step: round(seconds, 3) for step, seconds in measured().items()},
        "Transitions": machine.transitions,
        "Retries": {
            step.name: sorted(
                f"{sorted(rule.errors)[0]} {rule.interval} {rule.backoff_rate} {rule.max_delay} {rule.max_attempts}"
                for rule in step.rules
            )
            for step in machine.steps
        },
    }


def main() -> None:
    """Simulate every load, and write the results."""
    parser = argparse.ArgumentParser(prog="bench.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only these loads, by a part of their name; prints instead of writing")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chosen = [load for load in loads() if not options.names or any(part in load.name for part in options.names)]
    results = [simulate(load, options.seed) for load in chosen]
    if options.names:
        for result in results:
            print(json.dumps({name: value for name, value in result.items() if name != "Curve"}))
        return
    found = {
        "Inputs": inputs(),
        "Bindings": [vars_of(binding) for binding in bindings(costs.usage())],
        "Loads": results,
    }
    TARGET.write_text(to_text(found))


def to_text(found: dict) -> str:
    """JSON with each curve on a line."""
    text = json.dumps(found, indent=1)
    return re.sub(r"\[\s+([\d.,\s]+?)\s+\]", lambda numbers: f"[{' '.join(numbers[1].split())}]", text) + "\n"


def vars_of(binding: Binding) -> dict:
    return {"Quota": binding.quota, "UploadsASecond": round(binding.rate, 1), "Workflow": binding.workflow}


if __name__ == "__main__":
    main()
