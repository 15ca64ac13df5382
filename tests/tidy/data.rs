//! Test data is complete: every refused program has its one message, every golden file its
//! expectation, and every other file a line that says where it came from.

use crate::tree::{Fault, File, Tree};

const REFUSED: &str = "tests/ui/fail/";
const DATA: &str = "trace-format/testdata/";

pub(crate) fn faults(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.below(REFUSED) {
        faults.extend(refused(tree, file));
    }
    for file in tree.below("trace-format/testdata/golden/") {
        if !file.text.starts_with("# expect ") {
            let what = "no expectation, begin with `# expect N events, N faults`";
            faults.push(Fault::new(&file.path, 1, what));
        }
    }
    let page = format!("{DATA}README.md");
    let told = tree.get(&page).map_or("", |file| &file.text);
    for file in tree.below(DATA).filter(|file| file.path != page) {
        let short = &file.path[DATA.len()..];
        let folder = short.rsplit_once('/').map_or("", |(folder, _)| folder);
        // Golden files say in themselves where they came from, so the page only names their folder.
        let pattern = format!("`{folder}/*.{}`", file.extension());
        if !told.contains(file.name()) && !told.contains(&pattern) {
            let what = format!("not in {page}, say where it came from");
            faults.push(Fault::new(&file.path, 1, what));
        }
    }
    faults
}

fn refused(tree: &Tree, file: &File) -> Option<Fault> {
    let (stem, extension) = file.path.rsplit_once('.')?;
    let pair = |extension: &str| tree.get(&format!("{stem}.{extension}"));
    let what = match extension {
        "rs" if pair("stderr").is_none() => "no `.stderr` beside it, let trybuild write it",
        "stderr" if pair("rs").is_none() => "no program beside it, take it out",
        "stderr" if file.lines().filter(|(_, line)| is_error(line)).count() != 1 => {
            "not one fault a file, make more files of it"
        }
        _ => return None,
    };
    Some(Fault::new(&file.path, 1, what))
}

fn is_error(line: &str) -> bool {
    line.starts_with("error:") || line.starts_with("error[")
}

mod tests {
    use super::*;

    fn count(files: &[(&str, &str)]) -> usize {
        faults(&Tree::sample(files)).len()
    }

    #[test]
    fn a_refused_program_has_exactly_one_error() {
        let program = ("tests/ui/fail/a.rs", "//! Wrong.\n");
        let path = "tests/ui/fail/a.stderr";
        assert_eq!(count(&[program, (path, "error: no\n --> a.rs\n\nnote: so\n")]), 0);
        assert_eq!(count(&[program]), 1);
        assert_eq!(count(&[(path, "error: no\n")]), 1);
        assert_eq!(count(&[program, (path, "error: no\n\nerror[E0308]: no\n")]), 1);
        assert_eq!(count(&[program, (path, "warning: hm\n")]), 1);
    }

    #[test]
    fn a_golden_file_begins_with_its_expectation() {
        let page = ("trace-format/testdata/README.md", "`golden/*.txt`: by hand.\n");
        let path = "trace-format/testdata/golden/a.txt";
        assert_eq!(count(&[page, (path, "# expect 1 events, 0 faults\n")]), 0);
        assert_eq!(count(&[page, (path, "header 1.0\n")]), 1);
    }

    #[test]
    fn every_file_of_data_is_described() {
        let page = ("trace-format/testdata/README.md", "`corpus/`:\n- `a.trace`: cut.\n");
        let told = ("trace-format/testdata/corpus/a.trace", "");
        let untold = ("trace-format/testdata/corpus/b.trace", "");
        assert_eq!(count(&[page, told]), 0);
        assert_eq!(count(&[page, told, untold]), 1);
        assert_eq!(count(&[told]), 1);
    }
}
