"""What happens by itself as the account's clock moves: schedules of EventBridge and of EventBridge Scheduler."""
