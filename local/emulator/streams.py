"""DynamoDB's streams, and the functions that read them."""

from collections.abc import Callable

from ministack.services import lambda_svc

from local.emulator.upstream import patch


@patch(lambda_svc, "_restore_esm_positions(store, positions)")
def read_what_is_written_after_a_restart(original: Callable, store: object, positions: object) -> None:
    """A function is given every change that is written to a table, whatever was interrupted before.

    MiniStack keeps how many changes a function has read, but not the changes: after a restart, it would skip as many.
    Changes that were not read before the emulator was killed are lost; "image-pipeline reindex" makes up for them.
    """
    if store is not lambda_svc._dynamodb_stream_positions:
        original(store, positions)
