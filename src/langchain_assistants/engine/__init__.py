"""The rules of assistants, threads, messages, runs and steps; async, SDK-free."""
