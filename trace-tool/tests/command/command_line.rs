//! Wrong use is one clear line and exit 2; a closed pipe is no error.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::common::{Bench, command, long, request};
use trace_format::header::{FILE_HEADER_BYTES, FileHeader};

#[track_caller]
fn check_refused(bench: &Bench, line: &str, part: &str) {
    let run = bench.run(line);
    assert_eq!(run.code, Some(2), "{line}: {}", run.err);
    assert_eq!(run.out, "", "{line}");
    assert_eq!(run.err.lines().count(), 1, "{line}: {}", run.err);
    assert!(run.err.starts_with("exectrace: ") && run.err.contains(part), "{line}: {}", run.err);
}

#[test]
fn every_wrong_command_line_is_one_line_and_exit_2() {
    let bench = Bench::new(&request());
    check_refused(&bench, "", "a command is needed");
    check_refused(&bench, "sumary FILE", "sumary");
    check_refused(&bench, "summary", "<FILE>");
    check_refused(&bench, "summary FILE --top many", "many");
    check_refused(&bench, "summary FILE --from 5", "a time has a unit");
    check_refused(&bench, "summary FILE --from -5s", "-5");
    check_refused(&bench, "summary FILE --from 2ms --to 1ms", "--from must be before --to");
    check_refused(&bench, "regions FILE --sort colour", "colour");
    check_refused(&bench, "events FILE --thread nobody", "there are main, worker");
    check_refused(&bench, "profile FILE --kind heap --from 2s --at 1s", "be before --at");
    check_refused(&bench, "export FILE", "--format");
    check_refused(&bench, "export --format svg FILE -o x", "svg");
    check_refused(&bench, "export --format perfetto FILE -o FILE", "overwrite");
    check_refused(&bench, "export --format perfetto FILE -o no/such/folder", "no/such/folder");
}

#[test]
fn a_mistyped_word_has_a_suggestion() {
    let bench = Bench::new(&request());
    for (line, meant) in [
        ("sumary FILE", "summary"),
        ("thread FILE", "threads"),
        ("summary FILE --therad main", "--thread"),
        ("FILE --jsn", "--json"),
        ("syscalls FILE --sort totl", "total"),
        ("profile FILE --kind blck", "block"),
    ] {
        check_refused(&bench, line, &format!("; did you mean '{meant}'? (see exectrace --help)"));
    }
    let run = bench.run("zzz");
    assert!(!run.err.contains("did you mean"), "no word is like it: {}", run.err);
}

#[test]
fn a_file_alone_is_summed_up() {
    let bench = Bench::new(&request());
    for options in ["", " --top 1", " --json --from 10us"] {
        let (alone, with_verb) =
            (bench.run(&format!("FILE{options}")), bench.run(&format!("summary FILE{options}")));
        assert_eq!((alone.out, alone.err), (with_verb.out, with_verb.err), "{options}");
        assert_eq!(alone.code, Some(0));
    }
    assert_eq!(bench.run("a.trace").code, Some(0));
    check_refused(&bench, "missing.trace", "missing.trace: No such file");
    check_refused(&bench, ".", "is a folder");
}

#[test]
fn older_names_of_options_still_do_and_help_has_one_for_each_meaning() {
    let bench = Bench::new(&long());
    for (verb, older, name) in [
        ("summary", "--limit 2", "--top 2"),
        ("regions", "--limit 2 --outliers 1", "--top 2 --longest 1"),
        ("tasks", "--limit 1 --trees 1", "--top 1 --longest 1"),
        ("threads", "--limit 1", "--top 1"),
        ("events", "--limit 9", "--top 9"),
    ] {
        let by = |options: &str| bench.run(&format!("{verb} FILE {options}"));
        let (one, other) = (by(older), by(name));
        assert_eq!((one.code, &one.out), (Some(0), &other.out), "{verb}: {}", one.err);
        let all = by("");
        assert_ne!(all.out, other.out, "{verb}: the option does something");
    }
    for verb in verbs(&bench) {
        let help = bench.run(&format!("{verb} --help")).out;
        for older in ["--limit", "--outliers", "--trees", "--out "] {
            assert!(!help.contains(older), "{verb}: {older}");
        }
    }
}

