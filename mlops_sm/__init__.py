"""SageMaker pipelines that run on your machine: build, check, run, register and publish."""

__version__ = "0.1.0"
