"""Tables, statements and databases; it knows rows, never the rules about them."""
