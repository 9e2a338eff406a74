"""What comes from elsewhere and goes there: one module per format, pure functions between JSON values."""
