//! Which packages a command of cargo's is about, and how exectrace is switched on in them.
//!
//! Cargo switches a dependency's feature on only by way of a package that is asked for and depends
//! on it directly (`--features exectrace/auto`); features are then the same for the whole build, so
//! one such package is enough. A feature of the package's own that switches exectrace on
//! (`trace = ["exectrace/enabled"]`) may do more than that, so it is switched on as well.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::error::Failure;
use crate::label;

const NAME: &str = "exectrace";

/// A package's feature that forwards to one of these is meant to switch exectrace on.
const SWITCHES: [&str; 3] = ["auto", "enabled", "full"];

/// What `cargo metadata` says, as far as it is needed.
#[derive(Debug, Deserialize)]
pub(super) struct Project {
    packages: Vec<Package>,
    #[serde(default)]
    workspace_default_members: Vec<String>,
    workspace_root: PathBuf,
    /// Where cargo builds.
    pub(super) target_directory: PathBuf,
    /// The manifest that cargo finds from here.
    #[serde(skip)]
    here: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    features: BTreeMap<String, Vec<String>>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    rename: Option<String>,
    kind: Option<String>,
}

/// How the feature is switched on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// For `--features`.
    pub(super) features: Vec<String>,
}

/// Cargo, the one that has started this if one has.
pub(super) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

impl Project {
    /// Asks cargo.
    ///
    /// - `words`: those of the command that are cargo's.
    ///
    /// # Errors
    /// Cargo's.
    pub(super) fn read<'a>(words: impl Iterator<Item = &'a str> + Clone) -> Result<Self, Failure> {
        let mut common: Vec<&str> = Vec::new();
        let manifests = values(words.clone(), &["--manifest-path"]);
        if let Some(path) = manifests.first() {
            common.extend(["--manifest-path", path]);
        }
        common.extend(words.filter(|it| ["--offline", "--locked", "--frozen"].contains(it)));
        let asked = ask(&[&["metadata", "--no-deps", "--format-version", "1"], &*common].concat())?;
        let mut project: Self = serde_json::from_str(&asked)
            .map_err(|error| Failure::Usage(format!("can't read cargo's metadata: {error}")))?;
        let here = ask(&[&["locate-project", "--message-format", "plain"], &*common].concat())?;
        project.here = here.trim_end().into();
        Ok(project)
    }

    /// Finds out what to switch on.
    ///
    /// - `more`: features of exectrace that are wanted beside `auto`.
    ///
    /// # Errors
    /// [`Failure::Usage`] with what is missing in which manifest.
    pub(super) fn plan<'a>(
        &self,
        words: impl Iterator<Item = &'a str> + Clone,
        more: &[String],
    ) -> Result<Plan, Failure> {
        let meant = self.meant(words);
        let mut features = BTreeSet::new();
        for (package, key) in meant.iter().filter_map(|it| Some((*it, it.key()?))) {
            let wanted = ["auto"].into_iter().chain(more.iter().map(String::as_str));
            features.extend(wanted.map(|feature| format!("{key}/{feature}")));
            let own = package.forwarding(key).map(|name| format!("{}/{name}", package.name));
            features.extend(own);
        }
        match features.is_empty() {
            false => Ok(Plan { features: features.into_iter().collect() }),
            true => Err(Failure::Usage(self.advice(&meant))),
        }
    }

    /// The packages that cargo takes the command for.
    fn meant<'a>(&self, words: impl Iterator<Item = &'a str> + Clone) -> Vec<&Package> {
        let named = values(words.clone(), &["--package", "-p"]);
        let excluded = values(words.clone(), &["--exclude"]);
        let is_all = words.clone().any(|word| word == "--workspace" || word == "--all");
        let is_meant = |package: &&Package| {
            if is_all {
                return !excluded.iter().any(|pattern| matches(pattern, &package.name));
            }
            if !named.is_empty() {
                return named.iter().any(|pattern| matches(pattern, &package.name));
            }
            if self.here == self.workspace_root.join("Cargo.toml") {
                return self.workspace_default_members.contains(&package.id);
            }
            package.manifest_path == self.here
        };
        self.packages.iter().filter(is_meant).collect()
    }

    /// What is to be done where nothing can be switched on.
    fn advice(&self, meant: &[&Package]) -> String {
        let Some(first) = meant.first() else {
            return "no package of this workspace is meant; is the name after -p right?".to_owned();
        };
        let names: Vec<_> = meant.iter().map(|package| format!("`{}`", package.name)).collect();
        let do_not = if let [_] = meant { "does not" } else { "do not" };
        let manifest = first.manifest_path.strip_prefix(&self.workspace_root);
        let manifest = manifest.unwrap_or(&first.manifest_path);
        let others = self.packages.iter().filter(|package| package.key().is_some());
        let others: Vec<_> = others.map(|package| format!("-p {}", package.name)).collect();
        let others = match &others[..] {
            [] => String::new(),
            others => format!(
                "\nOther packages here do: {}. Features are switched on by way of those alone that \
                 are asked for.",
                others.join(", ")
            ),
        };
        format!(
            "{} {do_not} depend on exectrace directly. Add to {}\n\n    [dependencies]\n    \
             exectrace = \"{}\"\n\nand to {}, so that it is linked\n\n    \
             use exectrace as _;\n{others}",
            names.join(", "),
            label::path(manifest),
            env!("CARGO_PKG_VERSION"),
            label::path(&first.root()),
        )
    }
}

