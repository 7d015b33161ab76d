"""Steps of every training, compared with algorithms that are written out here and share no code with it.

Only entry points, run directories and what the data path gives for (seed, epoch, clip, view) are taken from motet.
"""
