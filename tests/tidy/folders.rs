//! Inside a crate, folders and the files beside them point down only: the rules that give events a
//! meaning do not know the sums made from them, and a picture does not know its encoding.

use crate::tree::{Fault, Tree};

/// For each checked crate its folders and top files, the lowest first. Each may use those before
/// it.
const LADDERS: [(&str, &[&str]); 3] = [
    (
        "trace-runtime/src/",
        &[
            "base", "sys", "buffer", "files", "intern", "session", "stack", "thread", "callsite",
            "annotate", "output", "source", "heap", "sched", "os", "collect", "start", "auto",
        ],
    ),
    (
        "trace-analysis/src/",
        &[
            "hash",
            "units",
            "spans",
            "time",
            "durations",
            "sources",
            "symbols",
            "reason",
            "trace",
            "walk",
            "timeline",
            "report",
            "parallel",
            "explain",
        ],
    ),
    ("trace-export/src/", &["hash", "label", "profile", "scene", "draw", "perfetto"]),
];

/// Not on a ladder: folders for tests.
const APART: [&str; 2] = ["alone", "tests"];

/// Arrows that point up: from where, to what, and why.
const UPWARDS: [(&str, &str, &str); 18] = [
    ("trace-runtime/src/annotate/task.rs", "start", "a task that was slow is dumped when it ends"),
    ("trace-runtime/src/buffer/arena.rs", "thread", "a mapping is let go of as states are"),
    (
        "trace-runtime/src/callsite/mod.rs",
        "start",
        "a switch is noted in the session, which start has",
    ),
    ("trace-runtime/src/collect/mod.rs", "start", "the collector looks after the backing file"),
    ("trace-runtime/src/intern/resources/mod.rs", "thread", "when cells run short, who may wake"),
    ("trace-runtime/src/os/mode.rs", "auto", "a forked child goes on with its next call"),
    ("trace-runtime/src/output/outputs.rs", "os", "names of descriptors go with their resources"),
    ("trace-runtime/src/session/mod.rs", "output", "a request brings an output"),
    ("trace-runtime/src/session/mod.rs", "thread", "a session lists its threads"),
    ("trace-runtime/src/stack/", "output", "its source says what is mapped"),
    ("trace-runtime/src/stack/", "source", "its source says what is mapped"),
    ("trace-runtime/src/stack/", "thread", "which thread asks, and whether it is suppressed"),
    ("trace-runtime/src/start/recorder.rs", "auto", "a forked child goes on"),
    ("trace-runtime/src/thread/working.rs", "annotate", "a thread works for open tasks"),
    ("trace-runtime/src/thread/attach.rs", "auto", "a forked child goes on with its next event"),
    ("trace-runtime/src/thread/attach.rs", "os", "an older thread may have a state there"),
    ("trace-analysis/src/timeline/futures/", "report", "async tasks add up as they go"),
    ("trace-analysis/src/units.rs", "time", "a moment is written like other times"),
];

