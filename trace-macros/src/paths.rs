//! Where the recorder is: `::exectrace`, unless `crate = ..` says otherwise.
//!
//! The expansion reaches the recorder through `__private` alone, so that the public API and what
//! macros need can change independently.
//!
//! Elsewhere: the option's grammar (`args`).

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Path;

/// The path of the module that expansions use, as in `::exectrace::__private`.
///
/// - `root`: the path given with `crate = ..`, if any.
pub(crate) fn private(root: Option<&Path>) -> TokenStream {
    match root {
        Some(path) => quote! { #path::__private },
        None => quote_spanned! { Span::mixed_site()=> ::exectrace::__private },
    }
}
