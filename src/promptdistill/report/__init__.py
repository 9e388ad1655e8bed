"""Tables and plots, made from metrics alone.

`request` says what a table holds, `summary` averages the runs, `published` and `gains` compare,
`tables` lays the numbers out, `render` and `plot` write them; `render.write_table` does it all.
"""
