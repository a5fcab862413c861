"""A server that speaks the Assistants API, reached by a client of OpenAI's SDK."""
