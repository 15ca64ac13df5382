//! What is left out has no options.

#[exectrace::traced]
mod a {
    #[exectrace::traced(skip, ret)]
    pub fn f() -> u8 {
        1
    }
}

fn main() {
    a::f();
}