impl Package {
    /// What exectrace is called in the manifest, if it is there.
    fn key(&self) -> Option<&str> {
        if self.name == NAME {
            return Some(NAME);
        }
        let is_linked = |dependency: &&Dependency| dependency.kind.as_deref() != Some("build");
        let mut dependencies = self.dependencies.iter().filter(is_linked);
        let found = dependencies.rfind(|dependency| dependency.name == NAME)?;
        Some(found.rename.as_deref().unwrap_or(NAME))
    }

    /// Features that switch exectrace on.
    fn forwarding(&self, key: &str) -> impl Iterator<Item = &str> {
        let switches =
            SWITCHES.map(|switch| [format!("{key}/{switch}"), format!("{key}?/{switch}")]);
        let forwards =
            move |items: &[String]| items.iter().any(|it| switches.as_flattened().contains(it));
        let found = self.features.iter().filter(move |(_, items)| forwards(items));
        found.map(|(name, _)| name.as_str())
    }

    /// The file that is compiled first, most likely.
    fn root(&self) -> PathBuf {
        let folder = self.manifest_path.parent().unwrap_or(Path::new(""));
        let library = Path::new("src/lib.rs");
        let is_library = folder.join(library).exists();
        if is_library { library } else { Path::new("src/main.rs") }.to_path_buf()
    }
}

/// The values of an option, however it is written.
fn values<'a>(words: impl Iterator<Item = &'a str>, names: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    let mut is_next = false;
    for word in words {
        if std::mem::take(&mut is_next) {
            found.push(word);
        } else if names.contains(&word) {
            is_next = true;
        } else if let Some(value) = names.iter().find_map(|name| joined(word, name)) {
            found.push(value);
        }
    }
    found
}

/// `--name=value`, `-nvalue` or `-n=value`.
fn joined<'a>(word: &'a str, name: &str) -> Option<&'a str> {
    let value = word.strip_prefix(name)?;
    match (value.strip_prefix('='), name.starts_with("--")) {
        (Some(value), _) => Some(value),
        (None, false) => Some(value),
        (None, true) => None,
    }
}

/// Whether a package specification means a name: `name`, `name@1.2`, `name-*`, `URL#name@1.2`, or
/// `URL#1.2`, where the URL ends in the name.
fn matches(specification: &str, name: &str) -> bool {
    let is_version = |text: &str| text.starts_with(|it: char| it.is_ascii_digit());
    let named = match specification.split_once('#') {
        Some((_, fragment)) if !is_version(fragment) => fragment,
        Some((url, _)) => url,
        None => specification,
    };
    let named = named.rsplit('/').next().unwrap_or(named);
    is_like(named.split(['@', ':']).next().unwrap_or(named), name)
}

/// Whether a name is like a pattern, in which `*` stands for any characters and `?` for one.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut characters = pattern.chars();
    match characters.next() {
        None => name.is_empty(),
        Some('*') => {
            let mut rests = name.char_indices().map(|(at, _)| &name[at..]).chain([""]);
            rests.any(|rest| is_like(characters.as_str(), rest))
        }
        Some(first) => {
            let mut rest = name.chars();
            let is_first = rest.next().is_some_and(|it| first == '?' || first == it);
            is_first && is_like(characters.as_str(), rest.as_str())
        }
    }
}

