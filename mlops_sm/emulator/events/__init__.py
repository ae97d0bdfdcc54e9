"""What happens in the account is announced, and whoever listens hears of it: events, rules, targets, functions."""
