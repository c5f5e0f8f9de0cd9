//! Reads the source of one crate: its modules, what each of them declares, and the code in it.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{ImplItem, Item, ItemImpl, ItemMod, ItemUse, Type, UseTree, Visibility};

pub(crate) type Segments = Vec<String>;

#[derive(Default)]
pub(crate) struct Crate {
    pub(crate) files: Vec<File>,
    pub(crate) modules: Vec<Module>,
}

pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// Every item that is not for tests alone.
    pub(crate) items: Vec<Item>,
}

#[derive(Default)]
pub(crate) struct Module {
    pub(crate) file: usize,
    pub(crate) parent: Option<usize>,
    /// What a name in this module means; a function and a module may share one.
    pub(crate) names: HashMap<String, Vec<Meaning>>,
    /// The modules and enums of which all names are in scope.
    pub(crate) globs: Vec<Segments>,
    pub(crate) code: Vec<Code>,
    /// The methods in `impl` blocks without a trait: the type, as written, and the name.
    pub(crate) methods: Vec<(Segments, String)>,
}

pub(crate) enum Meaning {
    Item,
    Module(usize),
    Import(Segments),
}

/// Code in which paths are looked for, and what `Self` is in it.
pub(crate) struct Code {
    pub(crate) this: Option<Segments>,
    pub(crate) tokens: TokenStream,
}

impl Crate {
    /// Reads the crate whose root file is `root`.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let mut read = Self::default();
        let folder = root.parent().unwrap_or(Path::new(""));
        read.file(root, folder, None)?;
        Ok(read)
    }

    /// Reads one file; the files of its modules are in `folder`. Returns its module's index.
    fn file(&mut self, path: &Path, folder: &Path, parent: Option<usize>) -> Result<usize> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let parsed = syn::parse_file(&text).with_context(|| path.display().to_string())?;
        let items = production(parsed.items);
        let file = self.files.len();
        self.files.push(File {
            path: path.to_owned(),
            items: Vec::new(),
        });
        let module = self.module(&items, file, folder, parent)?;
        self.files[file].items = items;
        Ok(module)
    }

    fn module(
        &mut self,
        items: &[Item],
        file: usize,
        folder: &Path,
        parent: Option<usize>,
    ) -> Result<usize> {
        let module = self.modules.len();
        self.modules.push(Module {
            file,
            parent,
            ..Module::default()
        });
        for item in items {
            match item {
                Item::Mod(child) => {
                    let found = self.child(child, module, folder)?;
                    self.modules[module].declare(&child.ident, Meaning::Module(found));
                }
                Item::Use(import) => self.modules[module].import(import),
                Item::Impl(block) => self.modules[module].implement(block),
                other => self.modules[module].item(other),
            }
        }
        Ok(module)
    }

    fn child(&mut self, child: &ItemMod, parent: usize, folder: &Path) -> Result<usize> {
        let below = folder.join(child.ident.to_string());
        if let Some((_, items)) = &child.content {
            return self.module(items, self.modules[parent].file, &below, Some(parent));
        }
        let beside = below.with_extension("rs");
        let inside = below.join("mod.rs");
        let path = if beside.exists() { beside } else { inside };
        self.file(&path, &below, Some(parent))
    }
}

impl Module {
    fn declare(&mut self, name: &impl ToString, meaning: Meaning) {
        self.names
            .entry(name.to_string())
            .or_default()
            .push(meaning);
    }

    fn import(&mut self, import: &ItemUse) {
        if import.leading_colon.is_none() {
            self.tree(&import.tree, Vec::new());
        }
        // A re-export is a name in this module, not a use.
        if matches!(import.vis, Visibility::Inherited) {
            self.code(None, import.to_token_stream());
        }
    }

    fn tree(&mut self, tree: &UseTree, mut before: Segments) {
        match tree {
            UseTree::Path(path) => {
                before.push(path.ident.to_string());
                self.tree(&path.tree, before);
            }
            UseTree::Name(name) => {
                before.push(name.ident.to_string());
                if let Some(name) = before.iter().rfind(|name| *name != "self").cloned() {
                    self.declare(&name, Meaning::Import(before));
                }
            }
            UseTree::Rename(renamed) => {
                before.push(renamed.ident.to_string());
                self.declare(&renamed.rename, Meaning::Import(before));
            }
            UseTree::Glob(_) => self.globs.push(before),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before.clone());
                }
            }
        }
    }

    fn implement(&mut self, block: &ItemImpl) {
        let this = match &*block.self_ty {
            Type::Path(path) => Some(
                (path.path.segments.iter())
                    .map(|segment| segment.ident.to_string())
                    .collect::<Segments>(),
            ),
            _ => None,
        };
        if let (Some(this), None) = (&this, &block.trait_) {
            for item in &block.items {
                if let ImplItem::Fn(method) = item {
                    let name = method.sig.ident.to_string();
                    self.methods.push((this.clone(), name));
                }
            }
        }
        self.code(this, block.to_token_stream());
    }

    fn item(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.declare(name, Meaning::Item);
        }
        self.code(None, item.to_token_stream());
    }

    fn code(&mut self, this: Option<Segments>, tokens: TokenStream) {
        self.code.push(Code { this, tokens });
    }
}

/// Leaves out what is compiled for tests alone.
fn production(mut items: Vec<Item>) -> Vec<Item> {
    items.retain(|item| !is_for_tests(item));
    for item in &mut items {
        match item {
            Item::Impl(block) => block.items.retain(|item| !is_for_tests(item)),
            Item::Mod(module) => {
                let content = module.content.take();
                module.content = content.map(|(brace, items)| (brace, production(items)));
            }
            _ => {}
        }
    }
    items
}

/// Whether one of the item's attributes is `#[cfg(test)]`. Attributes come first.
fn is_for_tests(item: &impl ToTokens) -> bool {
    let tokens: Vec<String> = (item.to_token_stream().into_iter())
        .map(|token| token.to_string().replace(' ', ""))
        .collect();
    tokens
        .chunks(2)
        .take_while(|pair| pair[0] == "#")
        .any(|pair| pair.contains(&"[cfg(test)]".to_owned()))
}
