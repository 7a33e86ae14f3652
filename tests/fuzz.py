"""Broken images without end: each must come out as correct renditions or as a named rejection.

    python -m tests.fuzz --seconds 600 --seed 1     # until the time is over
    python -m tests.fuzz --seed 1 --case 4711       # one of them again, in this process, with its traceback

The exit status is 1 if anything else came out. Each case follows from its seed and number alone. They run in a process
of their own, which is replaced when one of them ends it (a crash in a decoder) or takes too long; what did that is
kept as a file.
"""

import argparse
import io
import multiprocessing
import os
import random
import resource
import struct
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from imagepipeline import exif, limits, renditions
from imagepipeline.errors import ImageRejected
from imagepipeline.probing import probe
from imagepipeline.probing.ranges import MAX_BYTES_READ
from imagepipeline.rendering import render
from tests.unit import samples

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
    chance = random.Random(f"{seed}/{case}")  # noqa: S311 (not for secrets)
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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="only this one, here")
    options = parser.parse_args()
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
