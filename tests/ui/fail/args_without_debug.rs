//! `?` needs `Debug`.

use exectrace::traced;

struct A;

#[traced(args(?a))]
fn f(a: &A) {
    let _ = a;
}

fn main() {
    f(&A);
}
