"""Making the thumbnails bucket agree with the table."""

from imagepipeline import objects, ordering, records
from imagepipeline.errors import RenditionsNotRemoved, ServiceUnavailable
from imagepipeline.keys import version_prefix


def remove_unneeded_renditions(bucket: str, table: str, image_key: str) -> int:
    """Removes whatever renditions of an upload its record doesn't name; returns how many.

    Raises RenditionsNotRemoved.
    """
    try:
        listed = objects.list_renditions(bucket, image_key)
        if not listed:
            return 0
        # After the listing: see ordering.unneeded.
        record = records.find(table, image_key)
        prefix = version_prefix(image_key, record["Sequencer"]) if record else ""
        unneeded = ordering.unneeded(listed, record, prefix)
        objects.delete_renditions(bucket, unneeded)
    except ServiceUnavailable as error:
        raise RenditionsNotRemoved(str(error)) from error
    return len(unneeded)
