//! The option grammar of `#[traced(..)]`: which options there are and what their values look
//! like.
//!
//! Reading never stops at a fault: it skips the rest up to the next comma and reads the next
//! option, so one run finds every fault.
//!
//! Elsewhere: which options go together and on which item (`check`, `walk`).

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, Expr, Ident, LitStr, Meta, Path, Result, Token};

use crate::fallback::Faults;
use crate::threshold;

/// An option as given: where its name stands, and its value.
#[derive(Clone)]
pub(crate) struct Given<T> {
    /// Of the option's name.
    pub(crate) span: Span,
    /// `()` for an option without a value.
    pub(crate) value: T,
}

/// The options of one attribute; each is there at most once.
#[derive(Clone, Default)]
pub(crate) struct Options {
    /// `name = ".."`
    pub(crate) name: Option<Given<LitStr>>,
    /// `args(..)`
    pub(crate) args: Option<Given<Vec<Argument>>>,
    /// `min = ".."`, in nanoseconds.
    pub(crate) min: Option<Given<u64>>,
    /// `ret`
    pub(crate) ret: Option<Given<()>>,
    /// `err`
    pub(crate) err: Option<Given<()>>,
    /// `task`
    pub(crate) task: Option<Given<()>>,
    /// `skip`
    pub(crate) skip: Option<Given<()>>,
    /// `crate = path`
    pub(crate) root: Option<Given<Path>>,
}

/// One argument of `args(..)`.
#[derive(Clone)]
pub(crate) struct Argument {
    /// Its name in the trace.
    pub(crate) name: Ident,
    /// What is kept of its value.
    pub(crate) kind: ArgumentKind,
    /// Its value.
    pub(crate) expr: Expr,
}

/// What is kept of an argument's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArgumentKind {
    /// The value itself.
    Typed,
    /// `?`: the text of `Debug`.
    Debug,
    /// `%`: the text of `Display`.
    Display,
}

impl Options {
    /// Reads what stands between the attribute's parentheses.
    pub(crate) fn parse(tokens: TokenStream, faults: &mut Faults) -> Self {
        let mut options = Self::default();
        let parser = |input: ParseStream<'_>| {
            separated(input, faults, |input, faults| options.option(input, faults));
            Ok(())
        };
        let read = parser.parse2(tokens);
        debug_assert!(read.is_ok(), "separated reads everything and collects its faults");
        options
    }

    /// Reads the options of an attribute inside the item that is being expanded.
    pub(crate) fn parse_attribute(attribute: &Attribute, faults: &mut Faults) -> Self {
        match &attribute.meta {
            Meta::Path(_) => Self::default(),
            Meta::List(list) => Self::parse(list.tokens.clone(), faults),
            Meta::NameValue(pair) => {
                faults.at(pair.eq_token.span, "expected options in parentheses");
                Self::default()
            }
        }
    }

    /// Positions of the options that are for one function and not for a container.
    pub(crate) fn single(&self) -> impl Iterator<Item = Span> + use<> {
        let name = self.name.as_ref().map(|name| name.span);
        let args = self.args.as_ref().map(|args| args.span);
        let task = self.task.as_ref().map(|task| task.span);
        [name, args, task].into_iter().flatten()
    }

    /// Positions of the options that a container's functions inherit, without `crate`.
    pub(crate) fn shared(&self) -> impl Iterator<Item = Span> + use<> {
        let min = self.min.as_ref().map(|min| min.span);
        let ret = self.ret.as_ref().map(|ret| ret.span);
        let err = self.err.as_ref().map(|err| err.span);
        [min, ret, err].into_iter().flatten()
    }

    fn option(&mut self, input: ParseStream<'_>, faults: &mut Faults) -> Result<()> {
        let key = input
            .call(Ident::parse_any)
            .map_err(|error| Error::new(error.span(), "expected the name of an option"))?;
        let span = key.span();
        match key.to_string().as_str() {
            "name" => {
                let value = name(input, &key)?;
                put(&mut self.name, &key, value)
            }
            "args" => {
                let value = arguments(input, &key, faults)?;
                put(&mut self.args, &key, value)
            }
            "min" => {
                let literal = string(input, &key, "min = \"10us\"")?;
                let value = threshold::parse(&literal.value())
                    .map_err(|fault| Error::new(literal.span(), fault))?;
                put(&mut self.min, &key, value)
            }
            "ret" => flag(input, &key).and_then(|()| put(&mut self.ret, &key, ())),
            "err" => flag(input, &key).and_then(|()| put(&mut self.err, &key, ())),
            "task" => flag(input, &key).and_then(|()| put(&mut self.task, &key, ())),
            "skip" => flag(input, &key).and_then(|()| put(&mut self.skip, &key, ())),
            "crate" => {
                equals(input, &key, "crate = path::to::exectrace")?;
                let value = input.call(Path::parse_mod_style).map_err(|error| {
                    Error::new(error.span(), "expected a path, as in crate = path::to::exectrace")
                })?;
                put(&mut self.root, &key, value)
            }
            other => Err(Error::new(
                span,
                format!(
                    "unknown option `{other}`: there are name, args, min, ret, err, task, skip \
                     and crate"
                ),
            )),
        }
    }
}

