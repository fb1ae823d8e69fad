from django.urls import URLPattern, path

from notifications import suppression_views, views

urlpatterns: list[URLPattern] = [
    path("api/suppressions", suppression_views.SuppressionList.as_view(), name="suppressions"),
    path("api/suppressions/import", suppression_views.ImportSuppressions.as_view(), name="suppression-import"),
    path("api/suppressions/export", suppression_views.ExportSuppressions.as_view(), name="suppression-export"),
    path("api/suppressions/<int:pk>", suppression_views.SuppressionDetail.as_view(), name="suppression"),
    path("api/webhooks/ses-events", views.ses_events, name="ses-events-eventbridge"),
]
