from django.urls import URLPattern, path

from prospects import unsubscribe_views, views

urlpatterns: list[URLPattern] = [
    path("api/prospects", views.ProspectList.as_view(), name="prospects"),
    path("api/prospects/import", views.ImportProspects.as_view(), name="prospect-import"),
    path("api/prospects/<str:pk>", views.ProspectDetail.as_view(), name="prospect"),
    path("api/imports/<str:pk>", views.ImportDetail.as_view(), name="import"),
    path("api/imports/<str:pk>/errors", views.ImportErrors.as_view(), name="import-errors"),
    path("api/unsubscribe", unsubscribe_views.UnsubscribeView.as_view(), name="unsubscribe"),
]
