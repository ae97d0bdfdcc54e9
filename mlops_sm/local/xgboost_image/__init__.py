"""What AWS's XGBoost image does without a script: train, and serve what it trained.

These modules run inside a job, copied beside its launcher, so they import nothing of this package but each other;
`hyperparameters` and `metrics` are also read outside. Sources: developer guide, "XGBoost algorithm with Amazon
SageMaker AI" and the pages below it; aws/sagemaker-xgboost-container for what the image says.
"""
