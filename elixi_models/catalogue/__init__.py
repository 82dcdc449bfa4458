"""What can be installed, known offline."""
