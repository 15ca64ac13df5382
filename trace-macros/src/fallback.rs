//! What happens when the user's code has faults: all of them are reported, and the item is
//! emitted anyway, so that nothing that uses it breaks as well.
//!
//! Every fault has the span of one token of the user's, and is reported once.
//!
//! Elsewhere: which faults there are (`args` for the grammar, `check` and `walk` for the rules).

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::Error;

/// The faults found so far, in the order they were found.
#[derive(Debug, Default)]
pub(crate) struct Faults(Option<Error>);

impl Faults {
    /// Notes a fault that has its place already.
    pub(crate) fn push(&mut self, error: Error) {
        match &mut self.0 {
            Some(first) => first.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// Notes a fault at `span`.
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
    /// `syn` would make them of the user's spans, and so of the user's edition: before 2018 there
    /// is no `::core`.
    pub(crate) fn beside(self, item: TokenStream) -> TokenStream {
        let errors = self.0.into_iter().flatten().map(|error| {
            let (span, message) = (Span::mixed_site().located_at(error.span()), error.to_string());
            quote_spanned! { span=> ::core::compile_error! { #message } }
        });
        quote! { #item #(#errors)* }
    }
}
