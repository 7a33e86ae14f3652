"""The `image-pipeline` command: uploads images to a deployed stack and follows their processing, on AWS or locally.

It calls AWS's APIs and reads the stack's outputs; of the pipeline it imports only modules that need nothing but the
standard library. Uploading requires cloudformation:DescribeStacks on the stack, dynamodb:BatchGetItem on its table and
s3:PutObject on its uploads bucket. With s3:GetObject on that bucket, an upload is also reliably distinguished from one
that came just before it under the same key. docs/operations.md lists what `failures` and `redrive` require.
"""
