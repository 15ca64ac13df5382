//! Sets the `cfg`s that several files use: where stacks can be walked, where the feature `os` has
//! functions to hook, and what the standard library has.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(os_hooks)");
    println!("cargo::rustc-check-cfg=cfg(os_threads)");
    println!("cargo::rustc-check-cfg=cfg(stacks)");
    println!("cargo::rustc-check-cfg=cfg(std_file_lock)");
    if compiler_minor().is_some_and(|minor| minor >= 89) {
        println!("cargo::rustc-cfg=std_file_lock");
    }
    let is = |name: &str, values: &[&str]| env::var(name).is_ok_and(|v| values.contains(&&*v));
    let wanted = |feature| env::var_os(feature).is_some();
    let modelled = env::var_os("CARGO_CFG_EXECTRACE_LOOM").is_some();
    let linux = is("CARGO_CFG_TARGET_OS", &["linux"]);
    let known = is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"]);
    if linux && known && !modelled {
        if wanted("CARGO_FEATURE_STACKS") {
            println!("cargo::rustc-cfg=stacks");
        }
        if wanted("CARGO_FEATURE_OS") {
            println!("cargo::rustc-cfg=os_hooks");
            // A static program has no second definition of a function to call.
            let features = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
            let is_static = features.split(',').any(|feature| feature == "crt-static");
            if !is_static && !is("CARGO_CFG_TARGET_ENV", &["musl"]) {
                println!("cargo::rustc-cfg=os_threads");
            }
        }
    }
}

/// 89 of `rustc 1.89.0 (29483883e 2025-08-04)`.
fn compiler_minor() -> Option<u32> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?;
    version.strip_prefix("rustc 1.")?.split('.').next()?.parse().ok()
}