fn put<T>(slot: &mut Option<Given<T>>, key: &Ident, value: T) -> Result<()> {
    if slot.is_some() {
        return Err(Error::new(key.span(), format!("`{key}` is given twice")));
    }
    *slot = Some(Given { span: key.span(), value });
    Ok(())
}

fn flag(input: ParseStream<'_>, key: &Ident) -> Result<()> {
    if input.peek(Token![=]) || input.peek(syn::token::Paren) {
        return Err(input.error(format!("`{key}` takes no value")));
    }
    Ok(())
}

fn equals(input: ParseStream<'_>, key: &Ident, example: &str) -> Result<()> {
    let given = input.parse::<Option<Token![=]>>()?;
    // An error at the end of the input would be shown at the whole attribute.
    if given.is_none() || input.is_empty() {
        return Err(Error::new(key.span(), format!("`{key}` needs a value, as in {example}")));
    }
    Ok(())
}

fn string(input: ParseStream<'_>, key: &Ident, example: &str) -> Result<LitStr> {
    equals(input, key, example)?;
    input
        .parse::<LitStr>()
        .map_err(|error| Error::new(error.span(), format!("expected a string, as in {example}")))
}

fn name(input: ParseStream<'_>, key: &Ident) -> Result<LitStr> {
    let literal = string(input, key, "name = \"load\"")?;
    if literal.value().is_empty() {
        return Err(Error::new(literal.span(), "a name cannot be empty"));
    }
    Ok(literal)
}

fn arguments(input: ParseStream<'_>, key: &Ident, faults: &mut Faults) -> Result<Vec<Argument>> {
    if !input.peek(syn::token::Paren) {
        let message = "`args` needs a list, as in args(id, rows = rows.len())";
        return Err(Error::new(key.span(), message));
    }
    let list;
    syn::parenthesized!(list in input);
    let mut arguments: Vec<Argument> = Vec::new();
    separated(&list, faults, |input, _| {
        let argument = argument(input)?;
        if arguments.iter().any(|other| other.name.unraw() == argument.name.unraw()) {
            let message = format!("an argument `{}` is there already", argument.name.unraw());
            return Err(Error::new(argument.name.span(), message));
        }
        arguments.push(argument);
        Ok(())
    });
    Ok(arguments)
}

fn argument(input: ParseStream<'_>) -> Result<Argument> {
    let named = input.peek(Ident::peek_any) && input.peek2(Token![=]) && !input.peek2(Token![==]);
    if named {
        let name = input.call(Ident::parse_any)?;
        let equals = input.parse::<Token![=]>()?;
        let kind = kind(input)?;
        if input.is_empty() {
            return Err(Error::new(equals.span, "expected an expression"));
        }
        return Ok(Argument { name, kind, expr: input.parse()? });
    }
    let kind = kind(input)?;
    if !input.peek(Ident::peek_any) {
        let expr: Expr = input.parse()?;
        return Err(nameless(syn::spanned::Spanned::span(&expr)));
    }
    let name = input.call(Ident::parse_any)?;
    if kind != ArgumentKind::Typed && input.peek(Token![=]) {
        let message = format!("the mark stands before the expression, as in {name} = ?{name}");
        return Err(Error::new(name.span(), message));
    }
    if !input.is_empty() && !input.peek(Token![,]) {
        return Err(nameless(name.span()));
    }
    // Parsed from tokens, because a name there may be a keyword in this crate's edition.
    Ok(Argument { kind, expr: Expr::Verbatim(name.to_token_stream()), name })
}

