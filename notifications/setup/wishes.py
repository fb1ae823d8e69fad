"""What shall exist in AWS: names, ARNs and addresses, without asking AWS anything."""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

EVENTBRIDGE_PATH = "/api/webhooks/ses-events"
SNS_PATH = "/v1/notifications/ses-events"
SECRET_HEADER = "X-Webhook-Secret"  # noqa: S105 (the header's name)
# Short enough for a role's name with the region behind it (64 characters).
_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
# EventBridge's own default for an API destination.
_FASTEST = 300
_SET_NAME = re.compile(r"[A-Za-z0-9_-]{0,64}")


class Via(StrEnum):
    """The two ways of an event to this site."""

    EVENTBRIDGE = "eventbridge"
    SNS = "sns"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Everything that set-up and doctor need to know, from settings, flags and the caller's identity.

    `name` is the name, or the beginning of the name, of whatever is created in AWS; `rate` is the most
    events a second that EventBridge may post.
    """

    region: str
    account: str
    partition: str
    domain: str
    mail_from: str
    configuration_set: str
    base_url: str
    name: str
    via: Via
    secret: str
    new_secret: bool
    rate: int
    listed_topics: tuple[str, ...]

    @property
    def rule_arn(self) -> str:
        return self._arn("events", f"rule/{self.name}")

    @property
    def bus_arn(self) -> str:
        """The default bus: SES publishes to no other (EventBridgeDestination in the API's reference)."""
        return self._arn("events", "event-bus/default")

    @property
    def topic_arn(self) -> str:
        return self._arn("sns", self.name)

    @property
    def queue_name(self) -> str:
        return f"{self.name}-undelivered"

    @property
    def queue_arn(self) -> str:
        return self._arn("sqs", self.queue_name)

    @property
    def role_arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role_name}"

    @property
    def role_name(self) -> str:
        """Roles belong to the whole account, rules to a region."""
        return f"{self.name}-{self.region}"

    @property
    def configuration_set_arn(self) -> str:
        return self._arn("ses", f"configuration-set/{self.configuration_set}")

    @property
    def api_destination_arns(self) -> str:
        """A pattern: AWS adds an id that is not known before."""
        return self._arn("events", f"api-destination/{self.name}/*")

    @property
    def endpoint(self) -> str:
        """The webhook's address."""
        return self.base_url + SNS_PATH if self.via is Via.SNS else self.eventbridge_endpoint

    @property
    def eventbridge_endpoint(self) -> str:
        return self.base_url + EVENTBRIDGE_PATH

    def _arn(self, service: str, resource: str) -> str:
        return f"arn:{self.partition}:{service}:{self.region}:{self.account}:{resource}"


def problems(wish: Wish) -> list[str]:
    """What keeps a wish from coming true, each with its remedy."""
    found = []
    if not wish.region:
        found.append("SES_REGION is not set: set it to the AWS region of SES, e.g. us-east-1.")
    if not wish.domain:
        found.append("There is no domain to send from: set SES_FROM, or say --domain.")
    if not wish.configuration_set:
        found.append("There is no configuration set: set SES_CONFIGURATION_SET, or say --configuration-set.")
    if wish.via is Via.EVENTBRIDGE and not wish.secret:
        found.append("SES_WEBHOOK_SECRET is not set: set it, for the site too, to at least 32 random letters and digits.")
    return found + mistakes(wish) + reachability_problems(wish.base_url)


def mistakes(wish: Wish) -> list[str]:
    """What no AWS would take, whatever exists there: not even a dry run makes sense of it."""
    found = []
    if not _NAME.fullmatch(wish.name):
        found.append(f"--name {wish.name!r} is no name for AWS: at most 40 letters, digits, - and _.")
    if not _SET_NAME.fullmatch(wish.configuration_set):
        found.append(f"--configuration-set {wish.configuration_set!r} is no name for SES: at most 64 letters, digits, - and _.")
    if not 1 <= wish.rate <= _FASTEST:
        found.append(f"--rate {wish.rate} is not from 1 to {_FASTEST}.")
    return found


def reachability_problems(base_url: str) -> list[str]:
    """Why AWS could not post to an origin."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return [f"PUBLIC_BASE_URL is {base_url}: AWS posts events to public https addresses only."]
    if host == "localhost" or host.startswith("127.") or host == "::1":
        return [f"PUBLIC_BASE_URL is {base_url}: AWS cannot reach an address of this machine."]
    return []
