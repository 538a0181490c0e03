//! How the modules of `src/` lean on each other, read from the code.
//!
//! A folder's `mod.rs` is its door: it declares what is in the folder, and what is in the folder may use what it defines. All other
//! arrows between the files and folders of one folder go one way.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests are tests too")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use support::{files, text};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, Path, UseTree, Visibility};

/// A module by its names, from the crate's root.
type Module = Vec<String>;

/// The modules of a crate, and what each of them names.
struct Crate {
    /// Paths that a module names, as they are written.
    named: BTreeMap<Module, BTreeSet<Vec<String>>>,
    /// What a module hands on under a name: the module that the name comes from, and the name there.
    reexports: BTreeMap<(Module, String), Vec<String>>,
}

impl Crate {
    fn read() -> Self {
        let mut read = Self { named: BTreeMap::new(), reexports: BTreeMap::new() };
        for path in files().iter().filter(|path| path.starts_with("src/") && path.ends_with(".rs")) {
            let module = module_of(path);
            if module.iter().any(|name| name == "tests" || name.ends_with("_tests") || name == "testing") {
                continue;
            }
            let file = syn::parse_file(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            let mut names = Names::default();
            names.visit_file(&file);
            for (name, from) in names.handed_on {
                read.reexports.insert((module.clone(), name), from);
            }
            read.named.insert(module, names.paths);
        }
        read
    }

    /// The file that a path of `module` leads to; `None` for what is not of this crate.
    fn target(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut at: Module = module.clone();
        let mut rest = path;
        match rest.first()?.as_str() {
            "crate" => at.clear(),
            "self" => {}
            "super" => drop(at.pop()),
            child if self.named.contains_key(&[&at[..], &[child.to_owned()]].concat()) => {
                at.push(child.to_owned());
            }
            _ => return None,
        }
        rest = &rest[1..];
        while let Some((name, after)) = rest.split_first() {
            let inner = [&at[..], std::slice::from_ref(name)].concat();
            if name == "super" {
                at.pop();
            } else if self.named.contains_key(&inner) {
                at = inner;
            } else if let Some(from) = self.reexports.get(&(at.clone(), name.clone())) {
                return self.target(&at, from);
            } else {
                break;
            }
            rest = after;
        }
        Some(at)
    }

    /// Who uses whom, between the files of the crate, and by which path.
    fn arrows(&self) -> BTreeMap<(Module, Module), Vec<String>> {
        let mut arrows = BTreeMap::new();
        for (module, paths) in &self.named {
            for path in paths {
                if let Some(target) = self.target(module, path).filter(|target| target != module) {
                    arrows.entry((module.clone(), target)).or_insert_with(|| path.clone());
                }
            }
        }
        arrows
    }

    /// The arrows between what stands in one folder, for each folder; doors aside.
    fn rooms(&self) -> BTreeMap<Module, BTreeMap<(String, String), String>> {
        let mut rooms: BTreeMap<Module, BTreeMap<_, _>> = BTreeMap::new();
        for ((from, to), path) in self.arrows() {
            let shared = from.iter().zip(&to).take_while(|(one, other)| one == other).count();
            if let (Some(one), Some(other)) = (from.get(shared), to.get(shared)) {
                let why = format!("{} by {}", from.join("::"), path.join("::"));
                rooms.entry(from[..shared].to_vec()).or_default().insert((one.clone(), other.clone()), why);
            }
        }
        rooms
    }
}

fn module_of(path: &str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    path.split('/').filter(|name| !["mod", "lib"].contains(name)).map(str::to_owned).collect()
}

/// What a file names, tests aside.
#[derive(Default)]
struct Names {
    paths: BTreeSet<Vec<String>>,
    handed_on: Vec<(String, Vec<String>)>,
}

impl Names {
    fn read_use(&mut self, tree: &UseTree, mut path: Vec<String>, is_handed_on: bool) {
        match tree {
            UseTree::Path(inner) => {
                path.push(inner.ident.to_string());
                self.read_use(&inner.tree, path, is_handed_on);
            }
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.read_use(tree, path.clone(), is_handed_on));
            }
            UseTree::Glob(_) => drop(self.paths.insert(path)),
            UseTree::Name(name) => self.add_use(path, name.ident.to_string(), None, is_handed_on),
            UseTree::Rename(name) => {
                self.add_use(path, name.ident.to_string(), Some(name.rename.to_string()), is_handed_on);
            }
        }
    }

    fn add_use(&mut self, mut path: Vec<String>, name: String, rename: Option<String>, is_handed_on: bool) {
        let own = rename.unwrap_or_else(|| name.clone());
        if name != "self" {
            path.push(name);
        }
        // A private `use` in a door hands on too, to what is in its folder.
        if is_handed_on || path.first().is_some_and(|first| !["crate", "super"].contains(&first.as_str())) {
            self.handed_on.push((own, path.clone()));
        }
        self.paths.insert(path);
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    let names_test = |attribute: &Attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Meta>().is_ok_and(|meta| meta.path().is_ident("test"))
    };
    attributes.iter().any(names_test)
}