/// What cargo answers; its own words are shown if it can't.
fn ask(words: &[&str]) -> Result<String, Failure> {
    let cargo = cargo();
    let output = Command::new(&cargo).args(words).output();
    let output = output.map_err(|error| Failure::Open(cargo.into(), error))?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let first = error.lines().next().unwrap_or_default().trim_start_matches("error: ");
        return Err(Failure::Usage(format!("cargo {}: {first}", words[0])));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A workspace of three: `app` depends on `library`, that on exectrace, `tool` by another name.
    fn project(here: &str) -> Project {
        let json = r#"{
            "workspace_root": "/w", "target_directory": "/w/target",
            "workspace_default_members": ["app 1", "library 1"],
            "packages": [
                {"id": "app 1", "name": "app", "manifest_path": "/w/app/Cargo.toml",
                 "features": {},
                 "dependencies": [{"name": "library", "rename": null, "kind": null}]},
                {"id": "library 1", "name": "library", "manifest_path": "/w/library/Cargo.toml",
                 "features": {"trace": ["exectrace/enabled", "x"], "more": ["exectrace/tracing"]},
                 "dependencies": [{"name": "exectrace", "rename": null, "kind": null}]},
                {"id": "tool 1", "name": "tool", "manifest_path": "/w/tool/Cargo.toml",
                 "features": {"default": [], "on": ["et?/full"]},
                 "dependencies": [{"name": "exectrace", "rename": "et", "kind": "dev"}]},
                {"id": "made 1", "name": "made", "manifest_path": "/w/made/Cargo.toml",
                 "features": {},
                 "dependencies": [{"name": "exectrace", "rename": null, "kind": "build"}]}
            ]}"#;
        let project: Project = serde_json::from_str(json).expect("it is as cargo prints it");
        Project { here: here.into(), ..project }
    }

    fn plan(here: &str, line: &str, more: &[&str]) -> Result<String, String> {
        let more: Vec<_> = more.iter().map(|it| (*it).to_owned()).collect();
        let planned = project(here).plan(line.split_whitespace(), &more);
        planned.map(|plan| plan.features.join(",")).map_err(|failure| failure.to_string())
    }

    #[test]
    fn features_are_switched_on_where_exectrace_is_a_dependency() {
        let library = Ok("exectrace/auto,library/trace".to_owned());
        let tool = Ok("et/auto,tool/on".to_owned());
        let root = "/w/Cargo.toml";
        for line in ["-p library", "-plibrary", "--package=library@1.0.0", "--package lib*", ""] {
            assert_eq!(plan(root, line, &[]), library, "{line}");
        }
        assert_eq!(plan(root, "--lib -p tool", &[]), tool);
        assert_eq!(plan("/w/tool/Cargo.toml", "", &[]), tool);
        let all = "et/auto,exectrace/auto,library/trace,tool/on";
        assert_eq!(plan("/w/app/Cargo.toml", "--workspace", &[]), Ok(all.to_owned()));
        assert_eq!(plan(root, "--workspace --exclude library", &[]), tool);
        let more = "exectrace/auto,exectrace/os,library/trace";
        assert_eq!(plan(root, "", &["os"]), Ok(more.to_owned()));
    }

    #[test]
    fn packages_are_named_as_cargo_names_them() {
        for (specification, is_meant) in [
            ("library", true),
            ("library@1.0.0", true),
            ("lib*", true),
            ("*r*", true),
            ("l?b*y", true),
            ("path+file:///w/library#1.0.0", true),
            ("path+file:///w/folder#library@1.0.0", true),
            ("file:///w/library", true),
            ("lib", false),
            ("lib?", false),
            ("*z*", false),
            ("path+file:///w/library#other@1.0.0", false),
        ] {
            assert_eq!(matches(specification, "library"), is_meant, "{specification}");
        }
    }

    #[test]
    fn what_is_missing_is_said_with_what_would_help() {
        let fault = plan("/w/app/Cargo.toml", "", &[]).expect_err("it does not depend on it");
        for part in ["`app` does not depend", "app/Cargo.toml", "use exectrace as _;", "-p library"]
        {
            assert!(fault.contains(part), "{part}: {fault}");
        }
        let fault = plan("/w/Cargo.toml", "-p made", &[]).expect_err("for building only");
        assert!(fault.contains("`made` does not depend"), "{fault}");
        let fault = plan("/w/Cargo.toml", "-p nobody", &[]).expect_err("there is no such package");
        assert!(fault.contains("no package"), "{fault}");
    }
}
