//! ```text
//! #[traced()]
//! fn f() { #![allow(dead_code)] use a::b; const N: u8 = 1; let x = N; struct S; b(x) }
//! ```

fn f() {
    #![allow(dead_code)]
    use a::b;
    const N: u8 = 1;
    let _region = {
        static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
            ::exectrace::__private::CallsiteKind::Function,
            "f",
            ::core::module_path!(),
            "src/lib.rs",
            1u32,
            1u32,
            0u64,
            &[],
        );
        ::exectrace::__private::register!(__SITE);
        ::exectrace::__private::enter(&__SITE)
    };
    let x = N;
    struct S;
    b(x)
}
