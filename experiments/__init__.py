"""The pages of docs/results as declarations: ``python -m experiments PAGE --data DATA``."""
