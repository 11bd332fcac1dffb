//! No circle between files of `src`, and no parameter that takes apart a tuple of three or more.

use std::collections::{BTreeMap, BTreeSet};

use crate::architecture::sources;
use crate::support::repository;

/// A path such as `graph::ops::Conv`, from the crate's root.
type Names = Vec<String>;

/// A source file: what it names, and what it names for others.
#[derive(Default)]
struct Source {
    /// Paths in `use` lines and in code.
    uses: Vec<Names>,
    /// Names that it only hands on, and where they come from.
    handed_on: BTreeMap<String, Names>,
}

/// Files by their module's path.
struct Tree {
    files: BTreeMap<Names, Source>,
}

fn names(path: &str) -> Names {
    path.split("::").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The code of a file: comments and test modules cut away.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
    text.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n")
}

/// The paths of a `use` tree.
fn expand(tree: &str, before: &[String]) -> Vec<Names> {
    let tree = tree.trim();
    let Some((path, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap();
        return vec![[before, &names(path)].concat()];
    };
    let before = [before, &names(path)].concat();
    let group = group.trim_end().strip_suffix('}').unwrap();
    let (mut parts, mut depth) = (vec![String::new()], 0);
    for c in group.chars() {
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                parts.last_mut().unwrap().push(c);
            }
        }
    }
    parts.iter().filter(|part| !part.trim().is_empty()).flat_map(|part| expand(part, &before)).collect()
}

impl Tree {
    fn read() -> Self {
        let root = repository().join("src");
        let mut texts = BTreeMap::new();
        for path in sources(&root) {
            let module = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module = names(&module.to_string_lossy().replace('/', "::"));
            if matches!(module.last().map(String::as_str), Some("mod" | "main" | "lib")) {
                module.pop();
            }
            let text = code(&std::fs::read_to_string(&path).unwrap());
            texts.entry(module).or_insert_with(String::new).push_str(&text);
        }
        let modules: BTreeSet<Names> = texts.keys().cloned().collect();
        let files = texts.iter().map(|(here, text)| (here.clone(), Self::source(here, text, &modules)));
        Self { files: files.collect() }
    }

    fn source(here: &Names, text: &str, modules: &BTreeSet<Names>) -> Source {
        let mut source = Source::default();
        let mut rest = String::new();
        for statement in text.split_inclusive(';') {
            let start = statement.rfind("use ").filter(|&at| {
                let line = statement[..at].rsplit('\n').next().unwrap().trim();
                line.is_empty() || line.starts_with("pub")
            });
            let Some(at) = start else {
                rest.push_str(statement);
                continue;
            };
            let public = statement[..at].rsplit('\n').next().unwrap().trim_start().starts_with("pub");
            rest.push_str(&statement[..at]);
            for path in expand(statement[at + 4..].trim_end_matches(';'), &[]) {
                let Some(path) = absolute(&path, here, modules) else { continue };
                // A file without children that hands a name on uses it too.
                let has_children =
                    modules.iter().any(|module| module.len() > here.len() && module.starts_with(here));
                if public {
                    source.handed_on.insert(path.last().unwrap().clone(), path.clone());
                }
                if !public || !has_children {
                    source.uses.push(path);
                }
            }
        }
        source.uses.extend(paths(&rest).filter_map(|path| absolute(&path, here, modules)));
        source
    }

    /// The file that a path leads to; names that are only handed on are looked through.
    fn file(&self, path: &[String]) -> &Names {
        let depth = (0..=path.len()).rev().find(|&n| self.files.contains_key(&path[..n])).unwrap();
        let (module, source) = self.files.get_key_value(&path[..depth]).unwrap();
        match path.get(depth).and_then(|name| source.handed_on.get(name)) {
            Some(from) if from[..] != path[..=depth] => self.file(from),
            _ => module,
        }
    }

    /// Each file with those it uses.
    fn edges(&self) -> BTreeMap<&Names, BTreeSet<&Names>> {
        let used = |here: &Names, source: &Source| {
            let files: BTreeSet<&Names> = source.uses.iter().map(|path| self.file(path)).collect();
            files.into_iter().filter(|file| *file != here && !file.is_empty()).collect()
        };
        self.files.iter().map(|(here, source)| (here, used(here, source))).collect()
    }
}