#[test]
fn help_fits_80_columns() {
    let bench = Bench::new(&request());
    let check = |name: &str, help: &str| {
        let widest = help.lines().max_by_key(|line| line.chars().count()).expect("some lines");
        assert!(widest.chars().count() <= 80, "{name}: {widest}");
    };
    for short in ["-h", "--help"] {
        check("exectrace", &bench.run(short).out);
        for verb in verbs(&bench) {
            check(&verb, &bench.run(&format!("{verb} {short}")).out);
        }
        let mut of_cargo = std::process::Command::new(env!("CARGO_BIN_EXE_cargo-exectrace"));
        let output = of_cargo.arg(short).output().expect("it runs");
        check("cargo exectrace", &String::from_utf8(output.stdout).expect("text"));
    }
}

#[test]
fn what_is_no_trace_is_one_line_and_exit_2() {
    let bench = Bench::new(&request());
    std::fs::write(bench.path("empty"), b"").expect("it can be written");
    std::fs::write(bench.path("text"), [b'x'; 5000]).expect("it can be written");
    let newer = {
        let mut bytes = request();
        let header = FileHeader { major: 9, ..FileHeader::CURRENT };
        bytes[..FILE_HEADER_BYTES].copy_from_slice(&header.encode());
        bytes
    };
    std::fs::write(bench.path("newer"), newer).expect("it can be written");
    for verb in ["summary", "events", "check", "regions", "tasks", "threads"] {
        check_refused(&bench, &format!("{verb} missing.trace"), "missing.trace: No such file");
        check_refused(&bench, &format!("{verb} empty"), "at byte 0");
        check_refused(&bench, &format!("{verb} text"), "not an exectrace trace");
        check_refused(&bench, &format!("{verb} newer"), "trace version 9.0");
        check_refused(&bench, &format!("{verb} ."), "is a folder");
    }
}

#[test]
fn hidden_characters_of_a_file_s_name_do_not_reach_the_terminal() {
    let bench = Bench::new(&request());
    let name = "\u{1b}]0;x\u{7}.trace";
    for line in [format!("check {name}"), format!("explain FILE --binary {name}")] {
        check_refused(&bench, &line, r"\u{1b}]0;x\u{7}.trace: No such file");
    }
    std::fs::write(bench.path(name), b"").expect("it can be written");
    check_refused(&bench, &format!("check {name}"), r"\u{1b}]0;x\u{7}.trace: at byte 0");
    std::fs::write(bench.path(name), request()).expect("it can be written");
    let run = bench.run(&format!("explain {name}"));
    assert!(run.out.contains(r"exectrace threads '\u{1b}]0;x\u{7}.trace'"), "{}", run.out);
    let run = bench.run(&format!("export {name} --format perfetto -o {name}.pftrace"));
    assert!(!run.out.contains('\u{1b}'), "{}", run.out);
}

#[test]
fn help_and_version_are_no_errors() {
    let bench = Bench::new(&request());
    for line in ["--help", "help", "--version", "summary --help", "export --help"] {
        let run = bench.run(line);
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{line}");
        assert!(run.out.contains("exectrace") || run.out.contains("Usage"), "{line}");
    }
}

#[test]
fn help_says_where_the_fields_of_json_are_described() {
    let bench = Bench::new(&request());
    for verb in ["summary", "heap", "explain", "check"] {
        let help = bench.run(&format!("{verb} --help")).out;
        let words = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("trace-tool/JSON.md in exectrace's repository"), "{verb}: {help}");
    }
}

#[test]
fn a_closed_pipe_ends_a_command_without_a_word() {
    let bench = Bench::new(&long());
    for verb in ["events", "events --json", "regions --json", "export --format perfetto -o -"] {
        let mut words: Vec<_> = verb.split(' ').collect();
        let file = bench.path("a.trace");
        let file = file.to_str().expect("a path in UTF-8");
        words.push(file);
        let mut command = command();
        command.args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut line = Vec::new();
        let mut out = BufReader::with_capacity(64, child.stdout.take().expect("a pipe"));
        out.read_until(b'\n', &mut line).expect("it can be read");
        drop(out);
        let mut said = String::new();
        let mut err = child.stderr.take().expect("a pipe");
        err.read_to_string(&mut said).expect("it can be read");
        let code = child.wait().expect("it ends").code();
        assert_eq!((code, said.as_str()), (Some(0), ""), "{verb}");
    }
}

