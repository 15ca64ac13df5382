//! ```text
//! #[traced(nmae = "x")]
//! impl A { #[traced(skip)] fn a() {} fn b() {} #[traced(oops)] const fn c() {} }
//! ```

impl A {
    #[traced(skip)]
    fn a() {}
    fn b() {}
    #[traced(skip)]
    const fn c() {}
}
compile_error! {
    "unknown option `nmae`: there are name, args, min, ret, err, task, skip and crate"
}
compile_error! {
    "unknown option `oops`: there are name, args, min, ret, err, task, skip and crate"
}
compile_error! {
    "a const fn cannot be traced: it may run in the compiler"
}
