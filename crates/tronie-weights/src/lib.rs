//! Checkpoint files: reading, recognising, renaming, finding and fetching them.
