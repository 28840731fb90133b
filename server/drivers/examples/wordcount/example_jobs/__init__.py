"""Example jobs of Doyen."""
