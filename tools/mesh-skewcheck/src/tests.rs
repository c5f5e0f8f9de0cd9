//! Whole streams through the judge: a small world of records, bent one fault at a time.

mod actions;
mod input;
mod rules;
mod streams;
mod world;
