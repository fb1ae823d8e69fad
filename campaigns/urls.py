from django.urls import path

from campaigns import settling_views, views

urlpatterns = [
    path("api/campaigns", views.CampaignList.as_view(), name="campaigns"),
    path("api/campaigns/send", views.SendCampaign.as_view(), name="campaign-send"),
    path("api/campaigns/<int:pk>", views.CampaignDetail.as_view(), name="campaign"),
    path("api/campaigns/<int:pk>/sends", views.CampaignSends.as_view(), name="campaign-sends"),
    path("api/campaigns/<int:pk>/sends/retry", settling_views.RetrySends.as_view(), name="campaign-sends-retry"),
    path("api/campaigns/<int:pk>/sends/give-up", settling_views.GiveUpSends.as_view(), name="campaign-sends-give-up"),
    path("api/campaigns/<int:pk>/sends/<int:send>/retry", settling_views.RetrySend.as_view(), name="campaign-send-retry"),
    path("api/campaigns/<int:pk>/sends/<int:send>/give-up", settling_views.GiveUpSend.as_view(), name="campaign-send-give-up"),
    path("api/campaigns/<int:pk>/preview", views.PreviewCampaign.as_view(), name="campaign-preview"),
    path("api/campaigns/<int:pk>/test", views.TestCampaign.as_view(), name="campaign-test"),
    path("internal/campaigns/continue", views.ContinueCampaign.as_view(), name="campaign-continue"),
]