fn nameless(span: Span) -> Error {
    Error::new(span, "an expression needs a name, as in args(rows = rows.len())")
}

fn kind(input: ParseStream<'_>) -> Result<ArgumentKind> {
    if input.parse::<Option<Token![?]>>()?.is_some() {
        return Ok(ArgumentKind::Debug);
    }
    Ok(match input.parse::<Option<Token![%]>>()? {
        Some(_) => ArgumentKind::Display,
        None => ArgumentKind::Typed,
    })
}

/// Reads a list with commas between its items; a fault costs its item, not the list.
fn separated(
    input: ParseStream<'_>,
    faults: &mut Faults,
    mut one: impl FnMut(ParseStream<'_>, &mut Faults) -> Result<()>,
) {
    while !input.is_empty() {
        if let Err(error) = one(input, faults) {
            faults.push(error);
            skip_to_comma(input);
        } else if !input.is_empty() && !input.peek(Token![,]) {
            faults.push(input.error("expected `,`"));
            skip_to_comma(input);
        }
        if input.parse::<Token![,]>().is_err() {
            debug_assert!(input.is_empty(), "skip_to_comma stops at a comma or at the end");
        }
    }
}

fn skip_to_comma(input: ParseStream<'_>) {
    while !input.is_empty() && !input.peek(Token![,]) {
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::{ToTokens as _, quote};

    use super::{ArgumentKind, Options};
    use crate::fallback::Faults;

    fn check(tokens: proc_macro2::TokenStream) -> Result<Options, String> {
        let mut faults = Faults::default();
        let options = Options::parse(tokens, &mut faults);
        if faults.is_empty() { Ok(options) } else { Err(faults.messages().join("; ")) }
    }

    #[test]
    fn every_option_is_read_with_its_value() {
        let options = check(quote! {
            name = "load", min = "1.5us", ret, err, task, skip, crate = crate::rt, args(a),
        })
        .expect("all of these are options");
        assert_eq!(options.name.expect("given").value.value(), "load");
        assert_eq!(options.min.expect("given").value, 1_500);
        assert!(options.ret.is_some() && options.err.is_some());
        assert!(options.task.is_some() && options.skip.is_some());
        let root = options.root.expect("given").value.to_token_stream().to_string();
        assert_eq!(root, "crate :: rt");
        assert_eq!(options.args.expect("given").value.len(), 1);
    }

    #[test]
    fn arguments_keep_name_kind_and_expression() {
        let options = check(quote! {
            args(a, ?b, %c, d = x.len(), e = ?f::<A, B>(), r#type = %g, self, h = i == j)
        })
        .expect("all of these are arguments");
        let found: Vec<_> = options
            .args
            .expect("given")
            .value
            .iter()
            .map(|a| (a.name.to_string(), a.kind, a.expr.to_token_stream().to_string()))
            .collect();
        let wanted = [
            ("a", ArgumentKind::Typed, "a"),
            ("b", ArgumentKind::Debug, "b"),
            ("c", ArgumentKind::Display, "c"),
            ("d", ArgumentKind::Typed, "x . len ()"),
            ("e", ArgumentKind::Debug, "f :: < A , B > ()"),
            ("r#type", ArgumentKind::Display, "g"),
            ("self", ArgumentKind::Typed, "self"),
            ("h", ArgumentKind::Typed, "i == j"),
        ];
        let wanted = wanted.map(|(name, kind, expr)| (name.to_owned(), kind, expr.to_owned()));
        assert_eq!(found, wanted);
    }

    #[test]
    fn every_fault_is_reported_in_one_go() {
        let faults = check(quote! {
            nmae = "x", min = 10, ret = 1, ret, ret, name, args(self.id, a, a, 3), crate = "x"
        })
        .err()
        .expect("none of these is right");
        let wanted = [
            "unknown option `nmae`",
            "expected a string, as in min",
            "`ret` takes no value",
            "`ret` is given twice",
            "`name` needs a value",
            "an expression needs a name",
            "an argument `a` is there already",
            "an expression needs a name",
            "expected a path",
        ];
        for message in wanted {
            assert!(faults.contains(message), "{message}: not in {faults}");
        }
        assert_eq!(faults.split("; ").count(), wanted.len(), "{faults}");
    }
}
