"""The command ``mlops-sm``: parse, call one operation, render. Everything it reaches outside is passed in."""
