//! `mesh-roll` on real servers and on the lab.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

/// Runs each test on either bed.
macro_rules! on_both_beds {
    ($($name:ident)*) => {
        mod lab {
            $(#[test]
            fn $name() {
                super::$name(mesh_testbed::Bed::lab().unwrap());
            })*
        }

        mod real {
            $(#[test]
            fn $name() {
                if let Some(bed) = mesh_testbed::Bed::for_test() {
                    super::$name(bed);
                }
            })*
        }
    };
}

mod exits;
mod fleet;
mod injector;
mod kills;
mod onlooker;
mod scene;
mod stops;
