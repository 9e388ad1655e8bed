"""From a cell of a table to the files that its number was made from, hash by hash."""