/// A module with others inside is a folder with a `mod.rs`, not a file beside a folder.
pub(crate) fn two_styles(tree: &Tree) -> Vec<Fault> {
    let folder = |path: &str| path.strip_suffix(".rs").map(|name| format!("{name}/"));
    let sources = tree.sources().map(|(file, _)| file.path.as_str());
    let modules = sources.filter(|path| path.contains("/src/") && !path.ends_with("/lib.rs"));
    let has_folder = |path: &&str| {
        folder(path)
            .is_some_and(|folder| tree.sources().any(|(it, _)| it.path.starts_with(&folder)))
    };
    let found = modules.filter(has_folder);
    let what = "it has a folder of the same name: move it there, as `mod.rs`";
    found.map(|path| Fault::new(path, 1, what)).collect()
}

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let (mut faults, mut used) = (Vec::new(), [false; UPWARDS.len()]);
    for (file, tokens) in tree.sources() {
        let Some((root, ladder)) = LADDERS.iter().find(|(root, _)| file.path.starts_with(root))
        else {
            continue;
        };
        let own = file.path[root.len()..].trim_end_matches(".rs").split('/').next();
        let Some(own) = own.filter(|own| *own != "lib") else { continue };
        if APART.contains(&own) {
            continue;
        }
        let place = |name: &str| ladder.iter().position(|step| *step == name);
        let Some(here) = place(own) else {
            faults.push(Fault::new(&file.path, 1, format!("`{own}` has no place in LADDERS")));
            continue;
        };
        for (at, token) in tokens.find(&["crate", ":", ":"]).filter(|(_, token)| !token.in_test) {
            let name = tokens.text(at + 3);
            // Paths in a macro's expansion are not uses by this file.
            let is_expanded = at > 0 && tokens.text(at - 1) == "$";
            if is_expanded || APART.contains(&name) {
                continue;
            }
            let excuse =
                UPWARDS.iter().position(|(from, to, _)| file.path.starts_with(from) && *to == name);
            match (place(name), excuse) {
                (Some(there), _) if there <= here => {}
                (Some(_), Some(excuse)) => used[excuse] = true,
                (Some(_), None) => {
                    let what = format!("`{name}` lies above `{own}`, move what is needed below");
                    faults.push(Fault::new(&file.path, token.line, what));
                }
                (None, _) => {
                    let what = format!("`crate::{name}`: say in which folder it lies");
                    faults.push(Fault::new(&file.path, token.line, what));
                }
            }
        }
    }
    let whole = tree.get("Cargo.toml").is_some();
    for ((from, to, _), used) in UPWARDS.iter().zip(used) {
        if whole && !used {
            faults.push(Fault::new(from, 1, format!("UPWARDS excuses `{to}`, which is not used")));
        }
    }
    faults
}

mod tests {
    use super::*;

    const PATH: &str = "trace-analysis/src/walk/mod.rs";

    #[test]
    fn an_arrow_down_or_within_is_fine() {
        let text = "//! A.\nuse crate::trace::Trace;\nuse crate::walk::Missing;\nuse super::x;\n";
        assert_eq!(faults(&Tree::sample(&[(PATH, text)])), []);
    }

    #[test]
    fn an_arrow_up_is_a_fault_wherever_it_stands() {
        let text = "//! A.\nuse crate::report::Report;\nfn f() { crate::explain::explain() }\n";
        let found = faults(&Tree::sample(&[(PATH, text)]));
        assert_eq!(found.len(), 2);
        let what = "`report` lies above `walk`, move what is needed below";
        assert_eq!(found[0], Fault::new(PATH, 2, what));
    }

    #[test]
    fn a_name_that_stands_for_another_is_a_fault() {
        let found = faults(&Tree::sample(&[(PATH, "//! A.\nuse crate::life::Lives;\n")]));
        assert_eq!(found, [Fault::new(PATH, 2, "`crate::life`: say in which folder it lies")]);
        let found = faults(&Tree::sample(&[("trace-analysis/src/new.rs", "//! A.\n")]));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_file_beside_its_folder_is_a_fault() {
        let both = [("a/src/b.rs", "//! B.\n"), ("a/src/b/c.rs", "//! C.\n")];
        assert_eq!(two_styles(&Tree::sample(&both)).len(), 1);
        let one = [("a/src/b/mod.rs", "//! B.\n"), ("a/src/b/c.rs", "//! C.\n")];
        assert_eq!(two_styles(&Tree::sample(&one)), []);
    }

    #[test]
    fn what_only_tests_use_and_other_crates_are_left_alone() {
        let text = "//! A.\n#[cfg(test)]\nmod tests { use crate::report::Report; }\n";
        assert_eq!(faults(&Tree::sample(&[(PATH, text)])), []);
        let text = "//! A.\nuse crate::anything;\n";
        assert_eq!(faults(&Tree::sample(&[("trace-tool/src/walk.rs", text)])), []);
    }
}
