"""Recordings: the archive, its readers, layouts, splits, checks and what is made of a clip before an encoder."""
