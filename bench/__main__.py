"""`python -m bench`: the three default renditions of one upload, this project against its rivals.

The pictures are made, or with `--photos` those of a folder. Rounds go through the contestants in turn, so that what
else happens on the machine hits all alike. All share one core. Times are CPU milliseconds over all threads: on an idle
core the same as the clock's.
"""

import argparse
import os
import statistics
import tempfile
from collections.abc import Iterable
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
    ssim: dict[str, float]  # of each rendition, after encoding, to a full-decode LANCZOS
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


def _look_at(worker: Worker, picture: Path) -> tuple[dict[str, float], int]:
    """The SSIM of a worker's renditions, by name, and their bytes."""
    with tempfile.TemporaryDirectory() as folder:
        worker.run(picture, into=Path(folder))
        files = list(Path(folder).iterdir())
        similarities = {}
        for file in files:
            with Image.open(file) as rendition:
                plain = naive.reference(picture.read_bytes(), rendition.size)
                similarities[file.stem] = quality.ssim(rendition, plain)
        return similarities, sum(file.stat().st_size for file in files)


def report(name: str, results: dict[str, Result | str]) -> None:
    """One picture's table."""
    ours = results["ours"]
    print(f"\n{name}\n{'':16}{'ms':>8} {'±':>5} {'ours is':>9} {'peak MiB':>9} {'SSIM':>7} {'KB':>7}")
    for contestant, result in results.items():
        if isinstance(result, str):
            print(f"{contestant:16} {result}")
            continue
        worst = min(result.ssim.values())
        ratio = f"{ours.ms / result.ms:8.2f}x" if isinstance(ours, Result) else ""
        print(
            f"{contestant:16}{result.ms:8.1f} {result.spread:5.1f} {ratio:>9} {result.peak:9.0f} {worst:7.4f}"
            f" {result.bytes / 1000:7.1f}"
        )


def summarise(all_results: dict[str, dict[str, Result | str]]) -> None:
    """The ratios that docs/encoders.md states: geometric means over the JPEG pictures, each other one by itself."""
    print(f"\n{'ours is, times':28}{'best rival':>12}{'sharp per_size':>16}{'SSIM lost to naive':>20}")
    jpegs = [results for name, results in all_results.items() if name.startswith("JPEG")]
    groups = {"JPEG, geometric mean": jpegs} | {
        name: [results] for name, results in all_results.items() if not name.startswith("JPEG")
    }
    for name, group in groups.items():
        compared = [results for results in group if isinstance(results["ours"], Result)]
        if not compared:
            continue
        best, per_size = map(_mean, zip(*map(_ratios, compared), strict=True))
        lost = max(map(_lost, compared))
        print(f"{name:28}{_or_dash(best):>12}{_or_dash(per_size):>16}{lost:>20.4f}")


def _ratios(results: dict[str, Result | str]) -> tuple[float | None, float | None]:
    """Our time as a multiple of the best rival's and of sharp's, one call for each size; None where these failed."""
    rivals = {
        name: result.ms
        for name, result in results.items()
        if name not in ("ours", "naive") and isinstance(result, Result)
    }
    ours = results["ours"].ms
    best = ours / min(rivals.values()) if rivals else None
    per_size = ours / rivals["sharp per_size"] if "sharp per_size" in rivals else None
    return best, per_size


def _mean(ratios: Iterable[float | None]) -> float | None:
    known = [ratio for ratio in ratios if ratio]
    return statistics.geometric_mean(known) if known else None


def _lost(results: dict[str, Result | str]) -> float:
    """The most SSIM that one of our renditions loses against the naive way's."""
    return max(results["naive"].ssim[name] - ours for name, ours in results["ours"].ssim.items())


def _or_dash(ratio: float | None) -> str:
    return f"{ratio:.2f}" if ratio else "-"


def main() -> None:
    """Install the rivals, make the pictures, measure, print."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure the imaging core against its rivals.")
    parser.add_argument(
        "pictures", nargs="*", help=f"which pictures, by a part of their name: {', '.join(pictures.NAMES)}"
    )
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="measure the photos in this folder instead")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the core to run on")
    options = parser.parse_args()
    photos = pictures.photos(options.photos) if options.photos else {}

    competitors = [contestants.OURS, contestants.NAIVE]
    for install in (contestants.sharp, contestants.vips):
        try:
            competitors += install(FOLDER)
        except LookupError as missing:
            print(f"left out: {missing}")
    os.sched_setaffinity(0, {options.cpu})

    all_results = {}
    for name in photos or pictures.NAMES:
        if any(part in name for part in options.pictures or [""]):
            picture = photos.get(name) or pictures.picture(name, FOLDER / "pictures")
            all_results[name] = measure(competitors, picture, options.rounds)
            report(name, all_results[name])
    summarise(all_results)


if __name__ == "__main__":
    main()
