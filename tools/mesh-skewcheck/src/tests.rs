//! Judges whole streams: a healthy cluster's records with one fault at a time.

mod actions;
mod alike;
mod bytes;
mod definitions;
mod dice;
mod healthy;
mod hints;
mod input;
mod notes;
mod path;
mod properties;
mod rules;
mod sound;
mod streams;
mod truth;
mod waivers;
mod world;
