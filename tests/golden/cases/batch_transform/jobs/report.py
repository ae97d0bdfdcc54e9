"""A job."""

print("report")
