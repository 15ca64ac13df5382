//! Where the recorder is: `::exectrace`, unless `crate = ..` says otherwise.
//!
//! The expansion reaches it through `__private` alone, so that what users can name and what
//! macros need can change apart from each other.
//!
//! Elsewhere: the option's grammar (`args`).

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Path;

/// The path of the recorder's side of the macros, as in `::exectrace::__private`.
///
/// - `root`: the path given with `crate = ..`, if any.
pub(crate) fn private(root: Option<&Path>) -> TokenStream {
    match root {
        Some(path) => quote! { #path::__private },
        None => quote_spanned! { Span::mixed_site()=> ::exectrace::__private },
    }
}
