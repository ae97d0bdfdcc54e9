"""Scripts that run inside jobs. They import nothing of this project and run by hand as well."""
