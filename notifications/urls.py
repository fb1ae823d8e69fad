from django.urls import URLPattern, path

from notifications import views

urlpatterns: list[URLPattern] = [
    path("api/webhooks/ses-events", views.ses_events, name="ses-events-eventbridge"),
]
