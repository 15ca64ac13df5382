//! Finds the functions in an item: the item itself, or all that are in a container.
//!
//! An `impl`, a `trait` and a `mod` are split at their braces and read item by item. Everything
//! that is not a function is copied token by token, so no syntax in it can be a fault. Statements
//! are not read: a function inside a function is traced only by an attribute of its own.
//!
//! A nested `#[traced(..)]` is read here and left behind as `#[traced(skip)]`: its function is
//! expanded once, and the import that it needs stays in use.
//!
//! Elsewhere: what a function turns into (`check`, then `expand`).
//!
//! Long with its tests, which compare whole items.

use proc_macro2::{Delimiter, Group, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens as _, quote};
use syn::buffer::Cursor;
use syn::ext::IdentExt as _;
use syn::parse::discouraged::Speculative as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::{AttrStyle, Attribute, Ident, LitStr, Token, Visibility};

use crate::args::Options;
use crate::check::{self, Origin};
use crate::fallback::Faults;
use crate::func::Function;
use crate::{expand, owner};

/// Expands `#[traced(options)] item`.
pub(crate) fn traced(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut faults = Faults::default();
    let options = Options::parse(options, &mut faults);
    let mut walk = Walk { faults, expands: true };
    let expanded = walk.outermost(item.clone(), options.clone());
    if walk.faults.is_empty() {
        return expanded;
    }
    let mut copy = Walk { faults: Faults::default(), expands: false };
    walk.faults.beside(copy.outermost(item, options))
}

struct Walk {
    faults: Faults,
    /// False if the item is only copied, with each nested attribute replaced by `#[traced(skip)]`.
    expands: bool,
}

/// What the items of a container inherit from it.
#[derive(Default)]
struct Scope {
    /// The name of the type or trait.
    owner: Option<String>,
    /// `min`, `ret`, `err` and `crate`.
    options: Options,
}

/// What kind of item comes next.
enum Kind {
    Function,
    Impl,
    Trait,
    Module,
    /// Neither a function nor a container; the place and the word to name it in an error.
    Other(Span, &'static str),
}

impl Walk {
    fn outermost(&mut self, item: TokenStream, options: Options) -> TokenStream {
        let mut tokens = TokenStream::new();
        let parser = |input: ParseStream<'_>| {
            tokens = self.item(input, &Scope::default(), Some(options));
            input.parse::<TokenStream>()?.to_tokens(&mut tokens);
            Ok(())
        };
        let walked = parser.parse2(item);
        debug_assert!(walked.is_ok(), "any tokens parse as a TokenStream");
        tokens
    }

