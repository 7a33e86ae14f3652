"""`make deploy`: builds the stack, deploys it to the AWS account of the usual settings, and prints how to use it."""

import sys

import boto3
from botocore.exceptions import ClientError

from cli.problems import AWS_ERRORS, SetupError, explain
from cli.stack import Client, Stack
from deployment.sam import sam
from deployment.target import Target

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/enable-event-notifications-eventbridge.html
_NEW = """
It takes about five minutes before S3 starts sending events for a new bucket. To process images uploaded before that:
                        .venv/bin/image-pipeline reprocess uploads/ --unrecorded"""


def main(deploy_options: list[str]) -> int:
    """Run `sam build`, and `sam deploy` with these options. Returns an exit status."""
    if "--help" in deploy_options:
        return sam("deploy", "--help")
    try:
        target = Target.of(deploy_options)
        cloudformation = target.session.client("cloudformation")
        region = cloudformation.meta.region_name
        account = target.session.client("sts").get_caller_identity()["Account"]
        print(f"Deploying to account {account} at {cloudformation.meta.endpoint_url}", flush=True)
        if warning := _rekognition_warning(target.session, region):
            print(warning, flush=True)
        delete_rolled_back(cloudformation, target.name)
        deploy = ["deploy", *target.options, *deploy_options]  # the last of several equal options takes precedence
        for command in (["build"], deploy):
            if sam(*command) != 0:
                print(f"make deploy: sam {command[0]} failed: see its message above", file=sys.stderr)
                return 1
        target = Target.of(deploy_options, after_asking="--guided" in deploy_options or "-g" in deploy_options)
        outputs = Stack.find(target.session, target.name).outputs
        new = target.session.client("s3").list_objects_v2(Bucket=outputs["UploadsBucket"], MaxKeys=1)["KeyCount"] == 0
    except SetupError as problem:
        print(f"make deploy: {problem}", file=sys.stderr)
        return 2
    except AWS_ERRORS as error:
        print(f"make deploy: {explain(error)}", file=sys.stderr)
        return 2
    print(f"""
Deployed. Upload to     s3://{outputs["UploadsBucket"]}/uploads/
Get the status at       {outputs["ImageStatusApiEndpoint"]}/images/uploads/FILE/status
Try it                  .venv/bin/image-pipeline upload PHOTO
Check everything        .venv/bin/image-pipeline check local/photos/cat.png""")
    if new:
        print(_NEW)
    return 0


def delete_rolled_back(cloudformation: Client, name: str) -> None:
    """Delete what a first deployment that failed has left: a stack without resources, which can only be deleted."""
    try:
        [stack] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if "does not exist" not in error.response["Error"]["Message"]:
            raise
        return
    if stack["StackStatus"] == "ROLLBACK_COMPLETE":
        print(f"The first deployment of {name} failed and was rolled back. Deleting the empty stack.", flush=True)
        # By its ID, because CloudFormation describes a deleted stack under no other.
        cloudformation.delete_stack(StackName=stack["StackId"])
        cloudformation.get_waiter("stack_delete_complete").wait(StackName=stack["StackId"])


def _rekognition_warning(session: boto3.Session, region: str) -> str:
    """A warning if the region has no Amazon Rekognition, according to boto3; otherwise empty."""
    partition = session.get_partition_for_region(region)
    if region in session.get_available_regions("rekognition", partition_name=partition):
        return ""
    return (
        f"Amazon Rekognition does not seem to be available in {region}. Without it, every image completes late and\n"
        'with a LabelsError: make deploy OPTIONS="--parameter-overrides DetectLabels=false"'
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
