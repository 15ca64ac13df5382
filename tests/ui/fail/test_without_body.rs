//! Nothing to run.

trait A {
    #[exectrace::test]
    fn f();
}

fn main() {}
