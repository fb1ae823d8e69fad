"""The ARNs of SNS topics: their shape, and the host that serves the certificates of their region."""

import re

_ARN = re.compile(
    r"arn:(?P<partition>aws|aws-us-gov|aws-cn|aws-eusc):sns:(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+):\d{12}:[A-Za-z0-9_-]{1,256}"
)
_SUFFIXES = {"aws": "amazonaws.com", "aws-us-gov": "amazonaws.com", "aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu"}


def is_topic_arn(text: str) -> bool:
    """Whether a text is the exact ARN of a standard topic; SES does not publish to others (FIFO)."""
    return _ARN.fullmatch(text) is not None


def region_of(arn: str) -> str:
    """The region of a topic's ARN; empty when it is none."""
    found = _ARN.fullmatch(arn)
    return found["region"] if found else ""


def host_of(arn: str) -> str:
    """The host of SNS in the region and partition of a topic's ARN; empty when it is none."""
    found = _ARN.fullmatch(arn)
    return f"sns.{found['region']}.{_SUFFIXES[found['partition']]}" if found else ""
