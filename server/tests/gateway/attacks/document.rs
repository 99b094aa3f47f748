//! The tests that `docs/security.md` names are there.

use std::{fs, path::Path};

/// The code of a folder, in one text.
fn code(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            code(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn every_test_that_the_document_names() {
    let server = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(server.join("../docs/security.md")).expect("the document");
    let mut text = String::new();
    code(&server.join("src"), &mut text);
    code(&server.join("tests"), &mut text);
    let tests = document.lines().filter_map(|row| row.strip_suffix(" |")?.rsplit(" | ").next());
    let names: Vec<&str> = tests.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(names.len() > 50, "{names:?}");
    for name in names {
        assert!(text.contains(&format!("fn {name}(")), "no test {name}");
    }
}
