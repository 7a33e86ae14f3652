"""The `image-pipeline` command: uploads to any deployed stack, on AWS or the local run, and follows what becomes of it.

Knows only AWS's APIs and the stack's outputs; imports nothing of the pipeline itself. Whoever uploads needs
cloudformation:DescribeStacks on the stack, dynamodb:BatchGetItem on its table and s3:PutObject on its uploads bucket;
with s3:GetObject there, too, an upload is told reliably from one that came just before it under the same key. What
`failures` and `redrive` need stands in docs/operations.md.
"""
