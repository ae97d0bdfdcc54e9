"""CloudWatch's alarms: evaluated as data comes in and as the account's clock moves, and acted on."""
