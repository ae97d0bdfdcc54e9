"""SageMaker's operations, one module per family."""
