"""Facts about people, for the apps above."""

from django.dispatch import Signal

# Arguments: prospect_ids, a list of ints; campaign_key, the campaign they left through or ""; now.
unsubscribed = Signal()

# The person took a no back. Arguments: prospect_ids; said_at, when the no was said; by, why and now, for the audit.
unsubscribe_undone = Signal()
