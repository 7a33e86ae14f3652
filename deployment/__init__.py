"""`make deploy` and `make destroy`: bring the stack to an AWS account, and remove it again."""
