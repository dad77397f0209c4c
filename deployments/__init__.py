"""What is deployed, as files, and what applies them."""
