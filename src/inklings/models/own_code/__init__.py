"""What is asked of a user's own architecture, and where in its file an answer stands."""