#[test]
fn completions_know_every_command() {
    let bench = Bench::new(&request());
    let verbs = verbs(&bench);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let run = bench.run(&format!("completions {shell}"));
        assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{shell}");
        for verb in &verbs {
            assert!(run.out.contains(verb.as_str()), "{shell} does not know {verb}");
        }
    }
    check_refused(&bench, "completions cmd", "cmd");
}

#[test]
fn bash_itself_completes_commands_and_options() {
    let bench = Bench::new(&request());
    let script = bench.run("completions bash").out;
    let complete = |words: &str, at: u32| {
        let ask = format!(
            "COMP_WORDS=({words}); COMP_CWORD={at}; _exectrace exectrace \"${{COMP_WORDS[at]}}\" \
             \"${{COMP_WORDS[at-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let text = format!("{script}\nat={at}\n{ask}\n");
        let run = std::process::Command::new("bash").args(["--norc", "-c", &text]).output().ok()?;
        Some(String::from_utf8(run.stdout).expect("plain letters"))
    };
    let Some(found) = complete("exectrace expl", 1) else {
        eprintln!("no bash here");
        return;
    };
    assert_eq!(found.trim(), "explain");
    assert!(complete("exectrace check --js", 2).expect("bash is here").contains("--json"));
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let bench = Bench::new(&request());
    let folder = bench.path("man/man1");
    let run = bench.run("man --output man/man1");
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""));
    let verbs = verbs(&bench);
    let count = verbs.len() + 2;
    assert!(run.out.contains(&format!("{count} pages")), "{}", run.out);
    let read = |name: &str| {
        let page = std::fs::read_to_string(folder.join(name));
        page.unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(read("exectrace.1").contains(".TH exectrace 1"));
    assert!(read("cargo-exectrace.1").contains(".TH cargo-exectrace 1"));
    for verb in &verbs {
        assert!(read(&format!("exectrace-{verb}.1")).contains(&format!("exectrace\\-{verb}")));
    }
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), count);
    check_refused(&bench, "man --output a.trace", "a.trace");
}

/// The commands, as help lists them; without `help`, which is clap's.
fn verbs(bench: &Bench) -> Vec<String> {
    let help = bench.run("--help").out;
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list.take_while(|line| !line.is_empty());
    // What goes on in a second line is indented further.
    let names = list.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    let verbs: Vec<_> = names.filter(|name| name != "help").collect();
    assert!(verbs.len() >= 18, "{verbs:?}");
    verbs
}

/// The help of this program under this name, with these arguments.
#[cfg(unix)]
fn help(program: &str, name: &str, arguments: &[&str]) -> String {
    use std::os::unix::process::CommandExt as _;
    let mut command = std::process::Command::new(program);
    let output = command.arg0(name).args(arguments).arg("--help").output().expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn several_traces_are_refused_with_what_to_do() {
    let bench = Bench::new(&request());
    std::fs::copy(bench.path("a.trace"), bench.path("b.trace")).expect("it can be copied");
    for verb in ["explain", "summary", "export --format perfetto -o out"] {
        let run = bench.run(&format!("{verb} a.trace b.trace"));
        let said =
            "exectrace: b.trace is a second trace, and a command reads one: run it for each\n";
        assert_eq!((run.code, run.err.as_str()), (Some(2), said), "{verb}");
    }
    let missing = bench.run("explain a.trace c.trace");
    assert!(missing.err.contains("unexpected argument 'c.trace'"), "{}", missing.err);
}

#[cfg(unix)]
#[test]
fn one_program_is_both_commands_by_its_name_or_its_first_argument() {
    let of_cargo = "Usage: cargo exectrace [OPTIONS] <test|bench|run|nextest>";
    for program in [env!("CARGO_BIN_EXE_exectrace"), env!("CARGO_BIN_EXE_cargo-exectrace")] {
        for (name, arguments) in [
            ("/usr/bin/cargo-exectrace", &[][..]),
            ("cargo-exectrace", &["exectrace"]),
            ("exectrace", &["exectrace"]),
        ] {
            let help = help(program, name, arguments);
            assert!(help.contains(of_cargo), "{program} {name} {arguments:?}: {help}");
        }
        let help = help(program, "/usr/bin/exectrace", &[]);
        assert!(help.contains("Usage: exectrace <COMMAND>"), "{program}: {help}");
    }
}
