//! All automation of the project: `cargo xtask ci` is the whole gate.
fn main() {}
