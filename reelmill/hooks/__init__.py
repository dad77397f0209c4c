"""What follows a job: the operator's own steps, and messages to whoever waits for its end."""
