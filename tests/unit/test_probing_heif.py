"""AVIF and HEIC headers."""

import io
import itertools
import struct

import pillow_heif
import pytest
from PIL import Image, ImageOps

from imagepipeline.errors import DamagedImage, TooComplex, UnsupportedFormat
from imagepipeline.probing import probe, probe_whole
from imagepipeline.rendering import decoding
from tests.unit import samples
from tests.unit.samples import CountingSource, box, clap, full_box, heif, ispe

PLAIN = {1: ("hvc1", [ispe(400, 300)])}
ALPHA = full_box("auxC", b"urn:mpeg:hevc:2015:auxid:1\0")
TRANSPOSE = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def reference(kind: str, source: int, *targets: int) -> bytes:
    return box(kind, struct.pack(f">HH{len(targets)}H", source, len(targets), *targets))


@pytest.mark.parametrize("name", ["photo", "alpha", "grey", "odd", "ten", "ten_alpha"])
def test_a_heic_header_agrees_with_libheif(name: str) -> None:
    decoded = pillow_heif.open_heif(samples.heic(name))

    header = probe(CountingSource(samples.heic(name)))

    assert (header.format, (header.width, header.height)) == ("HEIC", decoded.size)
    assert (header.color_mode, header.bit_depth) == (decoded.mode, decoded.info["bit_depth"])


@pytest.mark.parametrize(("turns", "mirror"), [*itertools.product([None, 0, 1, 2, 3], [None, 0, 1])])
def test_a_turned_heic_has_the_orientation_that_turns_it_upright(turns: int | None, mirror: int | None) -> None:
    properties = [box(kind, bytes((n,))) for kind, n in (("irot", turns), ("imir", mirror)) if n is not None]
    turned = samples.heic_with("photo", *properties)

    header = probe(CountingSource(turned))

    stored = pillow_heif.open_heif(samples.heic("photo")).to_pillow()
    upright = stored.transpose(TRANSPOSE[header.orientation]) if TRANSPOSE[header.orientation] is not None else stored
    assert (header.width, header.height) == stored.size
    assert upright.tobytes() == pillow_heif.open_heif(turned).to_pillow().tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_avif_has_the_orientation_it_was_written_with(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = samples.encoded("AVIF", exif=exif)
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(data))).size == ((30, 40) if orientation > 4 else (40, 30))

    assert probe_whole(data).orientation == orientation


def test_a_grid_has_the_size_of_the_whole_and_the_format_of_its_tiles() -> None:
    tiles = {number: ("av01", [ispe(512, 512)]) for number in (2, 3)}
    grid = heif({1: ("grid", [ispe(1000, 500)]), **tiles}, references=(reference("dimg", 1, 2, 3),))

    header = probe(CountingSource(grid))

    assert (header.format, header.width, header.height) == ("AVIF", 1000, 500)


def test_only_the_primary_item_counts() -> None:
    two = heif({1: ("hvc1", [ispe(160, 120)]), 2: ("hvc1", [ispe(4000, 3000)])}, primary=2)

    assert probe(CountingSource(two)).width == 4000


def test_an_auxiliary_picture_is_alpha_only_if_it_says_so() -> None:
    items = {**PLAIN, 2: ("hvc1", [ALPHA])}
    depth = {**PLAIN, 2: ("hvc1", [full_box("auxC", b"urn:mpeg:hevc:2015:auxid:2\0")])}

    assert probe_whole(heif(items, references=(reference("auxl", 2, 1),))).color_mode == "RGBA"
    assert probe_whole(heif(depth, references=(reference("auxl", 2, 1),))).color_mode == "RGB"


@pytest.mark.parametrize(
    "urn", ["mpeg:hevc:2015:auxid:1", "mpeg:avc:2015:auxid:1", "mpeg:mpegB:cicp:systems:auxiliary:alpha"]
)
@pytest.mark.parametrize("kind", ["unci", "mski", "jpeg", "av01", "grid"])
def test_transparency_for_another_decoder_is_rejected(kind: str, urn: str) -> None:
    alpha = full_box("auxC", b"urn:" + urn.encode() + b"\0")
    data = heif({**PLAIN, 2: (kind, [ispe(400, 300), alpha])}, references=(reference("auxl", 2, 1),))

    with pytest.raises(UnsupportedFormat):
        probe(CountingSource(data))


def test_transparency_of_a_tile_for_another_decoder_is_rejected() -> None:
    items = {1: ("grid", [ispe(400, 300)]), 2: ("hvc1", [ispe(400, 300)]), 3: ("unci", [ispe(400, 300), ALPHA])}

    with pytest.raises(UnsupportedFormat, match="'unci'"):
        probe(CountingSource(heif(items, references=(reference("dimg", 1, 2), reference("auxl", 3, 2)))))


@pytest.mark.parametrize(
    ("kind", "problem"), [("unci", "'unci'"), ("mski", "'mski'"), ("grid", "'grid'"), ("av01", "several codecs")]
)
def test_tiles_for_another_decoder_are_rejected(kind: str, problem: str) -> None:
    tiles = {2: ("hvc1", [ispe(512, 512)]), 3: (kind, [ispe(512, 512)])}
    grid = heif({1: ("grid", [ispe(1000, 500)]), **tiles}, references=(reference("dimg", 1, 2, 3),))

    with pytest.raises(UnsupportedFormat, match=problem):
        probe(CountingSource(grid))


