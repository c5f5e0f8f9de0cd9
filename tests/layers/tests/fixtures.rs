//! `mesh-layers` on small crates: what it refuses, and what it lets pass.

use std::{fs, process::Command};

/// Runs the program on a crate of these files, the root first, and returns what it prints.
/// Checks that the program fails if it prints anything, and only then.
#[track_caller]
fn problems(files: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_mesh-layers"))
        .arg(files[0].0)
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(i32::from(!printed.is_empty())));
    printed
}

#[test]
fn a_crate_without_a_circle_passes() {
    let found = problems(&[
        ("lib.rs", "mod a; mod b; pub fn run() { a::one(); b::Two; }"),
        ("a.rs", "use crate::b::Two; pub fn one() -> Two { Two }"),
        ("b.rs", "pub struct Two;"),
    ]);
    assert_eq!(found, "");
}

#[test]
fn a_circle_of_two_is_refused() {
    let found = problems(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::b::Two;\npub struct One(Two);"),
        ("b.rs", "pub struct Two;\nfn f() { crate::a::One::new(); }"),
    ]);
    let circle = "a.rs: circle of 2 files\n  \
        a.rs uses b.rs: crate::b::Two:1\n  \
        b.rs uses a.rs: crate::a::One::new:2\n";
    assert_eq!(found, circle);
}

#[test]
fn a_circle_of_three_is_refused() {
    let found = problems(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        (
            "a.rs",
            "use crate::{b::{self, Two}, c}; fn f(_: Two) {} pub const ONE: u8 = b::TWO;",
        ),
        (
            "b.rs",
            "pub struct Two; pub const TWO: u8 = crate::c::THREE;",
        ),
        (
            "c/mod.rs",
            "pub const THREE: u8 = 3; fn f() { println!(\"{}\", crate::a::ONE) }",
        ),
    ]);
    let circle = "a.rs: circle of 3 files\n  \
        a.rs uses b.rs: crate::b::Two:1\n  \
        b.rs uses c/mod.rs: crate::c::THREE:1\n  \
        c/mod.rs uses a.rs: crate::a::ONE:1\n";
    assert_eq!(found, circle);
}

#[test]
fn a_parent_that_uses_its_child_is_refused_if_the_child_uses_the_parent() {
    let child = "use super::Roll; pub fn start(_: Roll) {}";
    let root = ("lib.rs", "mod roll;");
    let parent = |code| [root, ("roll.rs", code), ("roll/start.rs", child)];
    assert_eq!(problems(&parent("mod start; pub struct Roll;")), "");
    assert_eq!(
        problems(&parent("mod start; pub use start::start; pub struct Roll;")),
        ""
    );
    let found = problems(&parent(
        "mod start; pub struct Roll; fn f() { start::start(Roll) }",
    ));
    let circle = "roll/start.rs: circle of 2 files\n  \
        roll/start.rs uses roll.rs: super::Roll:1\n  \
        roll.rs uses roll/start.rs: start::start:1\n";
    assert_eq!(found, circle);
}

#[test]
fn a_re_export_leads_to_the_file_that_declares() {
    let found = problems(&[
        ("lib.rs", "mod lock; mod user;"),
        ("lock.rs", "mod keep; pub use keep::*;"),
        ("lock/keep.rs", "pub struct Grip(crate::user::User);"),
        (
            "user.rs",
            "use crate::lock; pub struct User; fn f(_: lock::Grip) {}",
        ),
    ]);
    let circle = "lock/keep.rs: circle of 2 files\n  \
        lock/keep.rs uses user.rs: crate::user::User:1\n  \
        user.rs uses lock/keep.rs: lock::Grip:1\n";
    assert_eq!(found, circle);
}

#[test]
fn a_method_on_self_leads_to_its_impl_block() {
    let method = "use crate::roll::Roll; impl Roll { pub fn start(&self) {} }";
    let circle = |call| {
        let code = format!("pub struct Roll; impl Roll {{ fn on(&self) {{ {call}; }} }}");
        let root = ("lib.rs", "mod roll; mod start;");
        problems(&[root, ("roll.rs", &code), ("start.rs", method)])
    };
    for call in ["self.start()", "Self::start(self)", "Roll::start(self)"] {
        let found = circle(call);
        assert!(
            found.starts_with("roll.rs: circle of 2 files\n"),
            "{call}: {found}"
        );
    }
    assert_eq!(circle("self.start"), "", "a field is no method");
}

#[test]
fn code_for_tests_alone_is_not_counted() {
    let found = problems(&[
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "pub struct One; #[cfg(test)] mod tests; #[cfg(test)] use crate::b::Two;",
        ),
        (
            "b.rs",
            "pub struct Two; impl Two { #[cfg(test)] fn f() {} fn g() { crate::a::One; } }",
        ),
    ]);
    assert_eq!(found, "");
}

#[test]
fn a_function_of_61_lines_is_refused() {
    let function = |lines: usize| {
        format!(
            "\n#[inline]\nfn long() {{\n{}}}\n",
            "// why\n".repeat(lines - 2)
        )
    };
    assert_eq!(problems(&[("lib.rs", &function(60))]), "");
    let found = problems(&[("lib.rs", &format!("mod inner {{ {} }}", function(61)))]);
    assert_eq!(found, "lib.rs:3: fn long has 61 lines, 60 are allowed\n");
}

#[test]
fn a_file_of_301_lines_of_code_is_refused() {
    let file = |lines| "\n// A comment.\n/// A doc comment.\nconst _: u8 = 1;\n".repeat(lines);
    assert_eq!(problems(&[("lib.rs", &file(300))]), "");
    let found = problems(&[("lib.rs", &file(301))]);
    assert_eq!(found, "lib.rs: 301 lines of code, 300 are allowed\n");
}

#[test]
fn a_command_that_is_written_out_is_refused() {
    let found = problems(&[(
        "lib.rs",
        "//! kubectl get pods\n/// kubectl get pods\npub const HINT: &str = \"kubectl\";\n\
         pub fn hint() -> String { format!(\"see kubectl get pods -n {}\", \"shop\") }\n\
         #[cfg(test)] mod tests { const ONE: &str = \"kubectl get pods\"; }",
    )]);
    assert_eq!(
        found,
        "lib.rs:4: `kubectl get` is written out; Paste makes commands for people\n"
    );
}
