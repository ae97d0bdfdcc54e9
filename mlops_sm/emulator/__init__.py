"""The local account: SageMaker's control plane in front of moto, with state that survives."""

from mlops_sm.emulator.account import LocalAccount

__all__ = ["LocalAccount"]
