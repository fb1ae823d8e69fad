"""Facts about people, for the apps above."""

from django.dispatch import Signal

# Arguments: prospect_ids, a list of ints; campaign_key, the campaign they left through or ""; now.
unsubscribed = Signal()