impl<'a> Visit<'a> for Names {
    fn visit_item(&mut self, item: &'a Item) {
        match item {
            Item::Mod(module) if is_test(&module.attrs) => {}
            Item::Use(item) if is_test(&item.attrs) => {}
            Item::Use(item) => {
                self.read_use(&item.tree, Vec::new(), !matches!(item.vis, Visibility::Inherited));
            }
            item => visit::visit_item(self, item),
        }
    }

    fn visit_path(&mut self, path: &'a Path) {
        if path.segments.len() > 1 {
            self.paths.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

/// Names that lead back to where they began.
fn circle(arrows: &BTreeMap<(String, String), String>) -> Option<Vec<String>> {
    let mut left: BTreeSet<&str> = arrows.keys().flat_map(|(from, to)| [from.as_str(), to]).collect();
    // What leads nowhere is in no circle.
    loop {
        let ends = |name: &&&str| !arrows.keys().any(|(from, to)| from == **name && left.contains(to.as_str()));
        let Some(end) = left.iter().find(ends).copied() else { break };
        left.remove(end);
    }
    let start = left.first().copied()?;
    let mut path = vec![start];
    loop {
        let last = *path.last()?;
        let next = arrows.keys().find(|(from, to)| from == last && left.contains(to.as_str()))?.1.as_str();
        if let Some(begin) = path.iter().position(|name| *name == next) {
            let names = path[begin..].iter().chain([&next]);
            return Some(names.map(|name| (*name).to_owned()).collect());
        }
        path.push(next);
    }
}

#[test]
fn no_arrows_between_modules_of_one_folder_go_in_a_circle() {
    for (folder, arrows) in Crate::read().rooms() {
        let Some(names) = circle(&arrows) else { continue };
        let why = names
            .windows(2)
            .map(|pair| format!("{} → {}: {}", pair[0], pair[1], arrows[&(pair[0].clone(), pair[1].clone())]));
        panic!("src/{} has a circle:\n{}", folder.join("/"), why.collect::<Vec<_>>().join("\n"));
    }
}

/// The layers of the crate's documentation, from the top.
fn layers() -> Vec<Vec<String>> {
    let text = text("src/lib.rs");
    let picture = text.split("```text").nth(1).and_then(|rest| rest.split("```").next()).unwrap().replace("//!", "");
    let names =
        |layer: &str| layer.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    picture.split('→').map(names).collect()
}

#[test]
fn modules_are_in_the_layers_that_the_crate_documents() {
    let layers = layers();
    let layer_of = |name: &str| layers.iter().position(|layer| layer.iter().any(|known| known == name));
    let read = Crate::read();
    for module in read.named.keys().filter(|module| module.len() == 1) {
        assert!(layer_of(&module[0]).is_some(), "the picture in src/lib.rs lacks {}", module[0]);
    }
    for ((from, to), why) in &read.rooms()[&Vec::new()] {
        assert!(layer_of(from) <= layer_of(to), "{from} → {to} goes up: {why}");
    }
}

#[test]
fn only_the_adapter_knows_the_proxy_and_only_the_host_module_the_system() {
    let rooms = [("proxy_wasm", "filter"), ("getrandom", "host")];
    for (module, paths) in Crate::read().named {
        for (library, room) in rooms {
            let named = paths.iter().find(|path| path[0] == library);
            assert!(module.first().is_some_and(|name| name == room) || named.is_none(), "{module:?} names {named:?}");
        }
        let system =
            paths.iter().find(|path| path[0] == "std" && ["fs", "time", "env", "process"].contains(&path[1].as_str()));
        let is_span = system.is_none_or(|path| path.last().is_some_and(|name| name == "Duration"));
        assert!(is_span || module.first().is_some_and(|name| name == "filter"), "{module:?} names {system:?}");
    }
}

#[test]
fn a_circle_is_found() {
    let arrows = |list: &[(&str, &str)]| {
        list.iter().map(|(from, to)| (((*from).to_owned(), (*to).to_owned()), String::new())).collect()
    };
    assert_eq!(circle(&arrows(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = circle(&arrows(&[("z", "a"), ("a", "b"), ("b", "c"), ("c", "a")])).unwrap();
    assert_eq!(found, ["a", "b", "c", "a"]);
}
