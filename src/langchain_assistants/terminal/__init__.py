"""What the commands `demo` and `chat` show and read; `cli` knows their options."""
