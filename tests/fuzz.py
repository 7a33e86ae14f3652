"""Fuzzing: broken images must be rendered correctly or rejected by name, and none may cost more than the budget.

    python -m tests.fuzz --seconds 600 --seed 1            # until the time is over
    python -m tests.fuzz --seed 1 --case 4711              # one case again, in this process, with its traceback
    python -m tests.fuzz --costs --seconds 120 BMP JPEG    # look for the costliest files, two minutes for each format

The exit status is 1 if there was another outcome. Each case follows from its seed and number alone. Cases run in a
process of their own, which is replaced when a case ends it (a crash in a decoder) or takes too long; such files are
kept.

With --costs, the search begins with files that are known to be costly and goes on from those that take the most
processor time and memory for their size. The ten worst are printed and kept.
"""

import argparse
import io
import multiprocessing
import os
import random
import resource
import signal
import struct
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from imagepipeline import exif, limits, renditions
from imagepipeline.errors import ImageRejected
from imagepipeline.probing import probe
from imagepipeline.probing.formats import ACCEPTED
from imagepipeline.probing.ranges import MAX_BYTES_READ
from imagepipeline.rendering import render
from tests.unit import crafted, samples

SPECS = renditions.parse("small=20x20 medium=64x48:cover:webp")
LIMITS = limits.Limits(max_bytes=10_000_000, max_pixels=4_000_000)  # fewer pixels than usual: more cases a second
SECONDS_A_CASE = 30
ADDRESS_SPACE = 6 * 2**30  # of the process with the cases: a guard for the machine, far above what any may need

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@cache
def originals() -> tuple[tuple[str, bytes], ...]:
    """Good files of every format and many kinds, with their format's name."""
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = 6, "Apple"
    tags.get_ifd(0x8769)[0x9003] = "2021:05:04 12:34:56"
    size = (97, 61)
    kinds = [
        *[("JPEG", mode, {}) for mode in ("L", "RGB", "CMYK")],
        ("JPEG", "RGB", {"progressive": True, "exif": tags}),
        *[("PNG", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")],
        ("PNG", "RGB", {"exif": tags, "frames": 3}),
        ("GIF", "RGB", {}),
        ("GIF", "L", {"frames": 3}),
        *[("WEBP", mode, {"lossless": lossless}) for mode in ("RGB", "RGBA") for lossless in (True, False)],
        ("WEBP", "RGB", {"exif": tags, "frames": 3}),
        *[("TIFF", mode, {}) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16")],
        *[("TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")],
        ("TIFF", "1", {"compression": "group4"}),
        ("TIFF", "RGB", {"big_tiff": True, "frames": 2}),
        *[("BMP", mode, {}) for mode in ("1", "P", "RGB", "RGBA")],
        *[("AVIF", mode, {}) for mode in ("L", "RGB", "RGBA")],
        ("AVIF", "RGB", {"exif": tags}),
        ("AVIF", "RGB", {"frames": 2}),
    ]
    files = [(format_name, samples.encoded(format_name, mode, size, **options)) for format_name, mode, options in kinds]
    turn = samples.box("irot", b"\1")
    heics = ("photo", "alpha", "grey", "odd", "ten", "ten_alpha")
    files += [("HEIC", samples.heic_with(name, turn)) for name in heics]
    shown = samples.clap(50, 30, right=9, down=-9)
    wide = b"nclx" + struct.pack(">HH", 12, 16)
    cropped = samples.heif_with(samples.encoded("AVIF", "RGB", size), shown, turn)
    files.append(("AVIF", cropped.replace(b"nclx" + struct.pack(">HH", 1, 13), wide)))
    png = samples.encoded("PNG", "RGB", size)
    files.append(("PNG", png[:33] + samples.png_chunk(b"cICP", b"\t\x12\0\1") + png[33:]))
    return tuple(files)


def broken(seed: int, case: int) -> tuple[str, bytes]:
    """One of the originals with something wrong, and its format's name."""
    chance = random.Random(f"{seed}/{case}")
    format_name, original = chance.choice(originals())
    data = bytearray(original)
    for _ in range(chance.choice((1, 1, 2, 3, 8))):
        _break(chance, data)
    if format_name == "PNG" and chance.random() < 0.7:
        data = _with_right_checksums(data)  # or else hardly any would get past the first chunk
    return format_name, bytes(data)


def _break(chance: random.Random, data: bytearray) -> None:
    # Headers are at the front: half of the damage goes there.
    at = chance.randrange(max(1, min(len(data), chance.choice((64, 512, len(data))))))
    length = chance.choice((1, 2, 4, 16, 64))
    match chance.choice(("bit", "byte", "number", "number", "noise", "cut", "double", "move", "splice", "truncate")):
        case "bit":
            data[at : at + 1] = bytes(b ^ 1 << chance.randrange(8) for b in data[at : at + 1])
        case "byte":
            data[at : at + 1] = chance.randbytes(1)
        case "number":
            size = chance.choice((1, 2, 4))
            number = chance.choice(NUMBERS) % 256**size
            data[at : at + size] = number.to_bytes(size, chance.choice(("big", "little")))
        case "noise":
            data[at : at + length] = chance.randbytes(length)
        case "cut":
            del data[at : at + length]
        case "double":
            data[at:at] = data[at : at + length] * chance.choice((1, 2, 50))
        case "move":
            there = chance.randrange(len(data) or 1)
            data[at : at + length] = data[there : there + length]
        case "splice":
            other = chance.choice(originals())[1]
            data[at:] = other[chance.randrange(len(other)) :]
        case "truncate":
            del data[chance.randrange(len(data) or 1) :]


def _with_right_checksums(png: bytearray) -> bytearray:
    position = 8
    while position + 12 <= len(png):
        end = position + 8 + int.from_bytes(png[position : position + 4])
        png[end : end + 4] = zlib.crc32(png[position + 4 : end]).to_bytes(4)
        position = end + 4
    return png


def judge(data: bytes) -> str:
    """ "rendered", or the name of the rejection. Anything else that is wrong comes out as an exception."""
    source = samples.CountingSource(data)
    try:
        header = probe(source)
        limits.check(header, len(data), LIMITS)
        rendered = render(data, header, SPECS)
    except ImageRejected as rejection:
        return type(rejection).__name__
    finally:
        if source.bytes_read > MAX_BYTES_READ:
            raise AssertionError(f"{source.bytes_read:,} bytes were read for the header")
    for rendition in rendered.renditions.values():
        picture = Image.open(io.BytesIO(rendition.data))
        picture.load()
        if picture.size != (rendition.width, rendition.height) or picture.format != rendition.format:
            raise AssertionError(f"{rendition.name} is {picture.format} {picture.size}")
    exif.facts(rendered.picture.exif, location=True)
    return "rendered"


@dataclass(slots=True)
class Findings:
    """What came out, by format, and what should not have."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    bugs: list[str] = field(default_factory=list)
    cases: int = 0
    peak_mib: int = 0


def run(seed: int, *, seconds: float | None = None, cases: int | None = None, keep: Path | None = None) -> Findings:
    """Judge broken images until the time is over or so many are done. Files that show a bug go to `keep`."""
    findings = Findings()
    deadline = time.monotonic() + seconds if seconds is not None else None
    while (cases is None or findings.cases < cases) and (deadline is None or time.monotonic() < deadline):
        for case, outcome in _in_own_process(seed, findings.cases, cases, deadline, findings):
            format_name, data = broken(seed, case)
            findings.cases = case + 1
            if outcome.startswith("bug: "):
                findings.bugs.append(f"case {case} ({format_name}): {outcome[5:]}")
                if keep:
                    (keep / f"{seed}-{case}.{format_name.lower()}").write_bytes(data)
                outcome = "BUG"
            findings.outcomes[format_name, outcome] += 1
    return findings


def _in_own_process(
    seed: int, first: int, cases: int | None, deadline: float | None, findings: Findings
) -> Iterator[tuple[int, str]]:
    """Outcomes by case number, from `first` on, until the process ends: done, crashed, or for taking too long."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_judge_cases, args=(theirs, seed, first, cases, deadline))
    process.start()
    theirs.close()
    case = first
    try:
        while True:
            if not ours.poll(SECONDS_A_CASE):
                yield case, f"bug: takes over {SECONDS_A_CASE} seconds"
                return
            message = ours.recv()
            if message is None:
                return
            outcome, findings.peak_mib = message
            yield case, outcome
            case += 1
    except EOFError:
        process.join()
        yield case, f"bug: ends its process (exit status {process.exitcode})"
    finally:
        process.kill()
        process.join()


def _judge_cases(connection: Connection, seed: int, first: int, cases: int | None, deadline: float | None) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and libpng comment on everything
    case = first
    while (cases is None or case < cases) and (deadline is None or time.monotonic() < deadline):
        try:
            outcome = judge(broken(seed, case)[1])
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the finding)
            outcome = f"bug: {type(error).__name__}: {error}"
        connection.send((outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))
        case += 1
    connection.send(None)


# --------------------------------------------------------------------------------------------------------------- costs

COSTLIEST = 10  # files kept for each goal


@dataclass(frozen=True, slots=True)
class Cost:
    """What one file took, and what came out."""

    data: bytes
    seconds: float  # of processor time
    mib: int  # of memory, at the peak
    outcome: str

    def __str__(self) -> str:
        return f"{len(self.data):11,} bytes {self.seconds:6.1f} s {self.mib:6,} MiB  {self.outcome}"


def cost(data: bytes) -> Cost:
    """What the budgeted process takes for a file: probed, checked and rendered as the functions do it."""
    receiving, sending = os.pipe()
    process = os.fork()
    if process == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        outcome = "BUG"
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (limits.DECODING_SECONDS, resource.RLIM_INFINITY))
            resource.setrlimit(resource.RLIMIT_DATA, (limits.worker_bytes(len(data)), resource.RLIM_INFINITY))
            header = probe(samples.CountingSource(data))
            limits.check(header, len(data), limits.Limits(max_bytes=100 * limits.MIB))
            render(data, header, renditions.parse(renditions.DEFAULT))
            outcome = "rendered"
        except ImageRejected as rejection:
            outcome = type(rejection).__name__
        except MemoryError:
            outcome = "TooComplex"
        finally:
            os.write(sending, outcome.encode())
            os._exit(0)
    os.close(sending)
    with open(receiving, "rb") as pipe:  # noqa: PTH123 (a file descriptor)
        outcome = pipe.read().decode()
    _, status, usage = os.wait4(process, 0)
    if os.WIFSIGNALED(status):
        name = signal.Signals(os.WTERMSIG(status)).name
        outcome = "TooComplex" if name == "SIGXCPU" else f"DamagedImage ({name})"
    return Cost(data, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024, outcome)


def costliest(format_name: str, seed: int, seconds: float) -> list[Cost]:
    """The files that took the most, by processor time and by memory, absolutely and for their size."""
    chance = random.Random(f"{seed}/{format_name}")
    good = [data for name, data in originals() if name == format_name]
    # Made by another process: memory that this one holds would count as that of every process it forks.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        known = pool.apply(crafted.costly, (format_name,))
    found = [cost(data) for data in (*known, *good)]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        data = bytearray(chance.choice(found).data)
        for _ in range(chance.choice((1, 1, 2, 4))):
            chance.choice((_break, _repeat, _enlarge))(chance, data)
        if format_name == "PNG":
            data = _with_right_checksums(data)
        found = _worst([*found, cost(bytes(data))])
    return found


def _worst(costs: list[Cost]) -> list[Cost]:
    """The few that lead by any goal. Below 4 KiB, a file gains nothing by being smaller."""
    goals: tuple[Callable[[Cost], float], ...] = (
        lambda cost: cost.seconds,
        lambda cost: cost.seconds / max(len(cost.data), 4096),
        lambda cost: cost.mib,
        lambda cost: cost.mib / max(len(cost.data), 4096),
    )
    leading = [one for goal in goals for one in sorted(costs, key=goal, reverse=True)[:COSTLIEST]]
    return list({one.data: one for one in leading}.values())


def _repeat(chance: random.Random, data: bytearray) -> None:
    """Repeat a piece many times: scans, blocks, chunks, tiles."""
    at, length = chance.randrange(len(data) or 1), chance.choice((4, 16, 64, 256))
    data[at:at] = data[at : at + length] * chance.choice((4, 64, 1024))


def _enlarge(chance: random.Random, data: bytearray) -> None:
    """Write a large size over what may be one: two numbers in a row, near the beginning."""
    width, height = chance.choice(((10_000, 10_000), (65_535, 1_500), (1_500, 65_535), (4_000, 3_000), (9_000, 9_000)))
    layout = chance.choice((">HH", "<HH", ">II", "<II"))
    at = chance.randrange(max(1, min(len(data), 300)))
    size = struct.pack(layout, width, height)
    data[at : at + len(size)] = size


def print_costs(formats: list[str], seed: int, seconds: float, keep: Path) -> bool:
    """Search each format, print the worst, and say whether all stayed within the budget."""
    found = {name: costliest(name, seed, seconds) for name in formats}
    for name, costs in found.items():
        print(name)
        for rank, one in enumerate(sorted(costs, key=lambda one: one.seconds, reverse=True)[:COSTLIEST]):
            print(f"  {one}")
            (keep / f"{name.lower()}-time-{rank}").write_bytes(one.data)
        for rank, one in enumerate(sorted(costs, key=lambda one: one.mib, reverse=True)[:3]):
            print(f"  {one} (memory)")
            (keep / f"{name.lower()}-memory-{rank}").write_bytes(one.data)
    worst = [one for costs in found.values() for one in costs]
    most_seconds = limits.DECODING_SECONDS + 2  # the kernel looks once a second
    return all(
        one.seconds < most_seconds and one.mib * limits.MIB < limits.FUNCTION_BYTES and one.outcome != "BUG"
        for one in worst
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="only this one, here")
    parser.add_argument("--costs", action="store_true", help="look for the costliest files of each format")
    parser.add_argument("formats", nargs="*", default=ACCEPTED, help="for --costs, by default all")
    options = parser.parse_args()
    if options.costs:
        folder = Path(tempfile.mkdtemp(prefix="costs-"))
        within_budget = print_costs(list(options.formats), options.seed, options.seconds, folder)
        print(f"files in {folder}")
        return 0 if within_budget else 1
    if options.case is not None:
        format_name, data = broken(options.seed, options.case)
        print(f"{format_name}: {judge(data)}")
        return 0

    keep = Path(tempfile.mkdtemp(prefix="fuzz-"))
    findings = run(options.seed, seconds=options.seconds, keep=keep)
    names = sorted({outcome for _, outcome in findings.outcomes})
    print(f"{'':6}" + "".join(f"{name:>19}" for name in names))
    for format_name in sorted({format_name for format_name, _ in findings.outcomes}):
        print(f"{format_name:6}" + "".join(f"{findings.outcomes[format_name, name]:19,}" for name in names))
    print(f"{findings.cases:,} cases of seed {options.seed}; {findings.peak_mib:,} MiB at most")
    for bug in findings.bugs:
        print(bug)
    if findings.bugs:
        print(f"files in {keep}")
    else:
        keep.rmdir()
    return 1 if findings.bugs else 0


if __name__ == "__main__":
    raise SystemExit(main())
