"""From files to characters, from characters to ids, from ids to batches."""