    /// Expands one item.
    ///
    /// - `own`: the options of the attribute that is being expanded, if it stands on this item.
    fn item(&mut self, input: ParseStream<'_>, scope: &Scope, own: Option<Options>) -> TokenStream {
        let attrs = match input.call(Attribute::parse_outer) {
            Ok(attrs) => attrs,
            Err(error) => {
                self.faults.push(error);
                return copy(input);
            }
        };
        let (attrs, own) = self.own_options(attrs, scope, own);
        let tokens = match own {
            Some(options) if options.skip.is_some() => {
                let others = options.single().chain(options.shared());
                self.refuse(others, "`skip` leaves the item out: no other option counts");
                copy(input)
            }
            own => self.kind(input, &attrs, scope, own),
        };
        quote! { #(#attrs)* #tokens }
    }

    fn kind(
        &mut self,
        input: ParseStream<'_>,
        attrs: &[Attribute],
        scope: &Scope,
        own: Option<Options>,
    ) -> TokenStream {
        let kind = kind_of(input);
        match kind {
            Kind::Function => return self.function(input, attrs, scope, own),
            Kind::Other(span, what) => {
                if own.is_some() {
                    let places = "a fn with a body, an impl, a trait or an inline mod";
                    let message = format!("#[traced] goes on {places}, not on {what}");
                    self.faults.at(span, message);
                }
                return copy(input);
            }
            Kind::Impl | Kind::Trait | Kind::Module => {}
        }
        if let Some(options) = &own {
            self.refuse(options.single(), "this option is for one fn, not for a whole block");
        }
        let Some((head, body)) = head_and_body(input) else {
            return copy(input);
        };
        let scope = Scope {
            owner: match kind {
                Kind::Impl => owner::of_impl(&head),
                Kind::Trait => owner::of_trait(&head),
                _ => None,
            },
            options: own.unwrap_or_else(|| scope.options.clone()),
        };
        let mut group = Group::new(Delimiter::Brace, self.contents(body.stream(), &scope));
        group.set_span(body.span());
        quote! { #head #group }
    }

    fn contents(&mut self, items: TokenStream, scope: &Scope) -> TokenStream {
        let mut tokens = TokenStream::new();
        let parser = |input: ParseStream<'_>| {
            for attribute in input.call(Attribute::parse_inner)? {
                attribute.to_tokens(&mut tokens);
            }
            while !input.is_empty() {
                self.item(input, scope, None).to_tokens(&mut tokens);
            }
            Ok(())
        };
        if let Err(error) = parser.parse2(items) {
            self.faults.push(error);
        }
        tokens
    }

    fn function(
        &mut self,
        input: ParseStream<'_>,
        attrs: &[Attribute],
        scope: &Scope,
        own: Option<Options>,
    ) -> TokenStream {
        let ahead = input.fork();
        let function = match ahead.parse::<Function>() {
            Ok(function) => function,
            Err(error) => {
                self.faults.push(error);
                return copy(input);
            }
        };
        let begin = input.cursor();
        input.advance_to(&ahead);
        let copied = between(begin, input.cursor());
        let (options, origin) = match own {
            Some(options) => (options, Origin::Own),
            None => (scope.options.clone(), Origin::Inherited),
        };
        let owner = scope.owner.as_deref();
        let model = check::model(&function, attrs, owner, options, origin, &mut self.faults);
        match model {
            Some(model) if self.expands => expand::function(&model),
            _ => copied,
        }
    }

    /// Takes a nested `#[traced(..)]` out of an item's attributes.
    fn own_options(
        &mut self,
        mut attrs: Vec<Attribute>,
        scope: &Scope,
        mut own: Option<Options>,
    ) -> (Vec<Attribute>, Option<Options>) {
        let outermost = own.is_some();
        for attribute in &mut attrs {
            if !outermost && hides_traced(attribute) {
                let message = "a #[traced] in a `cfg_attr` is not seen by the #[traced] around it";
                self.faults.at(attribute.path().span(), message);
            }
            if !is_traced(attribute) {
                continue;
            }
            let span = attribute.path().span();
            if own.is_some() {
                self.faults.at(span, "this item has a #[traced] already");
            } else {
                let mut options = Options::parse_attribute(attribute, &mut self.faults);
                options.root = options.root.or_else(|| scope.options.root.clone());
                own = Some(options);
            }
            let path = attribute.path();
            attribute.meta = syn::parse_quote_spanned! { span=> #path(skip) };
        }
        (attrs, own)
    }

    fn refuse(&mut self, options: impl IntoIterator<Item = Span>, message: &str) {
        for span in options {
            self.faults.at(span, message);
        }
    }
}

/// What kind of item comes next; its attributes are read already.
fn kind_of(input: ParseStream<'_>) -> Kind {
    let ahead = input.fork();
    if ahead.parse::<Visibility>().is_err() {
        return Kind::Other(input.span(), "this");
    }
    let first = ahead.fork();
    // Qualifiers in any order: the compiler has checked the order before.
    loop {
        let word = ahead.fork().call(Ident::parse_any).map(|word| word.to_string());
        match word.as_deref() {
            Ok("default" | "auto" | "safe") if ahead.peek2(Ident::peek_any) => {}
            Ok("const" | "async" | "unsafe" | "extern") => {}
            Ok("fn") => return Kind::Function,
            Ok("impl") => return Kind::Impl,
            Ok("trait") => return Kind::Trait,
            Ok("mod") if ahead.peek3(syn::token::Brace) => return Kind::Module,
            _ => return Kind::Other(first.span(), noun(&first)),
        }
        if ahead.parse::<TokenTree>().is_err() || ahead.parse::<Option<LitStr>>().is_err() {
            return Kind::Other(first.span(), noun(&first));
        }
    }
}

fn noun(input: ParseStream<'_>) -> &'static str {
    let word = input.fork().call(Ident::parse_any).map(|word| word.to_string());
    match word.as_deref() {
        Ok("struct") => "a struct",
        Ok("enum") => "an enum",
        Ok("union") if input.peek2(Ident) => "a union",
        Ok("static") => "a static",
        Ok("const") => "a const",
        Ok("type") => "a type alias",
        Ok("use") => "a use",
        Ok("mod") => "a mod in another file",
        Ok("extern") => "what is extern",
        Ok(_) if input.peek2(Token![!]) => "a macro call",
        _ => "this",
    }
}

/// Copies the rest of an item.
///
/// An item ends at a semicolon, or at braces that are no const argument. By this rule a `const`
/// whose value has braces counts as two items, which does no harm: both are copied.
fn copy(input: ParseStream<'_>) -> TokenStream {
    let mut tokens = TokenStream::new();
    let mut angles = Angles::default();
    while let Ok(token) = input.parse::<TokenTree>() {
        let last = match &token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            other => braces(other).is_some() && angles.is_closed(),
        };
        angles.pass(&token);
        token.to_tokens(&mut tokens);
        if last {
            break;
        }
    }
    tokens
}

/// Reads a container up to its end: what stands before its braces, and the braces with their
/// content.
fn head_and_body(input: ParseStream<'_>) -> Option<(TokenStream, Group)> {
    let ahead = input.fork();
    let mut head = TokenStream::new();
    let mut angles = Angles::default();
    loop {
        let token = ahead.parse::<TokenTree>().ok()?;
        if let Some(body) = braces(&token).filter(|_| angles.is_closed()) {
            input.advance_to(&ahead);
            return Some((head, body));
        }
        angles.pass(&token);
        token.to_tokens(&mut head);
    }
}

/// Counts angle brackets, so that the braces in `Grid<{ N + 1 }>` are not taken for a body.
#[derive(Default)]
pub(crate) struct Angles {
    open: usize,
    /// The last token was the `-` of `->` or the `=` of `=>`.
    arrow: bool,
}

impl Angles {
    /// Whether all that were opened are closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.open == 0
    }

    /// Counts a token.
    pub(crate) fn pass(&mut self, token: &TokenTree) {
        let punct = match token {
            TokenTree::Punct(punct) => Some(punct),
            _ => None,
        };
        match punct.map(Punct::as_char) {
            Some('<') => self.open += 1,
            Some('>') if !self.arrow => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        self.arrow = punct.is_some_and(|punct| {
            matches!(punct.as_char(), '-' | '=') && punct.spacing() == Spacing::Joint
        });
    }
}

/// `token` if it is braces, also if a macro's `$body:block` put it into an invisible group.
fn braces(token: &TokenTree) -> Option<Group> {
    let TokenTree::Group(group) = token else {
        return None;
    };
    match group.delimiter() {
        Delimiter::Brace => Some(group.clone()),
        Delimiter::None => {
            let mut inner = group.stream().into_iter();
            let first = braces(&inner.next()?);
            first.filter(|_| inner.next().is_none())
        }
        _ => None,
    }
}

/// The tokens from one place of the input to a later one.
fn between(mut begin: Cursor<'_>, end: Cursor<'_>) -> TokenStream {
    let mut tokens = TokenStream::new();
    while begin != end {
        let Some((token, next)) = begin.token_tree() else {
            break;
        };
        token.to_tokens(&mut tokens);
        begin = next;
    }
    tokens
}

fn is_traced(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    matches!(attribute.style, AttrStyle::Outer) && last.is_some_and(|word| word.ident == "traced")
}

/// True for `#[cfg_attr(condition, traced)]`.
fn hides_traced(attribute: &Attribute) -> bool {
    let list = attribute.meta.require_list().ok();
    attribute.path().is_ident("cfg_attr")
        && list.is_some_and(|list| {
            list.tokens.clone().into_iter().any(|token| match token {
                TokenTree::Ident(word) => word == "traced",
                _ => false,
            })
        })
}

#[cfg(test)]
mod tests {
    use proc_macro2::TokenStream;

    use super::traced;

    /// The expansion, and its input printed in the same way.
    fn check(item: &str) -> (String, String) {
        let item: TokenStream = item.parse().expect("tokens");
        let options = "crate = rt".parse().expect("tokens");
        (traced(options, item.clone()).to_string(), item.to_string())
    }

    #[test]
    fn what_is_no_function_comes_out_as_it_went_in() {
        let items = [
            "use a :: { b , c } ;",
            "const A : B < { 1 } > = B { x : 1 } ;",
            "static F : fn (u8) -> u8 = { fn inner (x : u8) -> u8 { x } inner } ;",
            "const LESS : bool = 1 < 2 ;",
            "struct S < const N : usize = { 3 } > { x : [u8 ; N] }",
            "struct T (u8) where Assert < { 1 < 2 } > : True ;",
            "enum E { A { x : u8 } , B = { 1 } }",
            "union U { x : u8 }",
            "type X = fn () -> Y < { 2 } > ;",
            "extern \"C\" { fn foreign () ; safe fn other () -> u8 ; }",
            "unsafe extern { fn foreign () ; }",
            "extern crate core as base ;",
            "macro_rules ! m { () => { fn f () {} } }",
            "m ! { fn f () {} }",
            "m ! (fn f () {}) ;",
            "mod elsewhere ;",
            "const fn left_out () -> u8 { 1 }",
            "const _ : () = { fn f () {} } ;",
            "# [cfg (x)] # [doc = \"y\"] pub (crate) struct V ;",
        ];
        for item in items {
            let (found, wanted) = check(&format!("mod m {{ {item} }}"));
            assert_eq!(found, wanted);
        }
        let (found, wanted) = check(&format!("mod m {{ {} }}", items.join(" ")));
        assert_eq!(found, wanted);
    }

    #[test]
    fn functions_are_found_between_anything() {
        let functions = [
            "fn f () { 1 }",
            "pub (in a :: b) unsafe extern \"C\" fn f () -> A < { 1 } > { 1 }",
            "async unsafe fn f () where [() ; { 1 }] : { 1 }",
            "impl < T > Grid < { 1 } > { fn f () { 1 } }",
            "unsafe impl Tr for fn () -> u8 { fn f () { 1 } }",
            "pub unsafe trait Tr : Fn () -> u8 { fn none () ; fn f () { 1 } }",
            "pub mod n { mod o { fn f () { 1 } } }",
            "default impl A { default fn f () { 1 } }",
        ];
        for function in functions {
            let module = format!("mod m {{ const A : B = B {{ x : 1 << 2 }} ; {function} }}");
            let found = check(&module).0.matches("rt :: __private :: register !").count();
            assert_eq!(found, 1, "{function}");
        }
    }
}
