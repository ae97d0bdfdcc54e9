"""What happens in the account is announced, and whoever listens hears of it: events, rules, targets, functions."""

from mlops_sm.emulator.events.delivery import Deliveries
from mlops_sm.emulator.events.letters import BusEvent, Invocation, Letter, Post, TargetCall

__all__ = ["BusEvent", "Deliveries", "Invocation", "Letter", "Post", "TargetCall"]
