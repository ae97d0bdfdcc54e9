"""The local account over HTTP: botocore's wire protocols on loopback, answered by the account's front."""
