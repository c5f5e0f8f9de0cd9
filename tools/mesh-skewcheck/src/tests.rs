//! Judges whole streams: a healthy cluster's records with one fault at a time.

mod actions;
mod definitions;
mod input;
mod rules;
mod streams;
mod waivers;
mod world;
