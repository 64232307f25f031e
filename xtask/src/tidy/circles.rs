//! No files of a crate import one another in a circle: what is below does not know what is above it (ARCHITECTURE.md).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    exceptions::{Exceptions, Rule},
    source::{Source, Token},
};

/// The path of a module from the root of its crate.
type Module = Vec<String>;

/// Each circle of files, as one problem that names an import for each of its files.
pub(crate) fn check(sources: &[Source], exceptions: &mut Exceptions) -> Vec<String> {
    let found = found(sources).into_iter();
    found.filter(|(root, _)| !exceptions.allow(Rule::Circle, root)).map(|(_, circle)| circle).collect()
}

/// Each circle, with the folder of its crate's sources: where its `lib.rs` or `main.rs` is. A binary with files of its own is a crate, too.
fn found(sources: &[Source]) -> Vec<(&str, String)> {
    let root = |path: &str| path.strip_suffix("/lib.rs").or(path.strip_suffix("/main.rs")).map(str::len);
    let roots: BTreeSet<&str> = sources.iter().filter_map(|it| Some(&it.path[..root(&it.path)?])).collect();
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        let mut folders = source.path.match_indices('/').rev().map(|(at, _)| &source.path[..at]);
        if let Some(root) = folders.find(|folder| roots.contains(folder) || folder.ends_with("/src")) {
            crates.entry(root).or_default().push(source);
        }
    }
    let told =
        |(root, sources): (_, Vec<&Source>)| of_crate(root, &sources).into_iter().map(move |circle| (root, circle));
    crates.into_iter().flat_map(told).collect()
}

fn of_crate(root: &str, sources: &[&Source]) -> Vec<String> {
    let files: Vec<File> = sources.iter().filter_map(|source| File::new(root, source)).collect();
    let house =
        House { modules: files.iter().enumerate().map(|(at, file)| (file.module.clone(), at)).collect(), files };
    let imports: Vec<BTreeSet<usize>> = (0..house.files.len()).map(|at| house.imports(at)).collect();
    let circles = circles(&imports);
    circles.iter().map(|circle| house.told(circle, &imports)).collect()
}

/// A file as a module: what it imports, and what it passes on.
struct File<'a> {
    path: &'a str,
    module: Module,
    /// Paths that it names, from the root of the crate.
    used: Vec<Module>,
    /// What it passes on (`pub use`), by the name that it has here.
    passed: BTreeMap<String, Module>,
}

impl<'a> File<'a> {
    /// `None` for tests, which may know everything.
    fn new(root: &str, source: &'a Source) -> Option<Self> {
        let inside = source.path.strip_prefix(root)?.strip_prefix('/')?.strip_suffix(".rs")?;
        let mut module: Module = inside.split('/').map(Into::into).collect();
        if module.iter().any(|part| part == "tests" || part == "testing" || part == "bin") {
            return None;
        }
        if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
            module.pop();
        }
        let code = without_inline_modules(&source.tokens);
        let declared: BTreeSet<&str> = declared(&code).collect();
        let absolute = |path: &[String]| absolute(&module, &declared, path);
        let (passed_on, own) = parted(&code);
        let paths = |tokens: Vec<Token>| Source { path: String::new(), lines: 0, tokens }.paths();
        let passed = paths(passed_on).into_iter().filter_map(|path| absolute(&path.segments));
        let used = paths(own).into_iter().filter_map(|path| absolute(&path.segments)).collect();
        let passed = passed.filter_map(|path| Some((path.last()?.clone(), path))).collect();
        Some(Self { path: &source.path, module, used, passed })
    }
}

/// Where a path leads, from the root of the crate; `None` if it leads out of the crate.
fn absolute(module: &Module, declared: &BTreeSet<&str>, path: &[String]) -> Option<Module> {
    let mut from = module.clone();
    let mut rest = path;
    match path.first()?.as_str() {
        "crate" => (from, rest) = (Vec::new(), &path[1..]),
        "self" if path.len() > 1 => rest = &path[1..],
        "super" => {
            while rest.first().is_some_and(|first| first == "super") {
                from.pop();
                rest = &rest[1..];
            }
        }
        first if declared.contains(first) => {}
        _ => return None,
    }
    from.extend(rest.iter().filter(|part| *part != "self").cloned());
    Some(from)
}

/// The tokens outside `mod name { … }`.
fn without_inline_modules(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let is_inline = tokens[at].text == "mod" && tokens.get(at + 2).is_some_and(|token| token.text == "{");
        if !is_inline {
            kept.push(tokens[at].clone());
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        for token in &tokens[at..] {
            at += 1;
            match token.text.as_str() {
                "{" => depth += 1,
                "}" if depth == 1 => break,
                "}" => depth -= 1,
                _ => {}
            }
        }
    }
    kept
}

/// The modules that a file declares.
fn declared(tokens: &[Token]) -> impl Iterator<Item = &str> {
    let is_declared = |three: &&[Token]| three[0].text == "mod" && three[2].text == ";";
    tokens.windows(3).filter(is_declared).map(|three| three[1].text.as_str())
}

