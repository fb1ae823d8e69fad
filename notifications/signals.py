"""Facts that climb: each app that listens changes only its own tables."""

from django.dispatch import Signal

# Arguments: events, a list of `ses_events.SesEvent`, verified and stored, in one batch; now.
# Receivers return the fingerprints of the events whose mail they know.
email_events = Signal()
