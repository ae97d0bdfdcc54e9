"""Programs of the jobs; they import nothing but their image's packages."""
