//! Samplers against mathematics, against k-diffusion and diffusers, and their names.

mod acceptance;
mod goldens;
mod names;
mod order;
mod properties;
