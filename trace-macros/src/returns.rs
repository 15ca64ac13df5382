//! What a function's return type says about it, as far as its tokens can tell.
//!
//! A macro sees names, not types: `Future`, `Pin<Box<dyn Future>>`, `BoxFuture` and `..Result` are
//! known by the last word of their path. A future behind any other alias is a plain value.
//!
//! Elsewhere: what follows from it (`check`).

use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    AngleBracketedGenericArguments, GenericArgument, Path, PathArguments, PathSegment, ReturnType,
    Token, Type, TypeInfer, TypeParamBound, parse_quote,
};

/// What a function returns.
#[derive(Clone, Copy)]
pub(crate) enum Returns<'a> {
    /// There is no `->`.
    Nothing,
    /// `-> !`, as written.
    Never(&'a Type),
    /// A value of this type.
    Value(&'a Type),
    /// A future.
    Future {
        /// The return type.
        written: &'a Type,
        /// The future's output, if the type names it.
        output: Option<&'a Type>,
        /// True if it is in a pinned box.
        boxed: bool,
    },
}

impl<'a> Returns<'a> {
    /// Reads a return type.
    pub(crate) fn of(output: &'a ReturnType) -> Self {
        let ReturnType::Type(_, written) = output else {
            return Self::Nothing;
        };
        let bare = bare(written);
        match bare {
            Type::Never(_) => Self::Never(written),
            _ => match future(bare) {
                Some((output, boxed)) => Self::Future { written, output, boxed },
                None => Self::Value(written),
            },
        }
    }
}

/// `ty` with `_` for every `impl Trait`, which may stand in a signature only.
pub(crate) fn erased(ty: &Type) -> Type {
    let mut erased = ty.clone();
    Erase(false).visit_type_mut(&mut erased);
    erased
}

/// True if an `impl Trait` is in `ty`.
pub(crate) fn is_opaque(ty: &Type) -> bool {
    let mut erase = Erase(false);
    erase.visit_type_mut(&mut ty.clone());
    erase.0
}

/// Puts `_` for `impl Trait`; true if there was one.
struct Erase(bool);

impl VisitMut for Erase {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::ImplTrait(opaque) = ty {
            let underscore_token = Token![_](opaque.impl_token.span);
            *ty = Type::Infer(TypeInfer { underscore_token });
            self.0 = true;
        } else {
            visit_mut::visit_type_mut(self, ty);
        }
    }
}

/// True if `ty` is called a `Result`: `io::Result<T>`, `PyResult<T>`.
pub(crate) fn is_result(ty: &Type) -> bool {
    last(ty).is_some_and(|segment| segment.ident.to_string().ends_with("Result"))
}

/// `ty` without the groups and parentheses around it.
fn bare(mut ty: &Type) -> &Type {
    loop {
        ty = match ty {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return ty,
        };
    }
}

/// The output and the boxedness of a future.
fn future(ty: &Type) -> Option<(Option<&Type>, bool)> {
    if let Type::ImplTrait(opaque) = ty {
        return Some((output(&opaque.bounds)?, false));
    }
    let segment = last(ty)?;
    match segment.ident.to_string().as_str() {
        "BoxFuture" | "LocalBoxFuture" => Some((type_argument(segment), true)),
        "Pin" => {
            let pointer = last(bare(type_argument(segment)?))?;
            if pointer.ident != "Box" {
                return None;
            }
            match bare(type_argument(pointer)?) {
                Type::TraitObject(object) => Some((output(&object.bounds)?, true)),
                Type::ImplTrait(opaque) => Some((output(&opaque.bounds)?, true)),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The `T` of the bound `Future<Output = T>`: `None` without such a bound, `Some(None)` if the
/// bound names no output.
fn output(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Option<&Type>> {
    let segment = bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) => last_of(&bound.path).filter(|s| s.ident == "Future"),
        _ => None,
    })?;
    Some(generics(segment).and_then(|generics| {
        generics.args.iter().find_map(|argument| match argument {
            GenericArgument::AssocType(binding) if binding.ident == "Output" => Some(&binding.ty),
            _ => None,
        })
    }))
}

fn last(ty: &Type) -> Option<&PathSegment> {
    match ty {
        Type::Path(path) => last_of(&path.path),
        _ => None,
    }
}

fn last_of(path: &Path) -> Option<&PathSegment> {
    path.segments.last()
}

fn generics(segment: &PathSegment) -> Option<&AngleBracketedGenericArguments> {
    match &segment.arguments {
        PathArguments::AngleBracketed(generics) => Some(generics),
        _ => None,
    }
}

fn type_argument(segment: &PathSegment) -> Option<&Type> {
    generics(segment)?.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// The return type of a function without `->`.
pub(crate) fn unit() -> Type {
    parse_quote!(())
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;

    use super::{Returns, erased, is_opaque, is_result};

    fn check(text: &str) -> String {
        let ty = syn::parse_str(text).expect("a return type");
        match Returns::of(&ty) {
            Returns::Nothing => "nothing".to_owned(),
            Returns::Never(_) => "never".to_owned(),
            Returns::Value(ty) => format!("value {}", ty.to_token_stream()),
            Returns::Future { output, boxed, .. } => {
                let output = output.map(|ty| ty.to_token_stream().to_string());
                format!("future {output:?} {boxed}")
            }
        }
    }

    #[test]
    fn futures_are_known_by_their_names() {
        let cases = [
            ("", "nothing"),
            ("-> !", "never"),
            ("-> u8", "value u8"),
            ("-> impl Iterator<Item = u8>", "value impl Iterator < Item = u8 >"),
            ("-> impl Future<Output = u8> + Send + 'a", "future Some(\"u8\") false"),
            ("-> impl Send + core::future::Future", "future None false"),
            ("-> Pin<Box<dyn Future<Output = T> + Send + '_>>", "future Some(\"T\") true"),
            ("-> ::std::pin::Pin<std::boxed::Box<impl Future>>", "future None true"),
            ("-> BoxFuture<'static, (A, B)>", "future Some(\"(A , B)\") true"),
            ("-> futures::future::LocalBoxFuture<'_, u8>", "future Some(\"u8\") true"),
            (
                "-> Pin<&mut dyn Future<Output = T>>",
                "value Pin < & mut dyn Future < Output = T > >",
            ),
            ("-> Box<dyn Future<Output = T>>", "value Box < dyn Future < Output = T > >"),
        ];
        for (text, wanted) in cases {
            assert_eq!(check(text), wanted, "{text}");
        }
    }

    #[test]
    fn opaque_types_are_erased_wherever_they_stand() {
        let ty = syn::parse_str("Result<Box<impl A>, (u8, impl B)>").expect("a type");
        assert!(is_opaque(&ty) && is_result(&ty));
        let erased = erased(&ty);
        assert!(!is_opaque(&erased));
        assert_eq!(erased.to_token_stream().to_string(), "Result < Box < _ > , (u8 , _) >");
        assert!(!is_result(&syn::parse_str("Option<u8>").expect("a type")));
        assert!(is_result(&syn::parse_str("io::Result<u8>").expect("a type")));
    }
}