/// Paths of more than one name in code.
fn paths(code: &str) -> impl Iterator<Item = Names> + '_ {
    let word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    code.split(move |c| !word(c)).filter(|path| path.contains("::") && !path.starts_with(':')).map(names)
}

/// A path from the crate's root; none for other crates.
fn absolute(path: &[String], here: &[String], modules: &BTreeSet<Names>) -> Option<Names> {
    let inside = |module: &[String], rest: &[String]| Some([module, rest].concat());
    match path.first()?.as_str() {
        "crate" | "mimi_server" => inside(&[], &path[1..]),
        "self" => inside(here, &path[1..]),
        "super" => {
            let up = path.iter().take_while(|name| *name == "super").count();
            inside(&here[..here.len().checked_sub(up)?], &path[up..])
        }
        first => {
            let child = [here, &[first.to_owned()]].concat();
            modules.contains(&child).then(|| [here, path].concat())
        }
    }
}

/// Files that can be reached from each.
fn reached<'a>(edges: &BTreeMap<&'a Names, BTreeSet<&'a Names>>, from: &'a Names) -> BTreeSet<&'a Names> {
    let (mut found, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(file) = left.pop() {
        for &next in &edges[file] {
            if found.insert(next) {
                left.push(next);
            }
        }
    }
    found
}

#[test]
fn files_use_each_other_in_one_direction() {
    let tree = Tree::read();
    let edges = tree.edges();
    assert!(
        edges.values().map(BTreeSet::len).sum::<usize>() > 1500,
        "the reader of use lines finds too little"
    );
    let circles: Vec<String> = edges
        .keys()
        .filter(|file| reached(&edges, file).contains(*file))
        .map(|file| {
            let back = edges[file].iter().filter(|next| reached(&edges, next).contains(file));
            let back: Vec<String> = back.map(|next| next.join("::")).collect();
            format!("{} -> {}", file.join("::"), back.join(", "))
        })
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

/// Parameters of the functions in a code, apart at their commas.
fn parameters(code: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let rest = &code[at + 3..];
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(open) = rest.find('(').filter(|_| !name.is_empty()) else { continue };
        let (mut depth, mut parts) = (0, vec![String::new()]);
        for c in rest[open..].chars() {
            depth += i32::from("([{<".contains(c)) - i32::from(")]}".contains(c));
            depth -= i32::from(c == '>' && !parts.last().unwrap().ends_with(['-', '=']));
            match c {
                ')' if depth == 0 => break,
                ',' if depth == 1 => parts.push(String::new()),
                '(' if depth == 1 && parts.len() == 1 && parts[0].is_empty() => {}
                _ => parts.last_mut().unwrap().push(c),
            }
        }
        found.push((name, parts));
    }
    found
}

#[test]
fn no_parameter_takes_apart_a_tuple_of_more_than_two() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in sources(&repository().join("src")) {
        let text = code(&std::fs::read_to_string(&path).unwrap());
        for (name, parts) in parameters(&text) {
            seen += 1;
            let wide = |part: &String| {
                let pattern = part.trim().strip_prefix('(').and_then(|rest| rest.split_once("):"));
                pattern.is_some_and(|(names, _)| names.trim_end_matches(',').matches(',').count() > 1)
            };
            let told = |part: &String| format!("{}: fn {name}: {}", path.display(), part.trim());
            wrong.extend(parts.iter().filter(|part| wide(part)).map(told));
        }
    }
    assert!(seen > 1000, "the reader of functions finds {seen}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readers_read_what_rust_says() {
    assert_eq!(
        expand("super::{a::{B, c as d}, E}", &[]),
        [["super", "a", "B"].map(String::from).to_vec(), names("super::a::c"), names("super::E")]
    );
    let read = parameters("fn f<T>(a: &[u8], (b, c, d): (u8, u8, u8), g: impl Fn(u8) -> u8) -> X { }");
    assert_eq!(read[0].0, "f");
    assert_eq!(read[0].1.len(), 3, "{read:?}");
    assert!(read[0].1[1].trim().starts_with("(b, c, d):"));
}
