"""A stand-in for Amazon Rekognition in the local run: its wire protocol, and OpenCV instead of its models.

    python -m local.rekognition --port 4599 --endpoint http://127.0.0.1:4566

It answers `DetectLabels` and `DetectFaces` over AWS JSON 1.1, so that every AWS SDK takes it for the service; only
`LabelModelVersion` says "local-opencv". It looks at the pixels: frontal human faces and cat faces by Haar cascade,
colours and sharpness by counting. What it can't see it doesn't name, so most pictures have no labels.

The image comes in the request or from the emulator's S3, where the emulator's IAM decides what the caller may read
(see `emulator`). Limits and messages are Rekognition's (see `images` and `errors`).

Faults on demand, for tests of what a caller does about them:

    PUT /_faults {"DetectLabels": {"Error": "ThrottlingException", "Count": 5}}   the next five calls are throttled
    PUT /_faults {"DetectFaces": {"DelaySeconds": 30}}                            each call waits half a minute
    PUT /_faults {"DetectLabels": {"Error": "InternalServerError", "DelaySeconds": 2, "Count": null}}
    GET /_faults                                                                  what is still to come
    DELETE /_faults                                                               well again

An operation's fault may have an `Error` (one of `errors.MESSAGES`), a `DelaySeconds`, or both, and holds for `Count`
calls, or until cleared where `Count` is null or absent. A PUT replaces all faults.

    GET /_calls     {"DetectFaces": 0, "DetectLabels": 7}: calls since the start, those that failed included
    GET /_health    {"LabelModelVersion": "local-opencv", "Status": "ok"}
"""
