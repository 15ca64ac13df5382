//! `#[exectrace::test]`: a test that is a user task, called by its full path.
//!
//! The expansion is that of `#[traced(task)]` on one function, with another name, and with a
//! statement in front that keeps the last seconds if the test fails. The harness's own attribute
//! stands below ours and gets the changed function, so any harness works.
//!
//! Elsewhere: which attribute that is (`harness`).

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::{Attribute, Error, ReturnType};

use crate::args::{Given, Options};
use crate::check::{self, Origin};
use crate::expand;
use crate::fallback::Faults;
use crate::func::Function;
use crate::model::Ending;
use crate::paths;

/// Expands `#[test(options)] item`.
///
/// - `harness`: the attribute that makes the function a test; empty if it has one already. It is
///   left out if there is a fault, because it would only report a second one.
pub(crate) fn test(options: TokenStream, harness: TokenStream, item: TokenStream) -> TokenStream {
    let mut faults = Faults::default();
    let options = Options::parse(options, &mut faults);
    let given = [options.task.as_ref().map(|it| it.span), options.skip.as_ref().map(|it| it.span)];
    let args = options.args.as_ref().map(|args| args.span);
    for span in given.into_iter().flatten().chain(args).chain(options.shared()) {
        faults.at(span, "a test has the options name and crate, no others");
    }
    let expanded = expand(item.clone(), options, &mut faults);
    match expanded {
        Some(tokens) if faults.is_empty() => quote! { #harness #tokens },
        _ => faults.beside(item),
    }
}

fn expand(item: TokenStream, options: Options, faults: &mut Faults) -> Option<TokenStream> {
    let parser = |input: ParseStream<'_>| {
        let attrs = input.call(Attribute::parse_outer)?;
        let place = input.span();
        let function = input
            .parse::<Function>()
            .map_err(|_| Error::new(place, "#[exectrace::test] goes on a fn with a body"))?;
        Ok((attrs, function))
    };
    let (attrs, function) = match parser.parse2(item) {
        Ok(parsed) => parsed,
        Err(error) => {
            faults.push(error);
            return None;
        }
    };
    let ident = &function.sig.ident;
    let name = match &options.name {
        Some(name) => name.value.to_token_stream(),
        None => {
            let own = ident.unraw().to_string();
            let rt = paths::private(options.root.as_ref().map(|root| &root.value));
            quote! { #rt::core::concat!(#rt::core::module_path!(), "::", #own) }
        }
    };
    let task = Some(Given { span: ident.span(), value: () });
    let kept = Options { name: options.name, root: options.root, task, ..Options::default() };
    let mut model = check::model(&function, &attrs, None, kept, Origin::Own, faults)?;
    (model.name, model.is_alone) = (name, false);
    // A test that should panic does not fail when it panics, so nothing is kept.
    if !attrs.iter().any(|attribute| attribute.path().is_ident("should_panic")) {
        model.keeps = true;
        if matches!(function.sig.output, ReturnType::Type(..)) {
            model.ending = Ending::Judged;
        }
    }
    let function = expand::function(&model);
    Some(quote! { #(#attrs)* #function })
}
