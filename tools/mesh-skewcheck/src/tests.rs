//! Whole streams through the judge.
