//! A spec becomes a balanced, reproducible dataset of faces.
