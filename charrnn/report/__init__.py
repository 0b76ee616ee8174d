"""Results become tables and pictures. Nothing here computes a result, or knows a command."""
