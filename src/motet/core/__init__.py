"""What every room needs: errors, files, signals, progress, devices, processes, random numbers."""
