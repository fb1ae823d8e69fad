"""The steps of the set-up in the order in which they need each other."""

from notifications.setup import eventbridge_steps, ses_steps, sns_steps
from notifications.setup.clients import Aws
from notifications.setup.steps import Known, Step
from notifications.setup.wishes import Via, Wish


def steps_for(wish: Wish, aws: Aws, known: Known) -> list[Step]:
    """Sending first, then the way back for events; where SES publishes comes last, when everything listens."""
    sending = [ses_steps.identity(wish, aws, known)]
    if wish.mail_from:
        sending.append(ses_steps.mail_from(wish, aws))
    sending.append(ses_steps.configuration_set(wish, aws))
    way_back = _by_sns(wish, aws) if wish.via is Via.SNS else _by_eventbridge(wish, aws, known)
    return [*sending, sns_steps.queue(wish, aws), *way_back, ses_steps.event_destination(wish, aws)]


def _by_eventbridge(wish: Wish, aws: Aws, known: Known) -> list[Step]:
    return [
        eventbridge_steps.connection(wish, aws, known),
        eventbridge_steps.api_destination(wish, aws, known),
        eventbridge_steps.rule(wish, aws),
        eventbridge_steps.role(wish, aws),
        eventbridge_steps.role_policy(wish, aws),
        eventbridge_steps.target(wish, aws, known),
    ]


def _by_sns(wish: Wish, aws: Aws) -> list[Step]:
    return [sns_steps.topic(wish, aws), sns_steps.subscription(wish, aws)]
