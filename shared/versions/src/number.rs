//! Reads the numbers of a version.

/// Parses three numbers with dots between them.
pub(crate) fn three_numbers(text: &str) -> Option<[u32; 3]> {
    let mut parts = text.split('.');
    let numbers = [
        number(parts.next()?)?,
        number(parts.next()?)?,
        number(parts.next()?)?,
    ];
    parts.next().is_none().then_some(numbers)
}

/// Parses a number without sign or leading zero, the only form in versions.
pub(crate) fn number(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if plain && !padded {
        text.parse().ok()
    } else {
        None
    }
}
