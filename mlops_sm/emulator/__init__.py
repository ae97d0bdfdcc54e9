"""The local account: SageMaker's control plane in front of moto."""
