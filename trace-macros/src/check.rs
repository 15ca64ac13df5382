//! The rules: which options go together, and on which function.
//!
//! Every violation is reported at its own token, all of them at once. An option that a function
//! inherits from its container is never a violation: if it makes no sense for the function, it is
//! left out.
//!
//! Elsewhere: the grammar (`args`), where an attribute may stand at all (`walk`).

use proc_macro2::Span;
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::{Attribute, Type};

use crate::args::{Argument, Options};
use crate::fallback::Faults;
use crate::func::{Body, Function};
use crate::model::{Ending, Output, Place, Shape, Traced};
use crate::returns::{self, Returns};
use crate::{paths, tail};

/// Where a function's options come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From the function's own attribute.
    Own,
    /// From the container's attribute.
    Inherited,
}

/// Applies the rules.
///
/// - `attrs`: the function's other attributes.
/// - `owner`: what stands before the function's name, without `::`.
/// - Returns `None` if there was a fault, or if the function is left out of its container.
pub(crate) fn model<'a>(
    function: &'a Function,
    attrs: &[Attribute],
    owner: Option<&str>,
    options: Options,
    origin: Origin,
    faults: &mut Faults,
) -> Option<Traced<'a>> {
    if let Some((span, reason)) = untraceable(function, attrs) {
        if origin == Origin::Own {
            faults.at(span, reason);
        }
        return None;
    }
    let body = function.body.as_ref().ok()?;
    if origin == Origin::Inherited && is_forwarding(function, body) {
        return None;
    }
    let shape = shape(function);
    let tracks_caller = attrs.iter().any(|attribute| attribute.path().is_ident("track_caller"));
    let options = match origin {
        Origin::Own => options,
        Origin::Inherited => sensible(options, &shape, tracks_caller),
    };
    refuse(&options, &shape, tracks_caller, faults);
    let ident = &function.sig.ident;
    let name = match (&options.name, owner) {
        (Some(name), _) => name.value.value(),
        (None, Some(owner)) => format!("{owner}::{}", ident.unraw()),
        (None, None) => ident.unraw().to_string(),
    };
    let is_alone = options.name.is_none() && owner.is_none() && origin == Origin::Own;
    let name = name.to_token_stream();
    Some(Traced {
        function,
        body,
        name,
        is_alone,
        place: Place::of(ident.span()),
        private: paths::private(options.root.as_ref().map(|root| &root.value)),
        min_ns: options.min.map_or(0, |min| min.value),
        arguments: options.args.map_or_else(Vec::<Argument>::new, |args| args.value),
        task: options.task.is_some(),
        ending: match (options.ret, options.err) {
            (None, None) => Ending::Plain,
            (Some(_), None) => Ending::Returned,
            (None, Some(_)) => Ending::Failed,
            (Some(_), Some(_)) => Ending::Both,
        },
        keeps: false,
        shape,
    })
}

/// The token that keeps a function from being recorded, and why.
fn untraceable(function: &Function, attrs: &[Attribute]) -> Option<(Span, &'static str)> {
    if let Some(span) = function.sig.constness {
        return Some((span, "a const fn cannot be traced: it may run in the compiler"));
    }
    if let Some(attribute) = attrs.iter().find(|attribute| is_naked(attribute)) {
        let span = attribute.pound_token.span;
        return Some((span, "a naked fn cannot be traced: its body is assembly and nothing else"));
    }
    match &function.body {
        Ok(_) => None,
        Err(semicolon) => Some((*semicolon, "a fn without a body cannot be traced")),
    }
}

fn is_naked(attribute: &Attribute) -> bool {
    let inner = attribute.meta.require_list().ok();
    attribute.path().is_ident("naked")
        || (attribute.path().is_ident("unsafe")
            && inner.is_some_and(|list| list.tokens.to_string() == "naked"))
}

/// True for a body that clippy demands word by word because `Copy` or `Ord` already defines what it
/// does. A trace of it would show nothing.
fn is_forwarding(function: &Function, body: &Body) -> bool {
    let tokens = body.stmts.to_string().replace(' ', "");
    match (function.sig.ident.to_string().as_str(), function.sig.last_pattern()) {
        ("clone", None) => tokens == "*self",
        ("partial_cmp", Some(other)) => {
            tokens == format!("Some(self.cmp({other}))")
                || tokens == format!("Some(Ord::cmp(self,{other}))")
                || tokens == format!("self.cmp({other}).into()")
        }
        _ => false,
    }
}

