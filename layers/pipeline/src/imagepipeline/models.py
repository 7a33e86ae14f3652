"""Values that travel through the pipeline, and how each enters and leaves state data and the table.

Attribute names are PascalCase outside (state data, table, API) and snake_case inside.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from imagepipeline.keys import comparable

type JsonObject = dict[str, Any]  # an event, a payload, a record: what JSON or the table holds under string keys


def timestamp(moment: datetime, timespec: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """ISO 8601 in UTC, as S3 (in seconds) and Step Functions (in milliseconds) write times; `moment` has a zone."""
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Upload:
    """One version of one object under uploads/, as its S3 event describes it."""

    bucket: str
    key: str  # raw, as EventBridge sends it: not URL-encoded
    etag: str
    size: int  # bytes
    sequencer: str  # upper case, right-padded with zeros to keys.SEQUENCER_LENGTH
    version_id: str  # "null", as S3 says, in a bucket without versioning
    received_at: str  # ISO 8601, UTC: the time of the S3 event

    @classmethod
    def from_event(cls, event: JsonObject) -> "Upload":
        """The upload that an S3 event in EventBridge's format is about.

        An "Object Deleted" event has neither size nor ETag; they become 0 and "". KeyError names a missing attribute.
        """
        described = event["detail"]["object"]
        return cls(
            bucket=event["detail"]["bucket"]["name"],
            key=described["key"],
            etag=described.get("etag", ""),
            size=described.get("size", 0),
            sequencer=comparable(described["sequencer"]),
            version_id=described.get("version-id") or "null",
            received_at=event["time"],
        )


@dataclass(frozen=True, slots=True)
class Execution:
    """The Step Functions execution that processes an upload."""

    arn: str
    started_at: str  # ISO 8601, UTC

    @classmethod
    def from_state(cls, state: JsonObject) -> "Execution":
        """The `Execution` of a Lambda payload. KeyError names a missing attribute."""
        return cls(arn=state["Arn"], started_at=state["StartedAt"])


@dataclass(frozen=True, slots=True)
class Header:
    """What an image file declares about itself, read without decoding a pixel."""

    format: str  # "JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF" or "HEIC"
    width: int  # pixels, as stored: before any orientation is applied
    height: int
    frames: int = 1
    bit_depth: int = 8  # bits a channel
    color_mode: str = "RGB"  # "L", "LA", "RGB", "RGBA", "P", "CMYK", "YCCK" ...: Pillow's names where it has one
    progressive: bool = False  # interlaced, or in several scans: no part of it is done before the whole is read
    orientation: int = 1  # EXIF's 1 to 8, if the container states it (AVIF, HEIC); otherwise the EXIF block does

    @property
    def pixels(self) -> int:
        """Pixels of one frame."""
        return self.width * self.height

    def to_state(self) -> JsonObject:
        """PascalCase, for state data."""
        return {
            "Format": self.format,
            "Width": self.width,
            "Height": self.height,
            "Frames": self.frames,
            "BitDepth": self.bit_depth,
            "ColorMode": self.color_mode,
            "Progressive": self.progressive,
            "Orientation": self.orientation,
        }

    @classmethod
    def from_state(cls, state: JsonObject) -> "Header":
        """The reverse of `to_state`."""
        return cls(
            format=state["Format"],
            width=state["Width"],
            height=state["Height"],
            frames=state["Frames"],
            bit_depth=state["BitDepth"],
            color_mode=state["ColorMode"],
            progressive=state["Progressive"],
            orientation=state["Orientation"],
        )


@dataclass(frozen=True, slots=True)
class Rendition:
    """One derived image, as stored in the thumbnails bucket."""

    name: str
    key: str
    width: int  # pixels
    height: int
    format: str  # "JPEG", "PNG", "WEBP" or "AVIF"
    bytes: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    def to_state(self) -> JsonObject:
        """PascalCase, without the name, which is the map's key in `Renditions`."""
        return {"Key": self.key, "Width": self.width, "Height": self.height, "Format": self.format, "Bytes": self.bytes}

    @classmethod
    def from_state(cls, name: str, state: JsonObject) -> "Rendition":
        """The reverse of `to_state`."""
        return cls(name, state["Key"], state["Width"], state["Height"], state["Format"], state["Bytes"])
