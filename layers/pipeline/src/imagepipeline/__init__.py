"""The logic of the image pipeline. Decisions are pure functions; a few modules at the edge read and write.

    an upload       models, keys, s3_events, ordering, errors
    its header      probing, limits
    its renditions  renditions, geometry, rendering
    what it shows   description, exif, fingerprints; analysis, rekognition, metering
    its record      records, items, objects, cleanup, quarantine
    announcing it   notification, image_events, printable, disclosure
    lists, the API  lists, indexing, api
    operation       executions, sweep, reprocessing, pausing
    everywhere      aws, config, logs

tests/unit/test_architecture.py lists the modules at the edge, and those that import the standard library only, which
the command uses as well. `aws` is the only module that creates botocore clients.
"""
