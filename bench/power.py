"""`python -m bench.power`: what each function costs and how long it takes, by memory size.

AWS Lambda Power Tuning runs a function at several sizes. This computes the same table from one measurement
(`cli/usage.json`), because Lambda gives processor time in proportion to memory: 1,769 MB are one virtual processor.
A run takes its processor time divided by its share, and the time that it waits for AWS.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from bench.markdown import table
from cli.costs import FULL_PROCESSOR_MB, Document, Prices, duration_ms, prices, usage

SIZES = (128, 256, 512, 1024, FULL_PROCESSOR_MB, 3008)
# A size is large enough if a run takes at most so much longer than with a whole processor, ...
TOLERANCE_MS = 100
# ... and if the measured peak takes at most this part of it.
FILLED = 0.6
# For cold starts.
LEAST_MB = 256
# For unusual input or load (docs/costs.md).
AT_LEAST_MB = {
    "ThumbnailsFunction": 1650,  # the budget of the worker process: imagepipeline/limits.py
    "MetadataFunction": 340,  # converts a WebP of 4096x4096 pixels, if no rendition is a JPEG or PNG
    "IndexFunction": 512,  # reads each shard of the stream alone: its speed is that of the lists
}


@dataclass(frozen=True, slots=True)
class Tuned:
    """One function at every size."""

    name: str
    processor_ms: float
    wait_ms: float  # including one call of Rekognition
    peak_mb: float
    ms: dict[int, float]  # of a warm run
    usd: dict[int, float]  # for a million runs

    @property
    def size(self) -> int:
        """The smallest size that is fast enough and has room."""
        needed = max(LEAST_MB, self.peak_mb / FILLED, AT_LEAST_MB.get(self.name, 0))
        fast = self.ms[FULL_PROCESSOR_MB] + TOLERANCE_MS
        return next(size for size in SIZES if size >= needed and self.ms[size] <= fast)


def tune(name: str, function: Document, prices: Prices) -> Tuned:
    """A function's runs at every size, on arm64."""
    waited = function.get("RekognitionMs", 0)
    ms = {size: duration_ms(function, size, rekognition=True) for size in SIZES}
    gb_second, request = (prices.by_name[name].of for name in ("lambda_gb_second_arm64", "lambda_request"))
    return Tuned(
        name,
        function["ProcessorMs"],
        function["WaitMs"] + waited,
        function["PeakMb"],
        ms,
        {size: gb_second(1000 * took * size / 1024) + request(1_000_000) for size, took in ms.items()},
    )


def tuned(measured: Document, prices: Prices) -> list[Tuned]:
    """Every measured function, in the order of the template's story: uploads, deletions, API."""
    functions = {
        name: function
        for operation in ("Upload", "Deletion", "Api")
        for name, function in measured[operation]["Functions"].items()
    }
    return [tune(name, function, prices) for name, function in functions.items()]


def as_table(found: list[Tuned]) -> str:
    """Milliseconds of a run and USD for a million, the chosen size in bold."""
    rows = [("function", "processor ms", "waiting ms", "peak MB", *(f"{size} MB" for size in SIZES))]
    for one in found:
        cells = (
            f"**{one.ms[size]:.0f} ms, {one.usd[size]:.2f}**"
            if size == one.size
            else f"{one.ms[size]:.0f} ms, {one.usd[size]:.2f}"
            for size in SIZES
        )
        name = one.name.removesuffix("Function")
        rows.append((f"`{name}`", f"{one.processor_ms:.1f}", f"{one.wait_ms:.0f}", f"{one.peak_mb:.0f}", *cells))
    return table(rows)


def main() -> None:
    """Print the table for a measurement."""
    parser = argparse.ArgumentParser(prog="bench.power", description="Cost and duration of each function by memory.")
    parser.add_argument("--usage", type=Path, help="a measurement other than the packaged one")
    options = parser.parse_args()
    measured = json.loads(options.usage.read_text()) if options.usage else usage()
    print(as_table(tuned(measured, prices())))


if __name__ == "__main__":
    main()
