"""What Amazon Rekognition is asked about an image, and what the record holds of its answers. Standard library only."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from imagepipeline.geometry import Box
from imagepipeline.models import JsonObject

# Of an image in the record. They bound it, because a notification contains it four times in 256 KiB.
MAX_FACES = 20
LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")  # of each face
MAX_MODERATION_LABELS = 50  # about as many as Rekognition's taxonomy has


@dataclass(frozen=True, slots=True)
class Analysis:
    """One question to Rekognition, and the attributes of the record that belong to it."""

    name: str  # in the names of the attributes that say why there is no answer
    operation: str  # the method of botocore's client
    attributes: tuple[str, ...]  # that hold the answer; every answer has the first
    read: Callable[[JsonObject], JsonObject]  # these attributes from Rekognition's response

    @property
    def error(self) -> str:
        """The attribute that says why there is no answer although Rekognition was asked: `{"Name", "Message"}`."""
        return f"{self.name}Error"

    @property
    def skipped(self) -> str:
        """The attribute that says why Rekognition was not asked: `{"Name", "Message"}`."""
        return f"{self.name}Skipped"

    def is_answered(self, record: JsonObject) -> bool:
        """Whether a record, or a part of one, holds the answer."""
        return self.attributes[0] in record and self.error not in record and self.skipped not in record


def _labels(response: JsonObject) -> JsonObject:
    found = [{"Name": label["Name"], "Confidence": round(label["Confidence"], 1)} for label in response["Labels"]]
    return _present({"Labels": found, "LabelModelVersion": response.get("LabelModelVersion")})


def _faces(response: JsonObject) -> JsonObject:
    largest_first = sorted(response["FaceDetails"], key=lambda face: -_area(face["BoundingBox"]))
    return {"Faces": [_face(detail) for detail in largest_first[:MAX_FACES]]}


def _face(detail: JsonObject) -> JsonObject:
    face = {
        "BoundingBox": {side: round(detail["BoundingBox"][side], 5) for side in ("Left", "Top", "Width", "Height")},
        "Confidence": round(detail["Confidence"], 1),
        "Landmarks": [
            {"Type": landmark["Type"], "X": round(landmark["X"], 5), "Y": round(landmark["Y"], 5)}
            for landmark in detail.get("Landmarks", [])
            if landmark["Type"] in LANDMARKS
        ],
    }
    if "Pose" in detail:
        face["Pose"] = {angle: round(degrees, 1) for angle, degrees in detail["Pose"].items()}
    return face


def _moderation(response: JsonObject) -> JsonObject:
    found = [
        {
            "Name": label["Name"],
            "ParentName": label.get("ParentName", ""),
            "Confidence": round(label["Confidence"], 1),
            "TaxonomyLevel": label.get("TaxonomyLevel"),
        }
        for label in response["ModerationLabels"][:MAX_MODERATION_LABELS]
    ]
    return _present(
        {
            "ModerationLabels": [_present(label) for label in found],
            "ModerationModelVersion": response.get("ModerationModelVersion"),
        }
    )


LABELS = Analysis("Labels", "detect_labels", ("Labels", "LabelModelVersion"), _labels)
FACES = Analysis("Faces", "detect_faces", ("Faces",), _faces)
MODERATION = Analysis(
    "Moderation", "detect_moderation_labels", ("ModerationLabels", "ModerationModelVersion"), _moderation
)
ANALYSES = (LABELS, FACES, MODERATION)


def answers(record: JsonObject, analyses: Iterable[Analysis] = ANALYSES) -> JsonObject:
    """The attributes of a record, or of a part of one, that hold answers to `analyses`."""
    return {
        name: record[name]
        for analysis in analyses
        if analysis.is_answered(record)
        for name in analysis.attributes
        if name in record
    }


def missing(record: JsonObject) -> list[Analysis]:
    """The analyses whose answers a record should hold and does not."""
    return [analysis for analysis in ANALYSES if analysis.error in record]


def in_words(labels: list[JsonObject]) -> str:
    """The first five labels with their confidences, as a person reads them: `Rocket 99 %, Night 88 %`."""
    return ", ".join(f"{label['Name']} {label['Confidence']:.0f} %" for label in labels[:5])


def boxes(faces: Iterable[JsonObject]) -> list[Box]:
    """Where the faces of a record are."""
    return [(box["Left"], box["Top"], box["Width"], box["Height"]) for box in (face["BoundingBox"] for face in faces)]


def visible(picture: tuple[int, int], crop: tuple[int, int]) -> Box:
    """The part of a picture that a crop from its centre shows. Both are `(width, height)`, the crop at any scale."""
    wider = (crop[0] * picture[1]) / (crop[1] * picture[0])
    width, height = min(1.0, wider), min(1.0, 1 / wider)
    return (1 - width) / 2, (1 - height) / 2, width, height


def in_picture(faces: list[JsonObject], shown: Box) -> list[JsonObject]:
    """The faces of a crop, with positions in the picture of which it shows the part `shown`."""
    left, top, width, height = shown
    return [
        {
            **face,
            "BoundingBox": {
                "Left": round(left + face["BoundingBox"]["Left"] * width, 5),
                "Top": round(top + face["BoundingBox"]["Top"] * height, 5),
                "Width": round(face["BoundingBox"]["Width"] * width, 5),
                "Height": round(face["BoundingBox"]["Height"] * height, 5),
            },
            "Landmarks": [
                {**point, "X": round(left + point["X"] * width, 5), "Y": round(top + point["Y"] * height, 5)}
                for point in face["Landmarks"]
            ],
        }
        for face in faces
    ]


def _area(box: JsonObject) -> float:
    area: float = box["Width"] * box["Height"]
    return area


def _present(attributes: JsonObject) -> JsonObject:
    return {name: value for name, value in attributes.items() if value is not None}
