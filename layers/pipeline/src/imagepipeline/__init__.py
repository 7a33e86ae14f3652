"""The logic of the image pipeline. Decisions are pure functions; a few modules at the edge read and write.

`errors`, `models`, `keys`, `s3_events` and `renditions` import the standard library only. `aws` is the only module that
creates botocore clients.
"""
