//! What the variable says: `NAME[,OPTION]..`, as in `out-%p.trace,os=off,memory=256M`.
//!
//! The options are those of [`Options`] and [`Rotation`], and whether the trace is to survive the
//! process. An option without a value is `on`. A name can't contain a comma.

use crate::base::options::{Compression, OnFull, Options, Stacks};
use crate::output::rotation::Rotation;
use std::time::Duration;

/// The known options, for the message about an unknown one.
const KNOWN: &str = "there are os, sched, heap, page_faults, async_stacks, cpu_samples, \
                     heap_sample, stacks, memory, on_full, generation, lz4, names, survive, total, \
                     part and every";

/// The variable's parsed value.
#[derive(Debug)]
pub(super) struct Setting<'a> {
    /// The file's name, with marks in it.
    pub(super) name: &'a str,
    /// How to record.
    pub(super) options: Options,
    /// Whether events in memory are to survive the process. `None`: if that is possible.
    pub(super) survives: Option<bool>,
    /// The parts of the trace, if it is to have parts.
    pub(super) rotation: Option<Rotation>,
}

impl<'a> Setting<'a> {
    /// Parses the variable's value.
    pub(super) fn parse(text: &'a str) -> Result<Self, String> {
        let mut parts = text.split(',').map(str::trim);
        let name = parts.next().unwrap_or_default();
        if name.is_empty() {
            return Err("a file's name comes first, as in out.trace,os=off".to_owned());
        }
        let mut setting =
            Self { name, options: Options::default(), survives: None, rotation: None };
        let (mut total, mut part, mut every) = (None, None, None);
        for option in parts {
            let (key, value) = option.split_once('=').unwrap_or((option, "on"));
            match key {
                "survive" => setting.survives = Some(switch(key, value)?),
                "total" => total = Some(bytes(key, value, 1 << 20)?),
                "part" => part = Some(bytes(key, value, 64 << 10)?),
                "every" => every = Some(seconds(key, value)?),
                _ => setting.options = self::option(setting.options, key, value)?,
            }
        }
        if total.is_none() && (part.is_some() || every.is_some()) {
            return Err("`part` and `every` want a `total` that all parts may have".to_owned());
        }
        setting.rotation = total.map(|total| {
            let rotation = Rotation::new(total);
            let rotation = part.map_or(rotation, |bytes| rotation.part_bytes(bytes));
            every.map_or(rotation, |time| rotation.every(time))
        });
        let is_plain = setting.survives == Some(false) || !setting.options.is_uncompressed();
        if setting.rotation.is_some() && is_plain {
            return Err("parts (`total`) survive always, and are not compressed".to_owned());
        }
        if setting.survives == Some(true) && !setting.options.is_uncompressed() {
            return Err("a trace that survives is not compressed: `lz4` or `survive`".to_owned());
        }
        Ok(setting)
    }
}

fn option(options: Options, key: &str, value: &str) -> Result<Options, String> {
    let done = match key {
        "os" => options.os(switch(key, value)?),
        "sched" => options.sched(switch(key, value)?),
        "heap" => options.heap(switch(key, value)?),
        "page_faults" => options.page_faults(switch(key, value)?),
        "async_stacks" => options.async_stacks(switch(key, value)?),
        "cpu_samples" => {
            let wanted = wrong(key, value, "a number per second up to 10000");
            let number = value.parse().ok().filter(|number| *number <= 10_000);
            options.cpu_samples(number.ok_or(wanted)?)
        }
        "heap_sample" => options.heap_sample_bytes(bytes(key, value, 1)?),
        "stacks" => options.stacks(stacks(key, value)?),
        "memory" => {
            let bytes = bytes(key, value, 64 << 10)?;
            options.memory_max(usize::try_from(bytes).map_err(|_| wrong(key, value, "less"))?)
        }
        "on_full" => options.on_full(match value {
            "drop" => OnFull::Drop,
            "wait" => OnFull::Wait,
            _ => return Err(wrong(key, value, "drop or wait")),
        }),
        "generation" => {
            let wanted = || wrong(key, value, "10ms to 1000ms");
            let number = value.strip_suffix("ms").and_then(|number| number.parse().ok());
            let number = number.filter(|number| (10..=1000).contains(number));
            options.generation(Duration::from_millis(number.ok_or_else(wanted)?))
        }
        "names" => options.names(names(switch(key, value)?)?),
        "lz4" => options.compression(compression(switch(key, value)?)?),
        _ => return Err(format!("unknown option `{key}`: {KNOWN}")),
    };
    Ok(done)
}

fn wrong(key: &str, value: &str, wanted: &str) -> String {
    format!("`{key}={value}`: {wanted} is wanted")
}

fn switch(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(wrong(key, value, "on or off")),
    }
}

/// A time with s, m or h behind it.
fn seconds(key: &str, value: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let read = units.into_iter().find_map(|(unit, seconds)| {
        let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(seconds).filter(|seconds| *seconds > 0)
    });
    read.map(Duration::from_secs).ok_or_else(|| wrong(key, value, "a time like 90s, 10m or 1h"))
}

