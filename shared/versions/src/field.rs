//! Reads single fields of a releases file.

use crate::channel::Channel;
use crate::schema::{ReleasesError, Trouble};
use crate::version::Version;

pub(crate) fn version(field: &str, text: &str) -> Result<Version, ReleasesError> {
    let version = Version::of_tag(text);
    if version.is_opaque() {
        return Err(wrong(
            field,
            Trouble::Not(text.to_owned(), "a Linkerd version"),
        ));
    }
    Ok(version)
}

pub(crate) fn edge(field: &str, text: &str) -> Result<Version, ReleasesError> {
    let version = Version::of_tag(text);
    if version.channel() != Some(Channel::Edge) {
        return Err(wrong(
            field,
            Trouble::Not(text.to_owned(), "an edge release (edge-YY.M.N)"),
        ));
    }
    Ok(version)
}

pub(crate) fn ascends(
    field: &str,
    before: &Version,
    after: &Version,
    equal: bool,
) -> Result<(), ReleasesError> {
    let order = before.order(after);
    if order.is_some_and(|order| order.is_lt() || (equal && order.is_eq())) {
        return Ok(());
    }
    Err(wrong(
        field,
        Trouble::Unsorted(after.to_string(), before.to_string()),
    ))
}

pub(crate) fn wrong(field: &str, trouble: Trouble) -> ReleasesError {
    ReleasesError::Field {
        field: field.to_owned(),
        line: 0,
        trouble,
    }
}
