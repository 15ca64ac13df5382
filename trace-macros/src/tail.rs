//! The `async` block that is a function's value: `Box::pin(async move { .. })`,
//! `async move { .. }.boxed()`, or the bare block.
//!
//! Only the last expression counts: a future that is returned early is not recorded.
//!
//! Elsewhere: what is put in the block's place (`future`).

use syn::parse::Parser as _;
use syn::{Block, Expr, ExprPath, Stmt};

use crate::func::Body;

/// The statements of a body whose value is an `async` block.
pub(crate) fn parse(body: &Body) -> Option<Vec<Stmt>> {
    let mut stmts = Block::parse_within.parse2(body.stmts.clone()).ok()?;
    block(&mut stmts)?;
    Some(stmts)
}

/// The `async` block that is the value of `stmts`.
pub(crate) fn block(stmts: &mut [Stmt]) -> Option<&mut Expr> {
    match stmts.last_mut()? {
        Stmt::Expr(expr, None) => within(expr),
        _ => None,
    }
}

fn within(expr: &mut Expr) -> Option<&mut Expr> {
    match expr {
        Expr::Async(_) => Some(expr),
        Expr::Group(group) => within(&mut group.expr),
        Expr::Paren(paren) => within(&mut paren.expr),
        Expr::Cast(cast) => within(&mut cast.expr),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) if is_box_pin(path) && call.args.len() == 1 => {
                within(call.args.first_mut()?)
            }
            _ => None,
        },
        Expr::MethodCall(call) if call.method == "boxed" || call.method == "boxed_local" => {
            within(&mut call.receiver)
        }
        _ => None,
    }
}

fn is_box_pin(path: &ExprPath) -> bool {
    let mut words = path.path.segments.iter().rev();
    words.next().is_some_and(|word| word.ident == "pin")
        && words.next().is_some_and(|word| word.ident == "Box")
}

#[cfg(test)]
mod tests {
    use syn::ItemFn;

    use super::block;

    #[test]
    fn only_a_block_that_is_the_value_is_found() {
        let cases = [
            ("{ Box::pin(async move { 1 }) }", true),
            ("{ let x = 1; ::std::boxed::Box::pin(async { x }) as Pin<Box<dyn F>> }", true),
            ("{ async move { 1 }.boxed() }", true),
            ("{ (async { 1 }) }", true),
            ("{ Box::pin(inner()) }", false),
            ("{ Box::new(async { 1 }) }", false),
            ("{ Box::pin(async { 1 }); }", false),
            ("{ async { 1 }; ready(2) }", false),
            ("{ spawn(async { 1 }) }", false),
            ("{ }", false),
        ];
        for (body, wanted) in cases {
            let mut item: ItemFn = syn::parse_str(&format!("fn f() {body}")).expect("a function");
            assert_eq!(block(&mut item.block.stmts).is_some(), wanted, "{body}");
        }
    }
}
