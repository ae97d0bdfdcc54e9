"""Verbs over boto3 clients: publish, run, list, show, logs, models. The same code for the local account and for AWS."""
