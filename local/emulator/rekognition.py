"""Amazon Rekognition, which MiniStack lacks."""

from ministack import app
from ministack.core import iam_actions, router

from local.emulator.upstream import add

SERVICE = "rekognition"


async def answer(*request: object) -> tuple:
    """Import OpenCV at the first request, because that takes as long as a third of the emulator's start."""
    from local.rekognition import service

    return await service.answer(*request)


add(app.SERVICE_HANDLERS, SERVICE, answer)
add(router.SERVICE_PATTERNS, SERVICE, {"target_prefixes": ["RekognitionService."]})
add(iam_actions.SERVICE_TO_IAM_NAMESPACE, SERVICE, SERVICE)
