from django.urls import URLPattern, path

from notifications import suppression_views, transactional_views, views

urlpatterns: list[URLPattern] = [
    path("api/suppressions", suppression_views.SuppressionList.as_view(), name="suppressions"),
    path("api/suppressions/import", suppression_views.ImportSuppressions.as_view(), name="suppression-import"),
    path("api/suppressions/export", suppression_views.ExportSuppressions.as_view(), name="suppression-export"),
    path("api/suppressions/<int:pk>", suppression_views.SuppressionDetail.as_view(), name="suppression"),
    path("v1/notifications/emails", transactional_views.TransactionalEmailList.as_view(), name="transactional-emails"),
    path("v1/notifications/emails/<int:pk>", transactional_views.TransactionalEmailDetail.as_view(), name="transactional-email"),
    path("api/webhooks/ses-events", views.ses_events, name="ses-events-eventbridge"),
    path("v1/notifications/ses-events", views.ses_events_by_sns, name="ses-events-sns"),
]
