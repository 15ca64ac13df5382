//! What happens when the user's code has faults: all of them are reported, and the item is emitted
//! anyway, so that code that uses it causes no further errors.
//!
//! Every fault has the span of one token of the user's code, and is reported once.
//!
//! Elsewhere: which faults there are (`args` for the grammar, `check` and `walk` for the rules).

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::Error;

/// The faults found so far, in the order they were found.
#[derive(Debug, Default)]
pub(crate) struct Faults(Option<Error>);

impl Faults {
    /// Adds a fault that already has its span.
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Adds a fault at `span`.
    pub(crate) fn at(&mut self, span: Span, message: impl std::fmt::Display) {
        self.push(Error::new(span, message));
    }

    /// True if there was no fault.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The messages alone.
    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.0.iter().flatten().map(|error| error.to_string()).collect()
    }

    /// `item` and one `compile_error!` for each fault.
    ///
    /// `syn` would write `::core::compile_error!` in the user's edition, and before 2018 there is
    /// no `::core`. In our edition each error would have a note that it comes from a macro.
    pub(crate) fn beside(self, item: TokenStream) -> TokenStream {
        let errors = self.0.into_iter().flatten().flat_map(|error| {
            let tokens = error.to_compile_error().into_iter();
            tokens.skip_while(
                |token| !matches!(token, TokenTree::Ident(word) if word == "compile_error"),
            )
        });
        let errors: TokenStream = errors.collect();
        quote! { #item #errors }
    }
}
