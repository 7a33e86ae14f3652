"""`make deploy`: build, deploy to the AWS account of the usual settings, and say how to use it."""

import subprocess
import sys
from pathlib import Path

from client.problems import AWS_ERRORS, SetupError, explain
from client.stack import Stack, default_name, default_session


def main(deploy_options: list[str]) -> int:
    """Run `sam build` and `sam deploy`, the latter with these options too. Returns an exit status."""
    try:
        session = default_session()
        cloudformation = session.client("cloudformation")
        account = session.client("sts").get_caller_identity()["Account"]
        print(f"Deploying to account {account} at {cloudformation.meta.endpoint_url}", flush=True)
        # SAM alone would not look at AWS_REGION.
        for command in (["build"], ["deploy", "--region", cloudformation.meta.region_name, *deploy_options]):
            if subprocess.run([sys.executable, "-m", "samcli", *command]).returncode != 0:
                print(f"make deploy: sam {command[0]} failed; its message is above", file=sys.stderr)
                return 1
        outputs = Stack.find(session, default_name(Path.cwd())).outputs
    except SetupError as problem:
        print(f"make deploy: {problem}", file=sys.stderr)
        return 2
    except AWS_ERRORS as error:
        print(f"make deploy: {explain(error)}", file=sys.stderr)
        return 2
    print(f"""
Deployed. Images go to  s3://{outputs["UploadsBucket"]}/uploads/
Their status is at      {outputs["ImageStatusApiEndpoint"]}/images/uploads/FILE/status
Try it                  .venv/bin/image-pipeline upload PHOTO""")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
