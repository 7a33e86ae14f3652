"""`python -m bench`: the three default renditions of one upload, this project against its rivals.

Rounds go through the contestants in turn, so that what else happens on the machine hits all alike. All share one
core. Times are CPU milliseconds over all threads: on an idle core the same as the clock's.
"""

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from bench import contestants, naive, pictures, quality
from bench.contestants import Contestant, Worker

FOLDER = contestants.ROOT / ".local" / "bench"


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant on one picture."""

    ms: float  # median
    spread: float  # half the distance between the quartiles, ms
    peak: float  # MiB: the whole process's, after one run
    ssim: float  # the worst rendition's, after encoding, to a full-decode LANCZOS
    bytes: int  # of all renditions


def measure(competitors: list[Contestant], picture: Path, rounds: int) -> dict[str, Result | str]:
    """Results by contestant's name, or why there is none."""
    results: dict[str, Result | str] = {}
    times: dict[str, list[float]] = {}
    peaks = {}
    with ExitStack() as stack:
        workers = {one.name: stack.enter_context(Worker(one)) for one in competitors}
        for name, worker in list(workers.items()):
            warm_up = worker.run(picture)
            peaks[name] = worker.peak()
            if "error" in warm_up:
                results[name] = warm_up["error"]
                del workers[name]
        for _ in range(rounds):
            for name, worker in workers.items():
                times.setdefault(name, []).append(worker.run(picture)["ms"])
        for name, worker in workers.items():
            lower, median, upper = statistics.quantiles(times[name], n=4)
            results[name] = Result(median, (upper - lower) / 2, peaks[name], *_look_at(worker, picture))
    return results


def _look_at(worker: Worker, picture: Path) -> tuple[float, int]:
    """The worst SSIM of a worker's renditions, and their bytes."""
    with tempfile.TemporaryDirectory() as folder:
        worker.run(picture, into=Path(folder))
        files = list(Path(folder).iterdir())
        similarities = []
        for file in files:
            with Image.open(file) as rendition:
                similarities.append(quality.ssim(rendition, naive.reference(picture.read_bytes(), rendition.size)))
        return min(similarities), sum(file.stat().st_size for file in files)


def report(name: str, results: dict[str, Result | str]) -> None:
    """One picture's table."""
    ours = results["ours"]
    print(f"\n{name}\n{'':16}{'ms':>8} {'±':>5} {'ours is':>9} {'peak MiB':>9} {'SSIM':>7} {'KB':>7}")
    for contestant, result in results.items():
        if isinstance(result, str):
            print(f"{contestant:16} {result}")
            continue
        ratio = f"{ours.ms / result.ms:8.2f}x" if isinstance(ours, Result) else ""
        print(
            f"{contestant:16}{result.ms:8.1f} {result.spread:5.1f} {ratio:>9} {result.peak:9.0f} {result.ssim:7.4f}"
            f" {result.bytes / 1000:7.1f}"
        )


def summarise(all_results: dict[str, dict[str, Result | str]]) -> None:
    """The ratios that issue and README speak of: geometric means over the JPEG pictures, each other one by itself."""
    print(f"\n{'ours is, times':28}{'best rival':>12}{'sharp per_size':>16}{'SSIM lost to naive':>20}")
    jpegs = [results for name, results in all_results.items() if name.startswith("JPEG")]
    groups = {"JPEG, geometric mean": jpegs} | {
        name: [results] for name, results in all_results.items() if not name.startswith("JPEG")
    }
    for name, group in groups.items():
        ratios = [_ratios(results) for results in group if isinstance(results["ours"], Result)]
        if not ratios:
            continue
        best, per_size = (
            statistics.geometric_mean(column) if all(column) else None for column in list(zip(*ratios, strict=True))[:2]
        )
        lost = max(row[2] for row in ratios)
        print(f"{name:28}{_or_dash(best):>12}{_or_dash(per_size):>16}{lost:>20.4f}")


def _ratios(results: dict[str, Result | str]) -> tuple[float | None, float | None, float]:
    ours, plain = results["ours"], results["naive"]
    rivals = {
        name: result.ms
        for name, result in results.items()
        if name not in ("ours", "naive") and isinstance(result, Result)
    }
    best = ours.ms / min(rivals.values()) if rivals else None
    per_size = ours.ms / rivals["sharp per_size"] if "sharp per_size" in rivals else None
    return best, per_size, plain.ssim - ours.ssim


def _or_dash(ratio: float | None) -> str:
    return f"{ratio:.2f}" if ratio else "-"


def main() -> None:
    """Install the rivals, make the pictures, measure, print."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the imaging core against its rivals.")
    parser.add_argument(
        "pictures", nargs="*", help=f"which pictures, by a part of their name: {', '.join(pictures.NAMES)}"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    options = parser.parse_args()

    competitors = [contestants.OURS, contestants.NAIVE]
    for install in (contestants.sharp, contestants.vips):
        try:
            competitors += install(FOLDER)
        except LookupError as missing:
            print(f"left out: {missing}")
    os.sched_setaffinity(0, {options.cpu})

    all_results = {}
    for name in pictures.NAMES:
        if not options.pictures or any(part in name for part in options.pictures):
            all_results[name] = measure(competitors, pictures.picture(name, FOLDER / "pictures"), options.rounds)
            report(name, all_results[name])
    summarise(all_results)


if __name__ == "__main__":
    main()
