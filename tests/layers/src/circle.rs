//! Finds circles: groups of files of which each uses all others, directly or through others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::PathBuf,
};

use crate::uses::Uses;

/// One text per circle, with every use inside it.
pub(crate) fn circles(uses: &Uses) -> Vec<String> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        uses.keys().map(|file| (file, reach(uses, file))).collect();
    let both = |one: &PathBuf, other: &PathBuf| {
        let reaches = |from, to| reached.get(from).is_some_and(|files| files.contains(to));
        reaches(one, other) && reaches(other, one)
    };
    let mut seen = BTreeSet::new();
    let mut circles = Vec::new();
    for file in uses.keys().filter(|file| both(file, file)) {
        if seen.contains(file) {
            continue;
        }
        let members: Vec<&PathBuf> = uses.keys().filter(|other| both(file, other)).collect();
        circles.push(describe(uses, &members));
        seen.extend(members);
    }
    circles
}

/// Every file that a file uses, directly or through others.
fn reach<'a>(uses: &'a Uses, from: &PathBuf) -> BTreeSet<&'a PathBuf> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for used in uses.get(file).into_iter().flat_map(BTreeMap::keys) {
            if reached.insert(used) {
                next.push(used);
            }
        }
    }
    reached
}

fn describe(uses: &Uses, members: &[&PathBuf]) -> String {
    let mut text = format!(
        "{}: circle of {} files",
        members[0].display(),
        members.len()
    );
    for file in members {
        for (used, proof) in uses.get(*file).into_iter().flatten() {
            if members.contains(&used) {
                write!(
                    text,
                    "\n  {} uses {}: {proof}",
                    file.display(),
                    used.display()
                )
                .expect("a string takes text");
            }
        }
    }
    text
}
