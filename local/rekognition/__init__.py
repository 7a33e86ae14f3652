"""Amazon Rekognition's answers, with OpenCV's detectors instead of its models. The emulator serves them.

`DetectLabels` and `DetectFaces` find frontal human faces and cat faces; other images get no labels. For
`DetectModerationLabels`, colours stand for what is found: an image that is mostly magenta (#ff00ff) is Explicit, and
one that is mostly cyan (#00ffff) is Violence. The `LabelModelVersion` is "local-opencv", so that nobody mistakes these
answers for Rekognition's. Requests and responses have the parameters and fields that the pipeline uses, and no others.
"""