/// A size in bytes, or with K, M or G behind it.
fn bytes(key: &str, value: &str, least: u64) -> Result<u64, String> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("", 0)];
    let read = units.into_iter().find_map(|(unit, shift)| {
        let number: u64 = value.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(1 << shift)
    });
    let wanted = || {
        let least = if least < 1024 { format!("{least}") } else { format!("{}K", least >> 10) };
        wrong(key, value, &format!("a size from {least} on, as in 64M,"))
    };
    read.filter(|bytes| *bytes >= least).ok_or_else(wanted)
}

fn stacks(key: &str, value: &str) -> Result<Stacks, String> {
    match (value, value.parse().ok().filter(|one_in| *one_in > 0)) {
        ("off", _) => Ok(Stacks::None),
        ("on", _) => Ok(Stacks::All),
        (_, Some(one_in)) => Ok(Stacks::Sampled { one_in }),
        (_, None) => Err(wrong(key, value, "on, off, or a number N for one in N")),
    }
}

fn names(on: bool) -> Result<bool, String> {
    if on && !crate::base::options::HAS_NAMES {
        return Err("`names`: the program was built without this feature of exectrace".to_owned());
    }
    Ok(on)
}

fn compression(on: bool) -> Result<Compression, String> {
    if !on {
        return Ok(Compression::None);
    }
    #[cfg(feature = "lz4")]
    return Ok(Compression::Lz4);
    #[cfg(not(feature = "lz4"))]
    Err("`lz4`: the program was built without this feature of exectrace".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_come_behind_the_name() {
        let text = "a b.trace, os=off,sched=off,heap=off,page_faults=off,async_stacks=off,\
                    cpu_samples=100,heap_sample=4K,stacks=7,memory=1M,on_full=wait,\
                    generation=20ms,lz4=off,names=off";
        let Setting { name, options, survives, rotation } =
            Setting::parse(text).expect("all of it is known");
        assert_eq!((survives, rotation), (None, None));
        assert_eq!(name, "a b.trace");
        let switches = [options.os, options.sched, options.heap, options.page_faults];
        assert_eq!(switches, [false; 4]);
        assert!(!options.async_stacks && !options.names);
        assert_eq!((options.cpu_samples, options.heap_sample_bytes), (100, 4096));
        assert_eq!((options.memory_max, options.on_full), (1 << 20, OnFull::Wait));
        assert_eq!(options.stacks, Stacks::Sampled { one_in: 7 });
        assert_eq!(options.generation, Duration::from_millis(20));
        let plain = Setting::parse("x,os,stacks").expect("an option without a value is on").options;
        assert!(plain.os && plain.stacks == Stacks::All);
    }

    #[test]
    fn what_is_wrong_is_named_and_what_would_be_right() {
        let cases = [
            (",os=off", "a file's name comes first"),
            ("x,", "unknown option ``"),
            ("x,oss=off", "unknown option `oss`: there are os, sched"),
            ("x,os=no", "`os=no`: on or off"),
            ("x,memory=64Q", "`memory=64Q`: a size from 64K on"),
            ("x,memory=1K", "`memory=1K`: a size"),
            ("x,memory=99999999999G", "a size"),
            ("x,heap_sample=0", "a size from 1 on"),
            ("x,cpu_samples=10001", "up to 10000"),
            ("x,cpu_samples", "`cpu_samples=on`: a number"),
            ("x,stacks=0", "on, off, or a number"),
            ("x,on_full=burn", "drop or wait"),
            ("x,generation=1s", "10ms to 1000ms"),
            ("x,generation=5ms", "10ms to 1000ms"),
            ("x,every=1h", "want a `total`"),
            ("x,total=1K", "a size from 1024K on"),
            ("x,total=1G,every=1", "a time like"),
            ("x,total=1G,every=0s", "a time like"),
            ("x,total=1G,survive=off", "survive always"),
        ];
        for (text, message) in cases {
            let fault = Setting::parse(text).expect_err("it is wrong");
            assert!(fault.contains(message) && !fault.contains('\n'), "{text}: {fault}");
        }
    }

    #[test]
    fn a_trace_in_parts_has_a_total() {
        let text = "x,total=1G,part=32M,every=10m,survive";
        let setting = Setting::parse(text).expect("all of it is known");
        let rotation = Rotation::new(1 << 30).part_bytes(32 << 20).every(Duration::from_secs(600));
        assert_eq!((setting.rotation, setting.survives), (Some(rotation), Some(true)));
    }

    #[test]
    fn lz4_and_names_are_options_where_they_are_compiled_in() {
        assert_eq!(Setting::parse("x,lz4").is_ok(), cfg!(feature = "lz4"));
        let named = Setting::parse("x,names").map(|setting| setting.options.names);
        assert_eq!(named.ok(), cfg!(all(feature = "names", stacks)).then_some(true));
    }
}
