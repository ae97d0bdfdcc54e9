"""How old is a shell? The classic regression, written with the plain SageMaker SDK: nothing of ours is imported."""
