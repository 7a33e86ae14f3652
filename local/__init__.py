"""The local run: the deployed system on MiniStack, on one machine, with no AWS account."""