@pytest.mark.parametrize("kind", ["pitm", "iinf", "iprp", "iref"])
def test_a_header_that_states_anything_twice_is_rejected(kind: str) -> None:
    data = heif(PLAIN)
    at = data.index(kind.encode()) - 4
    again = data[at : at + struct.unpack_from(">I", data, at)[0]]
    meta_at = data.index(b"meta") - 4

    with pytest.raises(DamagedImage, match=f"twice \\({kind}\\)"):
        probe(CountingSource(samples.lengthened(data[:at] + again + data[at:], meta_at, len(again))))


def test_an_item_of_two_types_is_rejected() -> None:
    data = heif({**PLAIN, 2: ("unci", [])}).replace(b"\0\x02\0\0unci", b"\0\x01\0\0unci")

    with pytest.raises(DamagedImage, match=r"twice \(item 1\)"):
        probe(CountingSource(data))


@pytest.mark.parametrize("between", [b"", box("mdat", bytes(99)), box("free") * 3])
def test_a_file_that_describes_its_picture_twice_is_not_decoded(between: bytes) -> None:
    data, other = samples.heic("photo"), samples.heic("odd")
    second = other[other.index(b"meta") - 4 : other.index(b"mdat") - 4]
    assert pillow_heif.open_heif(data + second).size != pillow_heif.open_heif(data).size  # libheif believes the last

    with pytest.raises(DamagedImage, match="twice"):
        decoding.open_image(data + between + second, probe_whole(data))


@pytest.mark.parametrize("trailer", [b"", b"\0", b"SEFT" * 9, bytes(40)])
def test_data_that_a_camera_appends_is_ignored(trailer: bytes) -> None:
    data = samples.heic("photo")

    assert decoding.open_image(data + trailer, probe_whole(data)).size == (120, 80)


def test_boxes_before_the_header_are_skipped() -> None:
    data = heif(PLAIN)
    ftyp = struct.unpack(">I", data[:4])[0]
    source = CountingSource(data[:ftyp] + box("free", bytes(10_000_000)) + data[ftyp:])

    assert probe(source).width == 400

    assert len(source.reads) == 2


def test_nothing_is_read_after_the_pixels_once_the_picture_is_described() -> None:
    source = CountingSource(heif(PLAIN) + box("mdat", bytes(10_000_000)) + box("free"))

    probe(source)

    assert len(source.reads) == 1


@pytest.mark.parametrize("kind", ["E\xeaif", "mime\0\xea"])
def test_an_item_whose_name_is_not_text_is_ignored(kind: str) -> None:
    assert probe(CountingSource(heif({**PLAIN, 2: (kind, [])}))).width == 400


def film_without_a_picture() -> bytes:
    return box("ftyp", b"avis", bytes(4)) + full_box("meta", full_box("hdlr", bytes(20))) + box("moov", bytes(8))


@pytest.mark.parametrize(
    ("data", "rejection", "problem"),
    [
        (heif({1: ("jpeg", [ispe(4, 3)])}), UnsupportedFormat, "picture of type 'jpeg'"),
        (heif({1: ("grid", [ispe(4, 3)])}), UnsupportedFormat, "picture of type ''"),
        (box("ftyp", b"msf1", bytes(4)) + box("moov", bytes(9)), UnsupportedFormat, "without a still picture"),
        (box("ftyp", b"heic", bytes(4)) + box("mdat", bytes(9)), DamagedImage, "describes a picture"),
        (heif(PLAIN, primary=7), DamagedImage, "which of its items"),
        (heif({1: ("hvc1", [])}), DamagedImage, "no size"),
        (heif({1: ("hvc1", [ispe(0, 3)])}), DamagedImage, "0x3"),
        (heif({1: ("hvc1", [box("ispe", bytes(5))])}), DamagedImage, "too short"),
        (heif({1: ("hvc1", [ispe(9, 9), box("clap", bytes(32))])}), DamagedImage, "division by zero"),
        (heif({1: ("hvc1", [ispe(9, 9), clap(5, 5, right=3)])}), DamagedImage, "extends beyond the picture"),
        (heif({1: ("hvc1", [ispe(9, 9), clap(5, 5, down=-3)])}), DamagedImage, "extends beyond the picture"),
        (heif({1: ("hvc1", [ispe(9, 9), clap(0, 5)])}), DamagedImage, "is empty"),
        (film_without_a_picture(), UnsupportedFormat, "a HEIF image sequence without a still picture"),
        (heif(PLAIN).replace(b"iprp", b"iprx"), DamagedImage, "no size"),
        (heif(PLAIN)[:60], DamagedImage, "ends at byte 60"),
    ],
)
def test_a_broken_header_is_named(data: bytes, rejection: type, problem: str) -> None:
    with pytest.raises(rejection, match=problem):
        probe(CountingSource(data))


def cropped_to_nothing() -> bytes:
    return heif({1: ("hvc1", [ispe(10_000, 10_000), clap(1, 1)])})


def tiled(tile: int, count: int) -> bytes:
    items = {1: ("grid", [ispe(100, 100)]), 2: ("hvc1", [ispe(tile, tile)])}
    return heif(items, references=(reference("dimg", 1, *[2] * count),))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (tiled(64, 1001), "1,001 tiles"),
        (tiled(10_000, 1), "tiles are far larger"),
        (cropped_to_nothing(), "coded picture is far larger"),
        (box("ftyp", b"heic", bytes(4)) + box("meta", bytes(2_000_000)), "2,000,008 bytes"),
        (box("ftyp", b"heic", bytes(4)) + box("free") * 200, "100 boxes"),
    ],
)
def test_a_small_picture_of_huge_parts_is_rejected(data: bytes, problem: str) -> None:
    with pytest.raises(TooComplex, match=problem):
        probe(CountingSource(data))
