"""Does the jobs: the container contract, isolation layers, warm workers, the image table, a handler per step kind.

Nothing is imported here: the processes that become jobs start through this package and must do so in milliseconds.
"""
