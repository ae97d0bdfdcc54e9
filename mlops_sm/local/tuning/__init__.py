"""Which hyperparameters to try next, which trial to give up, and when to end the search; knows nothing of jobs."""
