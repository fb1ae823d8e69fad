"""The steps within SES: sending domain, custom MAIL FROM, configuration set, event destination."""

from typing import TYPE_CHECKING, Any

from notifications.setup import steps
from notifications.setup.clients import Aws
from notifications.setup.steps import Action, Finding, Known, Step
from notifications.setup.wishes import Via, Wish

if TYPE_CHECKING:
    from mypy_boto3_sesv2.literals import EventTypeType, SuppressionListReasonType
    from mypy_boto3_sesv2.type_defs import EventDestinationDefinitionTypeDef

EVENT_TYPES: "list[EventTypeType]" = [
    "SEND",
    "DELIVERY",
    "BOUNCE",
    "COMPLAINT",
    "REJECT",
    "OPEN",
    "CLICK",
    "RENDERING_FAILURE",
    "DELIVERY_DELAY",
    "SUBSCRIPTION",
]
SUPPRESSED: "list[SuppressionListReasonType]" = ["BOUNCE", "COMPLAINT"]


def identity(wish: Wish, aws: Aws, known: Known) -> Step:
    """The sending domain with Easy DKIM; its tokens become the CNAME records."""

    def look() -> Finding:
        current = steps.found(lambda: aws.sesv2.get_email_identity(EmailIdentity=wish.domain))
        if current is None:
            return steps.create(make)
        _note_dkim(current, known)
        signs = {"SigningEnabled": current.get("DkimAttributes", {}).get("SigningEnabled", False)}
        return steps.update_if(steps.differences(signs, {"SigningEnabled": True}), sign)

    def make() -> None:
        _note_dkim(
            aws.sesv2.create_email_identity(
                EmailIdentity=wish.domain, DkimSigningAttributes={"NextSigningKeyLength": "RSA_2048_BIT"}
            ),
            known,
        )

    def sign() -> None:
        aws.sesv2.put_email_identity_dkim_attributes(EmailIdentity=wish.domain, SigningEnabled=True)

    return Step(f"identity {wish.domain}", "with Easy DKIM, 2048 bits", look)


def mail_from(wish: Wish, aws: Aws) -> Step:
    """The custom MAIL FROM domain; one that is there already is kept."""

    def look() -> Finding:
        current = steps.found(lambda: aws.sesv2.get_email_identity(EmailIdentity=wish.domain)) or {}
        there = (current.get("MailFromAttributes") or {}).get("MailFromDomain", "")
        if there and there != wish.mail_from:
            return Finding(Action.KEEP, (f"it is {there}",))
        return Finding(Action.KEEP) if there else steps.create(make)

    def make() -> None:
        aws.sesv2.put_email_identity_mail_from_attributes(
            EmailIdentity=wish.domain, MailFromDomain=wish.mail_from, BehaviorOnMxFailure="USE_DEFAULT_VALUE"
        )

    return Step(f"MAIL FROM domain {wish.mail_from}", "until its MX is found SES uses its own", look)


def configuration_set(wish: Wish, aws: Aws) -> Step:
    """The configuration set with reputation metrics, sending, and suppression of bounces and complaints."""
    name = wish.configuration_set

    def look() -> Finding:
        current = steps.found(lambda: aws.sesv2.get_configuration_set(ConfigurationSetName=name))
        if current is None:
            return steps.create(make)
        differing = steps.differences(_options(current), {"reputation metrics": True, "suppression": sorted(SUPPRESSED)})
        if not current.get("SendingOptions", {}).get("SendingEnabled", True):
            # Somebody, or SES, has switched it off for a reason.
            pause = "sending is switched off: switch it on in the SES console when its cause is gone"
            return Finding(Action.UPDATE, (*differing, pause), mend) if differing else Finding(Action.WAIT, (pause,))
        return steps.update_if(differing, mend)

    def make() -> None:
        aws.sesv2.create_configuration_set(
            ConfigurationSetName=name,
            ReputationOptions={"ReputationMetricsEnabled": True},
            SendingOptions={"SendingEnabled": True},
            SuppressionOptions={"SuppressedReasons": SUPPRESSED},
        )

    def mend() -> None:
        aws.sesv2.put_configuration_set_reputation_options(ConfigurationSetName=name, ReputationMetricsEnabled=True)
        aws.sesv2.put_configuration_set_suppression_options(ConfigurationSetName=name, SuppressedReasons=SUPPRESSED)

    return Step(f"configuration set {name}", "reputation metrics, sending, suppression of bounces and complaints", look)


def event_destination(wish: Wish, aws: Aws) -> Step:
    """Where the configuration set publishes: EventBridge's default bus, or the topic."""
    name, wanted = wish.configuration_set, _destination(wish)

    def look() -> Finding:
        current = _current_destination(wish, aws)
        if current is None:
            return steps.create(make)
        compared = {"enabled": current.get("Enabled", False), "event types": sorted(current.get("MatchingEventTypes", []))}
        differing = steps.differences(compared, {"enabled": True, "event types": sorted(EVENT_TYPES)})
        return steps.update_if(differing, lambda: mend(current["Name"]))

    def make() -> None:
        aws.sesv2.create_configuration_set_event_destination(
            ConfigurationSetName=name, EventDestinationName=str(wish.via), EventDestination=wanted
        )

    def mend(its_name: str) -> None:
        aws.sesv2.update_configuration_set_event_destination(
            ConfigurationSetName=name, EventDestinationName=its_name, EventDestination=wanted
        )

    return Step(f"event destination {wish.via} of {name}", f"all {len(EVENT_TYPES)} event types", look)


def leads_to(wish: Wish, destination: Any) -> bool:
    """Whether an event destination publishes where the wish wants it."""
    if wish.via is Via.SNS:
        return bool(destination.get("SnsDestination", {}).get("TopicArn") == wish.topic_arn)
    return bool(destination.get("EventBridgeDestination", {}).get("EventBusArn") == wish.bus_arn)


def _current_destination(wish: Wish, aws: Aws) -> Any:
    read = aws.sesv2.get_configuration_set_event_destinations
    answer = steps.found(lambda: read(ConfigurationSetName=wish.configuration_set)) or {}
    return next((one for one in answer.get("EventDestinations", []) if leads_to(wish, one)), None)


def _destination(wish: Wish) -> "EventDestinationDefinitionTypeDef":
    if wish.via is Via.SNS:
        return {"Enabled": True, "MatchingEventTypes": EVENT_TYPES, "SnsDestination": {"TopicArn": wish.topic_arn}}
    return {"Enabled": True, "MatchingEventTypes": EVENT_TYPES, "EventBridgeDestination": {"EventBusArn": wish.bus_arn}}


def _options(current: Any) -> dict[str, Any]:
    return {
        "reputation metrics": current.get("ReputationOptions", {}).get("ReputationMetricsEnabled", False),
        "suppression": sorted(current.get("SuppressionOptions", {}).get("SuppressedReasons", [])),
    }


def _note_dkim(answer: Any, known: Known) -> None:
    attributes = answer.get("DkimAttributes", {})
    known.dkim_tokens = list(attributes.get("Tokens", []))
    known.dkim_zone = attributes.get("SigningHostedZone", "")
