"""File search: what is read from files, how it is cut, stored, found and ranked."""
