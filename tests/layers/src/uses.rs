//! Which file of a crate uses which other file, and by what name.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use crate::{
    path::paths,
    source::{Code, Crate, Meaning, Segments},
};

/// For each file the files that it uses, each with one name and line as the proof.
pub(crate) type Uses = BTreeMap<PathBuf, BTreeMap<PathBuf, String>>;

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Found {
    Module(usize),
    /// The module that declares the item, and the item's name.
    Item(usize, String),
}

struct Names<'a> {
    read: &'a Crate,
    /// For a type's method the module with the `impl` block.
    methods: HashMap<(Found, String), usize>,
}

/// Follows every path in the crate's code to the file that it leads to.
pub(crate) fn uses(read: &Crate) -> Uses {
    let mut names = Names {
        read,
        methods: HashMap::new(),
    };
    for (at, module) in read.modules.iter().enumerate() {
        for (this, method) in &module.methods {
            if let Some((found, _)) = names.follow(at, this, DEPTH) {
                names.methods.insert((found, method.clone()), at);
            }
        }
    }
    let mut uses = Uses::new();
    for (at, module) in read.modules.iter().enumerate() {
        for code in &module.code {
            names.record(at, code, &mut uses);
        }
    }
    uses
}

/// The longest chain of re-exports that is followed, so that a name defined by itself does not
/// loop.
const DEPTH: usize = 16;

impl Names<'_> {
    fn record(&self, module: usize, code: &Code, uses: &mut Uses) {
        let file = |module: usize| &self.read.files[self.read.modules[module].file].path;
        for path in paths(code.tokens.clone()) {
            let segments = with_self(&path.segments, code.this.as_deref());
            for used in self.used(module, &segments) {
                if file(used) != file(module) {
                    uses.entry(file(module).clone())
                        .or_default()
                        .entry(file(used).clone())
                        .or_insert_with(|| format!("{}:{}", path.segments.join("::"), path.line));
                }
            }
        }
    }

    /// The modules that have the item, and the method of it, that the path names.
    fn used(&self, module: usize, segments: &[String]) -> Vec<usize> {
        let Some((found, rest)) = self.follow(module, segments, DEPTH) else {
            return Vec::new();
        };
        let Found::Item(owner, _) = found else {
            return Vec::new();
        };
        let method = rest.first().and_then(|method| {
            let key = (found.clone(), method.clone());
            self.methods.get(&key).copied()
        });
        [Some(owner), method].into_iter().flatten().collect()
    }

    /// Follows a path from a module to an item of this crate; what comes after the item is the rest.
    fn follow<'p>(
        &self,
        from: usize,
        path: &'p [String],
        depth: usize,
    ) -> Option<(Found, &'p [String])> {
        let mut module = from;
        for (at, name) in path.iter().enumerate() {
            let rest = &path[at + 1..];
            match name.as_str() {
                "crate" => module = 0,
                "self" => {}
                "super" => module = self.read.modules[module].parent?,
                name => match self.lookup(module, name, !rest.is_empty(), depth)? {
                    Found::Module(next) => module = next,
                    item @ Found::Item(..) => return Some((item, rest)),
                },
            }
        }
        Some((Found::Module(module), &[]))
    }

    /// What a name means in a module. Where it means a module and an item, `inner` tells which.
    fn lookup(&self, module: usize, name: &str, inner: bool, depth: usize) -> Option<Found> {
        let depth = depth.checked_sub(1)?;
        let here = &self.read.modules[module];
        let named =
            (here.names.get(name).into_iter().flatten()).filter_map(|meaning| match meaning {
                Meaning::Item => Some(Found::Item(module, name.to_owned())),
                Meaning::Module(child) => Some(Found::Module(*child)),
                Meaning::Import(path) => Some(self.follow(module, path, depth)?.0),
            });
        let mut meanings: Vec<Found> = named.collect();
        if meanings.is_empty() {
            let globs =
                here.globs
                    .iter()
                    .filter_map(|glob| match self.follow(module, glob, depth)?.0 {
                        Found::Module(other) => self.lookup(other, name, inner, depth),
                        Found::Item(..) => None,
                    });
            meanings.extend(globs);
        }
        meanings.sort_by_key(|found| matches!(found, Found::Module(_)) != inner);
        meanings.into_iter().next()
    }
}

fn with_self(segments: &[String], this: Option<&[String]>) -> Segments {
    match (segments.split_first(), this) {
        (Some((first, rest)), Some(this)) if first == "Self" => [this, rest].concat(),
        _ => segments.to_vec(),
    }
}
