"""A local SES v2 to rehearse with: accepts mail, tells of it by events, and fails on demand.

A tool: no application code imports it, and it imports none, so that it can disagree with it.
"""
