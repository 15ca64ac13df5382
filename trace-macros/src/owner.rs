//! What stands before a function's name in the trace: `Type::` in an `impl`, `<Type as Trait>::` in
//! a trait's `impl`, `Trait::` in a `trait`.
//!
//! Only the last word of a path is kept, and generics are dropped: the module path is recorded in a
//! field of its own, and one call site serves all instances of a generic.
//!
//! Elsewhere: the name itself and `name = ".."` (`check`).

use proc_macro2::TokenStream;
use quote::{ToTokens as _, quote};
use syn::{ItemImpl, ItemTrait, Type, TypeParamBound};

/// Names the owner of the functions in an `impl` block.
///
/// - `head`: everything before the block's braces.
/// - Returns `None` if the head is written in a way that `syn` does not know.
pub(crate) fn of_impl(head: &TokenStream) -> Option<String> {
    let item: ItemImpl = syn::parse2(quote! { #head {} }).ok()?;
    let ty = render(&item.self_ty);
    Some(match item.trait_ {
        Some((_, path, _)) => format!("<{ty} as {}>", path.segments.last()?.ident),
        None if matches!(*item.self_ty, Type::Path(_)) => ty,
        None => format!("<{ty}>"),
    })
}

/// Names the owner of the functions in a `trait` block; see [`of_impl`].
pub(crate) fn of_trait(head: &TokenStream) -> Option<String> {
    let item: ItemTrait = syn::parse2(quote! { #head {} }).ok()?;
    Some(item.ident.to_string())
}

fn render(ty: &Type) -> String {
    match ty {
        Type::Path(path) => match path.path.segments.last() {
            Some(segment) => segment.ident.to_string(),
            None => ty.to_token_stream().to_string(),
        },
        Type::Group(group) => render(&group.elem),
        Type::Paren(paren) => render(&paren.elem),
        Type::Reference(reference) => {
            let mutability = if reference.mutability.is_some() { "mut " } else { "" };
            format!("&{mutability}{}", render(&reference.elem))
        }
        Type::Slice(slice) => format!("[{}]", render(&slice.elem)),
        Type::Array(array) => format!("[{}; {}]", render(&array.elem), array.len.to_token_stream()),
        Type::Tuple(tuple) => {
            let parts: Vec<_> = tuple.elems.iter().map(render).collect();
            format!("({})", parts.join(", "))
        }
        Type::TraitObject(object) => format!("dyn {}", bounds(object.bounds.iter())),
        other => other.to_token_stream().to_string(),
    }
}

fn bounds<'a>(bounds: impl Iterator<Item = &'a TypeParamBound>) -> String {
    let names: Vec<_> = bounds
        .filter_map(|bound| match bound {
            TypeParamBound::Trait(bound) => Some(bound.path.segments.last()?.ident.to_string()),
            _ => None,
        })
        .collect();
    names.join(" + ")
}

#[cfg(test)]
mod tests {
    use super::{of_impl, of_trait};

    #[test]
    fn owners_are_named_without_paths_and_generics() {
        let cases = [
            ("impl Vec2", "Vec2"),
            ("impl<T> crate::math::Vec2<T> where T: Copy", "Vec2"),
            ("impl<const N: usize> Grid<{ N + 1 }>", "Grid"),
            ("unsafe impl<T> core::ops::Add<T> for Vec2<T>", "<Vec2 as Add>"),
            ("impl<'a, T> Tr for &'a mut [T]", "<&mut [T] as Tr>"),
            ("impl Tr for (u8, Box<dyn Any>)", "<(u8, Box) as Tr>"),
            ("impl dyn Shape + Send", "<dyn Shape + Send>"),
            ("impl Tr for [u8; 4]", "<[u8; 4] as Tr>"),
        ];
        for (head, wanted) in cases {
            let head = head.parse().expect("tokens");
            assert_eq!(of_impl(&head).as_deref(), Some(wanted), "{head}");
        }
        let head = "pub(crate) unsafe trait Store<T>: Send where T: Copy".parse().expect("tokens");
        assert_eq!(of_trait(&head).as_deref(), Some("Store"));
    }
}
