//! ```text
//! #[traced(args(id, n = rows.len(), ?rows), min = "10us", name = "load it")]
//! fn load(id: u64, rows: &[Row]) -> Table { read(id, rows) }
//! ```

fn load(id: u64, rows: &[Row]) -> Table {
    let _region = {
        let _site: &::exectrace::__private::Callsite = {
            static __SITE: ::exectrace::__private::Callsite = ::exectrace::__private::Callsite::new(
                ::exectrace::__private::CallsiteKind::Function,
                "load it",
                ::exectrace::__private::core::module_path!(),
                "src/lib.rs",
                1u32,
                1u32,
                10000u64,
                &[
                    ::exectrace::__private::ArgumentName::new(
                        "id",
                        ::exectrace::__private::ArgumentKind::Typed,
                    ),
                    ::exectrace::__private::ArgumentName::new(
                        "n",
                        ::exectrace::__private::ArgumentKind::Typed,
                    ),
                    ::exectrace::__private::ArgumentName::new(
                        "rows",
                        ::exectrace::__private::ArgumentKind::Debug,
                    ),
                ],
            );
            ::exectrace::__private::register!(__SITE);
            &__SITE
        };
        if _site.is_live() {
            ::exectrace::__private::enter_args(
                _site,
                &[
                    ::exectrace::__private::Argument::value(&(id)),
                    ::exectrace::__private::Argument::value(&(rows.len())),
                    ::exectrace::__private::Value::Debug(&(rows)),
                ],
            )
        } else {
            ::exectrace::__private::Region::none()
        }
    };
    read(id, rows)
}
