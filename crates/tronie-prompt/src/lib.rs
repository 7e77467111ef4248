//! Prompt grammar, CLIP tokens, chunks and prompt schedules.
