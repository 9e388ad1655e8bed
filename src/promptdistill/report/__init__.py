"""Tables and plots, made from metrics alone."""
