"""Measures: nearest neighbours, clusters against classes; arrays in, numbers out."""