fn shape(function: &Function) -> Shape {
    let value = |ty: &Type| Output::Value(Box::new(returns::erased(ty)));
    match (function.sig.is_async, Returns::of(&function.sig.output)) {
        (true, Returns::Nothing) => Shape::Async(value(&returns::unit())),
        (true, Returns::Never(_)) => Shape::Async(Output::Never),
        (true, Returns::Value(ty) | Returns::Future { written: ty, .. }) => Shape::Async(value(ty)),
        (false, Returns::Nothing) => Shape::Call(None),
        (false, Returns::Never(ty) | Returns::Value(ty)) => Shape::Call(Some(Box::new(ty.clone()))),
        (false, Returns::Future { written, output, boxed }) => {
            let output = match output {
                None => Output::Unknown,
                Some(Type::Never(_)) => Output::Never,
                Some(ty) => value(ty),
            };
            match function.body.as_ref().ok().and_then(tail::parse) {
                Some(stmts) => Shape::Block { stmts, output },
                None => Shape::Made { returns: Box::new(written.clone()), output, boxed },
            }
        }
    }
}

/// What a function of this shape returns; the inner `None` means that it returns nothing.
enum Value<'a> {
    Nothing,
    Never,
    Unknown,
    Type(&'a Type),
}

fn value(shape: &Shape) -> Value<'_> {
    fn of(ty: &Type) -> Value<'_> {
        match ty {
            Type::Never(_) => Value::Never,
            Type::Tuple(tuple) if tuple.elems.is_empty() => Value::Nothing,
            _ => Value::Type(ty),
        }
    }
    match shape {
        Shape::Call(None) => Value::Nothing,
        Shape::Call(Some(ty)) => of(ty),
        Shape::Async(output) | Shape::Block { output, .. } | Shape::Made { output, .. } => {
            match output {
                Output::Never => Value::Never,
                Output::Unknown => Value::Unknown,
                Output::Value(ty) => of(ty),
            }
        }
    }
}

/// A container's options, without those that make no sense for a function of this shape.
fn sensible(mut options: Options, shape: &Shape, tracks_caller: bool) -> Options {
    if !matches!(shape, Shape::Call(_)) {
        options.min = None;
    }
    // An opaque value may lack `Debug`, and its declaration cannot add that bound.
    let ty = match value(shape) {
        Value::Type(ty) if !returns::is_opaque(ty) && !tracks_caller => Some(ty),
        _ => None,
    };
    options.ret = options.ret.filter(|_| ty.is_some());
    options.err = options.err.filter(|_| ty.is_some_and(returns::is_result));
    options
}

fn refuse(options: &Options, shape: &Shape, tracks_caller: bool, faults: &mut Faults) {
    if let Some(min) = &options.min {
        let reason = "slices of futures and tasks are never filtered";
        if !matches!(shape, Shape::Call(_)) {
            faults.at(min.span, format!("`min` does not go with a future: {reason}"));
        } else if options.task.is_some() {
            faults.at(min.span, format!("`min` does not go with `task`: {reason}"));
        }
    }
    if let (Some(args), Shape::Made { .. }) = (&options.args, shape) {
        let reason = "the future is made where it cannot be seen, its arguments may be gone";
        let advice = "make it an async fn, or return an async block";
        faults.at(args.span, format!("`args` cannot be recorded: {reason}; {advice}"));
    }
    let ends = [(&options.ret, "ret"), (&options.err, "err")];
    let ends = ends.map(|(option, name)| option.as_ref().map(|option| (option.span, name)));
    match value(shape) {
        _ if tracks_caller => {
            for (span, name) in ends.into_iter().flatten() {
                let reason = "its body becomes a closure, which does not know the caller";
                faults.at(span, format!("`{name}` on a #[track_caller] fn: {reason}"));
            }
        }
        Value::Never => {
            for (span, name) in ends.into_iter().flatten() {
                faults.at(span, format!("`{name}` on a fn that never returns"));
            }
        }
        Value::Nothing => {
            if let Some(err) = &options.err {
                faults.at(err.span, "`err` on a fn that returns no `Result`");
            }
        }
        Value::Unknown | Value::Type(_) => {}
    }
}
