"""Tables and plots, made from metrics alone.

`request` says what a table holds, `summary` averages the runs and puts published numbers beside them,
`gains` compares methods, `tables` lays the numbers out, `render` and `plot` write them.
"""
