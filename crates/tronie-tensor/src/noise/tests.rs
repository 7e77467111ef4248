mod generators;
mod properties;
mod streams;
