//! JSON.md is made of the documentation of the structs in `src/json`, and of `reference.md` there.
//!
//! `BLESS=1 cargo test -p exectrace-cli --test json_reference` writes it anew. Each struct that is
//! serialized has its table, each field its sentence.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Expr, Field, GenericArgument, Item, ItemStruct, Lit, Meta, PathArguments};

const MADE: &str = "<!-- Made by `BLESS=1 cargo test -p exectrace-cli --test json_reference` from\n\
                    src/json: edit there. -->\n\n";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/json")
}

#[test]
fn the_page_says_what_the_structs_say() {
    let page = Page::read().render();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("JSON.md");
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        fs::write(&path, &page).expect("it is ours");
    }
    let found = fs::read_to_string(&path).expect("it is there");
    let differs = found.lines().zip(page.lines()).position(|(found, made)| found != made);
    let at = differs.map_or(String::new(), |at| format!(" from line {} on", at + 1));
    assert!(found == page, "JSON.md is out of date{at}: BLESS=1 writes it anew");
}

/// The structs by file, and the text around them.
struct Page {
    text: String,
    files: BTreeMap<String, Vec<ItemStruct>>,
}

impl Page {
    fn read() -> Self {
        let entries = fs::read_dir(folder()).expect("it is there");
        let paths = entries.map(|entry| entry.expect("it can be read").path());
        let paths = paths.filter(|path| path.extension().is_some_and(|it| it == "rs"));
        let files = paths.filter_map(|path| {
            let structs = structs(&fs::read_to_string(&path).expect("it is text"));
            let name = path.file_name()?.to_str()?.to_owned();
            (!structs.is_empty()).then_some((name, structs))
        });
        let text = fs::read_to_string(folder().join("reference.md")).expect("it is there");
        Self { text, files: files.collect() }
    }

    /// Every struct has its place, and every link leads to one.
    fn render(&self) -> String {
        let mut page = MADE.to_owned();
        let mut shown = BTreeSet::new();
        for line in self.text.lines() {
            let file = line.strip_prefix("{{").and_then(|line| line.strip_suffix("}}"));
            let Some(file) = file else {
                page += line;
                page.push('\n');
                continue;
            };
            let structs = &self.files[file];
            assert!(shown.insert(file.to_owned()), "{file} stands twice in reference.md");
            let tables: Vec<_> = structs.iter().map(table).collect();
            page += &tables.join("\n");
        }
        let missing: Vec<_> = self.files.keys().filter(|file| !shown.contains(*file)).collect();
        assert!(missing.is_empty(), "reference.md has no place for {missing:?}");
        let headings = page.lines().filter(|line| line.starts_with('#'));
        let mut anchors = BTreeSet::new();
        for anchor in headings.map(anchor) {
            assert!(anchors.insert(anchor.clone()), "two headings are called {anchor}");
        }
        for link in page.split("](#").skip(1).filter_map(|rest| rest.split_once(')')) {
            assert!(anchors.contains(link.0), "nothing is called {}", link.0);
        }
        page
    }
}

fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(kept)
        .collect::<String>()
        .replace(' ', "-")
}

/// Those that are serialized.
fn structs(source: &str) -> Vec<ItemStruct> {
    let file = syn::parse_file(source).expect("it is Rust");
    let structs = file.items.into_iter().filter_map(|item| match item {
        Item::Struct(item) => Some(item),
        _ => None,
    });
    let is_serialized = |attribute: &Attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("derive") => {
            list.tokens.to_string().contains("Serialize")
        }
        _ => false,
    };
    structs.filter(|item| item.attrs.iter().any(is_serialized)).collect()
}

fn table(item: &ItemStruct) -> String {
    let name = item.ident.to_string();
    let doc = doc(&item.attrs);
    assert!(!doc.is_empty(), "{name} has no documentation");
    let (name_shown, doc) = (shown(&name), wrapped(&doc));
    let mut text = format!("### {name_shown}\n\n{doc}\n\n| field | type | |\n|---|---|---|\n");
    for field in &item.fields {
        let row = row(&name, field);
        writeln!(text, "{row}").expect("memory takes it");
    }
    text
}

/// In lines of at most 100 columns.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one");
        match line.is_empty() {
            true => line.push_str(word),
            false if line.chars().count() + 1 + word.chars().count() <= 100 => {
                line.push(' ');
                line.push_str(word);
            }
            false => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

fn row(owner: &str, field: &Field) -> String {
    let name = field.ident.as_ref().expect("it has a name").to_string();
    let options = serde(&field.attrs);
    let is_left_out = options.iter().any(|option| option.starts_with("skip_serializing_if"));
    let kind = kind(&field.ty);
    if options.iter().any(|option| option == "flatten") {
        let whose = kind.trim_end_matches(" or `null`");
        let if_any = if whose == kind { "" } else { ", if there are any" };
        return format!("| | | *the fields of {whose}{if_any}* |");
    }
    let doc = doc(&field.attrs);
    assert!(!doc.is_empty(), "{owner}::{name} has no documentation");
    let kind = match is_left_out {
        true => format!("{}, or left out", kind.trim_end_matches(" or `null`")),
        false => kind,
    };
    format!("| `{name}` | {kind} | {doc} |")
}

/// A type in JSON's words.
fn kind(of: &syn::Type) -> String {
    let path = match of {
        syn::Type::Path(path) => path.path.segments.last().expect("a path has an end"),
        syn::Type::Reference(reference) => return kind(&reference.elem),
        _ => panic!("a type of its own kind"),
    };
    let inner = || match &path.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().rev().find_map(|it| {
            let GenericArgument::Type(inner) = it else { return None };
            Some(kind(inner))
        }),
        _ => None,
    };
    let inner = || inner().expect("it holds something");
    match path.ident.to_string().as_str() {
        "u32" | "u64" | "i64" | "i128" | "f64" | "usize" => "number".to_owned(),
        "bool" => "boolean".to_owned(),
        "str" | "String" => "string".to_owned(),
        "Option" => format!("{} or `null`", inner()),
        "Box" => inner(),
        "Vec" => format!("list of {}", plural(&inner())),
        "BTreeMap" => format!("object of {}", plural(&inner())),
        "Named" => "object of [values](#values)".to_owned(),
        "OwnedValuesOut" => "list of [values](#values)".to_owned(),
        "ValueOut" => "[value](#values)".to_owned(),
        name => format!("[{}](#{})", shown(name), shown(name).to_lowercase()),
    }
}

fn plural(kind: &str) -> String {
    if kind.starts_with('[') { kind.to_owned() } else { format!("{kind}s") }
}

/// The name without what tells it from the analysis's.
fn shown(name: &str) -> &str {
    name.strip_suffix("Out").unwrap_or_else(|| panic!("{name} does not end in Out"))
}

/// The documentation, on one line.
fn doc(attributes: &[Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Str(text) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// What serde is told about a field.
fn serde(attributes: &[Attribute]) -> Vec<String> {
    let lists = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("serde") => Some(list.tokens.to_string()),
        _ => None,
    });
    let options = lists.flat_map(|list| {
        list.split(',').map(|option| option.trim().to_owned()).collect::<Vec<_>>()
    });
    options.collect()
}
