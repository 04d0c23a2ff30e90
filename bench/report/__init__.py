"""Records as tables for people: the only place of milliseconds, gigabytes and millions of tokens."""
