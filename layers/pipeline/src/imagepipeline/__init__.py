"""The image pipeline's logic: deciding is pure, reading and writing sit at the edge.

`errors`, `models`, `keys`, `s3_events` and `renditions` import the standard library only; `aws` is the only module that
makes boto3 clients.
"""
