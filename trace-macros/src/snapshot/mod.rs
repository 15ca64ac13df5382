//! Expansions compared with files: one input, one file in `expected/`, pretty-printed.
//!
//! `BLESS=1 cargo test -p trace-macros` rewrites the files; read the difference before you commit
//! it. A file begins with its input, so that it can be read alone.
//!
//! Elsewhere: that expansions compile, raise no warning and do what they should (`tests/ui` of the
//! root package).

use std::path::Path;
use std::{env, fs};

use proc_macro2::TokenStream;

use crate::{testing, walk};

/// Compares one expansion.
///
/// - `name`: of the file, without `.rs`.
/// - `options`: what is between the attribute's parentheses.
/// - `item`: what the attribute stands on.
fn check(name: &str, options: &str, item: &str) {
    let tokens = |text: &str| text.parse::<TokenStream>().expect("the input is tokens");
    compare(
        name,
        &format!("#[traced({options})]\n{item}"),
        walk::traced(tokens(options), tokens(item)),
    );
}

/// Compares one expansion of `#[exectrace::test]`.
fn check_test(name: &str, options: &str, harness: &str, item: &str) {
    let tokens = |text: &str| text.parse::<TokenStream>().expect("the input is tokens");
    let harness = tokens(harness);
    let input = format!("#[exectrace::test({options})]\n{item}");
    compare(name, &input, testing::test(tokens(options), harness, tokens(item)));
}

fn compare(name: &str, input: &str, expansion: TokenStream) {
    let file = syn::parse2(expansion).expect("the expansion is a file of items");
    let mut found = String::from("//! ```text\n");
    for line in input.lines() {
        found += &format!("//! {line}\n");
    }
    found += "//! ```\n\n";
    found += &prettyplease::unparse(&file);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/snapshot/expected");
    let path = folder.join(name).with_extension("rs");
    if env::var_os("BLESS").is_some() {
        fs::write(&path, &found).expect("the folder can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "{} is not\n{found}\nBLESS=1 rewrites it", path.display());
}

#[test]
fn a_function_gets_one_guard_before_its_statements() {
    let item = "/// Adds.\n#[inline]\npub fn add<T: Add>(x: T, y: T) -> T where T: Copy { x + y }";
    check("function", "", item);
}

#[test]
fn items_that_a_body_begins_with_stay_first() {
    let item =
        "fn f() { #![allow(dead_code)] use a::b; const N: u8 = 1; let x = N; struct S; b(x) }";
    check("items_first", "", item);
}

#[test]
fn arguments_are_evaluated_only_if_the_call_site_is_live() {
    let item = "fn load(id: u64, rows: &[Row]) -> Table { read(id, rows) }";
    check("arguments", "args(id, n = rows.len(), ?rows), min = \"10us\", name = \"load it\"", item);
}

#[test]
fn a_recorded_value_goes_through_a_closure() {
    let item = "fn first(list: &mut Vec<u8>) -> &mut u8 { if true { return x; } &mut list[0] }";
    check("ret", "ret", item);
}

#[test]
fn a_recorded_error_is_taken_from_the_result() {
    check("err", "err", "fn read() -> io::Result<impl Read> { open()? }");
}

#[test]
fn value_and_error_are_told_apart() {
    check("ret_err_task", "ret, err, task", "fn read() -> Result<u8, E> { open()? }");
}

#[test]
fn an_async_function_is_awaited_under_its_guard() {
    let item = "async fn get(&self, mut id: u64) -> Result<Row, E> { id += 1; self.at(id).await? }";
    check("async_function", "", item);
}

#[test]
fn an_async_function_records_arguments_value_and_error() {
    let item = "async fn get(id: u64) -> Result<Row, E> { at(id).await }";
    check("async_all", "args(%id), ret, err, task", item);
}

#[test]
fn an_async_function_that_never_returns_has_an_empty_output() {
    check("async_never", "", "async fn serve() -> ! { loop { accept().await } }");
}

#[test]
fn a_boxed_async_block_is_changed_within() {
    let item = "fn get<'a>(&'a self, x: u8) -> Pin<Box<dyn Future<Output = u8> + Send + 'a>> { \
                let y = x; Box::pin(async move { self.at(y).await }) }";
    check("boxed_block", "args(x)", item);
}

#[test]
fn a_future_from_elsewhere_is_wrapped_whole() {
    check("made", "", "fn get(x: u8) -> impl Future<Output = u8> { ready(x) }");
    check("made_boxed", "err", "fn get(x: u8) -> BoxFuture<'static, Result<u8, E>> { ready(x) }");
}

#[test]
fn a_test_is_a_task_with_its_path_for_a_name() {
    check_test("test", "", "#[test]", "#[should_panic]\nfn adds() -> Result<(), E> { add()? }");
}

#[test]
fn an_async_test_is_a_task_inside_of_its_runtime() {
    check_test(
        "test_async",
        "name = \"own\"",
        "",
        "#[tokio::test]\nasync fn answers() { ask().await; }",
    );
}

#[test]
fn a_container_reaches_every_function_and_nothing_else() {
    let item = "impl<T> fmt::Display for Vec2<T> {
    const N: usize = { 1 };
    type Out = u8;
    const fn left_out() {}
    #[traced(skip)]
    fn skipped(&self) {}
    #[exectrace::traced(name = \"own\")]
    async fn own(&self) {}
    fn inherits(&self) -> fmt::Result { Ok(()) }
    fn nothing(&self) {}
    some_macro! { fn not_a_fn() {} }
}";
    check("container", "min = \"1us\", err", item);
    let item =
        "mod m { use x::{y, z}; trait T { fn none(); fn some() {} } mod n { fn deep() {} } }";
    check("module", "crate = other::path", item);
}

#[test]
fn a_fault_leaves_the_item_as_it_was() {
    let item = "impl A { #[traced(skip)] fn a() {} fn b() {} #[traced(oops)] const fn c() {} }";
    check("fault", "nmae = \"x\"", item);
}
