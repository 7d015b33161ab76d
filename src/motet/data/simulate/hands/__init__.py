"""Simulated hands: labelled recordings of the 21 joints of one hand, from nothing."""
