"""What calls to models cost and how they end."""
