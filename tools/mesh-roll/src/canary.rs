//! Which workloads are restarted first, alone (`--canary`).

use std::str::FromStr;

use crate::select::Selector;

/// The choice of the canaries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Canary {
    /// So many, the first of the plan.
    First(usize),
    /// This part of those that are restarted, rounded up; the first of the plan.
    Percent(usize),
    /// Those that match.
    Those(Selector),
}

impl Canary {
    /// Returns how many canaries there are among so many workloads; `None` if their names tell.
    pub(crate) fn most(&self, workloads: usize) -> Option<usize> {
        match self {
            Self::First(number) => Some(*number),
            Self::Percent(percent) => Some(workloads.saturating_mul(*percent).div_ceil(100)),
            Self::Those(_) => None,
        }
    }
}

impl FromStr for Canary {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| match text.chars().all(|c| c.is_ascii_digit()) {
            true => text.parse().ok(),
            false => None,
        };
        match text.strip_suffix('%') {
            Some(percent) => match number(percent) {
                Some(percent @ 1..=100) => Ok(Self::Percent(percent)),
                Some(_) | None => Err("write a part as 1% to 100%".to_owned()),
            },
            None => match number(text) {
                Some(0) => Err("write a number of at least 1".to_owned()),
                Some(number) => Ok(Self::First(number)),
                None => text.parse().map(Self::Those),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canaries_are_a_number_a_part_rounded_up_or_those_of_a_selector() {
        let most = |text: &str, of| text.parse::<Canary>().unwrap().most(of);
        assert_eq!(most("3", 40), Some(3));
        assert_eq!(most("10%", 41), Some(5));
        assert_eq!(most("1%", 1), Some(1));
        assert_eq!(most("100%", 7), Some(7));
        assert_eq!(most("shop/web", 40), None);
        for text in ["", "0", "0%", "101%", "%", "-1%", "shop/", "a/b/c/d"] {
            assert!(text.parse::<Canary>().is_err(), "{text}");
        }
    }
}
