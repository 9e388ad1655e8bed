"""What an experiment takes, before anything runs: jobs, hours, disk and downloads.

Nothing here loads weights, images or torch: everything follows from the configuration, the entries of data
sets and methods, and open_clip's model configurations.
"""
