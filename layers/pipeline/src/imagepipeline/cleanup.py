"""Removes outdated renditions."""

from imagepipeline import objects, ordering, records
from imagepipeline.errors import RenditionsNotRemoved, ServiceUnavailable
from imagepipeline.keys import version_prefix


def remove_unneeded_renditions(bucket: str, table: str, image_key: str) -> int:
    """Removes the renditions of an upload that its record does not need, and returns their number.

    Raises RenditionsNotRemoved.
    """
    try:
        listed = objects.list_renditions(bucket, image_key)
        if not listed:
            return 0
        # Read after the listing: see ordering.unneeded.
        record = records.find(table, image_key)
        prefix = version_prefix(image_key, record["Sequencer"], record["ExecutionArn"]) if record else ""
        unneeded = ordering.unneeded(listed, record, prefix)
        objects.delete_renditions(bucket, unneeded)
    except ServiceUnavailable as error:
        raise RenditionsNotRemoved(str(error)) from error
    return len(unneeded)