/// The tokens of `pub use …;` and all others.
fn parted(tokens: &[Token]) -> (Vec<Token>, Vec<Token>) {
    let (mut passed, mut own) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        let text = |at: usize| tokens.get(at).map(|token| token.text.as_str());
        let visible = match (text(at), text(at + 1)) {
            (Some("pub"), Some("(")) => 4,
            (Some("pub"), _) => 1,
            _ => 0,
        };
        let passes_on = visible > 0 && text(at + visible) == Some("use");
        let length = if passes_on { tokens[at..].iter().take_while(|token| token.text != ";").count() } else { 1 };
        let to = if passes_on { &mut passed } else { &mut own };
        to.extend(tokens[at..at + length].iter().cloned());
        at += length;
    }
    (passed, own)
}

/// All files of a crate.
struct House<'a> {
    files: Vec<File<'a>>,
    modules: BTreeMap<Module, usize>,
}

impl House<'_> {
    /// The files that a file imports. The file of a folder that it lies in is none: what all in a folder share may stand there.
    fn imports(&self, at: usize) -> BTreeSet<usize> {
        let File { module, used, .. } = &self.files[at];
        let homes = used.iter().filter_map(|path| self.home(path, 0));
        homes.filter(|home| !module.starts_with(&self.files[*home].module)).collect()
    }

    /// The file in which what a path names is at home: where it is passed on, the file that it comes from.
    fn home(&self, path: &[String], passed: usize) -> Option<usize> {
        const MOST_PASSED: usize = 8;
        let (depth, &file) =
            (0..=path.len()).rev().find_map(|depth| Some((depth, self.modules.get(&path[..depth])?)))?;
        let from = path.get(depth).and_then(|name| self.files[file].passed.get(name));
        match from {
            Some(from) if passed < MOST_PASSED => self.home(from, passed + 1).or(Some(file)),
            _ => Some(file),
        }
    }

    fn told(&self, circle: &[usize], imports: &[BTreeSet<usize>]) -> String {
        let next = |at: &usize| imports[*at].iter().find(|to| circle.contains(to));
        let arrows = circle.iter().filter_map(|at| Some((self.files[*at].path, self.files[*next(at)?].path)));
        let arrows: Vec<String> = arrows.map(|(from, to)| format!("{from} imports {to}")).collect();
        format!("{} files import one another in a circle: {}", circle.len(), arrows.join(", "))
    }
}

/// The circles of a graph: its strongly connected components of more than one node, by mutual reach.
fn circles(edges: &[BTreeSet<usize>]) -> Vec<Vec<usize>> {
    let reach: Vec<BTreeSet<usize>> = (0..edges.len()).map(|from| reached(edges, from)).collect();
    let mut circles: BTreeSet<Vec<usize>> = BTreeSet::new();
    for at in 0..edges.len() {
        if reach[at].contains(&at) {
            circles.insert(reach[at].iter().copied().filter(|other| reach[*other].contains(&at)).collect());
        }
    }
    circles.into_iter().collect()
}

fn reached(edges: &[BTreeSet<usize>], from: usize) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<usize> = edges[from].iter().copied().collect();
    while let Some(at) = todo.pop() {
        if reached.insert(at) {
            todo.extend(&edges[at]);
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(files: &[(&str, &str)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| super::super::File { path: (*path).into(), text: (*text).into() };
        let sources: Vec<Source> = files.iter().map(|it| Source::parse(&file(it))).collect();
        found(&sources).into_iter().map(|(_, circle)| circle).collect()
    }

    #[test]
    fn two_files_that_import_one_another_are_a_circle() {
        let found = problems(&[
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "use crate::c::C; pub struct B;"),
            ("a/src/c.rs", "use super::b::B; pub struct C;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("a/src/b.rs imports a/src/c.rs"), "{found:?}");
    }

    #[test]
    fn a_binary_with_files_of_its_own_is_a_crate() {
        let found = problems(&[
            ("a/src/lib.rs", "pub mod c;"),
            ("a/src/c.rs", "pub struct C;"),
            ("a/src/one/main.rs", "mod b; mod c;"),
            ("a/src/one/b.rs", "use crate::c::C; pub struct B;"),
            ("a/src/one/c.rs", "use crate::b::B; pub struct C;"),
        ]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("a/src/one/b.rs imports a/src/one/c.rs"), "{found:?}");
    }

    #[test]
    fn who_passes_on_is_no_part_of_a_circle() {
        let below = ("a/src/b/low.rs", "pub struct Low;");
        let above = ("a/src/b/high.rs", "use super::Low; pub struct High;");
        assert_eq!(
            problems(&[("a/src/b/mod.rs", "mod low; mod high; pub use {low::Low, high::High};"), below, above]).len(),
            0
        );
        let shares = ("a/src/b/mod.rs", "mod low; mod high; pub struct Top; fn f() { high::g() }");
        let asks = ("a/src/b/high.rs", "use super::Top; pub fn g() {}");
        assert_eq!(problems(&[shares, below, asks]).len(), 0, "what a folder shares");
        let other = ("a/src/c.rs", "use crate::b::Top;");
        let uses = ("a/src/b/mod.rs", "mod low; mod high; pub struct Top; fn f() { crate::c::g() }");
        assert_eq!(problems(&[uses, other]).len(), 1);
    }

    #[test]
    fn tests_may_know_everything() {
        let found = problems(&[
            ("a/src/b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::c::C; }"),
            ("a/src/c.rs", "use crate::b::B; pub struct C;"),
            ("a/src/tests.rs", "use crate::c::C;"),
        ]);
        assert_eq!(found, [""; 0]);
    }
}
