"""Functions of Lambda: whose code runs, who calls it, and where its log goes."""
