"""The picture size in a codec's own headers: AV1's sequence header, and HEVC's sequence parameter set.

The container states a size, too, but decoders allocate and decode what these headers state.
"""

from collections.abc import Iterator

from imagepipeline.errors import TooComplex

type Size = tuple[int, int]  # width, height in pixels

MAX_UNITS = 1000  # OBUs or NAL units of an item; a still picture has a few, one of many tiles a few hundred

_OBU_SEQUENCE_HEADER = 1
_NAL_SEQUENCE_PARAMETERS = 33
_CHROMA_444 = 3


class _Bits:
    """Bits, read from the most significant on. Raises EOFError at their end."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data)
        self._left = 8 * len(data)

    def read(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise EOFError
        return self._value >> self._left & (1 << count) - 1

    def exp_golomb(self) -> int:
        """An unsigned number of variable length: ue(v) of HEVC, uvlc() of AV1."""
        zeros = 0
        while not self.read(1):
            zeros += 1
            if zeros > 32:
                raise EOFError
        return (1 << zeros) - 1 + self.read(zeros)


def av1_sizes(item: memoryview) -> Iterator[Size]:
    """The sizes that the sequence headers of an AV1 item state (AV1 specification, 5.3 and 5.5). Raises EOFError."""
    position = 0
    for _ in range(MAX_UNITS):
        if position >= len(item):
            return
        header = item[position]
        position += 2 if header & 0x04 else 1  # an extension follows
        length = len(item) - position
        if header & 0x02:
            length, position = _leb128(item, position)
        if header >> 3 & 0x0F == _OBU_SEQUENCE_HEADER:
            yield _sequence_header_size(_Bits(bytes(item[position : position + min(length, 256)])))
        position += length
    raise TooComplex(f"the AVIF's picture has more than {MAX_UNITS:,} parts (OBUs)")


def hevc_sizes(configuration: bytes) -> Iterator[Size]:
    """The sizes that an hvcC box's parameter sets state (ISO/IEC 14496-15, 8.3.3.1). Raises EOFError or IndexError."""
    position = 23
    for _ in range(configuration[22]):
        kind, count = configuration[position] & 0x3F, int.from_bytes(configuration[position + 1 : position + 3])
        position += 3
        for _ in range(count):
            length = int.from_bytes(configuration[position : position + 2])
            if not length:
                raise EOFError
            if kind == _NAL_SEQUENCE_PARAMETERS:
                yield _sequence_parameters_size(configuration[position + 2 : position + 2 + min(length, 256)])
            position += 2 + length


def _leb128(data: memoryview, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    number = 0
    for shift in range(0, 56, 7):
        if position >= len(data):
            raise EOFError
        number |= (data[position] & 0x7F) << shift
        position += 1
        if not data[position - 1] & 0x80:
            return number, position
    raise EOFError


def _sequence_header_size(bits: _Bits) -> Size:
    bits.read(4)  # seq_profile, still_picture
    if bits.read(1):  # reduced_still_picture_header
        bits.read(5)  # seq_level_idx
    else:
        _skip_operating_points(bits)
    width_bits, height_bits = bits.read(4) + 1, bits.read(4) + 1
    return bits.read(width_bits) + 1, bits.read(height_bits) + 1


def _skip_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.read(1):  # timing_info_present_flag
        bits.read(64)  # num_units_in_display_tick, time_scale
        if bits.read(1):  # equal_picture_interval
            bits.exp_golomb()
        if bits.read(1):  # decoder_model_info_present_flag
            delay_bits = bits.read(5) + 1
            bits.read(42)  # num_units_in_decoding_tick and two lengths
    has_display_delays = bits.read(1)
    for _ in range(bits.read(5) + 1):
        bits.read(12)  # operating_point_idc
        if bits.read(5) > 7:  # seq_level_idx
            bits.read(1)  # seq_tier
        if delay_bits and bits.read(1):
            bits.read(2 * delay_bits + 1)
        if has_display_delays and bits.read(1):
            bits.read(4)


def _sequence_parameters_size(unit: bytes) -> Size:
    """Width and height in luma samples, before the conformance window crops them (ITU-T H.265, 7.3.2.2)."""
    bits = _Bits(unit[2:].replace(b"\0\0\3", b"\0\0"))  # without emulation prevention
    bits.read(4)  # sps_video_parameter_set_id
    sub_layers = bits.read(3)
    bits.read(1 + 96)  # temporal_id_nesting, then general profile, tier and level
    present = [(bits.read(1), bits.read(1)) for _ in range(sub_layers)]
    if sub_layers:
        bits.read(2 * (8 - sub_layers))
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)
    bits.exp_golomb()  # sps_seq_parameter_set_id
    if bits.exp_golomb() == _CHROMA_444:  # chroma_format_idc
        bits.read(1)
    return bits.exp_golomb(), bits.exp_golomb()
