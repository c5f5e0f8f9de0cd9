//! Each end-to-end test is written once and registered for both beds.

use std::sync::OnceLock;

use mesh_testbed::Bed;

/// Registers tests as `lab::NAME` and `real::NAME`.
///
/// Each test takes its own [`Bed`], or a reference to a [`Shared`] one if it is `sharing`. A test
/// with a [capability](mesh_testbed::Capability) in brackets needs something that the lab lacks: it
/// is registered only as `real::CAPABILITY::NAME`, so that such tests can be counted.
#[macro_export]
macro_rules! on_both_beds {
    (sharing $beds:path; $($both:ident)* $([$need:ident] $($real:ident)*)*) => {
        mod lab {
            $(#[test]
            fn $both() {
                $beds.on_lab(super::$both);
            })*
        }

        mod real {
            $(#[test]
            fn $both() {
                $beds.on_real(super::$both);
            })*

            $(#[expect(non_snake_case, reason = "it is called as the capability is")]
            mod $need {
                const _: mesh_testbed::Capability = mesh_testbed::Capability::$need;

                $(#[test]
                fn $real() {
                    $beds.on_real(super::super::$real);
                })*
            })*
        }
    };
    ($($tests:tt)*) => {
        $crate::on_both_beds! { sharing $crate::Own; $($tests)* }
    };
}

/// Each test gets its own bed.
#[derive(Clone, Copy, Debug)]
pub struct Own;

/// All tests of a suite share one bed of each kind and must not change it.
#[derive(Debug)]
pub struct Shared {
    fill: fn(&Bed),
    lab: OnceLock<Bed>,
    real: OnceLock<Option<Bed>>,
}

// === impl Own ===

impl Own {
    /// Runs a test on the lab; fails on requests that the lab does not support.
    pub fn on_lab(self, test: impl FnOnce(Bed)) {
        let bed = Bed::lab().expect("the lab starts");
        let lab = bed.as_lab().cloned().expect("it stands on a lab");
        test(bed);
        assert!(lab.unknown().is_empty(), "{:?}", lab.unknown());
    }

    /// Runs a test on real servers, if they are available.
    pub fn on_real(self, test: impl FnOnce(Bed)) {
        if let Some(bed) = Bed::for_test() {
            test(bed);
        }
    }
}

// === impl Shared ===

impl Shared {
    /// Makes a shared bed that `fill` prepares before the first test.
    #[must_use]
    pub const fn filled(fill: fn(&Bed)) -> Self {
        Self {
            fill,
            lab: OnceLock::new(),
            real: OnceLock::new(),
        }
    }

    /// Runs a test on the lab; fails on requests that the lab does not support.
    pub fn on_lab(&self, test: impl FnOnce(&Bed)) {
        let bed = self
            .lab
            .get_or_init(|| self.full(Bed::lab().expect("the lab starts")));
        test(bed);
        let lab = bed.as_lab().expect("it stands on a lab");
        assert!(lab.unknown().is_empty(), "{:?}", lab.unknown());
    }

    /// Runs a test on real servers, if they are available.
    pub fn on_real(&self, test: impl FnOnce(&Bed)) {
        let bed = self
            .real
            .get_or_init(|| Bed::for_test().map(|bed| self.full(bed)));
        if let Some(bed) = bed {
            test(bed);
        }
    }

    fn full(&self, bed: Bed) -> Bed {
        (self.fill)(&bed);
        bed
    }
}
