"""What the Pythons of a job load first where nothing can be put at /opt/ml; the folder is first on their path."""
