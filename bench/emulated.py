"""`python -m bench.emulated`: the simulation against the emulator, for a small burst in an account with few executions.

Both get the same uploads at once, the same quota of Lambda executions, the retry rules of the state machine, and steps
of the same duration: those that the emulator's REPORT lines state. The emulator multiplies every wait by `--scale`, and
waits at most 60 seconds before that, and so does the simulation.
"""

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

from bench import usage
from bench.quotas import DEFINITION, FUNCTIONS, Account, Durations, Machine, RetryRule, Scenario, Simulation
from bench.usage import Measured, report
from local.stack import LocalStack

LONGEST_WAIT = 60  # seconds, before the emulator scales them
PHOTO = usage.ROOT / "local" / "photos" / "astronaut.jpg"


def emulate(images: int, executions: int, scale: float) -> dict:
    """Upload at once, and wait until every record is COMPLETED."""
    os.environ |= {"LAMBDA_ACCOUNT_CONCURRENCY": str(executions), "SFN_WAIT_SCALE": str(scale)}
    with tempfile.TemporaryDirectory(prefix="bench-emulated-") as folder, LocalStack(Path(folder) / "run") as stack:
        measured = Measured(stack)

        def upload(number: int) -> None:
            key = f"uploads/{number:04}.jpg"
            measured.s3.upload_file(str(PHOTO), measured.outputs["UploadsBucket"], key)

        for number in range(5):  # one after another: warm, and without waits
            upload(number)
            usage.eventually(lambda key=f"uploads/{number:04}.jpg": _status(measured, key) == "COMPLETED")
            time.sleep(0.5)
        between = _overhead(measured)

        measured.begin()
        started = time.time()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(upload, range(1000, 1000 + images)))
        uploaded = time.time()
        records: list[dict] = []
        while len(records) < images:
            time.sleep(0.5)
            records = [record for record in _records(measured) if record["ImageKey"]["S"] >= "uploads/1000"]
            records = [record for record in records if record["Status"]["S"] != "PROCESSING"]
            print(f"\r{len(records)} of {images} completed", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        waits = [_moment(record, "CompletedAt") - _moment(record, "ReceivedAt") for record in records]
        refused = [
            sum(int(count["N"]) for count in record["Attempts"]["M"].values()) - len(FUNCTIONS) for record in records
        ]
        return {
            "steps": {step: _mean_seconds(measured, name) for step, name in FUNCTIONS.items()},
            "between_steps": between,
            "uploading": uploaded - started,
            "drain": max(_moment(record, "CompletedAt") for record in records) - started,
            "wait_median": statistics.median(waits),
            "wait_longest": max(waits),
            "refused": statistics.fmean(refused),
            "failed": sum(record["Status"]["S"] != "COMPLETED" for record in records),
        }


def _status(measured: Measured, key: str) -> str:
    return measured.item(key).get("Status", {}).get("S", "")


def _records(measured: Measured) -> list[dict]:
    pages = measured.table.get_paginator("scan").paginate(TableName=measured.outputs["ImagesTable"])
    return [item for page in pages for item in page["Items"]]


def _moment(record: dict, name: str) -> float:
    return datetime.fromisoformat(record[name]["S"]).timestamp()


def _mean_seconds(measured: Measured, function: str) -> float:
    lines = [line for line in measured.log(measured.groups[function]) if line.startswith("REPORT")]
    return statistics.fmean(report(line)["Duration"] for line in lines) / 1000


def _overhead(measured: Measured) -> float:
    """Seconds between two steps: of an execution, what no function takes, divided by its steps."""
    ended = [found for found in measured.executions("ImagePipeline") if "stopDate" in found][
        :-1
    ]  # the first one is cold
    taken = statistics.fmean((found["stopDate"] - found["startDate"]).total_seconds() for found in ended)
    return max(0.0, (taken - sum(_mean_seconds(measured, name) for name in FUNCTIONS.values())) / len(FUNCTIONS))


class EmulatedRule(RetryRule):
    """A rule as the emulator applies it: it draws a wait, limits it to a minute, and then scales it."""

    scale = 1.0

    def delay(self, retries: int, rng: random.Random) -> float:
        return min(super().delay(retries, rng), LONGEST_WAIT) * self.scale


def simulated(found: dict, images: int, executions: int, scale: float, seed: int) -> dict:
    """The same burst, simulated."""
    EmulatedRule.scale = scale
    machine = Machine.from_asl(json.loads(DEFINITION.read_text()))
    steps = tuple(
        replace(step, rules=tuple(EmulatedRule(**asdict(rule)) for rule in step.rules)) for step in machine.steps
    )
    durations = Durations(found["steps"], between_steps=found["between_steps"])
    rate = images / found["uploading"] if found["uploading"] else math.inf
    scenario = Scenario("emulated", images, rate, Account(executions))
    played = Simulation(replace(machine, steps=steps), scenario, durations, seed).run()
    waits = [image.ended - image.arrived for image in played.images]
    return {
        "drain": max(image.ended for image in played.images),
        "wait_median": statistics.median(waits),
        "wait_longest": max(waits),
        "refused": statistics.fmean(image.refused for image in played.images),
        "failed": sum(image.status != "COMPLETED" for image in played.images),
    }


def main() -> None:
    """Run both, and print them side by side."""
    parser = argparse.ArgumentParser(prog="bench.emulated", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--executions", type=int, default=2)
    parser.add_argument("--scale", type=float, default=0.05)
    parser.add_argument("--seeds", type=int, default=20, help="how many simulations to average")
    options = parser.parse_args()

    found = emulate(options.images, options.executions, options.scale)
    runs = [simulated(found, options.images, options.executions, options.scale, seed) for seed in range(options.seeds)]
    print(
        f"{datetime.now(UTC).date()}, {options}; steps "
        + ", ".join(f"{k} {v:.3f} s" for k, v in found["steps"].items())
    )
    print(f"between steps {found['between_steps']:.3f} s, uploading {found['uploading']:.1f} s")
    for name in ("drain", "wait_median", "wait_longest", "refused", "failed"):
        values = [run[name] for run in runs]
        mean = statistics.fmean(values)
        deviation = f"{found[name] / mean - 1:+.0%}" if mean else ""
        spread = f"({min(values):.2f} to {max(values):.2f})"
        print(f"{name:14}emulator {found[name]:8.2f}   simulation {mean:8.2f} {spread}   {deviation}")


if __name__ == "__main__":
    main()
