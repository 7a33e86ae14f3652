"""The local run: the whole system on this machine, deployed to MiniStack, without an AWS account."""
