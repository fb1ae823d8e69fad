from django.urls import path

from campaigns import views

urlpatterns = [
    path("api/campaigns", views.CampaignList.as_view(), name="campaigns"),
    path("api/campaigns/send", views.SendCampaign.as_view(), name="campaign-send"),
    path("api/campaigns/<int:pk>", views.CampaignDetail.as_view(), name="campaign"),
    path("api/campaigns/<int:pk>/sends", views.CampaignSends.as_view(), name="campaign-sends"),
    path("api/campaigns/<int:pk>/preview", views.PreviewCampaign.as_view(), name="campaign-preview"),
    path("api/campaigns/<int:pk>/test", views.TestCampaign.as_view(), name="campaign-test"),
    path("internal/campaigns/continue", views.ContinueCampaign.as_view(), name="campaign-continue"),
]
