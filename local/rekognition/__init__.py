"""A stand-in for Amazon Rekognition: its wire protocol, with OpenCV's detectors instead of its models.

    python -m local.rekognition --port 4599 --endpoint http://127.0.0.1:4566

It implements `DetectLabels`, `DetectFaces` and `DetectModerationLabels` over AWS JSON 1.1, so every AWS SDK can call
it. It detects frontal human faces and cat faces; other images get no labels. Moderation labels stand for colours: an
image that is mostly magenta (#ff00ff) is Explicit, and one that is mostly cyan (#00ffff) is Violence. Its
`LabelModelVersion` is "local-opencv", so that nobody mistakes its answers for Rekognition's. `Features` other than
GENERAL_LABELS, label filters, adapters and human loops are refused.

The image comes with the request or from the emulator's S3. The emulator's IAM decides what the caller may do and read
(see `emulator`). Limits and error messages are Rekognition's (see `images` and `errors`).

Tests can ask for faults:

    PUT /_faults {"DetectLabels": {"Error": "ThrottlingException", "Count": 5}}   throttle the next five calls
    PUT /_faults {"DetectFaces": {"DelaySeconds": 30}}                            delay every call by 30 seconds
    GET /_faults                                                                  the faults that are still to come
    DELETE /_faults                                                               remove all faults

A fault has an `Error` (a code in `errors.MESSAGES`), a `DelaySeconds`, or both. It applies to `Count` calls, or until
it is removed if `Count` is null or absent. A PUT replaces all faults.
"""
