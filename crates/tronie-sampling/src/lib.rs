//! Noise schedules, parametrizations and samplers.
