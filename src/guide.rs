//! The same chapters lie as files in the folder `guide`, to be read where the sources are.

// `guide/links.txt` defines where the chapters are for rustdoc. The files define the same names at
// their ends, for readers of files. The first of two definitions counts, so `links.txt` stands in
// front.
macro_rules! chapters {
    ($($name:ident $file:literal)*) => {
        $(
            #[doc = include_str!("guide/links.txt")]
            #[doc = include_str!(concat!("../guide/", $file))]
            pub mod $name {}
        )*
    };
}

chapters! {
    chapter_1_first_trace "1-first-trace.md"
    chapter_2_reading "2-reading.md"
    chapter_3_production "3-production.md"
    chapter_4_tests "4-tests.md"
    chapter_5_async "5-async.md"
    chapter_6_format "6-format.md"
    chapter_7_costs "7-costs.md"
    chapter_8_comparison "8-comparison.md"
    chapter_9_troubleshooting "9-troubleshooting.md"
}
