"""Ways to give a job its own /opt/ml.

Nothing is imported here: the processes that become jobs start through this package.
"""
